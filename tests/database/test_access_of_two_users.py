"""Every table, every verb, two users who share nothing: made from the catalogue, so that a new table is in it.

The statements go past the service, as they could through Supabase's own interface to the same tables.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple
from typing import Any

import psycopg
import pytest
from psycopg import sql

from app.domain.callers import ANON, SERVICE, Caller
from app.errors import NotFoundError
from database.listing import Filter, ListRequest, Sort
from database.repositories.idempotency import IdempotencyRepository, KeptAnswer
from database.repositories.molecules import MoleculeReader, MoleculeRepository
from database.session import Database
from database.urls import DatabaseUrls
from tests import factories
from tests.database.acting import REFUSED, acting
from tests.database.worlds import (
    World,
    add_public_findings,
    add_public_mixture,
    add_public_molecule,
    add_world,
)

# What everybody may read whole; of every other table anon sees what `PUBLIC_ROWS` says, or nothing.
REFERENCE_TABLES = {
    "public.data_sources",
    "public.property_types",
    "public.proteins",
    "public.calculation_methods",
    "public.toxicity_assays",
    "public.toxicity_endpoints",
    "public.assay_endpoints",
}
PUBLIC_ROWS = {
    "public.molecules": 1,
    "public.molecule_identifiers": 1,
    "public.molecular_properties": 1,
    "public.mixtures": 1,
    "public.mixture_components": 1,
    "public.experiments": 1,
    "public.experiment_results": 1,
    "public.experiment_failures": 1,
    "public.molecule_experiments": 1,
    "public.molecule_proteins": 1,
    "public.predictions": 1,
    "public.toxicity_results": 1,
    # Of all endpoints together, and of its own.
    "public.toxicity_scores": 2,
}
SERVICE_TABLES = {
    "public.import_runs",
    "public.import_errors",
    "public.audit_log",
    "private.alembic_version",
    "private.service_tokens",
    "private.token_revocations",
    "private.maintenance_runs",
    "private.user_keys",
    "private.request_budgets",
}

TABLES_SQL = """
SELECT schemaname || '.' || tablename FROM pg_tables WHERE schemaname IN ('public', 'private') ORDER BY 1
"""
COLUMNS_SQL = """
SELECT attname, has_column_privilege(%(role)s, attrelid, attnum, 'INSERT')
FROM pg_attribute
WHERE attrelid = %(table)s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
ORDER BY attnum
"""


class Table:
    """One table of the catalogue, seen past all policies."""

    def __init__(self, admin: psycopg.Connection, name: str) -> None:
        self._admin = admin
        self.name = name
        self.identifier = sql.Identifier(*name.split("."))

    def rows(self) -> list[Any]:
        """Return all rows as JSON."""
        statement = sql.SQL("SELECT to_jsonb(t)::text FROM {} AS t ORDER BY 1").format(self.identifier)
        return [row[0] for row in self._admin.execute(statement)]

    def columns(self, role: str) -> list[tuple[str, bool]]:
        """Return the columns, and whether the role may insert them."""
        return self._admin.execute(COLUMNS_SQL.encode(), {"table": self.name, "role": role}).fetchall()


@pytest.fixture
def victim(admin: psycopg.Connection, emptied: None) -> World:
    """Give a user with a private world, beside a public molecule."""
    molecule = add_public_molecule(admin)
    add_public_mixture(admin, molecule)
    add_public_findings(admin, molecule)
    return add_world(admin)


@pytest.fixture(params=["anon", "authenticated"])
def stranger(request: pytest.FixtureRequest, admin: psycopg.Connection, victim: World) -> Caller:
    """Give a caller who shares nothing with the victim; a user has a private world, too."""
    return ANON if request.param == "anon" else add_world(admin).caller


@pytest.fixture
def tables(admin: psycopg.Connection, victim: World) -> list[Table]:
    """Give every table of the catalogue; each has rows."""
    tables = [Table(admin, row[0]) for row in admin.execute(TABLES_SQL.encode())]
    bare = [table.name for table in tables if not table.rows()]
    assert not bare, f"a table without rows keeps every secret: give {bare} a row in tests/database/worlds.py"
    return tables


def _count(table: Table) -> sql.Composed:
    return sql.SQL("SELECT count(*) FROM {}").format(table.identifier)


def test_anon_sees_public_rows_only(urls: DatabaseUrls, tables: list[Table]) -> None:
    for table in tables:
        whole = len(table.rows())
        expected = whole if table.name in REFERENCE_TABLES else PUBLIC_ROWS.get(table.name, 0)
        with acting(urls, ANON) as anon:
            seen = 0 if anon.attempt(_count(table)) == REFUSED else anon.rows(_count(table))[0][0]

        assert seen == expected, table.name
        assert seen < whole or table.name in REFERENCE_TABLES, f"{table.name} has no private row to hide"


def test_each_of_two_users_sees_what_is_public_and_its_own(
    urls: DatabaseUrls, admin: psycopg.Connection, tables: list[Table], victim: World
) -> None:
    before = {table.name: len(table.rows()) for table in tables}
    other = add_world(admin)

    for table in tables:
        public, added = PUBLIC_ROWS.get(table.name, 0), len(table.rows()) - before[table.name]
        for caller in (victim.caller, other.caller):
            with acting(urls, caller) as user:
                seen = 0 if user.attempt(_count(table)) == REFUSED else user.rows(_count(table))[0][0]

            if table.name in REFERENCE_TABLES:
                assert seen == len(table.rows()), table.name
            elif table.name in SERVICE_TABLES:
                assert seen == 0, table.name
            else:
                assert added > 0, f"{table.name} is in nobody's world: add it to worlds.py"
                assert seen == public + added, table.name


def test_the_service_role_sees_every_row(urls: DatabaseUrls, tables: list[Table]) -> None:
    for table in tables:
        with acting(urls, SERVICE) as service:
            assert service.rows(_count(table))[0][0] == len(table.rows()), table.name


def test_anon_writes_nothing(urls: DatabaseUrls, tables: list[Table]) -> None:
    for table in tables:
        for statement in _writes(table):
            with acting(urls, ANON) as anon:
                assert anon.attempt(statement) == REFUSED, statement


def test_what_a_stranger_changes_and_deletes_is_never_the_victims(
    urls: DatabaseUrls, tables: list[Table], stranger: Caller, victim: World
) -> None:
    hers = {table.name: [row for row in table.rows() if _names(row, victim)] for table in tables}

    for table in tables:
        for statement in _writes(table):
            with acting(urls, stranger) as attacker:
                attacker.attempt(statement)
                # What the attacker did to a mixture of its own may break a rule at the end.
                with suppress(psycopg.errors.CheckViolation):
                    attacker.commit()

    assert {table.name: [row for row in table.rows() if _names(row, victim)] for table in tables} == hers
    assert sum(bool(rows) for rows in hers.values()) >= 8


def _writes(table: Table) -> list[sql.Composed]:
    """Return statements that change each column of all rows of a table, and one that deletes them."""
    update = sql.SQL("UPDATE {table} SET {column} = {column}")
    columns = [sql.Identifier(name) for name, _ in table.columns("anon")]
    statements = [update.format(table=table.identifier, column=column) for column in columns]
    return [*statements, sql.SQL("DELETE FROM {}").format(table.identifier)]


def _names(row: str, world: World) -> bool:
    return any(str(key) in row for key in (world.caller.user_id, *astuple(world)[1:]))


def test_a_stranger_inserts_no_row_that_is_the_victims(
    urls: DatabaseUrls, tables: list[Table], stranger: Caller, victim: World
) -> None:
    tried = set()
    for table in tables:
        for row in [row for row in table.rows() if _names(row, victim)]:
            columns = table.columns(stranger.role)
            writable = [sql.Identifier(name) for name, granted in columns if granted]
            # Without column grants to hide behind, the policy has to refuse.
            names = sql.SQL(", ").join(writable or [sql.Identifier(name) for name, _ in columns])
            statement = sql.SQL(
                "INSERT INTO {table} ({names}) SELECT {names} FROM jsonb_populate_record(NULL::{table}, %s::jsonb)"
            ).format(table=table.identifier, names=names)
            with acting(urls, stranger) as attacker:
                outcome = attacker.attempt(statement, (row,))

            assert outcome == REFUSED, f"{table.name}: {outcome}"
            tried.add(table.name)
    assert len(tried) >= 8


@pytest.mark.parametrize(
    "verb", ["TRUNCATE {} CASCADE", "DROP TABLE {} CASCADE", "ALTER TABLE {} DISABLE ROW LEVEL SECURITY"]
)
def test_a_stranger_does_nothing_to_a_table_as_a_whole(
    urls: DatabaseUrls, tables: list[Table], stranger: Caller, verb: str
) -> None:
    for table in tables:
        with acting(urls, stranger) as attacker:
            assert attacker.attempt(sql.SQL(verb).format(table.identifier)) == REFUSED, table.name


@pytest.mark.parametrize("molecule", ["own", "shared"])
def test_repositories_show_a_stranger_nothing_of_a_private_molecule(
    database: Database, victim: World, stranger: Caller, molecule: str
) -> None:
    molecule_id = getattr(victim, molecule)
    reader = MoleculeReader(database.reading(stranger))
    whole = ListRequest(limit=1000, order=(Sort("name"),))

    with pytest.raises(NotFoundError):
        reader.get(molecule_id)
    with pytest.raises(NotFoundError):
        reader.properties(molecule_id)
    assert reader.lookup([("id", str(molecule_id))]) == []
    found = reader.lookup([("inchikey", "PEDCQBHIVMGVHV-UHFFFAOYSA-N"), ("cas:cas_number", "56-81-5")])
    assert molecule_id not in {match.id for match in found}
    for request in (
        whole,
        ListRequest(query="glycerol"),
        ListRequest(filters=(Filter("id", "exact", molecule_id),)),
        ListRequest(filters=(Filter("is_public", "exact", value=False),)),
        ListRequest(filters=(Filter("created_by", "exact", victim.caller.user_id),)),
    ):
        page = reader.page(request, "exact")
        assert str(molecule_id) not in str(page.documents)
        assert page.count == len(page.documents)


@pytest.mark.parametrize(
    "attempt",
    [
        lambda repository, world: repository.change(world.own, {"name": "taken"}, None),
        lambda repository, world: repository.change(world.own, {"name": "taken"}, 99),
        lambda repository, world: repository.change(world.own, {"is_public": True}, None),
        lambda repository, world: repository.remove(world.shared, None),
        lambda repository, world: repository.put_identifiers(world.shared, [factories.identifier()], None),
        lambda repository, world: repository.put_properties(world.own, [factories.density()], None),
    ],
    ids=["rename", "rename a version", "publish", "remove", "put identifiers", "put properties"],
)
def test_repositories_answer_a_stranger_as_if_the_molecule_were_not_there(
    database: Database,
    victim: World,
    admin: psycopg.Connection,
    attempt: Callable[[MoleculeRepository, World], None],
) -> None:
    stranger = add_world(admin).caller

    with pytest.raises(NotFoundError), database.transaction(stranger) as session:
        attempt(MoleculeRepository(session), victim)


def test_a_kept_answer_is_found_by_its_own_caller_only(
    database: Database, victim: World, admin: psycopg.Connection
) -> None:
    stranger = add_world(admin).caller
    with database.transaction(victim.caller) as session:
        IdempotencyRepository(session).add("the same key", b"hash", KeptAnswer(201, {}, b"secret"))

    with database.transaction(stranger) as session:
        found = IdempotencyRepository(session).find("the same key")

    assert found is None


def test_a_full_text_search_tells_nobody_the_ids_of_rows_that_they_may_not_see(
    urls: DatabaseUrls, victim: World, stranger: Caller
) -> None:
    with acting(urls, stranger) as attacker:
        ((found,),) = attacker.rows("SELECT private.molecule_ids_matching('glycerol')")

    assert victim.own not in found
    assert victim.shared not in found
