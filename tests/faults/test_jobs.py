"""The same faults while a worker process has a job under way: it ends, and every record is there once."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from uuid import UUID

import pytest

from app.domain.callers import SERVICE
from database.repositories.import_requests import ImportRequestRepository
from database.repositories.provenance import ProvenanceRepository, SourceStatement
from database.urls import database_urls
from tests.faults.conftest import Server
from tests.faults.proxy import FaultyNetwork
from tests.faults.test_matrix import World, every_fault
from tests.plugins.database import SECRET, open_database
from tests.plugins.jobs import kill, wait_until

pytestmark = [pytest.mark.machine, pytest.mark.timeout(120)]
PROJECT: Final = Path(__file__).parents[2]
STRUCTURES: Final = 3000
"""Three pages, and a little one."""
REFUSED: Final = 3
ENDS_WITHIN_S: Final = 60.0
"""After all is well: a lease may have to lapse."""
RUNS_SQL: Final = "SELECT state, added_count + existing_count, refused_count FROM public.import_runs"
ADDED_SQL: Final = """
SELECT count(*), count(DISTINCT inchikey) FROM public.molecules WHERE import_run_id IS NOT NULL
"""
ERRORS_SQL: Final = "SELECT count(*) FROM public.import_errors"
JOBS_SQL: Final = "SELECT status::text FROM jobs.procrastinate_jobs"
OPEN_SQL: Final = """
SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 'cryoprotect%' AND state LIKE 'idle in transaction%'
"""
# What waits half a minute for its next attempt has waited long enough: the wait itself is tested elsewhere.
PASS_TIME_SQL: Final = """
UPDATE jobs.procrastinate_jobs SET scheduled_at = clock_timestamp()
WHERE status = 'todo' AND scheduled_at > clock_timestamp()
"""
FORGET_SQL: Final = (
    "DELETE FROM public.molecules WHERE import_run_id IS NOT NULL",
    "DELETE FROM public.import_runs",
    "DELETE FROM jobs.procrastinate_jobs",
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a file of chains with two different ends, so no two alike, and some records that are none."""
    made = tmp_path_factory.mktemp("jobs") / "chains.smi"
    bridges = itertools.product(range(1, 26), ("O", "S", "N", "C(=O)"), range(1, 31))
    chains = [f"N{'C' * left}{bridge}{'C' * right}F" for left, bridge, right in bridges]
    made.write_text("\n".join(chains + ["C1CC unclosed"] * REFUSED), encoding="ascii")
    return made


@pytest.fixture(scope="module")
def network(server: Server) -> Iterator[FaultyNetwork]:
    """Give one network for all tests here: a worker that is started anew each time would outlive nothing."""
    with FaultyNetwork(server.socket) as running:
        yield running


@pytest.fixture(scope="module")
def worker(
    server: Server, network: FaultyNetwork, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[subprocess.Popen[bytes]]:
    """Give a worker process behind the network."""
    folder = tmp_path_factory.mktemp("worker")
    environment = {
        **os.environ,
        "CRYOPROTECT_DATA_DIR": str(folder),
        "DATABASE_URL": network.through(server.url),
        "SUPABASE_JWT_SECRET": SECRET,
        "WORKER_HEARTBEAT_S": "0.5",
        "LOG_LEVEL": "WARNING",
    }
    command = [sys.executable, "-m", "app.cli.main", "worker", "--queue", "imports"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=PROJECT, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    yield process
    kill(process)


def add_import(server: Server, file: Path) -> UUID:
    database = open_database(database_urls(server.url, None, SECRET))
    try:
        with database.transaction(SERVICE) as session:
            source_id = ProvenanceRepository(session).ensure_source(SourceStatement("chains"))
            return ImportRequestRepository(session).add(source_id, {"source": "file", "path": str(file)})
    finally:
        database.close()


def has_succeeded(server: Server) -> bool:
    server.execute(PASS_TIME_SQL)
    return server.execute(JOBS_SQL) == [("succeeded",)]


def is_under_way(server: Server) -> bool:
    ((state, done, _),) = server.execute(RUNS_SQL)
    assert state in {"queued", "running"}, "it ended before there was a fault"
    return state == "running" and int(str(done)) > 0


@every_fault
def test_a_job_at_work_ends_with_every_record_once(
    server: Server,
    network: FaultyNetwork,
    worker: subprocess.Popen[bytes],
    file: Path,
    fault: Callable[[World], None],
) -> None:
    server.execute(*FORGET_SQL)
    add_import(server, file)
    wait_until(lambda: is_under_way(server))

    fault(World(server, network, long_s=5.0))

    wait_until(lambda: has_succeeded(server), ENDS_WITHIN_S)
    assert worker.poll() is None
    assert server.execute(RUNS_SQL) == [("finished", STRUCTURES, REFUSED)]
    assert server.execute(ADDED_SQL) == [(STRUCTURES, STRUCTURES)]
    assert server.execute(ERRORS_SQL) == [(REFUSED,)]
    wait_until(lambda: server.execute(OPEN_SQL) == [(0,)], 5.0)
    server.execute(*FORGET_SQL)
