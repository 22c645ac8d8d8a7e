"""The queue's schema: the installed procrastinate's own, closed to everybody but the service role."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

import psycopg
import pytest
from procrastinate.schema import SchemaManager
from psycopg import sql

from database.urls import REQUEST_LOGIN, SERVICE_LOGIN, DatabaseUrls
from tests.database.clones import own_database

OURS = "cryoprotect_%"
"""Names of what we add to the library's tables."""
# Whatever differs between two versions of a schema, in words that do not hold the schema's own name.
MADE_SQL = """
SELECT 'column', c.relname, a.attname, concat_ws(
    ' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, pg_get_expr(d.adbin, d.adrelid)
)
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid AND c.relkind IN ('r', 'c')
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relnamespace = 'jobs'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'enum', t.typname, e.enumlabel, e.enumsortorder::text
FROM pg_enum AS e JOIN pg_type AS t ON t.oid = e.enumtypid WHERE t.typnamespace = 'jobs'::regnamespace
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'jobs'::regnamespace AND contype <> 'n'
UNION ALL
SELECT 'index', tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'jobs'
UNION ALL
SELECT 'function', p.oid::regprocedure::text, pg_get_function_result(p.oid), p.prosrc || p.prosecdef
FROM pg_proc AS p WHERE p.pronamespace = 'jobs'::regnamespace
UNION ALL
SELECT 'trigger', t.tgrelid::regclass::text, t.tgname, pg_get_triggerdef(t.oid)
FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
WHERE c.relnamespace = 'jobs'::regnamespace AND NOT t.tgisinternal AND t.tgname NOT LIKE %(ours)s
ORDER BY 1, 2, 3, 4
"""
FUNCTIONS_SQL = """
SELECT p.oid::regprocedure::text, p.proconfig, p.prosecdef, has_function_privilege(%(role)s, p.oid, 'EXECUTE')
FROM pg_proc AS p WHERE p.pronamespace = 'jobs'::regnamespace
"""
TABLES_SQL = """
SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity,
    ARRAY(
        SELECT p.polname || ' ' || p.polcmd::text || ' ' || p.polroles::regrole[]::text
        FROM pg_policy AS p WHERE p.polrelid = c.oid
    )
FROM pg_class AS c WHERE c.relnamespace = 'jobs'::regnamespace AND c.relkind = 'r' ORDER BY 1
"""
GRANTEES_SQL = """
SELECT DISTINCT a.grantee::regrole::text
FROM (
    SELECT c.relacl AS acl, c.relowner AS owner FROM pg_class AS c WHERE c.relnamespace = 'jobs'::regnamespace
    UNION ALL
    SELECT n.nspacl, n.nspowner FROM pg_namespace AS n WHERE n.nspname = 'jobs'
    UNION ALL
    SELECT p.proacl, p.proowner FROM pg_proc AS p WHERE p.pronamespace = 'jobs'::regnamespace
) AS kept
CROSS JOIN aclexplode(kept.acl) AS a
WHERE a.grantee <> kept.owner
"""


@pytest.fixture
def library(server_url: str) -> Iterator[psycopg.Connection]:
    """Give a database in which the installed library has made its schema itself."""
    with own_database(server_url, "procrastinate") as own, psycopg.connect(own.admin, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA jobs")
        connection.execute("SET search_path = jobs")
        connection.execute(SchemaManager.get_schema().encode())
        yield connection


def _made(connection: psycopg.Connection) -> list[tuple[object, ...]]:
    connection.execute("SET search_path = jobs")
    return connection.execute(MADE_SQL.encode(), {"ours": OURS}).fetchall()


def test_the_schema_is_the_one_that_the_installed_library_would_make(
    library: psycopg.Connection, admin: psycopg.Connection
):
    ours, theirs = _made(admin), _made(library)

    assert len(theirs) > 80
    assert ours == theirs, f"procrastinate {version('procrastinate')} needs a migration of its own"


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE jobs.procrastinate_jobs ADD COLUMN more text",
        "ALTER TYPE jobs.procrastinate_job_status ADD VALUE 'lost'",
        "DROP INDEX jobs.procrastinate_jobs_queue_name_idx_v1",
        "DROP TRIGGER procrastinate_trigger_delete_jobs_v1 ON jobs.procrastinate_jobs",
        "ALTER FUNCTION jobs.procrastinate_unregister_worker_v1(bigint) SECURITY DEFINER",
    ],
)
def test_a_library_with_another_schema_is_noticed(library: psycopg.Connection, admin: psycopg.Connection, change: str):
    library.execute(change.encode())

    assert _made(library) != _made(admin)


def test_row_level_security_is_forced_and_open_to_the_service_role_alone(admin: psycopg.Connection):
    tables = admin.execute(TABLES_SQL.encode()).fetchall()

    assert len(tables) == 4
    for table, forced, policies in tables:
        assert forced, table
        assert policies == [f"{table}_all_service_role * {{service_role}}"]


def test_nobody_but_the_service_role_has_a_privilege_on_the_queue(admin: psycopg.Connection):
    assert admin.execute(GRANTEES_SQL.encode()).fetchall() == [("service_role",)]


@pytest.mark.parametrize("role", ["public", "anon", "authenticated", REQUEST_LOGIN, SERVICE_LOGIN])
def test_no_function_of_the_queue_is_for(admin: psycopg.Connection, role: str):
    functions = admin.execute(FUNCTIONS_SQL.encode(), {"role": role}).fetchall()

    assert len(functions) > 15
    for name, settings, is_definer, may_execute in functions:
        assert settings == ["search_path=jobs, pg_temp"], name
        assert not is_definer, name
        assert not may_execute, name


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_clients_cannot_even_name_the_queue(urls: DatabaseUrls, role: str):
    with psycopg.connect(urls.request) as connection:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))

        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="schema jobs"):
            connection.execute("SELECT * FROM jobs.procrastinate_jobs")
