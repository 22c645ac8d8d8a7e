"""Toxicity results stored, found again and removed; assays made on the way; what is counted on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
import psycopg
import pytest

from app.domain.callers import ANON, SERVICE, Caller
from app.domain.toxicity import Assay, Endpoint, HitCall, NewToxicityResult
from app.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from database.listing import Detail, ListRequest, Shape
from database.repositories.outcomes import Outcome, OutcomeStatus
from database.repositories.toxicity import RESULTS_OF_MOLECULE, ResultReader, ResultRepository
from database.repositories.toxicity_assays import AssayReader
from database.repositories.toxicity_scores import RankingReader, ScoreReader, Selection
from database.session import Database
from database.urls import DatabaseUrls
from tests import factories
from tests.database.worlds import World, add_public_molecule, add_world
from tests.plugins.round_trips import Proxy, proxy

__all__ = ["proxy"]

STRESS = Endpoint("stress_response", "Response of cells to stress")
AHR = Assay("tox21", "NR-AhR", "806", cell_type="HepG2", endpoints=(Endpoint("nuclear_receptor", "Receptors"),))
P53 = Assay("tox21", "SR-p53", cell_type="HCT-116", endpoints=(STRESS,))
LD50 = Assay("ice", "oral", endpoints=(Endpoint("acute_oral_toxicity", "Deaths", is_scored=False),))
ADDED, EXISTING, REFUSED = OutcomeStatus.ADDED, OutcomeStatus.EXISTING, OutcomeStatus.REFUSED


def hit(molecule: UUID | str, call: HitCall = HitCall.ACTIVE, **changes: Any) -> NewToxicityResult:
    return replace(NewToxicityResult(str(molecule), AHR, hit_call=call), **changes)


def add(database: Database, *results: NewToxicityResult, caller: Caller = SERVICE) -> list[Outcome]:
    with database.transaction(caller) as session:
        return ResultRepository(session).add_many(results)


def stored(admin: psycopg.Connection) -> int:
    (number,) = admin.execute("SELECT count(*) FROM toxicity_results").fetchone() or (-1,)
    return int(number)


@pytest.fixture
def world(admin: psycopg.Connection, emptied: None) -> World:
    """Give a user with private molecules."""
    return add_world(admin)


@pytest.fixture
def glycerol(admin: psycopg.Connection, emptied: None) -> UUID:
    """Give a public molecule."""
    return add_public_molecule(admin)


@pytest.fixture(params=[False, True], ids=["direct", "transaction pooler"])
def distant(request: pytest.FixtureRequest, urls: DatabaseUrls, proxy: Proxy, emptied: None) -> Iterator[Database]:
    """Give the database layer behind the proxy, with one connection."""
    database = Database(proxy.through(urls), min_size=0, max_size=1, timeout_s=5.0, transaction_pooler=request.param)
    database.open()
    yield database
    database.close()


class TestAdding:
    """What is stored, what is there already, and what is refused."""

    @pytest.mark.usefixtures("glycerol")
    def test_the_service_makes_assays_on_the_way(self, database: Database) -> None:
        outcomes = add(database, hit("PEDCQBHIVMGVHV-UHFFFAOYSA-N"), hit("56-81-5", assay=P53))

        assays = [orjson.loads(found) for found in AssayReader(database.reading(ANON)).page(ListRequest()).documents]
        assert [outcome.status for outcome in outcomes] == [ADDED, ADDED]
        assert {(assay["name"], *assay["endpoints"]) for assay in assays} == {
            ("NR-AhR", "nuclear_receptor"),
            ("SR-p53", "stress_response"),
        }

    def test_a_known_assay_needs_its_name_or_its_number_only(self, database: Database, glycerol: UUID) -> None:
        add(database, hit(glycerol))

        by_name, by_number, by_both, by_neither = add(
            database,
            hit(glycerol, assay=Assay("tox21", "NR-AhR")),
            hit(glycerol, assay=Assay("tox21", external_id="806")),
            hit(glycerol, assay=Assay("tox21", "NR-AhR", "806")),
            hit(glycerol, assay=Assay("tox21", "NR-AhRR")),
        )

        assert [by_name.status, by_number.status, by_both.status] == [ADDED] * 3
        assert (by_neither.status, by_neither.pointer) == (REFUSED, "/assay")

    def test_a_name_and_a_number_of_different_assays_are_refused(self, database: Database, glycerol: UUID) -> None:
        add(database, hit(glycerol), hit(glycerol, assay=P53))

        (outcome,) = add(database, hit(glycerol, assay=Assay("tox21", "SR-p53", "806")))

        assert (outcome.status, outcome.pointer) == (REFUSED, "/assay")

    def test_of_several_endpoints_one_has_to_be_named(self, database: Database, glycerol: UUID) -> None:
        both = replace(AHR, endpoints=(*AHR.endpoints, STRESS))
        outcomes = add(
            database,
            hit(glycerol, assay=both, endpoint="stress_response"),
            hit(glycerol),
            hit(glycerol, endpoint="hepatotoxicity"),
        )

        assert [(outcome.status, outcome.pointer) for outcome in outcomes] == [
            (ADDED, ""),
            (REFUSED, "/endpoint"),
            (REFUSED, "/endpoint"),
        ]

    def test_the_same_record_is_the_same_result_before_and_within_a_batch(
        self, database: Database, admin: psycopg.Connection, glycerol: UUID
    ) -> None:
        (first,) = add(database, hit(glycerol, source_record="a"))

        again, other, twice, unnamed, unnamed_too = add(
            database,
            hit(glycerol, source_record="a"),
            hit(glycerol, source_record="b"),
            hit(glycerol, HitCall.INACTIVE, source_record="b"),
            hit(glycerol),
            hit(glycerol),
        )

        assert (again.status, again.id) == (EXISTING, first.id)
        assert (twice.status, twice.id) == (EXISTING, other.id)
        assert unnamed.id != unnamed_too.id
        assert stored(admin) == 4

    def test_a_row_that_breaks_a_constraint_falls_alone(
        self, database: Database, admin: psycopg.Connection, glycerol: UUID
    ) -> None:
        bad = hit(glycerol, potency=-1.0, potency_type="AC50", potency_unit="uM")

        outcomes = add(database, *[hit(glycerol) for _ in range(5)], bad, *[hit(glycerol) for _ in range(4)])

        assert [outcome.status for outcome in outcomes] == [ADDED] * 5 + [REFUSED] + [ADDED] * 4
        assert outcomes[5].pointer == "/potency"
        assert stored(admin) == 9

    def test_a_user_adds_to_molecules_of_its_own_and_makes_no_assay(
        self, database: Database, world: World, glycerol: UUID
    ) -> None:
        add(database, hit(glycerol, assay=P53))

        own, public, unseen, new_assay = add(
            database,
            hit(world.own, assay=P53),
            hit(glycerol, assay=P53),
            hit("00000000-0000-0000-0000-000000000001", assay=P53),
            hit(world.own),
            caller=world.caller,
        )

        assert own.status is ADDED
        assert (public.status, public.pointer) == (REFUSED, "/molecule")
        assert isinstance(public.error, ForbiddenError)
        assert (unseen.status, unseen.pointer) == (REFUSED, "/molecule")
        assert (new_assay.status, new_assay.pointer) == (REFUSED, "/assay")

    def test_one_result_alone_raises_what_is_wrong(self, database: Database, world: World, glycerol: UUID) -> None:
        with database.transaction(SERVICE) as session:
            ResultRepository(session).add(hit(glycerol, source_record="a"))

        for result, caller, error in (
            (hit(glycerol, source_record="a"), SERVICE, ConflictError),
            (hit("nonesuch"), SERVICE, InvalidError),
            (hit(glycerol), world.caller, ForbiddenError),
        ):
            with pytest.raises(error), database.transaction(caller) as session:
                ResultRepository(session).add(result)

    def test_a_strangers_result_is_not_removed(self, database: Database, world: World, glycerol: UUID) -> None:
        add(database, hit(glycerol))
        (own,) = add(database, hit(world.own), caller=world.caller)
        (public,) = add(database, hit(glycerol))
        assert own.id is not None
        assert public.id is not None

        with pytest.raises(NotFoundError), database.transaction(factories.user()) as session:
            ResultRepository(session).remove(own.id, None)
        with pytest.raises(ForbiddenError), database.transaction(world.caller) as session:
            ResultRepository(session).remove(public.id, None)
        with database.transaction(world.caller) as session:
            ResultRepository(session).remove(own.id, 1)

        with pytest.raises(NotFoundError):
            ResultReader(database.reading(SERVICE)).get(own.id)


class TestRoundTrips:
    """A profile or a score costs one round trip and a batch a fixed number, however many rows there are."""

    @pytest.mark.parametrize("count", [1, 1200])
    def test_reading(self, distant: Database, proxy: Proxy, glycerol: UUID, count: int) -> None:
        add(distant, *[hit(glycerol, assay=replace(AHR, name=f"assay {n}", external_id=None)) for n in range(count)])
        scores, ranking = ScoreReader(distant.reading(ANON)), RankingReader(distant.reading(ANON))
        results = ResultReader(distant.reading(ANON))
        scores.profile(glycerol)

        trips = []
        for read in (
            lambda: scores.profile(glycerol),
            lambda: scores.score(glycerol, Selection("nuclear_receptor", "HepG2")),
            lambda: ranking.page(ListRequest(shape=Shape(Detail.FULL)), "exact"),
            lambda: results.page(ListRequest(within=(RESULTS_OF_MOLECULE, glycerol), shape=Shape(Detail.FULL))),
        ):
            with proxy.counting() as traffic:
                read()
            trips.append(traffic.exchanges)

        assert trips == [1, 1, 1, 1]

    def test_a_batch_of_a_thousand_costs_no_more_than_one_of_two(
        self, distant: Database, proxy: Proxy, glycerol: UUID
    ) -> None:
        add(distant, hit(glycerol))

        trips = []
        for count in (2, 1000):
            with proxy.counting() as traffic:
                add(distant, *[hit(glycerol, source_record=f"{count} {n}") for n in range(count)])
            trips.append(traffic.exchanges)

        assert trips[0] == trips[1] <= 10
