"""What several commands need first: the installation's secret, and a database that runs."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from app.errors import UnavailableError
from config import Settings
from database.embedded import EmbeddedServer, base_url
from database.measures import SLOW_S
from database.session import Database
from database.urls import DatabaseUrls, database_urls

SECRET_BYTES: Final = 48
PRIVATE: Final = 0o700


def with_secret(settings: Settings) -> Settings:
    """Return the settings with a signing secret, made in the data folder where no key is configured."""
    if settings.jwt_secret is not None or (settings.jwks_url is not None and not settings.embedded):
        return settings
    settings.data_dir.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    _make_secret(settings.secret_file)
    return replace(settings, jwt_secret=settings.secret_file.read_text(encoding="ascii").strip())


@contextmanager
def running_database(settings: Settings, log: Callable[[str], None]) -> Iterator[Settings]:
    """Give the settings with the URL of a database that runs for as long as the block.

    Raises:
        DatabaseRefusal: The embedded database cannot be started.
    """
    if not settings.embedded:
        yield settings
        return
    _forget_other_servers()
    with EmbeddedServer(settings.data_dir, log=log) as url:
        yield replace(settings, database_url=url)


def found_database(settings: Settings) -> Settings | None:
    """Return the settings with the URL of the database, None where it is the embedded one and does not run."""
    if not settings.embedded:
        return settings
    if not EmbeddedServer(settings.data_dir).is_running:
        return None
    _forget_other_servers()
    return replace(settings, database_url=base_url(settings.data_dir))


@contextmanager
def open_database(settings: Settings, *, slow_s: float = SLOW_S) -> Iterator[Database]:
    """Give the database layer, open for as long as the block; what takes longer than `slow_s` there is logged."""
    database = Database(
        urls_of(settings),
        min_size=0,
        max_size=2,
        timeout_s=settings.pool_timeout_s,
        transaction_pooler=settings.transaction_pooler,
        slow_s=slow_s,
    )
    database.open()
    try:
        yield database
    finally:
        database.close()


@contextmanager
def current_database(settings: Settings, log: Callable[[str], None]) -> Iterator[Database]:
    """Give the database that runs, or the embedded one, started for as long as the block.

    Raises:
        UnavailableError: The database is at another revision.
    """
    from database import migrate  # noqa: PLC0415 - Alembic, which recording a token does without

    with running_database(with_secret(settings), log) as running:
        revision = migrate.current(urls_of(running))
        if revision != migrate.head():
            msg = f"the database is at {revision or 'base'}, this needs {migrate.head()}: run `cryoprotect db upgrade`"
            raise UnavailableError(msg)
        with open_database(running) as database:
            yield database


def urls_of(settings: Settings) -> DatabaseUrls:
    """Return the database's URLs by purpose."""
    return database_urls(settings.require_database_url(), settings.database_direct_url, settings.shared_secret)


def direct_urls_of(settings: Settings) -> DatabaseUrls:
    """Return the URLs past a pooler, for whoever needs a session of its own."""
    direct = settings.database_direct_url or settings.require_database_url()
    return database_urls(direct, None, settings.shared_secret)


def _forget_other_servers() -> None:
    # libpq fills from these what a URL leaves open; they are about another server.
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]


def _make_secret(file: Path) -> None:
    """Make the secret file unless it is there; whoever looks sees a whole secret or none."""
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f"{file.name}.")
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as handle:
            handle.write(f"{secrets.token_urlsafe(SECRET_BYTES)}\n")
            handle.flush()
            os.fsync(handle.fileno())
        with suppress(FileExistsError):
            file.hardlink_to(fresh)
    finally:
        fresh.unlink()
