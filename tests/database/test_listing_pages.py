"""Paging by key: the pages together are the whole list, in order, whatever it is sorted by and however it is cut.

The list to compare with is a plain ORDER BY of the same rows, asked past every policy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from uuid import UUID

import orjson
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql

from app.domain.callers import ANON, SERVICE, Caller
from database.listing import Kind, ListRequest, Shape, Sort
from database.repositories.inclusions import INCLUSIONS
from database.repositories.molecules import MOLECULES, MoleculeReader, MoleculeRepository
from database.session import Database
from database.urls import DatabaseUrls
from tests import factories
from tests.database.clones import migrated_database
from tests.plugins.database import open_database

USER = factories.user()
SORTS = tuple(Sort(name, descending) for name in MOLECULES.sortable for descending in (False, True))
ORDERS = tuple((first, second) for first, second in permutations(SORTS, 2) if first.name != second.name)
ONLY_ID = Shape(only=("id",))

# Ties everywhere: three names, four formulas, a few molar masses and times, and polymers without any of them.
FILL_SQL = """
INSERT INTO public.molecules (
    name, kind, canonical_smiles, inchi, inchikey, parent_inchikey, formula, molar_mass_g_mol, is_public, created_by,
    created_at, updated_at
)
SELECT name, kind, smiles, inchi, inchikey, inchikey, formula, mass, is_public, creator, moment, moment
FROM generate_series(1, 60) AS n
CROSS JOIN LATERAL (
    SELECT (ARRAY['glycerol', 'Glycerol', 'a_b', 'a%%b', 'Äthanol'])[1 + n %% 5] AS name, 'molecule' AS kind,
        'C' AS smiles, 'InChI=1S/' || n AS inchi,
        translate(lpad((n / 2)::text, 14, '0'), '0123456789', 'ABCDEFGHIJ') || '-UHFFFAOYSA-N' AS inchikey,
        (ARRAY['CH4', 'C2H6', 'C3H8'])[1 + n %% 3] AS formula,
        (ARRAY[16.04, 30.07, 0.1::float8 + 0.2::float8])[1 + n %% 3] AS mass
    WHERE n <= 45
    UNION ALL
    SELECT (ARRAY['polymer', 'Polymer'])[1 + n %% 2] || n, 'polymer', NULL, NULL, NULL, NULL, NULL
    WHERE n > 45
) AS described
CROSS JOIN LATERAL (
    SELECT n %% 2 = 0 AS is_public, CASE WHEN n %% 4 = 1 THEN %(user)s::uuid END AS creator,
        timestamptz '2026-01-01 00:00:00.123456Z' + (n %% 4) * interval '1 microsecond' AS moment
) AS placed
"""


@pytest.fixture(scope="module")
def listed(server_url: str, urls: DatabaseUrls) -> Iterator[DatabaseUrls]:
    """Give a database with sixty molecules, half of them public, some the user's own."""
    with migrated_database(server_url, urls, "listing_pages") as own:
        with psycopg.connect(own.admin, autocommit=True) as admin:
            admin.execute("INSERT INTO user_profiles (id) VALUES (%s)", (USER.user_id,))
            admin.execute(FILL_SQL, {"user": USER.user_id})
        yield own


@pytest.fixture(scope="module")
def layer(listed: DatabaseUrls) -> Iterator[Database]:
    """Give the database layer on it."""
    database = open_database(listed)
    yield database
    database.close()


@pytest.fixture(scope="module")
def plain(listed: DatabaseUrls) -> Iterator[psycopg.Connection]:
    """Give a superuser's connection to it."""
    with psycopg.connect(listed.admin, autocommit=True) as connection:
        yield connection


def _expected(plain: psycopg.Connection, order: tuple[Sort, ...], caller: Caller) -> list[UUID]:
    """Return the keys of all rows that the caller sees, in order, nulls last."""
    visible = {
        "anon": sql.SQL("m.is_public"),
        "authenticated": sql.SQL("(m.is_public OR m.created_by IS NOT NULL)"),
        "service_role": sql.SQL("true"),
    }
    keys = [
        sql.SQL("{} {} NULLS LAST").format(
            sql.Identifier("m", sort.name), sql.SQL("DESC" if sort.descending else "ASC")
        )
        for sort in (*order, Sort("id", order[-1].descending))
    ]
    statement = sql.SQL("SELECT m.id FROM public.molecules AS m WHERE {} ORDER BY {}").format(
        visible[caller.role], sql.SQL(", ").join(keys)
    )
    return [row[0] for row in plain.execute(statement)]


def _paged(layer: Database, caller: Caller, request: ListRequest) -> list[UUID]:
    """Return the keys of all pages, one after the other."""
    reader = MoleculeReader(layer.reading(caller))
    found: list[UUID] = []
    while True:
        page = reader.page(request)
        assert len(page.documents) <= request.limit
        assert page.next_after is None or len(page.documents) == request.limit
        found += [UUID(orjson.loads(document)["id"]) for document in page.documents]
        if page.next_after is None:
            return found
        request = replace(request, after=page.next_after)


def test_the_rows_have_ties_and_nulls_to_trip_over(plain: psycopg.Connection) -> None:
    for name in MOLECULES.sortable:
        field = MOLECULES.by_name[name]
        statement = sql.SQL("SELECT count(*), count(DISTINCT {0}), count(*) - count({0}) FROM molecules").format(
            sql.Identifier(name)
        )
        ((rows, distinct, nulls),) = plain.execute(statement)

        assert rows == 60
        assert distinct < rows or name == "id"
        assert (nulls > 1) == field.nullable


@pytest.mark.parametrize("limit", [1, 2, 7, 1000])
@pytest.mark.parametrize("sort", SORTS, ids=str)
@pytest.mark.parametrize("caller", [ANON, USER, SERVICE], ids=["anon", "user", "service"])
def test_pages_sorted_by_one_field_are_together_the_whole_list(
    layer: Database, plain: psycopg.Connection, caller: Caller, sort: Sort, limit: int
) -> None:
    paged = _paged(layer, caller, ListRequest(shape=ONLY_ID, order=(sort,), limit=limit))

    assert paged == _expected(plain, (sort,), caller)
    assert len(paged) == len(set(paged)) > 20


@pytest.mark.parametrize("first", SORTS, ids=str)
def test_pages_sorted_by_two_fields_are_together_the_whole_list(
    layer: Database, plain: psycopg.Connection, first: Sort
) -> None:
    for order in [order for order in ORDERS if order[0] == first]:
        paged = _paged(layer, USER, ListRequest(shape=ONLY_ID, order=order, limit=7))

        assert paged == _expected(plain, order, USER), order


@settings(max_examples=60, deadline=None)
@given(
    order=st.lists(st.sampled_from(SORTS), min_size=1, max_size=4, unique_by=lambda sort: sort.name),
    limit=st.integers(1, 70),
)
def test_pages_of_any_order_and_size_are_together_the_whole_list(
    layer: Database, plain: psycopg.Connection, order: list[Sort], limit: int
) -> None:
    paged = _paged(layer, USER, ListRequest(shape=ONLY_ID, order=tuple(order), limit=limit))

    assert paged == _expected(plain, tuple(order), USER)


def test_without_an_order_the_newest_come_first(layer: Database, plain: psycopg.Connection) -> None:
    paged = _paged(layer, ANON, ListRequest(shape=ONLY_ID, limit=7))

    assert paged == _expected(plain, (Sort("created_at", descending=True),), ANON)


def test_a_cursor_holds_the_exact_sort_values_of_the_last_record(layer: Database, plain: psycopg.Connection) -> None:
    reader = MoleculeReader(layer.reading(SERVICE))
    order = (Sort("molar_mass_g_mol"), Sort("created_at"))

    page = reader.page(ListRequest(shape=ONLY_ID, order=order, limit=1))

    assert page.next_after is not None
    assert page.next_after[0] == "0.30000000000000004"
    assert page.next_after[1] is not None
    assert page.next_after[1].startswith("2026-01-01 00:00:00.12345")


def test_a_page_that_ends_with_the_list_has_no_next(layer: Database, plain: psycopg.Connection) -> None:
    whole = len(_expected(plain, (Sort("id"),), ANON))
    reader = MoleculeReader(layer.reading(ANON))

    exactly, one_less = (reader.page(ListRequest(limit=limit)) for limit in (whole, whole - 1))

    assert exactly.next_after is None
    assert one_less.next_after is not None


def test_records_added_or_removed_meanwhile_neither_repeat_nor_hide_others(
    listed: DatabaseUrls, urls: DatabaseUrls
) -> None:
    database = open_database(listed)
    reader = MoleculeReader(database.reading(USER))
    request = ListRequest(shape=ONLY_ID, order=(Sort("name"),), limit=5)
    before = _paged(database, USER, request)

    first = reader.page(request)
    with database.transaction(USER) as session:
        repository = MoleculeRepository(session)
        early = repository.add(factories.new_molecule("AAA", structure=factories.known_structure("glycerol")))
        late = repository.add(factories.new_molecule("Ω", structure=factories.known_structure("methanol")))
    rest = _paged(database, USER, replace(request, after=first.next_after))
    with database.transaction(USER) as session:
        for added in (early, late):
            MoleculeRepository(session).remove(added, None)
    database.close()

    assert [UUID(orjson.loads(document)["id"]) for document in first.documents] + rest == [*before, late]


def test_a_stream_gives_every_record_once_in_order(
    layer: Database, plain: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("database.repositories.base.STREAM_PAGE_ROWS", 7)
    reader = MoleculeReader(layer.reading(SERVICE))
    order = (Sort("formula", descending=True),)

    chunks = list(reader.stream(ListRequest(shape=ONLY_ID, order=order, limit=3)))

    ids = [UUID(orjson.loads(document)["id"]) for chunk in chunks for document in chunk]
    assert ids == _expected(plain, order, SERVICE)
    assert [len(chunk) for chunk in chunks] == [7] * 8 + [4]


def test_a_stream_of_records_with_others_inside_takes_fewer_at_a_time(
    layer: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("database.repositories.base.STREAM_PAGE_ROWS_INCLUDING", 25)
    reader = MoleculeReader(layer.reading(SERVICE))

    chunks = list(reader.stream(ListRequest(shape=replace(ONLY_ID, inclusions=INCLUSIONS[MOLECULES]))))

    assert [len(chunk) for chunk in chunks] == [25, 25, 10]
    assert orjson.loads(chunks[0][0]).keys() == {"id", "mixtures", "experiments", "predictions", "toxicity"}


def test_every_sortable_field_is_of_a_kind_whose_order_paging_compares(plain: psycopg.Connection) -> None:
    kinds = {MOLECULES.by_name[name].kind for name in MOLECULES.sortable}

    assert kinds <= {Kind.TEXT, Kind.UUID, Kind.FLOAT, Kind.INTEGER, Kind.TIMESTAMP}


def test_fields_that_may_be_null_are_declared_so(plain: psycopg.Connection) -> None:
    nullable = {
        row[0]
        for row in plain.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'molecules'::regclass AND attnum > 0 AND NOT attnotnull"
        )
    }

    for field in MOLECULES.fields:
        assert field.nullable == (field.name in nullable), field.name
