"""Jobs in the real queue, run by the real worker: with whose rights, once, and what becomes of those that fail."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from procrastinate.jobs import Status

from app.domain.callers import SERVICE, Caller
from app.errors import ConflictError, ForbiddenError, NotFoundError, UnavailableError
from app.importers.download import is_public
from app.jobs import tasks
from app.jobs.retries import MAX_ATTEMPTS
from app.jobs.tasks import queue_app
from app.jobs.worker import Duties, queue_connector, recover
from app.services.predict_batch import OvertakenError, ask_for_batch, predict_batch
from app.services.predict_properties import Question
from database.repositories.import_requests import ImportRequestRepository
from database.repositories.imports import ImportRepository
from database.repositories.jobs import QUEUES, JobRepository
from database.repositories.mixtures import MixtureRepository
from database.repositories.molecules import MoleculeRepository
from database.repositories.prediction_batches import PredictionBatchReader
from database.repositories.provenance import ProvenanceRepository, SourceStatement
from database.session import Database
from database.urls import DatabaseUrls
from tests import factories
from tests.plugins.https import Server, refusing
from tests.plugins.jobs import wait_until

Jobs = Callable[[], list[tuple[str, int]]]
FREEZING = Question(properties=("freezing_point",), models=("osmotic_virial@2",))
BATCH_SQL = """
SELECT state, done_count, added_count, existing_count, refused_count, refused
FROM private.prediction_batches WHERE id = %s
"""
RUN_SQL = "SELECT state, failure, added_count, existing_count FROM public.import_runs WHERE id = %s"


@pytest.fixture
def glycerol(database: Database, models: None) -> UUID:
    """Give the id of a public molecule."""
    with database.transaction(SERVICE) as session:
        (outcome,) = MoleculeRepository(session).add_many([factories.new_molecule()])
    assert outcome.id is not None
    return outcome.id


def mixture(database: Database, caller: Caller, molecule: UUID) -> UUID:
    molal = factories.component(molecule, unit="mol/kg")
    with database.transaction(caller) as session:
        return MixtureRepository(session).add(factories.new_mixture(molal))


def many(database: Database, caller: Caller, molecule: UUID, count: int) -> list[UUID]:
    molal = factories.component(molecule, unit="mol/kg")
    with database.transaction(caller) as session:
        return [MixtureRepository(session).add(factories.new_mixture(molal)) for _ in range(count)]


def asked(database: Database, caller: Caller, *mixture_ids: UUID) -> UUID:
    with database.transaction(caller) as session:
        return ask_for_batch(session, FREEZING, mixture_ids)


def batch(admin: psycopg.Connection, batch_id: UUID) -> tuple[Any, ...]:
    return tuple(admin.execute(BATCH_SQL, (batch_id,)).fetchall()[0])


def run(admin: psycopg.Connection, run_id: UUID) -> tuple[Any, ...]:
    return tuple(admin.execute(RUN_SQL, (run_id,)).fetchall()[0])


def imported(database: Database, path: Path) -> UUID:
    """Put the import of a file into the queue."""
    with database.transaction(SERVICE) as session:
        source_id = ProvenanceRepository(session).ensure_source(SourceStatement("a file"))
        return ImportRequestRepository(session).add(source_id, {"source": "file", "path": str(path)})


@pytest.fixture
def smiles(tmp_path: Path) -> Path:
    """Give a file of five structures, of which one is none."""
    file = tmp_path / "five.smi"
    file.write_text("C methane\nCC ethane\nnot-a-smiles wrong\nCCO ethanol\nOCC(O)CO glycerol\n")
    return file


# Predictions of many mixtures.


def test_a_batch_is_predicted_with_the_rights_of_whoever_asked(
    database: Database, admin: psycopg.Connection, glycerol: UUID, run_jobs: Callable[..., None]
):
    alice, bob = factories.user(), factories.user()
    hers, his = mixture(database, alice, glycerol), mixture(database, bob, glycerol)
    public = mixture(database, SERVICE, glycerol)
    batch_id = asked(database, alice, hers, his, public, hers)

    run_jobs()

    state, done, added, existing, refused, reasons = batch(admin, batch_id)
    assert (state, done, added, existing, refused) == ("finished", 3, 1, 0, 2)
    assert {item["mixture_id"]: item["detail"] for item in reasons} == {
        str(his): f"no mixture {his} is visible to you",
        str(public): "you may not change this mixture",
    }
    assert admin.execute("SELECT mixture_id, created_by FROM predictions").fetchall() == [(hers, alice.user_id)]


def test_a_right_that_is_lost_before_the_batch_runs_is_lost_to_the_batch(
    database: Database, admin: psycopg.Connection, glycerol: UUID, run_jobs: Callable[..., None]
):
    alice = factories.user()
    hers = mixture(database, alice, glycerol)
    batch_id = asked(database, alice, hers)
    admin.execute("UPDATE mixtures SET created_by = NULL WHERE id = %s", (hers,))

    run_jobs()

    assert batch(admin, batch_id)[:5] == ("finished", 1, 0, 0, 1)
    assert admin.execute("SELECT count(*) FROM predictions").fetchone() == (0,)


def test_a_second_batch_finds_what_the_first_made(
    database: Database, admin: psycopg.Connection, glycerol: UUID, run_jobs: Callable[..., None], jobs: Jobs
):
    alice = factories.user()
    hers = [mixture(database, alice, glycerol) for _ in range(25)]
    first, second = asked(database, alice, *hers), asked(database, alice, *hers)

    run_jobs()

    assert batch(admin, first)[:4] == ("finished", 25, 25, 0)
    assert batch(admin, second)[:4] == ("finished", 25, 0, 25)
    assert jobs() == [("succeeded", 1), ("succeeded", 1)]


def test_a_batch_that_waits_for_its_next_attempt_lets_the_others_of_its_user_pass(
    database: Database,
    admin: psycopg.Connection,
    glycerol: UUID,
    run_jobs: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
):
    alice = factories.user()
    often, seldom, fresh = (asked(database, alice, mixture(database, alice, glycerol)) for _ in range(3))
    tried = "UPDATE jobs.procrastinate_jobs SET attempts = %s WHERE args ->> 'batch_id' = %s"
    due = "UPDATE jobs.procrastinate_jobs SET scheduled_at = now() WHERE args ->> 'batch_id' = %s"
    admin.execute(tried, (9, str(often)))
    admin.execute(tried, (5, str(seldom)))

    def down(_database: Database, batch_id: UUID, *_: object) -> bool:
        if batch_id != fresh:
            raise UnavailableError("it does not answer")
        return predict_batch(database, batch_id, lambda: True)

    with monkeypatch.context() as broken:
        broken.setattr(tasks, "predict_batch", down)
        run_jobs()

    assert [batch(admin, one)[0] for one in (often, seldom, fresh)] == ["queued", "queued", "finished"]
    # Of those that wait, the one that failed less often is not kept back either.
    admin.execute(due, (str(seldom),))
    run_jobs()
    assert [batch(admin, one)[0] for one in (often, seldom)] == ["queued", "finished"]


def test_a_batch_is_shown_to_whoever_asked_and_to_nobody_else(database: Database, glycerol: UUID):
    alice, bob = factories.user(), factories.user()
    batch_id = asked(database, alice, mixture(database, alice, glycerol))

    for caller in (alice, SERVICE):
        assert b'"state":"queued"' in PredictionBatchReader(database.reading(caller)).get(batch_id).json
    with pytest.raises(NotFoundError):
        PredictionBatchReader(database.reading(bob)).get(batch_id)


def test_a_claim_of_another_role_gives_a_batch_no_other_rights(
    database: Database, admin: psycopg.Connection, glycerol: UUID
):
    alice = factories.user()
    forged = Caller(
        "authenticated", alice.user_id, claims_json=alice.claims_json.replace("authenticated", "service_role")
    )

    batch_id = asked(database, forged, mixture(database, alice, glycerol))

    kept = admin.execute("SELECT role, created_by FROM private.prediction_batches WHERE id = %s", (batch_id,))
    assert kept.fetchall() == [("authenticated", alice.user_id)]


def test_of_two_workers_on_one_batch_the_slower_keeps_nothing(
    database: Database, admin: psycopg.Connection, glycerol: UUID
):
    alice = factories.user()
    batch_id = asked(database, alice, *[mixture(database, alice, glycerol) for _ in range(30)])
    looks = iter([True, False])

    def overtaken() -> bool:
        # Between two looks another worker does all the rest.
        if not next(looks):
            assert predict_batch(database, batch_id, lambda: True, page_mixtures=10)
        return True

    with pytest.raises(OvertakenError):
        predict_batch(database, batch_id, overtaken, page_mixtures=10)

    assert batch(admin, batch_id)[:5] == ("finished", 30, 30, 0, 0)
    assert admin.execute("SELECT count(*) FROM predictions").fetchone() == (30,)


def test_nobody_moves_the_progress_of_another_ones_batch(database: Database, admin: psycopg.Connection, glycerol: UUID):
    alice, bob = factories.user(), factories.user()
    batch_id = asked(database, alice, mixture(database, alice, glycerol))
    admin.execute("UPDATE private.prediction_batches SET state = 'running'")
    advance = "SELECT private.advance_predictions(%(id)s, 0, 1, 1, 0, '[]')"

    with database.transaction(bob) as session:
        assert session.rows(advance, {"id": batch_id}) == [(False,)]
    with database.transaction(alice) as session:
        assert session.rows(advance, {"id": batch_id}) == [(True,)]


@pytest.mark.parametrize(
    "statement", ["SELECT private.enqueue_import(%(id)s)", "SELECT private.enqueue('a', 'b', '{}', 'c')"]
)
def test_a_user_puts_nothing_else_into_the_queue(database: Database, statement: str):
    with pytest.raises(ForbiddenError), database.transaction(factories.user()) as session:
        session.rows(statement, {"id": uuid4()})


# Imports.


def test_a_file_is_imported_by_a_worker(
    database: Database, admin: psycopg.Connection, smiles: Path, run_jobs: Callable[..., None], jobs: Jobs
):
    run_id = imported(database, smiles)
    assert jobs() == [("todo", 0)]

    run_jobs()

    assert run(admin, run_id) == ("finished", None, 4, 0)
    assert jobs() == [("succeeded", 1)]
    assert admin.execute("SELECT count(*) FROM molecules WHERE import_run_id = %s", (run_id,)).fetchone() == (4,)


def test_run_and_job_are_made_together_or_not_at_all(database: Database, smiles: Path, jobs: Jobs):
    with database.transaction(SERVICE, rollback=True) as session:
        source_id = ProvenanceRepository(session).ensure_source(SourceStatement("a file"))
        ImportRequestRepository(session).add(source_id, {"source": "file", "path": str(smiles)})

    assert jobs() == []


def test_an_import_that_is_cancelled_while_it_waits_is_never_begun(
    database: Database, admin: psycopg.Connection, smiles: Path, run_jobs: Callable[..., None], jobs: Jobs
):
    run_id = imported(database, smiles)
    with database.transaction(SERVICE) as session:
        ImportRequestRepository(session).cancel(run_id)

    run_jobs()

    assert run(admin, run_id) == ("cancelled", None, 0, 0)
    assert jobs() == [("cancelled", 0)]
    with pytest.raises(ConflictError, match="cancelled"), database.transaction(SERVICE) as session:
        ImportRequestRepository(session).cancel(run_id)


def test_an_import_that_fails_says_why_and_is_tried_again_when_somebody_asks(
    database: Database, admin: psycopg.Connection, tmp_path: Path, run_jobs: Callable[..., None], jobs: Jobs
):
    file = tmp_path / "late.smi"
    run_id = imported(database, file)
    run_jobs()
    state, failure, *_ = run(admin, run_id)
    assert (state, jobs()) == ("failed", [("failed", 1)])
    assert "there is no file" in failure

    file.write_text("CCO ethanol\n")
    with database.transaction(SERVICE) as session:
        ImportRequestRepository(session).retry(run_id)
    run_jobs()

    assert run(admin, run_id) == ("finished", None, 1, 0)
    assert jobs() == [("failed", 1), ("succeeded", 1)]
    with pytest.raises(ConflictError, match="finished"), database.transaction(SERVICE) as session:
        ImportRequestRepository(session).retry(run_id)


def test_an_import_that_a_command_is_working_on_is_looked_at_again_later(
    database: Database, admin: psycopg.Connection, smiles: Path, run_jobs: Callable[..., None], jobs: Jobs
):
    run_id = imported(database, smiles)
    with database.transaction(SERVICE) as session:
        assert ImportRepository(session).take_lease(run_id) is not None

    run_jobs()

    # That is no failed attempt of the job's.
    assert jobs() == [("todo", 0)]
    assert run(admin, run_id)[0] == "running"
    admin.execute("UPDATE import_runs SET lease_until = now() - interval '1 s'")
    admin.execute("UPDATE jobs.procrastinate_jobs SET scheduled_at = now()")
    run_jobs()
    assert run(admin, run_id) == ("finished", None, 4, 0)


def test_a_worker_that_stops_hands_its_job_back_and_the_next_goes_on_with_it(
    database: Database, admin: psycopg.Connection, glycerol: UUID, run_jobs: Callable[..., None], jobs: Jobs
):
    alice = factories.user()
    batch_id = asked(database, alice, *many(database, alice, glycerol, 800))

    def stop_when_begun() -> None:
        wait_until(lambda: batch(admin, batch_id)[1] > 0)
        os.kill(os.getpid(), signal.SIGTERM)

    stopping = threading.Thread(target=stop_when_begun)
    stopping.start()
    run_jobs(until_empty=False, grace_s=0.0)
    stopping.join()

    state, done, *_ = batch(admin, batch_id)
    assert state == "running"
    assert 0 < done < 800
    assert jobs() == [("todo", 0)]
    run_jobs()
    assert batch(admin, batch_id)[:5] == ("finished", 800, 800, 0, 0)
    assert jobs() == [("succeeded", 1)]


def test_a_fault_after_progress_is_no_failed_attempt_and_before_it_one(
    database: Database,
    admin: psycopg.Connection,
    run_jobs: Callable[..., None],
    jobs: Jobs,
    monkeypatch: pytest.MonkeyPatch,
):
    imported(database, Path("any.smi"))
    admin.execute("UPDATE jobs.procrastinate_jobs SET attempts = 5")

    def broken_off(*_: object, on_progress: Callable[[object], None], **__: object) -> None:
        if jobs()[0][1] == 5:
            on_progress(None)
        raise UnavailableError("the source does not answer")

    monkeypatch.setattr(tasks, "run_pages", broken_off)

    run_jobs()
    assert jobs() == [("todo", 0)]
    admin.execute("UPDATE jobs.procrastinate_jobs SET scheduled_at = now()")
    run_jobs()
    assert jobs() == [("todo", 1)]


# Files from elsewhere.


def imported_from(database: Database, url: str) -> UUID:
    with database.transaction(SERVICE) as session:
        source_id = ProvenanceRepository(session).ensure_source(SourceStatement("a file"))
        return ImportRequestRepository(session).add(source_id, {"source": "file", "url": url})


def test_a_file_from_elsewhere_is_fetched_imported_and_removed(
    database: Database,
    admin: psycopg.Connection,
    https_server: Server,
    run_jobs: Callable[..., None],
    tmp_path: Path,
):
    run_id = imported_from(database, https_server.url("/../odd name.smi"))

    run_jobs(https_server.allowed)

    assert run(admin, run_id) == ("finished", None, 1, 999)
    assert list(tmp_path.rglob("*.smi")) == []


def test_a_file_that_may_not_be_fetched_fails_its_import_and_says_why(
    database: Database, admin: psycopg.Connection, https_server: Server, run_jobs: Callable[..., None], jobs: Jobs
):
    run_id = imported_from(database, https_server.url())

    run_jobs(replace(https_server.allowed, is_public=is_public))

    assert run(admin, run_id)[:2] == ("failed", "localhost leads to an address that is not public")
    assert jobs() == [("failed", 1)]


def test_a_server_that_is_away_is_asked_again_later(
    database: Database, admin: psycopg.Connection, https_server: Server, run_jobs: Callable[..., None], jobs: Jobs
):
    https_server.answers["/file.smi"] = refusing(503)
    run_id = imported_from(database, https_server.url())
    run_jobs(https_server.allowed)
    assert (run(admin, run_id)[0], jobs()) == ("queued", [("todo", 1)])

    del https_server.answers["/file.smi"]
    admin.execute("UPDATE jobs.procrastinate_jobs SET scheduled_at = now()")
    run_jobs(https_server.allowed)

    assert run(admin, run_id)[0] == "finished"


def test_a_file_that_changed_since_its_import_began_is_not_mixed_with_it(
    database: Database, admin: psycopg.Connection, https_server: Server, run_jobs: Callable[..., None]
):
    run_id = imported_from(database, https_server.url())
    admin.execute("UPDATE import_runs SET parameters = parameters || jsonb_build_object('sha256', repeat('0', 64))")

    run_jobs(https_server.allowed)

    assert run(admin, run_id)[:2] == ("failed", "the file has changed since the import began; start a new one")


# What dead workers leave.


def lost(admin: psycopg.Connection, attempts: int = 0, silent: str = "1 minute") -> None:
    """Make all jobs those of a worker that has been silent for so long."""
    admin.execute(
        """
        WITH gone AS (
            INSERT INTO jobs.procrastinate_workers (last_heartbeat) VALUES (now() - %s::interval) RETURNING id
        )
        UPDATE jobs.procrastinate_jobs SET status = 'doing', attempts = %s, worker_id = gone.id FROM gone
        """,
        (silent, attempts),
    )


def test_a_lost_job_is_put_back_once_however_many_look(
    database: Database, admin: psycopg.Connection, smiles: Path, jobs: Jobs
):
    imported(database, smiles)
    lost(admin)
    gate = threading.Barrier(4)

    def look() -> int:
        gate.wait()
        return len(recover(database, silent_s=30))

    with ThreadPoolExecutor(4) as threads:
        found = [looking.result() for looking in [threads.submit(look) for _ in range(4)]]

    assert sorted(found) == [0, 0, 0, 1]
    assert jobs() == [("todo", 1)]
    assert admin.execute("SELECT count(*) FROM jobs.procrastinate_workers").fetchone() == (0,)


def test_a_job_whose_worker_was_forgotten_is_put_back(
    database: Database, admin: psycopg.Connection, smiles: Path, jobs: Jobs
):
    imported(database, smiles)
    lost(admin)
    admin.execute("DELETE FROM jobs.procrastinate_workers")

    recover(database, silent_s=30)

    assert jobs() == [("todo", 1)]


def test_a_job_of_a_worker_that_lives_is_left_alone(
    database: Database, admin: psycopg.Connection, smiles: Path, jobs: Jobs
):
    imported(database, smiles)
    lost(admin, silent="20 s")

    assert recover(database, silent_s=30) == []
    assert jobs() == [("doing", 0)]


def test_a_job_that_was_lost_too_often_is_given_up_and_its_run_with_it(
    database: Database, admin: psycopg.Connection, smiles: Path, jobs: Jobs
):
    run_id = imported(database, smiles)
    lost(admin, attempts=MAX_ATTEMPTS - 1)

    (given_up,) = recover(database, silent_s=30)

    assert (given_up.task, given_up.status) == ("run_import", "failed")
    assert jobs() == [("failed", MAX_ATTEMPTS)]
    assert run(admin, run_id)[:2] == ("failed", "its job was given up after too many attempts")


def test_a_run_that_somebody_works_on_outlives_a_job_that_was_given_up(
    database: Database, admin: psycopg.Connection, smiles: Path
):
    run_id = imported(database, smiles)
    with database.transaction(SERVICE) as session:
        ImportRepository(session).take_lease(run_id)
    lost(admin, attempts=MAX_ATTEMPTS - 1)

    recover(database, silent_s=30)

    assert run(admin, run_id)[0] == "running"


def test_a_batch_whose_job_was_given_up_has_failed(database: Database, admin: psycopg.Connection, glycerol: UUID):
    alice = factories.user()
    batch_id = asked(database, alice, mixture(database, alice, glycerol))
    lost(admin, attempts=MAX_ATTEMPTS - 1)

    recover(database, silent_s=30)

    assert batch(admin, batch_id)[0] == "failed"


def test_jobs_that_ended_long_ago_are_removed_and_failed_ones_kept_longer(
    database: Database, admin: psycopg.Connection, smiles: Path, jobs: Jobs
):
    for status in ("succeeded", "failed", "todo"):
        imported(database, smiles)
        admin.execute(
            "UPDATE jobs.procrastinate_jobs SET status = %s::jobs.procrastinate_job_status "
            "WHERE id = (SELECT max(id) FROM jobs.procrastinate_jobs)",
            (status,),
        )

    def after(days: int) -> list[str]:
        admin.execute("UPDATE jobs.procrastinate_events SET at = now() - make_interval(days => %s)", (days,))
        with database.transaction(SERVICE) as session:
            JobRepository(session).prune()
        return [status for status, _ in jobs()]

    assert after(6) == ["succeeded", "failed", "todo"]
    assert after(8) == ["failed", "todo"]
    assert after(91) == ["todo"]


def test_a_worker_whose_job_is_another_one_s_by_now_neither_ends_it_nor_puts_it_back(
    database: Database, urls: DatabaseUrls, smiles: Path, admin: psycopg.Connection, jobs: Jobs
):
    imported(database, smiles)
    seen: list[list[tuple[str, int]]] = []

    async def meet() -> None:
        app = queue_app(queue_connector(urls.service, Duties(QUEUES)))
        async with app.open_async():
            manager = app.job_manager
            job = await manager.fetch_job(list(QUEUES), await manager.register_worker())
            assert job is not None
            admin.execute("UPDATE jobs.procrastinate_jobs SET status = 'todo', worker_id = NULL")
            await manager.retry_job(job, priority=-9)
            taken = await manager.fetch_job(list(QUEUES), await manager.register_worker())
            assert taken is not None
            for worker in (job, taken):
                await manager.retry_job(worker)
                seen.append(jobs())
            admin.execute("UPDATE jobs.procrastinate_jobs SET status = 'doing'")
            for worker in (job, taken, job):
                await manager.finish_job(worker, Status.SUCCEEDED, delete_job=False)
                seen.append(jobs())

    asyncio.run(meet())

    assert seen == [[("doing", 0)], [("todo", 1)], [("doing", 1)], [("succeeded", 2)], [("succeeded", 2)]]
