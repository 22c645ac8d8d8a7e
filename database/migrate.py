"""Brings a database to a revision, one process at a time, and sets up the service's logins.

Several processes may start at once on a new database: an advisory lock lets one of them migrate while
the others wait and then find nothing to do. What the migrating role may not do itself is said as the
exact statements that an administrator has to run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from psycopg import sql
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from database.errors import DatabaseRefusal
from database.urls import REQUEST_LOGIN, SERVICE_LOGIN, DatabaseUrls, login_password, public_url

MIGRATIONS: Final = Path(__file__).resolve().parent.parent / "migrations"
OLDEST_SERVER: Final = 15
LOCK_KEY: Final = 0x6372796F  # "cryo"
TRIES: Final = 5
# The lock is one database's, and roles are the whole server's: a role made or changed by another database's
# migration at the same moment.
ROLE_RACES: Final = frozenset({"XX000", "23505", "42710"})

CHECK_ROLE_SQL: Final = """
SELECT rolname, rolsuper OR rolbypassrls, rolsuper OR rolcreaterole
FROM pg_roles
WHERE rolname = current_user
"""
# From PostgreSQL 16 on, CREATEROLE alone grants and changes only what the same role has made.
UNMANAGED_ROLES_SQL: Final = """
SELECT name
FROM unnest(ARRAY['anon', 'authenticated', 'service_role', 'cryoprotect_request', 'cryoprotect_service']) AS name
WHERE to_regrole(name) IS NOT NULL AND current_setting('server_version_num')::int >= 160000
    AND NOT pg_has_role(current_user, to_regrole(name), 'MEMBER WITH ADMIN OPTION')
"""
MISSING_PRIVILEGES_SQL: Final = """
SELECT 'GRANT CREATE ON DATABASE ' || quote_ident(current_database()) || ' TO ' || quote_ident(current_user) || ';'
WHERE NOT has_database_privilege(current_database(), 'CREATE')
UNION ALL
SELECT 'GRANT TEMPORARY ON DATABASE ' || quote_ident(current_database()) || ' TO ' || quote_ident(current_user) || ';'
WHERE NOT has_database_privilege(current_database(), 'TEMPORARY')
UNION ALL
SELECT 'GRANT CREATE ON SCHEMA public TO ' || quote_ident(current_user) || ';'
WHERE NOT has_schema_privilege('public', 'CREATE')
"""
LOCK_SQL: Final = "SELECT pg_advisory_lock(%(key)s)"
UNLOCK_SQL: Final = "SELECT pg_advisory_unlock(%(key)s)"


def head() -> str:
    """Return the revision that the code needs."""
    return (MIGRATIONS / "head.txt").read_text(encoding="ascii").strip()


def check_server(admin_url: str) -> int:
    """Return the server's major version.

    Raises:
        DatabaseRefusal: It cannot be reached, or is too old.
    """
    try:
        with psycopg.connect(admin_url, connect_timeout=10) as connection:
            version = connection.info.server_version // 10000
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else "no answer"
        msg = f"the database {public_url(admin_url)} cannot be reached: {reason}"
        raise DatabaseRefusal(msg) from error
    if version < OLDEST_SERVER:
        msg = f"the database is PostgreSQL {version}; CryoProtect needs {OLDEST_SERVER} or newer"
        raise DatabaseRefusal(msg)
    return version


def upgrade(
    urls: DatabaseUrls, *, secret: str, revision: str = "head", log: Callable[[str], None] = lambda _: None
) -> None:
    """Bring the database to a revision and set the passwords of the service's logins.

    Raises:
        DatabaseRefusal: The database is too old, or its role may not do what is needed.
    """
    check_server(urls.admin)
    with _locked(urls.admin) as connection:
        _check_role(connection)
        before = _current(connection)
        _run(connection, lambda config: command.upgrade(config, revision))
        after = _current(connection)
        log("the database is at head" if before == after else f"migrated from {before or 'nothing'} to {after}")
        _repeat(connection, lambda: _set_passwords(connection, secret))


def downgrade(urls: DatabaseUrls, revision: str) -> None:
    """Take migrations back down to a revision; `base` takes all back.

    Raises:
        DatabaseRefusal: There is no such revision.
    """
    with _locked(urls.admin) as connection:
        _run(connection, lambda config: command.downgrade(config, revision))


def current(urls: DatabaseUrls) -> str | None:
    """Return the revision that the database is at; None for an empty one."""
    engine = create_engine(_sqlalchemy_url(urls.admin), poolclass=NullPool)
    with engine.connect() as connection:
        return _current(connection)


def history() -> list[tuple[str, str]]:
    """Return revisions and what they do, oldest first."""
    script = ScriptDirectory.from_config(_config(None))
    return [(revision.revision, revision.doc) for revision in script.walk_revisions()][::-1]


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


@contextmanager
def _locked(admin_url: str) -> Iterator[Connection]:
    engine = create_engine(_sqlalchemy_url(admin_url), poolclass=NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(LOCK_SQL, {"key": LOCK_KEY})
        connection.commit()
        try:
            yield connection
        finally:
            connection.rollback()
            connection.exec_driver_sql(UNLOCK_SQL, {"key": LOCK_KEY})
            connection.commit()


def _run(connection: Connection, step: Callable[[Config], None]) -> None:
    try:
        connection.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS private")
        connection.commit()
        _repeat(connection, lambda: step(_config(connection)))
    except (psycopg.Error, DBAPIError) as error:
        msg = f"a migration was refused by the database: {error}"
        raise DatabaseRefusal(msg) from error
    except CommandError as error:
        msg = f"the migrations of this version do not lead there: {error}"
        raise DatabaseRefusal(msg) from error


def _repeat(connection: Connection, work: Callable[[], None]) -> None:
    # SQLAlchemy ends only the transactions that it knows of; the migrations' SQL goes past it.
    driver = _driver(connection)
    for left in reversed(range(TRIES)):
        try:
            work()
            connection.commit()
            driver.commit()
        except psycopg.Error as error:
            connection.rollback()
            driver.rollback()
            if error.sqlstate not in ROLE_RACES or not left:
                raise
        else:
            return


def _current(connection: Connection) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table_schema": "private"})
    revision = context.get_current_revision()
    connection.rollback()
    return revision


def _check_role(connection: Connection) -> None:
    name, bypasses, creates = connection.exec_driver_sql(CHECK_ROLE_SQL).one()
    unmanaged = [row[0] for row in connection.exec_driver_sql(UNMANAGED_ROLES_SQL)]
    privileges = [row[0] for row in connection.exec_driver_sql(MISSING_PRIVILEGES_SQL)]
    connection.rollback()
    attributes = [word for word, has in (("BYPASSRLS", bypasses), ("CREATEROLE", creates)) if not has]
    needed = [f'ALTER ROLE "{name}" {" ".join(attributes)};'] if attributes else []
    if unmanaged:
        needed.append(f'GRANT {", ".join(unmanaged)} TO "{name}" WITH ADMIN OPTION;')
    needed += privileges
    if needed:
        msg = f"the role {name} may not set the database up; an administrator has to run:\n" + "\n".join(needed)
        raise DatabaseRefusal(msg)


def _set_passwords(connection: Connection, secret: str) -> None:
    driver = _driver(connection)
    for login in (REQUEST_LOGIN, SERVICE_LOGIN):
        # Sent as a SCRAM verifier: the password itself would stand in the server's log.
        verifier = driver.pgconn.encrypt_password(
            login_password(login, secret).encode(), login.encode(), b"scram-sha-256"
        ).decode()
        statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(login), sql.Literal(verifier))
        driver.execute(statement)


def _driver(connection: Connection) -> psycopg.Connection:
    return connection.connection.driver_connection  # type: ignore[return-value]


def _sqlalchemy_url(url: str) -> str:
    return "postgresql+psycopg://" + url.partition("://")[2]
