"""Experiments stored, found, changed and removed, and what is counted on the wire while that happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
import pytest

from app.domain.callers import ANON, SERVICE, Caller
from app.domain.experiments import ExperimentOutcome, NewExperiment
from app.errors import ForbiddenError, InvalidError, NotFoundError, StaleError
from database.listing import Detail, Filter, ListRequest, Scope, Shape, Sort
from database.repositories.experiments import (
    EXPERIMENTS_OF_MIXTURE,
    EXPERIMENTS_OF_MOLECULE,
    EXPERIMENTS_OF_PROJECT,
    ExperimentReader,
    ExperimentRepository,
)
from database.repositories.outcomes import OutcomeStatus
from database.session import Database
from database.urls import DatabaseUrls
from tests import factories
from tests.database.worlds import World, add_public_findings, add_public_mixture, add_public_molecule, add_world
from tests.factories import new_experiment, viability
from tests.plugins.round_trips import Proxy, proxy

__all__ = ["proxy"]

FAIL = ExperimentOutcome.FAIL
WORK = Callable[[ExperimentRepository], Any]


def _do(database: Database, caller: Caller, work: WORK) -> Any:
    with database.transaction(caller) as session:
        return work(ExperimentRepository(session))


def _add(database: Database, caller: Caller, experiment: NewExperiment) -> UUID:
    added: UUID = _do(database, caller, lambda experiments: experiments.add(experiment))
    return added


def _get(database: Database, caller: Caller, experiment_id: UUID) -> dict[str, Any]:
    document = ExperimentReader(database.reading(caller)).get(experiment_id, Shape(Detail.FULL))
    record: dict[str, Any] = orjson.loads(document.json)
    return record


@pytest.fixture
def world(admin: psycopg.Connection, emptied: None) -> World:
    """Give a user with three molecules, one of them in a mixture and in an experiment."""
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
    """What is stored, and under whose name."""

    def test_parts_keep_the_order_in_which_they_were_stated(
        self, database: Database, world: World, glycerol: UUID
    ) -> None:
        reasons = ("z", "a", "m")
        results = tuple(viability(value) for value in (0.3, 0.1, 0.2))
        experiment = new_experiment(glycerol, outcome=FAIL, failure_reasons=reasons, results=results)

        record = _get(database, world.caller, _add(database, world.caller, experiment))

        assert tuple(record["failure_reasons"]) == reasons
        assert [item["value"] for item in record["results"]] == [0.3, 0.1, 0.2]
        assert record["created_by"] == str(world.caller.user_id)

    @pytest.mark.parametrize(("caller", "is_public"), [(None, False), (SERVICE, True)], ids=["user", "service"])
    def test_the_service_publishes_and_a_user_does_not(
        self, database: Database, world: World, glycerol: UUID, caller: Caller | None, *, is_public: bool
    ) -> None:
        caller = caller or world.caller

        record = _get(database, caller, _add(database, caller, new_experiment(glycerol)))

        assert record["is_public"] is is_public

    def test_an_unseen_subject_is_pointed_to(self, database: Database, world: World) -> None:
        for subject in ({"molecule_id": uuid4()}, {"mixture_id": uuid4()}, {"molecule_id": world.mixture}):
            with pytest.raises(InvalidError) as error:
                _add(database, world.caller, new_experiment(**subject))
            assert [fault.pointer for fault in error.value.faults] == [f"/{next(iter(subject))}"]

    def test_a_stranger_sees_neither_the_subject_nor_its_experiment(self, database: Database, world: World) -> None:
        with pytest.raises(InvalidError):
            _add(database, factories.user(), new_experiment(world.own))
        with pytest.raises(NotFoundError):
            _get(database, factories.user(), _add(database, world.caller, new_experiment(world.own)))

    @pytest.mark.parametrize(
        ("subject", "refused"),
        [("own", True), ("shared", False), ("mixed", False), ("mixture", False)],
    )
    def test_in_a_project_the_subject_is_one_that_the_project_sees(
        self, database: Database, world: World, subject: str, *, refused: bool
    ) -> None:
        place = {"mixture_id" if subject == "mixture" else "molecule_id": getattr(world, subject)}
        experiment = new_experiment(**place, project_id=world.project)

        if refused:
            with pytest.raises(InvalidError):
                _add(database, world.caller, experiment)
        else:
            assert _get(database, world.caller, _add(database, world.caller, experiment))["project_id"]

    def test_what_the_lookup_lets_through_the_constraint_lets_through(self, database: Database, world: World) -> None:
        """The lookup says before what the deferred constraint says at the end: one that is too kind shows here."""
        subjects = [*({"molecule_id": key} for key in sorted(world.molecules)), {"mixture_id": world.mixture}]
        places = [
            {"project_id": project, "is_public": public} for project in (None, world.project) for public in (0, 1)
        ]
        cases = [
            new_experiment(**subject, project_id=place["project_id"], is_public=bool(place["is_public"]))
            for subject in subjects
            for place in places
        ]

        outcomes = _do(database, SERVICE, lambda experiments: experiments.add_many(cases))

        refused = {outcome.pointer for outcome in outcomes if outcome.status is OutcomeStatus.REFUSED}
        assert refused == {"/molecule_id", "/mixture_id"}
        # In no project all four, in the project all that it sees, in public none.
        assert sum(outcome.status is OutcomeStatus.ADDED for outcome in outcomes) == 4 + 3

    def test_in_a_batch_what_only_the_database_refuses_is_refused_alone(
        self, database: Database, world: World, glycerol: UUID
    ) -> None:
        bad = new_experiment(glycerol, name="x" * 501)
        contradictory = new_experiment(glycerol, failure_reasons=("ice",))
        empty = new_experiment(glycerol, results=())
        good = new_experiment(glycerol)

        outcomes = _do(
            database,
            world.caller,
            lambda experiments: experiments.add_many([good, bad, good, contradictory, empty, good]),
        )

        assert [outcome.pointer if outcome.id is None else "added" for outcome in outcomes] == [
            "added",
            "/name",
            "added",
            "/failure_reasons",
            "/results",
            "added",
        ]
        assert all(_get(database, world.caller, outcome.id) for outcome in outcomes if outcome.id)


class TestChanging:
    """Unseen before not permitted before stale."""

    def test_refusals_come_in_their_order(self, database: Database, world: World, glycerol: UUID) -> None:
        private = _add(database, world.caller, new_experiment(glycerol))
        public = _add(database, SERVICE, new_experiment(glycerol))
        for caller, key, version, error in (
            (world.caller, uuid4(), 1, NotFoundError),
            (factories.user(), private, 1, NotFoundError),
            (world.caller, public, 7, ForbiddenError),
            (world.caller, private, 7, StaleError),
        ):
            for work in (
                lambda experiments, key=key, version=version: experiments.change(key, {"name": "x"}, version),
                lambda experiments, key=key, version=version: experiments.remove(key, version),
            ):
                with pytest.raises(error):
                    _do(database, caller, work)

    def test_parts_of_others_are_out_of_reach(self, database: Database, world: World, glycerol: UUID) -> None:
        public = _add(database, SERVICE, new_experiment(glycerol))

        with pytest.raises(ForbiddenError):
            _do(database, world.caller, lambda experiments: experiments.put_results(public, [viability(0.1)]))

        assert [item["value"] for item in _get(database, ANON, public)["results"]] == [0.82]


READS: dict[str, ListRequest] = {
    "page": ListRequest(),
    "all parts": ListRequest(shape=Shape(Detail.FULL), limit=100, order=(Sort("started_at"),)),
    "filtered": ListRequest(filters=(Filter("outcome", "exact", "fail"),)),
    "search": ListRequest(query="ice"),
}


class TestRoundTrips:
    """How often a call waits for the database."""

    @pytest.mark.parametrize("request_", READS.values(), ids=READS)
    @pytest.mark.parametrize("caller", [ANON, factories.user()], ids=["anon", "user"])
    def test_a_page_is_one_round_trip_whatever_its_size(
        self, distant: Database, proxy: Proxy, admin: psycopg.Connection, caller: Caller, request_: ListRequest
    ) -> None:
        molecule = add_public_molecule(admin)
        reader = ExperimentReader(distant.reading(caller))
        reader.page(ListRequest())
        trips = []
        for _ in range(3):
            for _ in range(20):
                add_public_findings(admin, molecule)
            with proxy.counting() as traffic:
                page = reader.page(request_, "exact")
            trips.append((traffic.exchanges, page.count))

        assert [count for count, _ in trips] == [1, 1, 1]
        assert [count for _, count in trips] == ([0, 0, 0] if request_.query else [20, 40, 60])

    @pytest.mark.parametrize(
        "scope", [EXPERIMENTS_OF_MIXTURE, EXPERIMENTS_OF_MOLECULE, EXPERIMENTS_OF_PROJECT], ids=lambda s: s.parent
    )
    def test_so_is_one_within_a_parent_and_a_single_record(
        self, distant: Database, proxy: Proxy, admin: psycopg.Connection, scope: Scope
    ) -> None:
        world = add_world(admin)
        parent = {"mixture": world.mixture, "molecule": world.mixed, "project": world.project}[scope.parent]
        reader = ExperimentReader(distant.reading(world.caller))
        reader.page(ListRequest())

        with proxy.counting() as traffic:
            reader.page(ListRequest(within=(scope, parent)), "exact")
            reader.get(world.experiment, Shape(Detail.FULL))

        assert traffic.exchanges == 2

    @pytest.mark.parametrize("count", [1, 100])
    def test_a_batch_takes_the_same_few_round_trips_whatever_its_size(
        self, distant: Database, proxy: Proxy, admin: psycopg.Connection, count: int
    ) -> None:
        world, mixture = add_world(admin), add_public_mixture(admin, add_public_molecule(admin))
        failed = new_experiment(
            mixture_id=mixture, outcome=FAIL, failure_reasons=("a", "b"), results=(viability(), viability(0.1))
        )
        with distant.transaction(world.caller) as session:
            ExperimentRepository(session).add(failed)

        with proxy.counting() as traffic, distant.transaction(world.caller) as session:
            outcomes = ExperimentRepository(session).add_many([failed] * count)

        assert {outcome.status for outcome in outcomes} == {OutcomeStatus.ADDED}
        # Begin, places, savepoint, three inserts, two for the deferred constraints, release, commit.
        assert traffic.exchanges == 10
