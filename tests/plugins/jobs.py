"""The real queue's real worker: in this process until nothing is left, or as a process to be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from app.importers.download import Allowed
from app.jobs.tasks import Parts
from app.jobs.worker import Duties, work
from app.services.chemistry import ChemistryPool
from database.repositories.jobs import QUEUES
from database.session import Database
from database.urls import DatabaseUrls
from tests.plugins.database import SECRET

ROOT = Path(__file__).resolve().parents[2]
JOBS_SQL = "SELECT status::text, attempts FROM jobs.procrastinate_jobs ORDER BY id"
TIMEOUT_S = 60.0


@pytest.fixture(scope="session")
def worker_chemistry() -> Iterator[ChemistryPool]:
    """Give the chemistry that jobs share."""
    pool = ChemistryPool(1, 10.0, 1024)
    yield pool
    pool.close()


@pytest.fixture
def run_jobs(
    urls: DatabaseUrls, database: Database, worker_chemistry: ChemistryPool, tmp_path: Path
) -> Callable[..., None]:
    """Give a worker that runs what waits, and returns."""

    def run(allowed: Allowed | None = None, **duties: Any) -> None:
        parts = Parts(database, worker_chemistry, allowed or Allowed(frozenset()), tmp_path)
        work(urls.service, parts, Duties(QUEUES, **{"until_empty": True, "heartbeat_s": 0.5, **duties}))

    return run


@pytest.fixture
def jobs(admin: psycopg.Connection) -> Callable[[], list[tuple[str, int]]]:
    """Give a look at the queue: each job's status and how often it was tried."""
    return lambda: admin.execute(JOBS_SQL).fetchall()


@pytest.fixture
def start_worker(urls: DatabaseUrls, emptied: None, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Give a starter of worker processes, which are ended with all that they started."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, **settings: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "DATABASE_URL": urls.admin,
            "SUPABASE_JWT_SECRET": SECRET,
            "CRYOPROTECT_DATA_DIR": str(tmp_path),
            "WORKER_HEARTBEAT_S": "0.3",
            "LOG_LEVEL": "WARNING",
            **settings,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli.main", "worker", *arguments],
            cwd=ROOT,
            env=environment,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a worker and its chemistry at once, as a power cut would."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(happened: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> None:
    """Return when it has happened."""
    deadline = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
