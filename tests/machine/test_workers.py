"""Workers as processes: several at once, killed in the middle, asked to stop, beside the service."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import psutil
import psycopg
import pytest

from app.domain.callers import SERVICE
from database import migrate
from database.repositories.import_requests import ImportRequestRepository
from database.repositories.provenance import ProvenanceRepository, SourceStatement
from database.session import Database
from tests.machine.conftest import TIMEOUT_S, Serving
from tests.plugins.jobs import kill, wait_until

pytestmark = [pytest.mark.machine, pytest.mark.timeout(300)]

Start = Callable[..., "subprocess.Popen[bytes]"]
Jobs = Callable[[], list[tuple[str, int]]]
STRUCTURES = 4100
"""Three pages."""
LOADED_SQL = "SELECT count(*), count(DISTINCT inchikey) FROM molecules"
ADDED_SQL = "SELECT state, added_count, existing_count FROM import_runs ORDER BY id"


def _file(folder: Path, count: int = STRUCTURES) -> Path:
    file = folder / "chains.smi"
    chains = (f"{'C' * (n % 40 + 1)}{'O' * (n // 40 % 2)}C{'N' * (n // 80)} chain {n}\n" for n in range(count))
    file.write_text("".join(chains))
    return file


def _imported(database: Database, path: Path) -> UUID:
    with database.transaction(SERVICE) as session:
        source_id = ProvenanceRepository(session).ensure_source(SourceStatement("chains"))
        return ImportRequestRepository(session).add(source_id, {"source": "file", "path": str(path)})


def _done(admin: psycopg.Connection) -> int:
    return int(admin.execute("SELECT sum(added_count + existing_count) FROM import_runs").fetchall()[0][0])


def test_what_a_killed_worker_had_is_finished_by_another_with_no_row_twice(
    start_worker: Start, database: Database, admin: psycopg.Connection, tmp_path: Path, jobs: Jobs
):
    _imported(database, _file(tmp_path))
    first = start_worker()
    wait_until(lambda: _done(admin) > 0, 120)
    second = start_worker()

    kill(first)

    wait_until(lambda: jobs()[0][0] == "succeeded", 200)
    assert second.poll() is None
    ((state, added, existing),) = admin.execute(ADDED_SQL).fetchall()
    rows, structures = admin.execute(LOADED_SQL).fetchall()[0]
    assert state == "finished"
    assert added + existing == STRUCTURES
    assert rows == structures == added


def test_two_workers_share_the_queue_and_run_each_job_once(
    start_worker: Start, database: Database, admin: psycopg.Connection, tmp_path: Path, jobs: Jobs
):
    file = _file(tmp_path, 30)
    start_worker("--concurrency", "1")
    start_worker("--concurrency", "1")
    wait_until(lambda: _workers(admin) == 2)
    for _ in range(12):
        _imported(database, file)

    wait_until(lambda: {status for status, _ in jobs()} == {"succeeded"})

    assert jobs() == [("succeeded", 1)] * 12
    runs = admin.execute(ADDED_SQL).fetchall()
    assert {(state, added + existing) for state, added, existing in runs} == {("finished", 30)}
    took_part = "SELECT count(DISTINCT worker_id) FROM jobs.procrastinate_jobs"
    assert admin.execute(took_part.encode()).fetchall() == [(2,)]


def test_a_worker_that_is_asked_to_stop_ends_well_and_is_forgotten(start_worker: Start, admin: psycopg.Connection):
    worker = start_worker()
    wait_until(lambda: _workers(admin) == 1)

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(timeout=TIMEOUT_S) == 0
    assert _workers(admin) == 0


def test_a_worker_outlives_its_connections(
    start_worker: Start, database: Database, admin: psycopg.Connection, tmp_path: Path, jobs: Jobs
):
    worker = start_worker()
    wait_until(lambda: _workers(admin) == 1)
    admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'cryoprotect%'")

    _imported(database, _file(tmp_path, 5))

    wait_until(lambda: jobs()[0][0] == "succeeded")
    assert worker.poll() is None


def test_a_worker_refuses_a_database_at_another_revision(start_worker: Start, admin: psycopg.Connection):
    admin.execute("UPDATE private.alembic_version SET version_num = '0001_platform'")
    try:
        worker = start_worker()

        assert worker.wait(timeout=TIMEOUT_S) == 1
    finally:
        admin.execute("UPDATE private.alembic_version SET version_num = %s", (migrate.head(),))


def test_serve_starts_its_worker_again_and_takes_it_along(serve: Callable[..., Serving], made_folder: Path):
    serving = serve(made_folder)
    serving.url()
    first = _worker_of(serving)
    assert first is not None
    first.kill()

    wait_until(lambda: _worker_of(serving) not in {None, first})
    second = _worker_of(serving)
    assert second is not None
    assert "it is started again" in serving.said
    assert serving.get("/health/ready").status_code == 200

    os.kill(serving.process.pid, signal.SIGKILL)
    serving.wait_until_gone([second])


def test_serve_runs_no_worker_where_it_shall_not(serve: Callable[..., Serving], made_folder: Path):
    serving = serve(made_folder, SERVE_WORKER="off")
    serving.url()
    time.sleep(1)

    assert _worker_of(serving) is None


def _workers(admin: psycopg.Connection) -> int:
    return int(admin.execute("SELECT count(*) FROM jobs.procrastinate_workers").fetchall()[0][0])


def _worker_of(serving: Serving) -> psutil.Process | None:
    children = psutil.Process(serving.process.pid).children()
    workers = [child for child in children if child.status() != psutil.STATUS_ZOMBIE and "worker" in child.cmdline()]
    return workers[0] if workers else None
