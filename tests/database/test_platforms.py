"""The migrations where they have to run: on the oldest server and on ours, as superuser and not, on a Supabase."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg import errors, sql

from app.domain.callers import ANON, SERVICE, Caller
from app.errors import NotFoundError
from app.services.seed_records import property_types
from database import migrate
from database.cluster import programs
from database.errors import DatabaseRefusal
from database.listing import ListRequest
from database.repositories.maintenance import MaintenanceRepository
from database.repositories.molecules import MoleculeReader, MoleculeRepository
from database.repositories.provenance import ProvenanceRepository
from database.repositories.system import SystemRepository
from database.session import Database
from database.urls import REQUEST_LOGIN, SERVICE_LOGIN, DatabaseUrls, database_urls
from tests import factories
from tests.database.private_server import private_server
from tests.database.worlds import World, add_public_molecule, add_world
from tests.plugins.database import SECRET, named, open_database

pytestmark = pytest.mark.machine

# Alembic keeps its context in module variables: two databases at once means two processes.
UPGRADE_SCRIPT = """
import sys
from database.migrate import upgrade
from database.urls import database_urls
upgrade(database_urls(sys.argv[1], None, "a secret"), secret="a secret")
"""
OLDEST = Path("/usr/lib/postgresql/15/bin")
NAME = "platform"
OUR_ROLES = ("anon", "authenticated", "service_role", "authenticator", REQUEST_LOGIN, SERVICE_LOGIN)
OTHER_ROLES = ("migrator", "supabase_auth_admin")
TABLES_SQL = (
    "SELECT count(*) FROM pg_tables WHERE schemaname IN ('public', 'private') AND tablename <> 'alembic_version'"
)
SUPABASE_ROLES_SQL = """
CREATE ROLE anon NOLOGIN NOINHERIT;
CREATE ROLE authenticated NOLOGIN NOINHERIT;
CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS;
CREATE ROLE authenticator LOGIN NOINHERIT;
GRANT anon, authenticated, service_role TO authenticator;
CREATE ROLE supabase_auth_admin NOLOGIN NOINHERIT CREATEROLE;
GRANT anon, authenticated, service_role TO migrator WITH ADMIN OPTION;
"""
# As much of Supabase's own schemas as the migrations lean on, owned by another role than the one that migrates.
SUPABASE_SCHEMAS_SQL = """
CREATE SCHEMA auth AUTHORIZATION supabase_auth_admin;
GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role, migrator;
CREATE SCHEMA extensions AUTHORIZATION migrator;
GRANT USAGE ON SCHEMA extensions TO anon, authenticated, service_role;
SET ROLE supabase_auth_admin;
CREATE TABLE auth.users (id uuid PRIMARY KEY, email text, encrypted_password text, raw_user_meta_data jsonb);
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
    )::uuid
$$;
CREATE FUNCTION auth.role() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
$$;
CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT nullif(current_setting('request.jwt.claims', true), '')::jsonb
$$;
RESET ROLE;
SET ROLE migrator;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
RESET ROLE;
"""
OPEN_TABLES_SQL = """
SELECT c.oid::regclass::text
FROM pg_class AS c
WHERE c.relnamespace IN ('public'::regnamespace, 'private'::regnamespace) AND c.relkind = 'r'
    AND (NOT c.relforcerowsecurity OR NOT c.relrowsecurity
        OR has_table_privilege('anon', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
        OR has_table_privilege('authenticated', c.oid, 'UPDATE, TRUNCATE'))
"""


@pytest.fixture(scope="module", params=["18", "15"], ids=["PostgreSQL 18", "PostgreSQL 15"])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the superuser's URL of a server of each version."""
    folder = programs() if request.param == "18" else OLDEST
    if not folder.is_dir():
        pytest.skip(f"PostgreSQL {request.param} is not on this machine ({folder})")
    with private_server(folder) as url:
        yield url


@pytest.fixture
def superuser(server: str) -> Iterator[psycopg.Connection]:
    """Give a superuser's connection to the server, on which none of our roles is left from before."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(NAME)))
        for role in (*OUR_ROLES, *OTHER_ROLES):
            connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))
        yield connection


def _empty(superuser: psycopg.Connection, server: str, owner: str = "postgres") -> DatabaseUrls:
    """Make an empty database of an owner's and return its URLs; the owner migrates."""
    superuser.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(NAME), sql.Identifier(owner)))
    return database_urls(named(server, NAME), None, SECRET) if owner == "postgres" else _migrators(server)


def _migrators(server: str) -> DatabaseUrls:
    parts = urlsplit(named(server, NAME))
    return database_urls(urlunsplit(parts._replace(netloc="migrator:migrator@localhost")), None, SECRET)


def _make_migrator(superuser: psycopg.Connection, *attributes: str) -> None:
    superuser.execute(
        sql.SQL("CREATE ROLE migrator LOGIN NOSUPERUSER PASSWORD 'migrator' {}").format(
            sql.SQL(" ").join(map(sql.SQL, attributes))
        )
    )


def _check_access(server: str, urls: DatabaseUrls) -> None:
    """Check that the service's own logins get in, and that two users and anon are kept apart."""
    database = open_database(urls)
    with database.transaction(SERVICE) as session:
        ProvenanceRepository(session).put_property_types(property_types())
    with psycopg.connect(named(server, NAME), autocommit=True) as admin:
        assert admin.execute(OPEN_TABLES_SQL.encode()).fetchall() == []
        public = add_public_molecule(admin, "dimethyl sulfoxide")
        alice, bob = add_world(admin), add_world(admin)
    try:
        assert SystemRepository(database.reading(SERVICE)).revision() == migrate.head()
        assert _seen(database, ANON) == {public}
        assert _seen(database, factories.user()) == {public}
        assert _seen(database, SERVICE) == {public} | alice.molecules | bob.molecules
        for world, other in ((alice, bob), (bob, alice)):
            _check_user(database, world, other, public)
        _check_writes(database)
        _check_summary(database, public)
    finally:
        database.close()


def _check_user(database: Database, world: World, other: World, public: object) -> None:
    assert _seen(database, world.caller) == {public} | world.molecules
    for key in other.molecules:
        with pytest.raises(NotFoundError), database.transaction(world.caller) as session:
            MoleculeRepository(session).remove(key, None)


def _check_writes(database: Database) -> None:
    writer = factories.user()
    with database.transaction(writer) as session:
        added = MoleculeRepository(session).add(factories.new_molecule("methanol"))
    assert added in _seen(database, writer)
    assert added not in _seen(database, ANON)


def _check_summary(database: Database, public: object) -> None:
    with database.transaction(SERVICE) as session:
        assert MaintenanceRepository(session).refresh_molecule_summary()
    for caller in (ANON, factories.user(), SERVICE):
        assert database.reading(caller).rows("SELECT id FROM public.molecule_summary", {}) == [(public,)]


def _seen(database: Database, caller: Caller) -> set[object]:
    rows = database.reading(caller).rows("SELECT id FROM public.molecules", {})
    page = MoleculeReader(database.reading(caller)).page(ListRequest(), "exact")
    assert page.count == len(rows)
    return {row[0] for row in rows}


def test_a_superuser_migrates_up_down_and_up_again(superuser: psycopg.Connection, server: str) -> None:
    urls = _empty(superuser, server)

    migrate.upgrade(urls, secret=SECRET)
    migrate.downgrade(urls, "base")
    with psycopg.connect(urls.admin) as connection:
        left = connection.execute(TABLES_SQL.encode()).fetchall()
    migrate.upgrade(urls, secret=SECRET)

    assert left == [(0,)]
    _check_access(server, urls)


def test_a_role_that_is_no_superuser_migrates(superuser: psycopg.Connection, server: str) -> None:
    _make_migrator(superuser, "BYPASSRLS", "CREATEROLE", "CREATEDB")
    urls = _empty(superuser, server, "migrator")

    migrate.upgrade(urls, secret=SECRET)
    migrate.downgrade(urls, "base")
    migrate.upgrade(urls, secret=SECRET)
    migrate.upgrade(urls, secret=SECRET)

    _check_access(server, urls)


def test_a_supabase_is_migrated_and_what_is_its_own_stays(superuser: psycopg.Connection, server: str) -> None:
    _make_migrator(superuser, "BYPASSRLS", "CREATEROLE", "CREATEDB")
    superuser.execute(SUPABASE_ROLES_SQL)
    urls = _empty(superuser, server, "migrator")
    with psycopg.connect(named(server, NAME)) as connection:
        connection.execute(SUPABASE_SCHEMAS_SQL)
        before = _own_objects(connection)

    migrate.upgrade(urls, secret=SECRET)
    with psycopg.connect(named(server, NAME)) as connection:
        after = _own_objects(connection)
    _check_access(server, urls)
    migrate.downgrade(urls, "base")
    migrate.upgrade(urls, secret=SECRET)

    assert after == before


def _own_objects(connection: psycopg.Connection) -> list[tuple[object, ...]]:
    """Return what Supabase brought along, with its owners and rights."""
    return connection.execute(
        """
        SELECT p.oid::regprocedure::text, p.proowner::regrole::text, p.prosrc, p.proacl::text
        FROM pg_proc AS p WHERE p.pronamespace = 'auth'::regnamespace
        UNION ALL
        SELECT c.oid::regclass::text, c.relowner::regrole::text, c.relrowsecurity::text, c.relacl::text
        FROM pg_class AS c WHERE c.relnamespace = 'auth'::regnamespace
        UNION ALL
        SELECT n.nspname, n.nspowner::regrole::text, '', n.nspacl::text
        FROM pg_namespace AS n WHERE n.nspname IN ('auth', 'extensions')
        UNION ALL
        SELECT r.rolname, r.rolbypassrls::text, r.rolcanlogin::text, r.rolconfig::text
        FROM pg_roles AS r WHERE r.rolname IN ('anon', 'authenticated', 'service_role', 'authenticator')
        ORDER BY 1, 2
        """
    ).fetchall()


@pytest.mark.parametrize("attributes", [("CREATEROLE",), ("BYPASSRLS",), ()], ids=str)
def test_a_role_that_may_not_migrate_is_told_the_statements_that_help(
    superuser: psycopg.Connection, server: str, attributes: tuple[str, ...]
) -> None:
    _make_migrator(superuser, *attributes)
    urls = _empty(superuser, server, "migrator")

    with pytest.raises(DatabaseRefusal) as refused:
        migrate.upgrade(urls, secret=SECRET)
    untouched = superuser.execute("SELECT FROM pg_roles WHERE rolname = ANY (%s)", (list(OUR_ROLES),)).fetchall()
    statements = _statements(refused.value)
    _run(server, statements)
    migrate.upgrade(urls, secret=SECRET)

    assert "migrator" in refused.value.detail
    assert ("BYPASSRLS" in " ".join(statements)) == ("BYPASSRLS" not in attributes)
    assert untouched == []
    _check_access(server, urls)


def test_a_role_in_a_database_of_anothers_is_told_the_statements_that_help(
    superuser: psycopg.Connection, server: str
) -> None:
    _make_migrator(superuser, "BYPASSRLS", "CREATEROLE")
    _empty(superuser, server)
    # Refreshing the summary takes a temporary table.
    superuser.execute(sql.SQL("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC").format(sql.Identifier(NAME)))
    urls = _migrators(server)

    with pytest.raises(DatabaseRefusal) as refused:
        migrate.upgrade(urls, secret=SECRET)
    _run(server, _statements(refused.value))
    migrate.upgrade(urls, secret=SECRET)

    _check_access(server, urls)


@pytest.mark.parametrize("made", [("anon", "authenticated", "service_role"), OUR_ROLES], ids=["Supabase's", "all"])
def test_roles_that_another_made_and_kept_are_asked_for_by_statement(
    superuser: psycopg.Connection, server: str, made: tuple[str, ...]
) -> None:
    for role in made:
        login = sql.SQL("LOGIN" if role in {REQUEST_LOGIN, SERVICE_LOGIN} else "NOLOGIN")
        superuser.execute(sql.SQL("CREATE ROLE {} {} NOINHERIT").format(sql.Identifier(role), login))
    _make_migrator(superuser, "BYPASSRLS", "CREATEROLE")
    urls = _empty(superuser, server, "migrator")

    if superuser.info.server_version >= 160000:
        with pytest.raises(DatabaseRefusal) as refused:
            migrate.upgrade(urls, secret=SECRET)
        assert "WITH ADMIN OPTION" in refused.value.detail
        _run(server, _statements(refused.value))
    # Up to PostgreSQL 15 CREATEROLE alone is enough.
    migrate.upgrade(urls, secret=SECRET)

    _check_access(server, urls)


def _statements(refusal: DatabaseRefusal) -> list[str]:
    _, _, statements = refusal.detail.partition("\n")
    assert statements
    return statements.splitlines()


def _run(server: str, statements: list[str]) -> None:
    with psycopg.connect(named(server, NAME), autocommit=True) as administrator:
        for statement in statements:
            administrator.execute(statement.encode())


def test_the_logins_have_passwords_that_only_the_secret_gives(superuser: psycopg.Connection, server: str) -> None:
    urls = _empty(superuser, server)
    migrate.upgrade(urls, secret=SECRET)
    stranger = database_urls(urls.admin, None, "another secret")

    for url in (stranger.request, stranger.service):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(url)
    migrate.upgrade(stranger, secret="another secret")
    for url in (stranger.request, stranger.service):
        psycopg.connect(url).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(urls.request)


def test_several_who_upgrade_at_once_all_succeed(superuser: psycopg.Connection, server: str) -> None:
    urls = _empty(superuser, server)
    said: list[str] = []

    with ThreadPoolExecutor(4) as threads:
        for upgrade in [threads.submit(migrate.upgrade, urls, secret=SECRET, log=said.append) for _ in range(4)]:
            upgrade.result(60)

    assert sorted(said) == [f"migrated from nothing to {migrate.head()}", *["the database is at head"] * 3]
    _check_access(server, urls)


def test_databases_of_one_server_are_upgraded_at_once(superuser: psycopg.Connection, server: str) -> None:
    names = [f"{NAME}_{number}" for number in range(4)]
    for name in names:
        superuser.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    every = [database_urls(named(server, name), None, SECRET) for name in names]
    command = [sys.executable, "-c", UPGRADE_SCRIPT]

    try:
        processes = [subprocess.Popen([*command, urls.admin], stderr=subprocess.PIPE) for urls in every]
        said = [process.communicate(timeout=100)[1].decode() for process in processes]
        revisions = [migrate.current(urls) for urls in every]
    finally:
        for name in names:
            superuser.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    assert "".join(said) == ""
    assert revisions == [migrate.head()] * 4


def test_an_upgrade_that_is_cut_off_is_finished_by_the_next(superuser: psycopg.Connection, server: str) -> None:
    urls = _empty(superuser, server)
    migrate.upgrade(urls, secret=SECRET, revision="0003_provenance")
    with psycopg.connect(urls.admin) as connection:
        connection.execute("CREATE TABLE public.molecules ()")

    with pytest.raises(DatabaseRefusal):
        migrate.upgrade(urls, secret=SECRET)
    halfway = migrate.current(urls)
    with psycopg.connect(urls.admin) as connection:
        connection.execute("DROP TABLE public.molecules")
    migrate.upgrade(urls, secret=SECRET)

    assert halfway == "0003_provenance"
    _check_access(server, urls)


def test_a_revision_that_this_version_does_not_know_is_refused(superuser: psycopg.Connection, server: str) -> None:
    urls = _empty(superuser, server)
    migrate.upgrade(urls, secret=SECRET)
    with psycopg.connect(urls.admin) as connection:
        connection.execute("UPDATE private.alembic_version SET version_num = '9999_future'")

    with pytest.raises(DatabaseRefusal, match="9999_future"):
        migrate.upgrade(urls, secret=SECRET)
    with pytest.raises(DatabaseRefusal, match="0000_nothing"):
        migrate.downgrade(urls, "0000_nothing")


def test_a_server_that_is_not_there_is_refused_by_name_and_without_its_password(tmp_path: Path) -> None:
    urls = database_urls(f"postgresql://postgres:hidden@localhost/nothing?host={tmp_path}", None, SECRET)

    with pytest.raises(DatabaseRefusal, match="cannot be reached") as refused:
        migrate.upgrade(urls, secret=SECRET)

    assert "hidden" not in str(refused.value)


def test_the_logins_are_kept_out_of_another_database_of_the_server(superuser: psycopg.Connection, server: str) -> None:
    urls = _empty(superuser, server)
    migrate.upgrade(urls, secret=SECRET)

    with psycopg.connect(named(urls.request, "postgres")) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute("CREATE TABLE public.mine ()")
