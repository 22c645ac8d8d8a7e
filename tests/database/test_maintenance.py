"""Work that comes round by itself: once however many look, again when it is due, and never in the way of others.

The database's clock is the only one, so time passes by moving a task's times into the past.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg
import pytest
from click.testing import CliRunner, Result

from app.cli.db import db
from app.domain.callers import SERVICE
from app.errors import UnavailableError
from app.services.maintenance import TASKS, MaintenanceThread, Run, Task, run_due
from database.repositories.idempotency import IdempotencyRepository, KeptAnswer
from database.repositories.maintenance import Claim, MaintenanceRepository
from database.session import Database, WriteSession
from database.urls import DatabaseUrls
from tests import factories
from tests.plugins.database import SECRET

PASS_SQL = """
UPDATE private.maintenance_runs
SET due_at = due_at - make_interval(secs => %(s)s), leased_until = leased_until - make_interval(secs => %(s)s),
    started_at = started_at - make_interval(secs => %(s)s), finished_at = finished_at - make_interval(secs => %(s)s)
"""
STATE_SQL = """
SELECT finished_at IS NOT NULL, error, leased_until IS NOT NULL,
    round(extract(epoch FROM due_at - clock_timestamp()))::int
FROM private.maintenance_runs WHERE task = %s
"""
UNFINISHED_SQL = "SELECT count(*) - count(finished_at), count(*) FROM private.maintenance_runs"
MARK_SQL = "INSERT INTO public.data_sources (name) VALUES (%(name)s)"
MARKS_SQL = "SELECT name FROM public.data_sources ORDER BY name"


def _nothing(_session: WriteSession) -> int:
    return 0


def _claim(database: Database, task: str = "task") -> Claim | None:
    with database.transaction(SERVICE) as session:
        return MaintenanceRepository(session).claim(task, every_s=900, lease_s=600)


def _pass(admin: psycopg.Connection, seconds: float) -> None:
    admin.execute(PASS_SQL.encode(), {"s": seconds})


def _names(runs: list[Run]) -> list[str]:
    return [run.task for run in runs]


def _state(admin: psycopg.Connection, task: str = "task") -> tuple[object, ...]:
    return tuple(admin.execute(STATE_SQL.encode(), (task,)).fetchall()[0])


def test_of_many_who_look_at_once_one_runs_a_task(database: Database, urls: DatabaseUrls) -> None:
    ran: list[str] = []
    gate = threading.Barrier(8)

    def work(_session: WriteSession) -> int:
        ran.append("ran")
        time.sleep(0.2)
        return 3

    def look() -> list[Run]:
        gate.wait()
        return run_due(database, [Task("task", 900, work)])

    with ThreadPoolExecutor(8) as threads:
        runs = [run for looking in [threads.submit(look) for _ in range(8)] for run in looking.result(30)]

    assert ran == ["ran"]
    assert [(run.task, run.changed, run.error) for run in runs] == [("task", 3, None)]
    assert runs[0].took_ms >= 200


def test_a_task_is_run_again_when_its_time_has_come(database: Database, admin: psycopg.Connection) -> None:
    task = Task("task", 900, _nothing)

    assert _names(run_due(database, [task])) == ["task"]
    assert run_due(database, [task]) == []
    _pass(admin, 890)
    assert run_due(database, [task]) == []
    _pass(admin, 11)
    assert _names(run_due(database, [task])) == ["task"]


def test_whoever_asks_for_all_waits_for_nothing_but_a_run_under_way(
    database: Database, admin: psycopg.Connection
) -> None:
    task = Task("task", 900, _nothing)
    run_due(database, [task])

    assert _names(run_due(database, [task], anyway=True)) == ["task"]
    _pass(admin, 901)
    assert _claim(database) is not None
    assert run_due(database, [task], anyway=True) == []


def test_a_worker_that_died_is_overtaken_and_cannot_speak_for_the_task_any_more(
    database: Database, admin: psycopg.Connection
) -> None:
    dead = _claim(database)
    assert dead is not None
    _pass(admin, 590)
    assert _claim(database) is None
    _pass(admin, 11)

    successor = _claim(database)
    with database.transaction(SERVICE) as session:
        MaintenanceRepository(session).finish(dead)
        MaintenanceRepository(session).fail(dead, "late", retry_s=1)

    assert successor is not None
    assert _state(admin) == (False, None, True, 900)


def test_a_task_that_fails_is_recorded_undone_and_tried_again_and_stops_no_other(
    database: Database, admin: psycopg.Connection
) -> None:
    def fail(session: WriteSession) -> int:
        session.rows(MARK_SQL, {"name": "half done"})
        return int(session.rows("SELECT 1 / 0", {})[0][0])

    tasks = [Task("task", 3600, fail), Task("other", 3600, _nothing)]

    failed, other = run_due(database, tasks)

    assert (failed.task, other.task, other.error) == ("task", "other", None)
    assert failed.error == "DivisionByZero: division by zero"
    assert _state(admin) == (False, "DivisionByZero: division by zero", False, 300)
    assert admin.execute(MARKS_SQL.encode()).fetchall() == []
    _pass(admin, 301)
    again = run_due(database, [Task("task", 3600, _nothing), tasks[1]])
    assert _names(again) == ["task"]
    assert _state(admin) == (True, None, False, 3600)


def test_a_long_error_is_cut(database: Database, admin: psycopg.Connection) -> None:
    def fail(_session: WriteSession) -> int:
        raise ValueError("x" * 5000)

    run_due(database, [Task("task", 900, fail)])

    assert len(str(_state(admin)[1])) == 1000


def test_work_and_the_record_of_its_end_are_one_transaction(
    database: Database, admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("no record")

    monkeypatch.setattr(MaintenanceRepository, "finish", refuse)

    (run,) = run_due(database, [Task("task", 900, lambda session: len(session.rows(MARK_SQL, {"name": "mark"})))])

    assert run.error == "ValueError: no record"
    assert admin.execute(MARKS_SQL.encode()).fetchall() == []


def test_a_task_has_more_time_than_a_request_and_leaves_the_connection_as_it_was(database: Database) -> None:
    limits: list[object] = []

    def work(session: WriteSession) -> int:
        limits.extend(session.rows("SHOW statement_timeout", {})[0])
        return 0

    run_due(database, [Task("task", 900, work)])

    assert limits == ["5min"]
    assert database.reading(SERVICE).rows("SHOW statement_timeout", {}) == [("30s",)]


def test_a_task_is_hastened_but_never_put_off(database: Database, admin: psycopg.Connection) -> None:
    run_due(database, [Task("task", 900, _nothing)])

    for within_s in (30, 600):
        with database.transaction(SERVICE) as session:
            MaintenanceRepository(session).hasten("task", within_s=within_s)

    assert _state(admin)[3] == 30


def test_what_is_hastened_during_a_run_is_run_again(database: Database, admin: psycopg.Connection) -> None:
    def work(_session: WriteSession) -> int:
        with database.transaction(SERVICE) as session:
            MaintenanceRepository(session).hasten("task", within_s=30)
        return 0

    run_due(database, [Task("task", 900, work)])

    assert _state(admin) == (True, None, False, 30)


def test_old_answers_of_every_caller_go_and_young_ones_stay(database: Database, admin: psycopg.Connection) -> None:
    callers = [SERVICE, factories.user(), factories.user()]
    for caller in callers:
        for key in ("old", "young"):
            with database.transaction(caller) as session:
                IdempotencyRepository(session).add(key, b"hash", KeptAnswer(200, {}, b""))
    admin.execute("UPDATE private.idempotency_keys SET created_at = created_at - interval '24:00:01' WHERE key = 'old'")
    admin.execute(
        "UPDATE private.idempotency_keys SET created_at = created_at - interval '23:59:00' WHERE key = 'young'"
    )

    runs = {run.task: run for run in run_due(database)}

    assert runs["idempotency_keys"].changed == 3
    assert admin.execute("SELECT DISTINCT key, count(*) FROM private.idempotency_keys GROUP BY key").fetchall() == [
        ("young", 3)
    ]


@contextmanager
def _running(database: Database, interval_s: float) -> Iterator[MaintenanceThread]:
    thread = MaintenanceThread(database, interval_s)
    thread.start()
    try:
        yield thread
    finally:
        thread.stop()
        for other in _threads():
            other.join(10)


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "maintenance"]


def test_the_thread_runs_what_is_due_until_it_is_stopped(database: Database, admin: psycopg.Connection) -> None:
    with _running(database, 0.02):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and admin.execute(UNFINISHED_SQL.encode()).fetchone() != (0, len(TASKS)):
            time.sleep(0.05)

    assert admin.execute(UNFINISHED_SQL.encode()).fetchone() == (0, len(TASKS))
    assert _threads() == []


def test_an_interval_of_0_starts_no_thread(database: Database) -> None:
    with _running(database, 0):
        assert _threads() == []


def test_a_database_that_does_not_answer_ends_no_thread(urls: DatabaseUrls, emptied: None) -> None:
    late = Database(urls, min_size=0, max_size=2, timeout_s=5.0, transaction_pooler=False)
    with pytest.raises(UnavailableError):
        run_due(late)

    with _running(late, 0.02):
        time.sleep(0.5)
        late.open()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and late.reading(SERVICE).rows(UNFINISHED_SQL, {}) != [(0, len(TASKS))]:
            time.sleep(0.05)

    assert late.reading(SERVICE).rows(UNFINISHED_SQL, {}) == [(0, len(TASKS))]
    late.close()


@pytest.fixture
def command(urls: DatabaseUrls, monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """Let the command find the tests' database."""
    monkeypatch.setenv("DATABASE_URL", urls.admin)
    monkeypatch.setenv("SUPABASE_JWT_SECRET", SECRET)
    monkeypatch.setenv("CRYOPROTECT_DATA_DIR", str(tmp_path))


def _maintain(*options: str) -> Result:
    return CliRunner().invoke(db, ["maintain", *options])


def test_the_command_runs_what_is_due(database: Database, command: None) -> None:
    first, second, all_of_it = _maintain("--json"), _maintain(), _maintain("--all", "--json")

    assert first.exit_code == second.exit_code == all_of_it.exit_code == 0
    for done in (first, all_of_it):
        assert [run["task"] for run in json.loads(done.stdout)] == [task.name for task in TASKS]
        assert [run["error"] for run in json.loads(done.stdout)] == [None] * len(TASKS)
    assert second.stdout == "nothing is due\n"


def test_the_command_tells_of_a_failure_by_its_status(
    database: Database, command: None, admin: psycopg.Connection
) -> None:
    admin.execute("ALTER MATERIALIZED VIEW private.public_molecule_summary RENAME TO elsewhere")
    try:
        done = _maintain()
    finally:
        admin.execute("ALTER MATERIALIZED VIEW private.elsewhere RENAME TO public_molecule_summary")

    assert done.exit_code == 1
    assert "idempotency_keys  " in done.stdout
    assert "UndefinedTable" in done.stdout
