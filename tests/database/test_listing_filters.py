"""Filters, counts, search and shapes of a list, each against a model in Python of what it should let through."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

import orjson
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql

from app.domain.callers import ANON, SERVICE, Caller
from database.listing import OPERATORS, Detail, Field, Filter, Kind, ListRequest, Related, Shape, Sort
from database.repositories.base import Counting
from database.repositories.molecules import MOLECULES, MoleculeReader
from database.session import Database
from database.urls import DatabaseUrls
from tests import factories
from tests.database.clones import migrated_database
from tests.database.worlds import add_public_molecule, add_world
from tests.plugins.database import open_database

USER = factories.user()
PROJECTS = (uuid4(), uuid4())
COUNTINGS: Final[tuple[Counting, ...]] = ("estimated", "exact")
START: Final = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
# Texts in which LIKE, its escapes, letter case and other alphabets could go wrong.
NAMES = (
    "glycerol",
    "Glycerol",
    "GLYCEROL 100%",
    "100_percent",
    "100%",
    "100x",
    "back\\slash",
    "back\\\\slash",
    "a'quote",
    'a"quote',
    "%",
    "_",
    "\\",
    "äthanol",
    "ÄTHANOL",
    "1,2-propanediol",
    "$1 %(q)s {}",
    "ice nucleation ☃",
)
ADD_SQL = """
INSERT INTO public.molecules (
    name, kind, canonical_smiles, inchi, inchikey, parent_inchikey, formula, molar_mass_g_mol, is_public, project_id,
    created_by, created_at, updated_at
)
VALUES (
    %(name)s, %(kind)s, %(smiles)s, %(inchi)s, %(inchikey)s, %(inchikey)s, %(formula)s, %(mass)s, %(public)s,
    %(project)s, %(creator)s, %(moment)s, %(moment)s
)
"""
MODEL: dict[str, Callable[[Any, Any], bool]] = {
    "exact": lambda value, operand: value == operand,
    "in": lambda value, operand: value in operand,
    "gt": lambda value, operand: value > operand,
    "gte": lambda value, operand: value >= operand,
    "lt": lambda value, operand: value < operand,
    "lte": lambda value, operand: value <= operand,
    "range": lambda value, operand: operand[0] <= value <= operand[1],
    "iexact": lambda value, operand: value.lower() == operand.lower(),
    "contains": lambda value, operand: operand in value,
    "icontains": lambda value, operand: operand.lower() in value.lower(),
    "startswith": lambda value, operand: value.startswith(operand),
    "istartswith": lambda value, operand: value.lower().startswith(operand.lower()),
}


@dataclass(frozen=True, slots=True)
class Shelf:
    """A database with molecules, and the molecules as Python sees them."""

    reader: MoleculeReader
    rows: tuple[dict[str, Any], ...]


def _molecule(number: int) -> dict[str, Any]:
    polymer = number % 6 == 5
    structure = factories.numbered_structure(1 + number // 2)
    return {
        "name": NAMES[number % len(NAMES)] if number < len(NAMES) else f"more {number}",
        "kind": "polymer" if polymer else "molecule",
        "smiles": None if polymer else structure.canonical_smiles,
        "inchi": None if polymer else structure.inchi,
        "inchikey": None if polymer else structure.inchikey,
        "formula": None if polymer else structure.formula,
        "mass": None if polymer else structure.molar_mass_g_mol,
        "public": number % 2 == 0,
        "project": None if number % 3 else PROJECTS[number % 2],
        "creator": None if number % 2 else USER.user_id,
        "moment": START + dt.timedelta(microseconds=number // 3),
    }


@pytest.fixture(scope="module")
def filtered(server_url: str, urls: DatabaseUrls) -> Iterator[DatabaseUrls]:
    """Give a database of these tests' own, with forty molecules."""
    with migrated_database(server_url, urls, "listing_filters") as own:
        with psycopg.connect(own.admin, autocommit=True) as admin:
            admin.execute("INSERT INTO user_profiles (id) VALUES (%s)", (USER.user_id,))
            admin.execute("INSERT INTO teams (name) VALUES ('team')")
            for project in PROJECTS:
                statement = "INSERT INTO projects (id, team_id, name) SELECT %(id)s, id, %(id)s::text FROM teams"
                admin.execute(statement, {"id": project})
            for number in range(40):
                admin.execute(ADD_SQL, _molecule(number))
        yield own


@pytest.fixture(scope="module")
def shelf(filtered: DatabaseUrls) -> Iterator[Shelf]:
    """Give the molecules to the service role, which sees them all, and to Python."""
    database = open_database(filtered)
    fields = [field for field in MOLECULES.fields if field.operators]
    columns = sql.SQL(", ").join(sql.SQL(field.column) for field in fields)
    with psycopg.connect(filtered.admin) as admin:
        rows = admin.execute(sql.SQL("SELECT {} FROM molecules AS m").format(columns)).fetchall()
    names = [field.name for field in fields]
    yield Shelf(MoleculeReader(database.reading(SERVICE)), tuple(dict(zip(names, row, strict=True)) for row in rows))
    database.close()


def _expected(shelf: Shelf, filters: tuple[Filter, ...]) -> set[UUID]:
    return {row["id"] for row in shelf.rows if all(_lets_through(item, row[item.name]) for item in filters)}


def _lets_through(item: Filter, value: Any) -> bool:
    if item.operator == "isnull":
        return (value is None) == item.value
    return value is not None and MODEL[item.operator](value, item.value)


def _found(shelf: Shelf, filters: tuple[Filter, ...]) -> set[UUID]:
    page = shelf.reader.page(ListRequest(shape=Shape(only=("id",)), filters=filters, limit=1000), "exact")
    assert page.count == len(page.documents)
    return {UUID(orjson.loads(document)["id"]) for document in page.documents}


FILTERS = [(field, operator) for field in MOLECULES.fields for operator in field.operators]


@pytest.mark.parametrize(
    ("field", "operator"), FILTERS, ids=[f"{field.name} {operator}" for field, operator in FILTERS]
)
def test_a_filter_lets_through_what_its_operator_says(shelf: Shelf, field: Field, operator: str) -> None:
    for operand in _operands(shelf, field, operator):
        item = (Filter(field.name, operator, operand),)

        assert _found(shelf, item) == _expected(shelf, item), operand


def _operands(shelf: Shelf, field: Field, operator: str) -> list[Any]:
    """Return values that are there, such as lie between them, and one beyond."""
    if operator == "isnull":
        return [True, False]
    present = sorted({row[field.name] for row in shelf.rows if row[field.name] is not None}, key=str)[:25]
    beyond: dict[Kind, Any] = {
        Kind.TEXT: "zz",
        Kind.UUID: uuid4(),
        Kind.FLOAT: 99.5,
        Kind.INTEGER: 7,
        Kind.TIMESTAMP: START + dt.timedelta(days=1),
    }
    values = [*present, *([beyond[field.kind]] if field.kind in beyond else [])]
    if operator == "in":
        return [[], values[:1], values, [*values, values[0]]]
    if operator == "range":
        return [(low, high) for low in values[::5] for high in values[::5]]
    if field.kind is Kind.TEXT and operator not in OPERATORS[Kind.UUID]:
        return [*values, *NAMES, *{value[1:4] for value in values}, ""]
    return values


@pytest.mark.parametrize("operator", ["contains", "icontains", "startswith", "istartswith"])
@pytest.mark.parametrize("text", ["%", "_", "\\", "100%", "100_", "0_p", "\\\\", "\\s", "'", "{}", "$1", "%(q)s"])
def test_signs_that_mean_something_in_a_pattern_are_letters_like_any(shelf: Shelf, operator: str, text: str) -> None:
    item = (Filter("name", operator, text),)

    found = _found(shelf, item)

    assert found == _expected(shelf, item)
    assert len(found) <= 4


def _texts() -> st.SearchStrategy[str]:
    letters = st.text(st.sampled_from("%_\\'\"aAgGlL01 äÄ☃x"), max_size=4)
    return letters | st.sampled_from(NAMES)


def _filters() -> st.SearchStrategy[Filter]:
    def of_kind(field: Field, operator: str) -> st.SearchStrategy[Filter]:
        values: dict[Kind, st.SearchStrategy[Any]] = {
            Kind.TEXT: _texts(),
            Kind.UUID: st.sampled_from(PROJECTS),
            Kind.FLOAT: st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([16.043, 30.07]),
            Kind.INTEGER: st.integers(-(2**63), 2**63 - 1) | st.just(1),
            Kind.BOOLEAN: st.booleans(),
            Kind.TIMESTAMP: st.integers(-2, 15).map(lambda number: START + dt.timedelta(microseconds=number)),
        }
        value = values[field.kind]
        if operator == "isnull":
            value = st.booleans()
        elif operator == "in":
            value = st.lists(value, max_size=5)
        elif operator == "range":
            value = st.tuples(value, value)
        return st.builds(Filter, st.just(field.name), st.just(operator), value)

    return st.sampled_from(FILTERS).flatmap(lambda pair: of_kind(*pair))


@settings(max_examples=150, deadline=None)
@given(filters=st.lists(_filters(), max_size=3), sort=st.sampled_from(MOLECULES.sortable), limit=st.integers(1, 45))
def test_any_filters_together_let_through_what_all_of_them_do(
    shelf: Shelf, filters: list[Filter], sort: str, limit: int
) -> None:
    wanted = _expected(shelf, tuple(filters))

    page = shelf.reader.page(
        ListRequest(shape=Shape(only=("id",)), filters=tuple(filters), order=(Sort(sort),), limit=limit), "exact"
    )

    found = {UUID(orjson.loads(document)["id"]) for document in page.documents}
    assert page.count == len(wanted)
    assert found <= wanted
    assert len(page.documents) == len(found) == min(limit, len(wanted))


@pytest.mark.parametrize("caller", [ANON, USER, SERVICE], ids=["anon", "user", "service"])
def test_an_exact_count_is_of_what_the_caller_sees(filtered: DatabaseUrls, caller: Caller) -> None:
    database = open_database(filtered)
    reader = MoleculeReader(database.reading(caller))

    page = reader.page(ListRequest(limit=1), "exact")

    visible = {"anon": 20, "authenticated": 20, "service_role": 40}
    assert page.count == visible[caller.role]
    database.close()


@pytest.mark.parametrize("caller", [ANON, USER, SERVICE], ids=["anon", "user", "service"])
def test_an_estimated_count_speaks_only_of_what_the_caller_sees(filtered: DatabaseUrls, caller: Caller) -> None:
    database = open_database(filtered)
    reader = MoleculeReader(database.reading(caller))

    every = reader.page(ListRequest(limit=1), "estimated").count
    hidden = reader.page(ListRequest(filters=(Filter("is_public", "exact", value=False),)), "estimated").count

    visible = {"anon": (20, 0), "authenticated": (20, 0), "service_role": (40, 20)}
    assert (every, hidden) == visible[caller.role]
    assert reader.page(ListRequest(limit=1)).count is None
    database.close()


def test_an_estimated_count_stops_at_its_cap_and_an_exact_one_does_not(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("database.listing.ESTIMATE_CAP", 10)

    estimated, exact = (shelf.reader.page(ListRequest(limit=1), counting).count for counting in COUNTINGS)

    assert (estimated, exact) == (10, 40)


class TestShapes:
    """Which parts of a record are shown."""

    @staticmethod
    def _document(shelf: Shelf, shape: Shape) -> dict[str, Any]:
        page = shelf.reader.page(ListRequest(shape=shape, filters=(Filter("name", "exact", "glycerol"),)))
        document: dict[str, Any] = orjson.loads(page.documents[0])
        assert (
            orjson.loads(shelf.reader.get(UUID(document["id"]), shape).json) == document if "id" in document else True
        )
        return document

    @pytest.mark.parametrize("detail", list(Detail))
    def test_a_level_of_detail_shows_what_is_declared_for_it(self, shelf: Shelf, detail: Detail) -> None:
        parts: tuple[Field | Related, ...] = (*MOLECULES.fields, *MOLECULES.related)
        declared = [item.name for item in parts if item.detail <= detail]

        assert list(self._document(shelf, Shape(detail))) == declared

    def test_the_levels_differ_and_each_holds_the_one_before(self, shelf: Shelf) -> None:
        minimal, standard, full = (set(self._document(shelf, Shape(detail))) for detail in Detail)

        assert minimal < standard < full
        assert full == set(MOLECULES.shown)

    @pytest.mark.parametrize("name", MOLECULES.shown)
    def test_only_shows_nothing_else(self, shelf: Shelf, name: str) -> None:
        assert list(self._document(shelf, Shape(Detail.FULL, only=(name,)))) == [name]

    @pytest.mark.parametrize("related", [item.name for item in MOLECULES.related])
    def test_include_adds_to_the_level(self, shelf: Shelf, related: str) -> None:
        minimal = set(self._document(shelf, Shape(Detail.MINIMAL)))

        assert set(self._document(shelf, Shape(Detail.MINIMAL, include=(related,)))) == minimal | {related}

    def test_times_are_utc_with_microseconds_and_a_z(self, shelf: Shelf) -> None:
        assert self._document(shelf, Shape(only=("created_at",))) == {"created_at": "2026-01-01T00:00:00.000000Z"}

    def test_numbers_and_absent_values_are_json_of_their_own_kind(self, shelf: Shelf) -> None:
        filters = (Filter("kind", "exact", "polymer"),)
        page = shelf.reader.page(ListRequest(filters=filters, limit=1))

        polymer = orjson.loads(page.documents[0])

        assert polymer["molar_mass_g_mol"] is None
        assert polymer["version"] == 1
        assert polymer["descriptors"] == {}
        assert polymer["is_public"] in {True, False}


@pytest.fixture
def searched(emptied: None, admin: psycopg.Connection) -> dict[str, Any]:
    """Give callers, and the molecules that each may find."""
    public = add_public_molecule(admin, "dimethyl sulfoxide")
    world = add_world(admin)
    admin.execute(
        """
        INSERT INTO molecule_identifiers (molecule_id, source, kind, external_id)
        SELECT id, 'name', 'synonym', 'Antifreeze of ' || name FROM molecules
        """
    )
    return {"public": public, "world": world}


class TestSearch:
    """Full text over names and synonyms, with the caller's eyes."""

    @staticmethod
    def _search(database: Database, caller: Caller, text: str) -> set[UUID]:
        page = MoleculeReader(database.reading(caller)).page(
            ListRequest(shape=Shape(only=("id",)), query=text), "exact"
        )
        assert page.count == len(page.documents)
        return {UUID(orjson.loads(document)["id"]) for document in page.documents}

    @pytest.mark.parametrize("text", ["antifreeze", "ANTIFREEZE", "antifreeze -nothing", '"antifreeze of"'])
    def test_a_search_finds_what_its_caller_sees(self, database: Database, searched: dict[str, Any], text: str) -> None:
        world, public = searched["world"], searched["public"]

        assert self._search(database, ANON, text) == {public}
        assert self._search(database, factories.user(), text) == {public}
        assert self._search(database, world.caller, text) == {public} | world.molecules
        assert self._search(database, SERVICE, text) == {public} | world.molecules

    def test_a_search_finds_names_and_synonyms_alike(self, database: Database, searched: dict[str, Any]) -> None:
        world = searched["world"]

        assert self._search(database, world.caller, "private glycerol") == {world.own}
        assert self._search(database, world.caller, "private -antifreeze") == {world.own}
        assert self._search(database, world.caller, "nothing of the kind") == set()

    @pytest.mark.parametrize("text", ["'", '"', "& | !", "(((", "\\", ":*", "a:b", "-", "%", "☃", "' OR true --"])
    def test_no_text_breaks_a_search(self, database: Database, searched: dict[str, Any], text: str) -> None:
        assert self._search(database, searched["world"].caller, text) == set()
