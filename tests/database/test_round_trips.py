"""How often a call waits for the database, counted on the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from app.domain.callers import ANON, Caller
from database.listing import Detail, Filter, ListRequest, Shape, Sort
from database.repositories.base import ReadRepository
from database.repositories.experiments import ExperimentReader
from database.repositories.inclusions import INCLUSIONS
from database.repositories.mixtures import MIXTURES_OF_MOLECULE, MixtureReader, MixtureRepository
from database.repositories.molecules import MoleculeReader, MoleculeRepository
from database.repositories.predictions import PredictionReader
from database.session import Database
from database.urls import DatabaseUrls
from tests import factories
from tests.database.worlds import add_public_findings, add_public_mixture, add_public_molecule, add_world
from tests.plugins.round_trips import Proxy, proxy

__all__ = ["proxy"]

WHOLE = ListRequest(shape=Shape(Detail.FULL), limit=1000, order=(Sort("molar_mass_g_mol"), Sort("name")))
PLANS_SQL = """
SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE strpos(statement, 'public.molecules AS m') > 0
"""
READS: dict[str, Callable[[MoleculeReader, UUID], Any]] = {
    "get": lambda reader, molecule: reader.get(molecule),
    "get with all parts": lambda reader, molecule: reader.get(molecule, Shape(Detail.FULL)),
    "page": lambda reader, _: reader.page(ListRequest()),
    "page with all parts": lambda reader, _: reader.page(WHOLE),
    "page and exact count": lambda reader, _: reader.page(ListRequest(), "exact"),
    "page and estimated count": lambda reader, _: reader.page(ListRequest(), "estimated"),
    "search": lambda reader, _: reader.page(ListRequest(query="glycerol")),
    "filtered page": lambda reader, _: reader.page(ListRequest(filters=(Filter("name", "icontains", "o"),))),
    "properties": lambda reader, molecule: reader.properties(molecule),
    "lookup": lambda reader, molecule: reader.lookup([("id", str(molecule)), ("cas:cas_number", "56-81-5")]),
}
MIXTURE_READS: dict[str, Callable[[MixtureReader, UUID, UUID], Any]] = {
    "get": lambda reader, mixture, _: reader.get(mixture),
    "get with all parts": lambda reader, mixture, _: reader.get(mixture, Shape(Detail.FULL)),
    "page": lambda reader, *_: reader.page(ListRequest()),
    "page with all parts and count": lambda reader, *_: reader.page(ListRequest(Shape(Detail.FULL)), "exact"),
    "search": lambda reader, *_: reader.page(ListRequest(query="mixture")),
    "composition": lambda reader, mixture, _: reader.composition(mixture),
    "of a molecule": lambda reader, _, molecule: reader.page(
        ListRequest(within=(MIXTURES_OF_MOLECULE, molecule)), "exact"
    ),
}


@pytest.fixture(params=[False, True], ids=["direct", "transaction pooler"])
def distant(request: pytest.FixtureRequest, urls: DatabaseUrls, proxy: Proxy, emptied: None) -> Iterator[Database]:
    """Give the database layer behind the proxy, with one connection."""
    database = Database(proxy.through(urls), min_size=0, max_size=1, timeout_s=5.0, transaction_pooler=request.param)
    database.open()
    yield database
    database.close()


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("caller", [ANON, factories.user()], ids=["anon", "user"])
def test_a_read_is_one_round_trip_however_often_it_was_made(
    distant: Database, proxy: Proxy, admin: psycopg.Connection, caller: Caller, read: Callable[..., Any]
) -> None:
    molecule = add_public_molecule(admin)
    reader = MoleculeReader(distant.reading(caller))
    reader.property_types()

    trips = []
    for _ in range(5):
        with proxy.counting() as traffic:
            read(reader, molecule)
        trips.append(traffic.exchanges)

    assert trips == [1, 1, 1, 1, 1]


@pytest.mark.parametrize("read", MIXTURE_READS.values(), ids=MIXTURE_READS)
@pytest.mark.parametrize("caller", [ANON, factories.user()], ids=["anon", "user"])
def test_a_read_of_mixtures_is_one_round_trip_too(
    distant: Database, proxy: Proxy, admin: psycopg.Connection, caller: Caller, read: Callable[..., Any]
) -> None:
    molecule = add_public_molecule(admin)
    mixture = add_public_mixture(admin, molecule)
    reader = MixtureReader(distant.reading(caller))
    reader.page(ListRequest())

    trips = []
    for _ in range(3):
        with proxy.counting() as traffic:
            read(reader, mixture, molecule)
        trips.append(traffic.exchanges)

    assert trips == [1, 1, 1]


@pytest.mark.parametrize(
    "reader", [MoleculeReader, MixtureReader, ExperimentReader, PredictionReader], ids=lambda reader: reader.noun
)
@pytest.mark.parametrize("caller", [ANON, factories.user()], ids=["anon", "user"])
def test_records_with_all_that_hangs_on_them_are_one_round_trip_whatever_their_number(
    distant: Database, proxy: Proxy, admin: psycopg.Connection, caller: Caller, reader: type[ReadRepository]
) -> None:
    for name in ("glycerol", "methanol", "formamide"):
        molecule = add_public_molecule(admin, name)
        add_public_mixture(admin, molecule)
        add_public_findings(admin, molecule)
    shape = Shape(Detail.FULL, inclusions=INCLUSIONS[reader.listing])
    records = reader(distant.reading(caller))
    records.page(ListRequest())

    counted = []
    for limit in (1, 1000):
        with proxy.counting() as traffic:
            page = records.page(ListRequest(shape, limit=limit), "exact")
        counted.append((len(page.documents), traffic.exchanges))

    assert counted == [(1, 1), (3, 1)]


@pytest.mark.parametrize("count", [1, 100])
def test_adding_a_mixture_takes_the_same_few_round_trips_whatever_it_is_made_of(
    distant: Database, proxy: Proxy, admin: psycopg.Connection, count: int
) -> None:
    caller = add_world(admin).caller
    with distant.transaction(caller) as session:
        outcomes = MoleculeRepository(session).add_many(factories.numbered_molecules(count))
    mixture = factories.new_mixture(*(outcome.id for outcome in outcomes if outcome.id))

    with proxy.counting() as traffic, distant.transaction(caller) as session:
        MixtureRepository(session).add(mixture)

    # Begin, mixture, components, commit.
    assert traffic.exchanges == 4
    assert len(mixture.components) == count


def test_a_page_of_a_thousand_records_with_all_parts_is_one_round_trip(
    distant: Database, proxy: Proxy, admin: psycopg.Connection
) -> None:
    world = add_world(admin)
    with distant.transaction(world.caller) as session:
        MoleculeRepository(session).add_many(factories.numbered_molecules(1000 - len(world.molecules)))
    reader = MoleculeReader(distant.reading(world.caller))

    with proxy.counting() as traffic:
        page = reader.page(WHOLE, "exact")

    assert (len(page.documents), page.count) == (1000, 1000)
    assert traffic.exchanges == 1
    assert traffic.bytes_to_client > 1_000_000


def test_the_newest_page_is_planned_once_for_each_role_that_reads_it_in_turn(urls: DatabaseUrls) -> None:
    database = Database(urls, min_size=0, max_size=1, timeout_s=5.0, transaction_pooler=False)
    database.open()
    try:
        for _ in range(8):
            for caller in (ANON, factories.user()):
                MoleculeReader(database.reading(caller)).page(ListRequest())
        plans = database.reading(ANON).rows(PLANS_SQL, {})
    finally:
        database.close()

    assert plans == [(7, 0), (7, 0)], "kept plans and plans made anew, but for the first use, which is not prepared"


def test_a_refused_read_is_one_round_trip_too(distant: Database, proxy: Proxy) -> None:
    session = distant.reading(ANON)
    session.rows("SELECT 1", {})

    with proxy.counting() as traffic, pytest.raises(psycopg.errors.DivisionByZero):
        session.rows_of_each([("SELECT 1 / 0", {}), ("SELECT 1", {})])

    assert traffic.exchanges == 1


def test_several_statements_are_one_transaction_of_one_connection(distant: Database) -> None:
    statement = "SELECT pg_backend_pid(), now(), current_setting('role'), current_setting('transaction_read_only')"

    rows = distant.reading(ANON).rows_of_each([(statement, {})] * 5)

    assert len({tuple(row) for (row,) in rows}) == 1
    assert rows[0][0][2:] == ("anon", "on")


@pytest.mark.parametrize("count", [1, 1000])
def test_adding_molecules_takes_the_same_few_round_trips_whatever_their_number(
    distant: Database, proxy: Proxy, admin: psycopg.Connection, count: int
) -> None:
    caller = add_world(admin).caller
    molecules = factories.numbered_molecules(count)
    distant.reading(caller).rows("SELECT 1", {})

    with proxy.counting() as traffic, distant.transaction(caller) as session:
        MoleculeRepository(session).add_many(molecules)

    # Begin, projects, keys, existing molecules, existing polymers, insert, commit.
    # Two more than the statements: a savepoint lets one bad record fail alone.
    assert traffic.exchanges <= 9


def test_a_transaction_begins_with_role_and_claims_in_one_round_trip(
    distant: Database, proxy: Proxy, admin: psycopg.Connection
) -> None:
    caller = add_world(admin).caller
    distant.reading(caller).rows("SELECT 1", {})

    with proxy.counting() as traffic, distant.transaction(caller):
        begun = traffic.exchanges

    assert begun == 1
    assert traffic.exchanges == 2
