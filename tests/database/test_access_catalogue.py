"""What the catalogue says of access, for every table and function that is there, the next one included.

All of it is asked twice: of a plain Postgres, and of a database whose default privileges open each new table
to everybody, as Supabase's do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from database import migrate
from database.urls import REQUEST_LOGIN, SERVICE_LOGIN, DatabaseUrls
from tests.database.clones import own_database
from tests.plugins.database import SECRET

SUPABASE_DEFAULTS_SQL = """
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO anon, authenticated, service_role;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON FUNCTIONS TO anon, authenticated, service_role
"""
OPEN_TABLES_SQL = """
SELECT oid::regclass::text
FROM pg_class
WHERE relnamespace IN ('public'::regnamespace, 'private'::regnamespace) AND relkind IN ('r', 'p')
    AND NOT (relrowsecurity AND relforcerowsecurity)
"""
POLICIES_SQL = """
SELECT schemaname || '.' || tablename, policyname, permissive, roles::text[], lower(cmd), qual, with_check
FROM pg_policies
WHERE schemaname IN ('public', 'private')
"""
TABLES_SQL = """
SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname IN ('public', 'private')
"""
# Of a view the invoker's rights count, not its owner's; a materialized view knows no policies at all.
EXPOSED_VIEWS_SQL = """
SELECT c.oid::regclass::text
FROM pg_class AS c
CROSS JOIN unnest(ARRAY['anon', 'authenticated']) AS client (name)
WHERE c.relnamespace IN ('public'::regnamespace, 'private'::regnamespace)
    AND (c.relkind = 'v' AND NOT 'security_invoker=true' = ANY (coalesce(c.reloptions, '{}'))
        OR c.relkind = 'm' AND has_table_privilege(client.name, c.oid, 'SELECT'))
    AND c.oid <> ALL (%(allowed)s::regclass[])
"""
# The first holds public molecules only, and the view over it asks the molecules' policy for each row, which takes the
# reader's own right to read it. The second shows a reader's own keys, and a test that it shows no others'. Supabase's
# interface does not show the schema `private`.
OPEN_VIEWS = ["private.public_molecule_summary", "private.own_keys"]
OWN_KEYS = re.compile(r"\( SELECT k\.keys\s+FROM private\.own_keys k\)")
PRIVILEGES_SQL = """
SELECT t.schemaname || '.' || t.tablename, a.privilege_type
FROM pg_tables AS t
JOIN pg_class AS c ON c.oid = format('%%I.%%I', t.schemaname, t.tablename)::regclass
CROSS JOIN aclexplode(c.relacl) AS a
WHERE t.schemaname IN ('public', 'private') AND a.grantee = coalesce(to_regrole(%(grantee)s)::oid, 0)
"""
COLUMN_PRIVILEGES_SQL = """
SELECT a.attname
FROM pg_attribute AS a
CROSS JOIN aclexplode(a.attacl) AS g
WHERE a.attrelid = %(table)s::regclass AND g.grantee = 'authenticated'::regrole AND g.privilege_type = %(privilege)s
ORDER BY 1
"""
DEFINERS_SQL = """
SELECT p.oid::regprocedure::text, p.proconfig, has_function_privilege('public', p.oid, 'EXECUTE'),
    r.rolsuper OR r.rolbypassrls, r.rolcanlogin AND r.rolname LIKE 'cryoprotect%'
FROM pg_proc AS p
JOIN pg_roles AS r ON r.oid = p.proowner
WHERE p.pronamespace IN ('public'::regnamespace, 'private'::regnamespace) AND p.prosecdef
"""
FUNCTIONS_SQL = """
SELECT oid::regprocedure::text, proconfig, has_function_privilege('public', oid, 'EXECUTE')
FROM pg_proc
WHERE pronamespace IN ('public'::regnamespace, 'private'::regnamespace)
"""
HELPERS_IN_POLICIES_SQL = """
SELECT policyname, expression
FROM pg_policies
CROSS JOIN unnest(ARRAY[qual, with_check]) AS expression
WHERE expression ~ '(private\\.|auth\\.)'
"""
VIEW_PRIVILEGES_SQL = """
SELECT a.grantee::regrole::text, a.privilege_type
FROM pg_class AS c
CROSS JOIN aclexplode(c.relacl) AS a
WHERE c.oid = %(view)s::regclass AND a.grantee <> c.relowner
ORDER BY 1, 2
"""
UNINDEXED_FOREIGN_KEYS_SQL = """
SELECT f.conname
FROM pg_constraint AS f
WHERE f.contype = 'f' AND f.connamespace IN ('public'::regnamespace, 'private'::regnamespace)
    AND NOT EXISTS (
        SELECT FROM pg_index AS i
        WHERE i.indrelid = f.conrelid AND i.indpred IS NULL
            AND (i.indkey::int2[])[0:cardinality(f.conkey) - 1] @> f.conkey
    )
"""
SILENT_FOREIGN_KEYS_SQL = """
SELECT conname
FROM pg_constraint
WHERE contype = 'f' AND confdeltype = 'a' AND connamespace IN ('public'::regnamespace, 'private'::regnamespace)
"""
UNNAMED_CONSTRAINTS_SQL = """
SELECT c.conname
FROM pg_constraint AS c
JOIN pg_class AS t ON t.oid = c.conrelid
WHERE c.connamespace IN ('public'::regnamespace, 'private'::regnamespace) AND t.relname <> 'alembic_version'
    AND c.contype IN ('p', 'u', 'f', 'c')
    AND c.conname !~ ('^' || t.relname || '_.*(pkey|key|fkey|check)$')
"""
# A privilege that no policy answers to opens nothing today, and everything on the day that someone adds one.
PRIVILEGES_WITHOUT_POLICY_SQL = """
SELECT t.schemaname || '.' || t.tablename, client.name, command.name
FROM pg_tables AS t
CROSS JOIN unnest(ARRAY['anon', 'authenticated', 'service_role']) AS client (name)
CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS command (name)
CROSS JOIN LATERAL (SELECT format('%%I.%%I', t.schemaname, t.tablename)::regclass AS oid) AS c
WHERE t.schemaname IN ('public', 'private')
    AND (has_table_privilege(client.name, c.oid, command.name)
        OR command.name <> 'DELETE' AND has_any_column_privilege(client.name, c.oid, command.name))
    AND NOT EXISTS (
        SELECT FROM pg_policies AS p
        WHERE p.schemaname = t.schemaname AND p.tablename = t.tablename AND p.roles = ARRAY[client.name::name]
            AND p.cmd IN (command.name, 'ALL')
    )
"""
OPEN_FLOATS_SQL = """
SELECT a.attrelid::regclass::text, a.attname
FROM pg_attribute AS a
JOIN pg_class AS t ON t.oid = a.attrelid AND t.relkind = 'r'
WHERE t.relnamespace IN ('public'::regnamespace, 'private'::regnamespace) AND a.atttypid = 'float8'::regtype
    AND NOT EXISTS (
        SELECT FROM pg_constraint AS c
        WHERE c.conrelid = a.attrelid AND c.contype = 'c' AND c.conkey = ARRAY[a.attnum]
            -- A bound above keeps out NaN, too, which sorts last.
            AND pg_get_constraintdef(c.oid) ~ '< ''Infinity''|<= \\('
            AND pg_get_constraintdef(c.oid) ~ '> ''-Infinity''|>=? \\('
    )
"""


# What opens a row is no client's to read or write: keys, and the copies that parts have of a record's visibility.
KEPT_COLUMNS_SQL = """
SELECT a.attrelid::regclass::text, a.attname, client.name, command.name
FROM pg_attribute AS a
JOIN pg_class AS t ON t.oid = a.attrelid AND t.relkind IN ('r', 'p')
CROSS JOIN unnest(ARRAY['anon', 'authenticated']) AS client (name)
CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE']) AS command (name)
WHERE t.relnamespace IN ('public'::regnamespace, 'private'::regnamespace) AND NOT a.attisdropped
    AND (
        a.attname = 'acl'
        OR a.attname = 'is_public' AND NOT EXISTS (
            SELECT FROM pg_attribute AS p WHERE p.attrelid = a.attrelid AND p.attname = 'project_id'
        )
    )
    AND has_column_privilege(client.name, a.attrelid, a.attnum, command.name)
"""


@pytest.fixture(scope="module", params=["plain", "supabase's default privileges"])
def catalogue(request: pytest.FixtureRequest, server_url: str, urls: DatabaseUrls) -> Iterator[psycopg.Connection]:
    """Give a superuser's connection to a migrated database."""
    if request.param == "plain":
        with psycopg.connect(urls.admin) as connection:
            yield connection
        return
    with own_database(server_url, "supabase_defaults") as opened:
        with psycopg.connect(opened.admin) as connection:
            connection.execute(SUPABASE_DEFAULTS_SQL)
        migrate.upgrade(opened, secret=SECRET)
        with psycopg.connect(opened.admin) as connection:
            yield connection


def _column(catalogue: psycopg.Connection, statement: str) -> list[Any]:
    return [row[0] for row in catalogue.execute(statement.encode())]


def test_row_level_security_is_enabled_and_forced_on_every_table(catalogue: psycopg.Connection) -> None:
    tables = _column(catalogue, TABLES_SQL)

    assert "private.alembic_version" in tables
    assert _column(catalogue, OPEN_TABLES_SQL) == []


def test_each_table_command_and_role_has_one_permissive_policy_named_after_them(catalogue: psycopg.Connection) -> None:
    policies = catalogue.execute(POLICIES_SQL.encode()).fetchall()

    subjects = [(table, tuple(roles), command) for table, _, _, roles, command, *_ in policies]
    assert [kind for _, _, kind, *_ in policies if kind != "PERMISSIVE"] == []
    assert [name for _, name, _, roles, *_ in policies if len(roles) != 1] == []
    assert len(set(subjects)) == len(subjects)
    assert [name for _, name, *_ in policies] == [
        f"{table.partition('.')[2]}_{command}_{roles[0]}" for table, roles, command in subjects
    ]


def test_no_policy_is_for_everybody(catalogue: psycopg.Connection) -> None:
    roles = {role for row in catalogue.execute(POLICIES_SQL.encode()) for role in row[3]}

    assert roles == {"anon", "authenticated", "service_role"}


def test_anon_has_policies_for_reading_only(catalogue: psycopg.Connection) -> None:
    commands = {row[4] for row in catalogue.execute(POLICIES_SQL.encode()) if row[3] == ["anon"]}

    assert commands == {"select"}


def test_every_table_is_open_to_the_service_role(catalogue: psycopg.Connection) -> None:
    served = {
        row[0] for row in catalogue.execute(POLICIES_SQL.encode()) if row[3] == ["service_role"] and row[5] == "true"
    }

    assert served == set(_column(catalogue, TABLES_SQL))


def test_whoever_may_write_a_row_is_checked_on_the_row_as_it_becomes(catalogue: psycopg.Connection) -> None:
    unchecked = [
        row[1]
        for row in catalogue.execute(POLICIES_SQL.encode())
        if row[4] in {"insert", "update", "all"} and row[6] is None
    ]

    assert unchecked == []


def test_policies_ask_their_helpers_once_per_statement(catalogue: psycopg.Connection) -> None:
    for name, expression in catalogue.execute(HELPERS_IN_POLICIES_SQL.encode()):
        bare = OWN_KEYS.sub("", expression).replace("( SELECT private.", "").replace("( SELECT auth.", "")

        assert "private." not in bare, name
        assert "auth." not in bare, name


@pytest.mark.parametrize(
    ("grantee", "allowed"),
    [
        ("public", set()),
        ("anon", {"SELECT"}),
        ("authenticated", {"SELECT", "INSERT", "DELETE"}),
        ("service_role", {"SELECT", "INSERT", "UPDATE", "DELETE"}),
    ],
)
def test_table_privileges_go_no_further_than(catalogue: psycopg.Connection, grantee: str, allowed: set[str]) -> None:
    granted = catalogue.execute(PRIVILEGES_SQL.encode(), {"grantee": grantee}).fetchall()

    assert [row for row in granted if row[1] not in allowed] == []
    assert {privilege for _, privilege in granted} == allowed


def test_no_role_has_a_privilege_without_a_policy_for_it(catalogue: psycopg.Connection) -> None:
    assert catalogue.execute(PRIVILEGES_WITHOUT_POLICY_SQL.encode(), {}).fetchall() == []


@pytest.mark.parametrize("login", [REQUEST_LOGIN, SERVICE_LOGIN, "authenticator"])
def test_logins_have_no_table_privileges_of_their_own(catalogue: psycopg.Connection, login: str) -> None:
    assert catalogue.execute(PRIVILEGES_SQL.encode(), {"grantee": login}).fetchall() == []


@pytest.mark.parametrize(
    ("privilege", "columns"),
    [
        ("UPDATE", {"name", "is_public", "project_id", "updated_at"}),
        (
            "INSERT",
            {
                "id",
                "name",
                "kind",
                "canonical_smiles",
                "inchi",
                "inchikey",
                "parent_inchikey",
                "formula",
                "molar_mass_g_mol",
                "descriptors",
                "fingerprint",
                "is_public",
                "project_id",
                "created_by",
                "data_source_id",
                "source_record",
                "import_run_id",
            },
        ),
    ],
)
def test_users_write_these_columns_of_a_molecule_and_no_other(
    catalogue: psycopg.Connection, privilege: str, columns: set[str]
) -> None:
    parameters = {"table": "public.molecules", "privilege": privilege}

    granted = catalogue.execute(COLUMN_PRIVILEGES_SQL.encode(), parameters).fetchall()

    assert {row[0] for row in granted} == columns


def _exposed_views(catalogue: psycopg.Connection) -> list[str]:
    return [row[0] for row in catalogue.execute(EXPOSED_VIEWS_SQL.encode(), {"allowed": OPEN_VIEWS})]


def test_keys_and_copies_of_visibility_are_no_clients_to_read_or_write(catalogue: psycopg.Connection) -> None:
    assert catalogue.execute(KEPT_COLUMNS_SQL.encode()).fetchall() == []

    with catalogue.transaction(force_rollback=True):
        catalogue.execute("GRANT SELECT (acl), UPDATE (is_public) ON public.molecule_identifiers TO authenticated")
        assert len(catalogue.execute(KEPT_COLUMNS_SQL.encode()).fetchall()) == 2


def test_no_view_shows_more_than_its_reader_may_see(catalogue: psycopg.Connection) -> None:
    assert _exposed_views(catalogue) == []


@pytest.mark.parametrize("view", ["public.molecule_summary", "private.public_molecule_summary"])
def test_the_summary_is_read_only(catalogue: psycopg.Connection, view: str) -> None:
    granted = catalogue.execute(VIEW_PRIVILEGES_SQL.encode(), {"view": view}).fetchall()

    assert granted == [("anon", "SELECT"), ("authenticated", "SELECT"), ("service_role", "SELECT")]


def test_a_definer_function_has_an_empty_search_path_an_owner_past_policies_and_is_not_for_everybody(
    catalogue: psycopg.Connection,
) -> None:
    definers = catalogue.execute(DEFINERS_SQL.encode()).fetchall()

    assert definers
    for name, settings, is_public, owner_bypasses, owner_is_login in definers:
        assert settings == ['search_path=""'], name
        assert not is_public, name
        assert owner_bypasses, name
        assert not owner_is_login, name


def test_every_function_has_an_empty_search_path_and_is_not_for_everybody(catalogue: psycopg.Connection) -> None:
    for name, settings, is_public in catalogue.execute(FUNCTIONS_SQL.encode()).fetchall():
        assert settings == ['search_path=""'], name
        assert not is_public, name


def test_every_foreign_key_has_an_index_and_says_what_happens_on_delete(catalogue: psycopg.Connection) -> None:
    assert _column(catalogue, UNINDEXED_FOREIGN_KEYS_SQL) == []
    assert _column(catalogue, SILENT_FOREIGN_KEYS_SQL) == []


def test_constraints_are_named_after_their_table_and_kind(catalogue: psycopg.Connection) -> None:
    assert _column(catalogue, UNNAMED_CONSTRAINTS_SQL) == []


def test_no_column_of_floats_takes_infinity(catalogue: psycopg.Connection) -> None:
    assert _column(catalogue, OPEN_FLOATS_SQL) == []


def test_a_careless_table_and_function_are_found_by_these_questions(catalogue: psycopg.Connection) -> None:
    with catalogue.transaction(force_rollback=True):
        catalogue.execute("CREATE TABLE public.careless (molecule_id uuid REFERENCES public.molecules, value float8)")
        catalogue.execute("CREATE TABLE public.bounded_below (value float8 CHECK (value >= 0))")
        catalogue.execute("CREATE VIEW public.peephole AS SELECT id FROM public.molecules")
        catalogue.execute("CREATE FUNCTION public.trapdoor() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'")

        assert sorted(_column(catalogue, OPEN_TABLES_SQL)) == ["bounded_below", "careless"]
        catalogue.execute("CREATE MATERIALIZED VIEW private.copy AS SELECT id FROM public.molecules")
        catalogue.execute("GRANT SELECT ON private.copy TO authenticated")
        assert sorted(_exposed_views(catalogue)) == ["peephole", "peephole", "private.copy"]
        assert _column(catalogue, UNINDEXED_FOREIGN_KEYS_SQL) == ["careless_molecule_id_fkey"]
        assert _column(catalogue, SILENT_FOREIGN_KEYS_SQL) == ["careless_molecule_id_fkey"]
        assert sorted(_column(catalogue, OPEN_FLOATS_SQL)) == ["bounded_below", "careless"]
        assert ("trapdoor()", None, True) in catalogue.execute(FUNCTIONS_SQL.encode()).fetchall()
