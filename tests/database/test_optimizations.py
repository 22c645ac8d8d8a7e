"""Searches in the real queue: the same front however often a worker is lost, and nothing kept by one overtaken."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
import psycopg
import pytest

from app.domain.callers import SERVICE, Caller
from app.errors import ConflictError, ForbiddenError, InvalidError
from app.jobs.retries import MAX_ATTEMPTS
from app.jobs.worker import recover
from app.science.models import solutes
from app.science.models.cases import Conditions
from app.science.models.glass_transition import PURE_K
from app.science.optimization import MAX_CANDIDATES, QUICK_CANDIDATES, TOTAL_MOLALITY, Constraint, front
from app.services import run_optimization as searching
from app.services.maintenance import run_due
from app.services.optimize_mixtures import Molecule, Search, StatedCandidate, Wish
from app.services.predict_batch import OvertakenError
from app.services.run_optimization import ask_for_optimization, run_optimization
from database.errors import MAX_OPEN_JOBS
from database.repositories.optimizations import OptimizationRepository
from database.session import Database
from database.urls import DatabaseUrls
from tests import factories
from tests.database.outages import away
from tests.plugins.database import open_database
from tests.plugins.jobs import kill, wait_until

Jobs = Callable[[], list[tuple[str, int]]]
ROOM = Conditions(298.15, 30.0, "endothelial")
AWAY_S = 2.0
TAKE_SQL = """
WITH other AS (INSERT INTO jobs.procrastinate_workers DEFAULT VALUES RETURNING id)
UPDATE jobs.procrastinate_jobs SET worker_id = other.id, attempts = attempts + 1 FROM other
"""
WAITS_SQL = "SELECT status = 'todo' AND scheduled_at > now() FROM jobs.procrastinate_jobs"
STATE_SQL = "SELECT state, fence, generation_count, result, failure FROM private.optimizations"


def searched(*keys: str, objective: str = "cell_survival") -> Search:
    molecules = tuple(Molecule(str(UUID(int=n)), solutes.NAMES[key], key, 90.0) for n, key in enumerate(keys))
    candidates = tuple(StatedCandidate(item.name, 0.0, 8.0) for item in molecules)
    wish = Wish(candidates, objective, (Constraint(TOTAL_MOLALITY, at_least=5.0, at_most=10.0),), ROOM, seed=5)
    return Search(wish, molecules)


SHORT = searched(solutes.GLYCEROL, solutes.DMSO)
LONG = searched(*list(PURE_K)[: QUICK_CANDIDATES + 1], objective="glass_transition_temperature")


def asked(database: Database, caller: Caller, search: Search = SHORT) -> UUID:
    with database.transaction(caller) as session:
        return ask_for_optimization(session, search)


def state(admin: psycopg.Connection) -> dict[str, Any]:
    names = ("state", "fence", "generations", "result", "failure")
    return dict(zip(names, admin.execute(STATE_SQL).fetchall()[0], strict=True))


def found(search: Search) -> Any:
    """Return what a search finds that nobody disturbs, as JSON has it."""
    return orjson.loads(orjson.dumps(search.told(front(search.problem, search.wish.seed))))


def lapse(admin: psycopg.Connection) -> None:
    """Let the search's worker seem to have been silent for long."""
    with admin.transaction():
        admin.execute("SET LOCAL session_replication_role = replica")
        admin.execute("UPDATE private.optimizations SET updated_at = now() - interval '11 s'")


@pytest.fixture
def alice() -> Caller:
    return factories.user()


@pytest.mark.parametrize("looks", [1, 50, 200])
def test_a_search_that_is_handed_back_and_begun_anew_comes_to_the_same(
    database: Database, admin: psycopg.Connection, alice: Caller, looks: int
):
    search_id = asked(database, alice)
    going_on: Iterator[bool] = iter([*[True] * looks, False])

    assert not run_optimization(database, search_id, lambda: next(going_on))

    assert state(admin)["state"] == "queued"
    assert run_optimization(database, search_id, lambda: True)
    ended = state(admin)
    assert (ended["state"], ended["fence"]) == ("finished", 2)
    assert ended["result"] == found(SHORT)


def test_a_worker_that_another_has_overtaken_keeps_nothing(
    database: Database, admin: psycopg.Connection, alice: Caller
):
    search_id = asked(database, alice)

    def overtaken() -> bool:
        lapse(admin)
        with database.transaction(SERVICE) as session:
            assert OptimizationRepository(session).start(search_id) is not None
        return True

    with pytest.raises(OvertakenError):
        run_optimization(database, search_id, overtaken)

    assert (state(admin)["state"], state(admin)["generations"]) == ("running", 0)


def test_nobody_else_begins_a_search_that_a_worker_is_at(database: Database, admin: psycopg.Connection, alice: Caller):
    search_id = asked(database, alice)
    refused = 0

    def looked_for() -> bool:
        nonlocal refused
        with pytest.raises(OvertakenError):
            run_optimization(database, search_id, lambda: True)
        refused += 1
        return True

    assert run_optimization(database, search_id, looked_for)

    assert refused > 0
    assert (state(admin)["state"], state(admin)["fence"]) == ("finished", 1)


def test_a_search_whose_worker_was_wrongly_thought_dead_is_ended_by_that_worker(
    database: Database, admin: psycopg.Connection, alice: Caller, run_jobs: Callable[..., None], jobs: Jobs
):
    asked(database, alice, LONG)
    seen: list[tuple[str, int]] = []

    def put_back() -> None:
        wait_until(lambda: state(admin)["generations"] > 1)
        admin.execute("UPDATE jobs.procrastinate_jobs SET status = 'todo', worker_id = NULL, attempts = attempts + 1")
        # The other place of the same worker takes it, and leaves it for later, again and again.
        for _ in range(3):
            wait_until(lambda: admin.execute(WAITS_SQL).fetchall() == [(True,)])
            seen.extend(jobs())
            admin.execute("UPDATE jobs.procrastinate_jobs SET scheduled_at = now() WHERE status = 'todo'")
        wait_until(lambda: state(admin)["state"] != "running" and jobs()[0][0] != "todo")
        os.kill(os.getpid(), signal.SIGTERM)

    looking = threading.Thread(target=put_back)
    looking.start()
    run_jobs(until_empty=False, concurrency=2)
    looking.join()

    ended = state(admin)
    assert seen == [("todo", 1)] * 3
    assert (ended["state"], ended["fence"]) == ("finished", 1)
    assert jobs() == [("succeeded", 1)]
    assert ended["result"] == found(LONG)


def test_a_worker_that_was_overtaken_leaves_the_job_to_the_other(
    database: Database, admin: psycopg.Connection, alice: Caller, run_jobs: Callable[..., None], jobs: Jobs
):
    asked(database, alice, LONG)

    def overtake() -> None:
        wait_until(lambda: state(admin)["generations"] > 1)
        admin.execute(TAKE_SQL)
        admin.execute("UPDATE private.optimizations SET fence = fence + 1")

    looking = threading.Thread(target=overtake)
    looking.start()
    run_jobs()
    looking.join()

    assert (state(admin)["state"], state(admin)["fence"]) == ("running", 2)
    assert jobs() == [("doing", 1)]


@pytest.mark.usefixtures("emptied")
def test_a_database_that_is_away_for_a_moment_costs_a_search_nothing(
    admin: psycopg.Connection, alice: Caller, urls: DatabaseUrls, server_url: str, monkeypatch: pytest.MonkeyPatch
):
    # Generations are told to nobody, and the end comes while nobody listens.
    monkeypatch.setattr(searching, "_TELL_EVERY_S", 0.0)
    impatient = open_database(urls, timeout_s=0.2)
    search_id = asked(impatient, alice)
    looks = 0
    with ExitStack() as outage:

        def goes_away() -> bool:
            nonlocal looks
            looks += 1
            if looks == 3:
                outage.enter_context(away(urls, server_url))
                monkeypatch.setattr(searching, "_TELL_EVERY_S", 0.5)
                threading.Timer(AWAY_S, outage.close).start()
            return True

        begun_s = time.monotonic()
        assert run_optimization(impatient, search_id, goes_away)
        assert time.monotonic() - begun_s > AWAY_S
    impatient.close()

    assert (state(admin)["state"], state(admin)["fence"]) == ("finished", 1)
    assert state(admin)["result"] == found(SHORT)


def test_a_worker_that_finds_the_search_ended_has_nothing_more_to_do(
    database: Database, admin: psycopg.Connection, alice: Caller
):
    search_id = asked(database, alice)
    looks = iter([True])

    def overtaken() -> bool:
        if next(looks, False):
            lapse(admin)
            assert run_optimization(database, search_id, lambda: True)
        return True

    assert run_optimization(database, search_id, overtaken)

    assert (state(admin)["state"], state(admin)["fence"]) == ("finished", 2)
    assert run_optimization(database, search_id, lambda: True)
    assert state(admin)["fence"] == 2


def test_a_worker_that_stops_hands_its_search_back_and_the_next_ends_it(
    database: Database, admin: psycopg.Connection, alice: Caller, run_jobs: Callable[..., None], jobs: Jobs
):
    asked(database, alice, LONG)

    def stop_when_begun() -> None:
        wait_until(lambda: state(admin)["generations"] > 1)
        os.kill(os.getpid(), signal.SIGTERM)

    stopping = threading.Thread(target=stop_when_begun)
    stopping.start()
    run_jobs(until_empty=False, grace_s=0.0)
    stopping.join()

    assert (state(admin)["state"], jobs()) == ("queued", [("todo", 0)])


def test_a_search_whose_job_was_given_up_has_failed_and_says_so(
    database: Database, admin: psycopg.Connection, alice: Caller
):
    asked(database, alice)
    admin.execute("UPDATE jobs.procrastinate_jobs SET status = 'doing', attempts = %s", (MAX_ATTEMPTS - 1,))

    recover(database, silent_s=30)

    assert state(admin)["state"] == "failed"
    assert state(admin)["failure"]["code"] == "given_up"


def test_searches_are_removed_90_days_after_their_end(database: Database, admin: psycopg.Connection, alice: Caller):
    ended, waiting = asked(database, alice), asked(database, alice)
    assert run_optimization(database, ended, lambda: True)

    def left_after(days: int) -> set[UUID]:
        admin.execute("UPDATE private.optimizations SET finished_at = now() - make_interval(days => %s)"
            " WHERE state = 'finished'", (days,))  # fmt: skip
        run_due(database, anyway=True)
        return {row[0] for row in admin.execute("SELECT id FROM private.optimizations")}

    assert left_after(89) == {ended, waiting}
    assert left_after(91) == {waiting}


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT private.enqueue_own('optimize_mixtures', '{}')",
        "INSERT INTO private.optimizations (id, job_id, request, molecules) VALUES (gen_random_uuid(), 0, '{}', '[]')",
        "UPDATE private.optimizations SET state = 'queued'",
    ],
)
def test_a_user_asks_only_through_the_function(database: Database, alice: Caller, statement: str):
    with pytest.raises(ForbiddenError), database.transaction(alice) as session:
        session.rows(statement, {})


def test_more_molecules_than_a_search_takes_are_refused_by_the_table_too(database: Database, alice: Caller):
    known = SHORT.molecules[0]

    with pytest.raises(InvalidError):
        asked(database, alice, replace(SHORT, molecules=[known] * (MAX_CANDIDATES + 1)))

    asked(database, alice, replace(SHORT, molecules=[known] * MAX_CANDIDATES))


def test_a_claim_of_another_role_takes_no_user_past_the_limit(
    database: Database, admin: psycopg.Connection, alice: Caller
):
    forged = Caller(
        "authenticated", alice.user_id, claims_json=alice.claims_json.replace("authenticated", "service_role")
    )
    for _ in range(MAX_OPEN_JOBS):
        asked(database, forged)

    with pytest.raises(ConflictError, match=str(MAX_OPEN_JOBS)):
        asked(database, forged)

    assert admin.execute("SELECT DISTINCT created_by FROM private.optimizations").fetchall() == [(alice.user_id,)]


def test_of_several_at_once_one_takes_the_last_place(database: Database, admin: psycopg.Connection, alice: Caller):
    for _ in range(MAX_OPEN_JOBS - 1):
        asked(database, alice)
    gate = threading.Barrier(4)

    def ask() -> bool:
        gate.wait()
        try:
            asked(database, alice)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        asking = [threads.submit(ask) for _ in range(4)]

    assert sorted(item.result() for item in asking) == [False, False, False, True]
    assert admin.execute("SELECT count(*) FROM jobs.procrastinate_jobs").fetchone() == (MAX_OPEN_JOBS,)


@pytest.mark.machine
def test_the_search_of_a_killed_worker_is_ended_by_another_with_the_same_front(
    database: Database, admin: psycopg.Connection, alice: Caller, start_worker: Callable[..., Any]
):
    asked(database, alice, LONG)
    first = start_worker()
    wait_until(lambda: state(admin)["generations"] > 1)

    kill(first)

    assert state(admin)["state"] == "running"
    # Found lost when it has been silent for longer than a search is held.
    start_worker(WORKER_HEARTBEAT_S="4")
    wait_until(lambda: state(admin)["state"] == "finished")
    assert state(admin)["fence"] == 2
    assert state(admin)["result"] == found(LONG)
