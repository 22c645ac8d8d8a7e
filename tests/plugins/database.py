"""A real Postgres for tests: the embedded server, or the one that CRYOPROTECT_TEST_DATABASE_URL names.

One migrated database is the template; each pytest worker clones it once and empties its tables after
each test that wrote to them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import sql

from app.domain.callers import SERVICE
from app.services.predict_properties import methods
from app.services.seed_records import property_types
from database import migrate
from database.embedded import EmbeddedServer
from database.repositories.provenance import ProvenanceRepository
from database.session import Database
from database.urls import DatabaseUrls, database_urls
from tests.plugins.pooler import through_pooler

SECRET = "a secret for tests only, long enough for HS256"
TEMPLATE = f"template_{migrate.head()}"


def named(url: str, name: str) -> str:
    """Return the URL of another database on the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """Give a superuser's URL of the test server."""
    given = os.environ.get("CRYOPROTECT_TEST_DATABASE_URL")
    if given:
        yield given
        return
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    folder = Path(tempfile.gettempdir()) / f"cryoprotect-test-{run[:12]}"
    server = EmbeddedServer(folder, settings={"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"})
    try:
        yield server.start()
    finally:
        server.stop()
        # The last worker out has stopped it; what it held is of no use to anybody.
        if not server.is_running:
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def urls(server_url: str, with_pooler: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseUrls]:  # noqa: FBT001 - a fixture
    """Give the URLs of this worker's own migrated database."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    name = f"test_{worker}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute("SELECT pg_advisory_lock(4711)")
        if not admin.execute("SELECT FROM pg_database WHERE datname = %s", (TEMPLATE,)).fetchall():
            _make_template(admin, server_url)
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(TEMPLATE)))
        admin.execute("SELECT pg_advisory_unlock(4711)")
    made = database_urls(named(server_url, name), None, SECRET)
    with through_pooler(made, tmp_path_factory.mktemp("pooler")) if with_pooler else nullcontext(made) as reached:
        yield reached
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _make_template(admin: psycopg.Connection, server_url: str) -> None:
    admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    made = database_urls(named(server_url, TEMPLATE), None, SECRET)
    migrate.upgrade(made, secret=SECRET)
    database = open_database(made)
    with database.transaction(SERVICE) as session:
        ProvenanceRepository(session).put_property_types(property_types())
    database.close()


def open_database(
    urls: DatabaseUrls, *, max_size: int = 4, timeout_s: float = 5.0, transaction_pooler: bool = False
) -> Database:
    """Return an open database layer on the URLs."""
    database = Database(urls, min_size=0, max_size=max_size, timeout_s=timeout_s, transaction_pooler=transaction_pooler)
    database.open()
    return database


@pytest.fixture(scope="session")
def _database(urls: DatabaseUrls, with_pooler: bool) -> Iterator[Database]:  # noqa: FBT001 - a fixture
    database = open_database(urls, transaction_pooler=with_pooler)
    yield database
    database.close()


@pytest.fixture
def admin(urls: DatabaseUrls) -> Iterator[psycopg.Connection]:
    """Give a superuser's connection, to arrange and to look behind the policies."""
    with psycopg.connect(urls.admin, autocommit=True) as connection:
        yield connection


@pytest.fixture
def emptied(urls: DatabaseUrls) -> Iterator[None]:
    """Empty all tables after the test but those that the migrations fill."""
    yield
    with psycopg.connect(urls.admin, autocommit=True) as connection:
        tables = connection.execute(
            """
            SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
            WHERE schemaname IN ('public', 'private', 'jobs')
                AND tablename NOT IN ('property_types', 'request_budgets', 'alembic_version')
            """
        ).fetchall()
        # Past the triggers: the audit log cannot be emptied otherwise.
        connection.execute("SET session_replication_role = replica")
        connection.execute(sql.SQL("TRUNCATE {} CASCADE").format(sql.SQL(", ").join(sql.SQL(row[0]) for row in tables)))
        connection.execute(
            "UPDATE private.request_budgets SET next_at = '-infinity', slowness = 1, slow_until = '-infinity'"
        )


@pytest.fixture
def database(_database: Database, emptied: None) -> Database:
    """Give the database layer, on tables that are empty before and after."""
    return _database


@pytest.fixture
def models(database: Database) -> None:
    """Put in the models, as `cryoprotect seed` does."""
    with database.transaction(SERVICE) as session:
        ProvenanceRepository(session).put_methods(methods())
