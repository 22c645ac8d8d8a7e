"""The logins of the service: what they are, and that nothing opens to them without role and claims."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors

from app.domain.callers import ANON, SERVICE, Caller
from app.errors import CryoProtectError
from database.session import Database
from database.urls import REQUEST_LOGIN, SERVICE_LOGIN, DatabaseUrls
from tests import factories
from tests.database.acting import REFUSED, acting
from tests.database.worlds import add_world

ATTRIBUTES_SQL = """
SELECT rolcanlogin, rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication, rolinherit
FROM pg_roles
WHERE rolname = %s
"""
MEMBERSHIPS_SQL = """
SELECT r.rolname, m.admin_option
FROM pg_auth_members AS m
JOIN pg_roles AS r ON r.oid = m.roleid
WHERE m.member = to_regrole(%s)
ORDER BY 1
"""
OWNED_SQL = """
SELECT classid::regclass::text, objid
FROM pg_shdepend
WHERE refobjid = to_regrole(%s) AND refclassid = 'pg_authid'::regclass AND deptype = 'o'
"""
RELATIONS_SQL = """
SELECT oid::regclass::text
FROM pg_class
WHERE relnamespace IN ('public'::regnamespace, 'private'::regnamespace, 'auth'::regnamespace)
    AND relkind IN ('r', 'p', 'v', 'm', 'S')
"""


@pytest.fixture(params=[REQUEST_LOGIN, SERVICE_LOGIN])
def login(request: pytest.FixtureRequest) -> str:
    """Give the name of each login."""
    return str(request.param)


@pytest.fixture
def bare(login: str, urls: DatabaseUrls) -> Iterator[psycopg.Connection]:
    """Give a login's connection on which no preamble has run."""
    with psycopg.connect(urls.request if login == REQUEST_LOGIN else urls.service, autocommit=True) as connection:
        yield connection


def test_a_login_may_log_in_and_nothing_else(admin: psycopg.Connection, login: str) -> None:
    assert admin.execute(ATTRIBUTES_SQL, (login,)).fetchall() == [(True, False, False)]


def test_a_login_owns_nothing(admin: psycopg.Connection, login: str) -> None:
    assert admin.execute(OWNED_SQL, (login,)).fetchall() == []


@pytest.mark.parametrize(
    ("member", "roles"),
    [
        (REQUEST_LOGIN, ["anon", "authenticated"]),
        (SERVICE_LOGIN, ["service_role"]),
        ("anon", []),
        ("authenticated", []),
        ("service_role", []),
    ],
)
def test_memberships_are_exactly_these(admin: psycopg.Connection, member: str, roles: list[str]) -> None:
    assert admin.execute(MEMBERSHIPS_SQL, (member,)).fetchall() == [(role, False) for role in roles]


def test_a_login_is_who_its_url_says(bare: psycopg.Connection, login: str) -> None:
    assert bare.execute("SELECT session_user, current_user").fetchall() == [(login, login)]


def test_without_the_preamble_a_login_sees_no_table(
    admin: psycopg.Connection, bare: psycopg.Connection, emptied: None
) -> None:
    add_world(admin)
    relations = [row[0] for row in admin.execute(RELATIONS_SQL)]

    assert len(relations) >= 10
    for relation in relations:
        # The name comes from the catalogue, quoted where it has to be.
        with pytest.raises(errors.InsufficientPrivilege):
            bare.execute(b"SELECT FROM " + relation.encode())


def test_without_the_preamble_a_login_calls_no_function(admin: psycopg.Connection, bare: psycopg.Connection) -> None:
    functions = admin.execute("SELECT proname FROM pg_proc WHERE pronamespace = 'private'::regnamespace").fetchall()

    assert ("ensure_profile",) in functions
    with pytest.raises(errors.InsufficientPrivilege):
        bare.execute("SELECT private.ensure_profile()")
    with pytest.raises(errors.InsufficientPrivilege):
        bare.execute("SELECT private.molecule_ids_matching('glycerol')")


@pytest.mark.parametrize("target", ["service_role", "postgres", SERVICE_LOGIN, "authenticator", "pg_read_all_data"])
@pytest.mark.parametrize("caller", [ANON, factories.user()], ids=["anon", "user"])
@pytest.mark.parametrize(
    "injection",
    [
        "RESET ROLE; SET ROLE {}",
        "SET LOCAL ROLE {}",
        "SELECT set_config('role', '{}', true)",
        "SET SESSION AUTHORIZATION {}",
        "COMMIT; SET ROLE {}",
    ],
)
def test_an_injected_change_of_role_fails_on_the_request_login(
    urls: DatabaseUrls, caller: Caller, target: str, injection: str
) -> None:
    with acting(urls, caller) as attacker:
        assert attacker.attempt(injection.replace("{}", target)) == REFUSED


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE public.mine (id int)",
        "CREATE TABLE private.mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER ROLE cryoprotect_request BYPASSRLS",
        "GRANT service_role TO cryoprotect_request",
        "COPY public.molecules TO PROGRAM 'cat'",
        "SELECT pg_read_file('/etc/hostname')",
        "SELECT * FROM pg_authid",
        "SELECT * FROM auth.users",
    ],
)
@pytest.mark.parametrize("caller", [ANON, factories.user(), SERVICE], ids=["anon", "user", "service"])
def test_no_caller_defines_grants_or_reaches_out(urls: DatabaseUrls, caller: Caller, statement: str) -> None:
    with acting(urls, caller) as attacker:
        assert attacker.attempt(statement) == REFUSED


@pytest.mark.parametrize("caller", [ANON, factories.user(), SERVICE], ids=["anon", "user", "service"])
def test_a_read_session_cannot_write(database: Database, admin: psycopg.Connection, caller: Caller) -> None:
    statement = "UPDATE public.molecules SET name = 'changed' RETURNING id"
    if caller is SERVICE:
        statement = "INSERT INTO public.data_sources (name) VALUES ('written by a read') RETURNING id"

    with pytest.raises(CryoProtectError) as raised:
        database.reading(caller).rows(statement, {})

    assert isinstance(raised.value.__cause__, errors.ReadOnlySqlTransaction)
    assert admin.execute("SELECT FROM data_sources").fetchall() == []
