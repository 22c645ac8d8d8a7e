"""A database server that a test may kill, behind a network that it may break, and the real app before them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import psycopg
import pytest
from flask import Flask

from app.factory import create_app
from config import Settings
from database import migrate
from database.embedded import EmbeddedServer
from database.urls import database_urls
from tests.faults.clients import Records
from tests.faults.proxy import FaultyNetwork
from tests.plugins.api import close
from tests.plugins.database import SECRET

# Nothing here kills the machine, so nothing has to reach a disk; but a commit is a commit.
SETTINGS: Final = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "32MB", "max_connections": "60"}
OWNERS: Final = (str(UUID(int=1)), str(UUID(int=2)))
RECORDS: Final = Records(2500, {f"{owner} {number}": owner for owner in OWNERS for number in range(2)})
OWN_SQL: Final = """
INSERT INTO public.molecules (name, kind, is_public, created_by) VALUES (%s, 'polymer', false, %s)
"""
FILL_SQL: Final = """
INSERT INTO public.molecules (name, kind, is_public) SELECT 'polymer ' || n, 'polymer', true
FROM generate_series(1, %s) AS n
"""
NAMES_SQL: Final = "SELECT name, count(*) FROM public.teams GROUP BY name"
KILL_SQL: Final = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE usename LIKE 'cryoprotect%%' AND (NOT %(in_transaction)s OR state = 'idle in transaction')
"""


@dataclass
class Server:
    """A PostgreSQL server of these tests' own."""

    embedded: EmbeddedServer
    folder: Path
    url: str = ""

    def start(self) -> None:
        """Start, and recover if need be."""
        self.url = self.embedded.start()

    def stop_fast(self) -> None:
        """Stop in order: every transaction is rolled back, every client told."""
        self.embedded.stop()

    def stop_immediately(self) -> None:
        """Stop as a crash does."""
        os.kill(int((self.folder / "postgres" / "postmaster.pid").read_text().splitlines()[0]), signal.SIGQUIT)
        self.embedded.stop()

    @property
    def socket(self) -> Path:
        """Where the server listens."""
        return Path(parse_qs(urlsplit(self.url).query)["host"][0], ".s.PGSQL.5432")

    def kill(self, *, in_transaction: bool = False) -> int:
        """End the service's backends, or those only that are within a transaction; return how many."""
        with psycopg.connect(self.url, autocommit=True) as admin:
            row = admin.execute(KILL_SQL, {"in_transaction": in_transaction}).fetchone()
            return int(row[0]) if row else 0

    def execute(self, *statements: str) -> list[tuple[object, ...]]:
        """Run statements as the administrator; return the last one's rows."""
        with psycopg.connect(self.url, autocommit=True) as admin:
            cursors = [admin.execute(statement.encode()) for statement in statements]
            return cursors[-1].fetchall() if cursors[-1].description else []


def stored(server: Server) -> dict[str, int]:
    """Return how often each team's name is stored."""
    return {str(name): int(str(count)) for name, count in server.execute(NAMES_SQL)}


def fill(server: Server) -> None:
    """Migrate the server and put the records in."""
    migrate.upgrade(database_urls(server.url, None, SECRET), secret=SECRET)
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute(FILL_SQL, (RECORDS.public,))
        for owner in OWNERS:
            admin.execute("INSERT INTO public.user_profiles (id) VALUES (%s)", (owner,))
        for record in RECORDS.private.items():
            admin.execute(OWN_SQL, record)
        admin.execute("VACUUM ANALYZE molecules")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a migrated server with some public records."""
    folder = tmp_path_factory.mktemp("faults")
    made = Server(EmbeddedServer(folder, settings=SETTINGS), folder)
    made.start()
    fill(made)
    yield made
    made.stop_fast()


@pytest.fixture
def network(server: Server) -> Iterator[FaultyNetwork]:
    """Give the network in front of it."""
    with FaultyNetwork(server.socket) as running:
        yield running


@contextmanager
def app_behind(network: FaultyNetwork, server: Server, folder: Path, **more: Any) -> Iterator[Flask]:
    """Give the real app behind the network, with further settings, when its pool is full."""
    application = create_app(
        Settings(
            data_dir=folder,
            database_url=network.through(server.url),
            jwt_secret=SECRET,
            pool_min=2,
            pool_max=8,
            rate_limits=False,
            log_level="ERROR",
            **more,
        )
    )
    _until_full(application)
    yield application
    close(application)


@pytest.fixture
def faulty_app(server: Server, network: FaultyNetwork, tmp_path: Path) -> Iterator[Flask]:
    """Give the real app behind that network."""
    with app_behind(network, server, tmp_path) as application:
        yield application
    server.execute("DELETE FROM public.teams")


def _until_full(application: Flask) -> None:
    for _ in range(500):
        if all(state.size >= state.min_size for state in application.extensions["cryoprotect"].database.pool_states):
            return
        time.sleep(0.01)
    pytest.fail("the pool did not fill")
