"""Work that comes round by itself: old answers go, the summary of public molecules follows the molecules.

Every worker of every host looks now and then; a task's row in the database says who may run it, so it is run
once. The work and the record of its good end are one transaction.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import structlog

from app.domain.callers import SERVICE
from database.repositories.idempotency import IdempotencyRepository
from database.repositories.jobs import JobRepository
from database.repositories.maintenance import Claim, MaintenanceRepository
from database.repositories.optimizations import OptimizationRepository
from database.repositories.prediction_batches import PredictionBatchRepository
from database.repositories.tokens import TokenRepository
from database.session import Database, WriteSession

MOLECULE_SUMMARY: Final = "molecule_summary"
TIME_LIMIT_S: Final = 300.0
"""What one statement of a task may take."""
LEASE_S: Final = 900.0
"""A worker that has a task for longer than this has died."""
RETRY_S: Final = 300.0
SOON_S: Final = 30.0
"""Imports come in bursts; and the server counts a session's changes some 10 s later."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    """What is done every `every_s` seconds; `work` returns how much there was to do."""

    name: str
    every_s: float
    work: Callable[[WriteSession], int]


@dataclass(frozen=True, slots=True)
class Run:
    """How a task went: how much it did, or why it failed."""

    task: str
    took_ms: int
    changed: int
    error: str | None


def _prune_jobs(session: WriteSession) -> int:
    """Remove jobs that ended long ago, and what was asked for with them; return how many."""
    kept = (JobRepository(session), PredictionBatchRepository(session), OptimizationRepository(session))
    return sum(repository.prune() for repository in kept)


TASKS: Final = (
    Task("idempotency_keys", 3600, lambda session: IdempotencyRepository(session).prune()),
    Task("tokens", 3600, lambda session: TokenRepository(session).prune()),
    Task("jobs", 3600, _prune_jobs),
    Task(MOLECULE_SUMMARY, 900, lambda session: MaintenanceRepository(session).refresh_molecule_summary()),
)


def run_due(database: Database, tasks: Sequence[Task] = TASKS, *, anyway: bool = False) -> list[Run]:
    """Run what is due and nobody else has, or with `anyway` all that nobody else has; return what was run.

    A task that fails is recorded, due again within RETRY_S, and keeps no other from running.

    Raises:
        UnavailableError: The database does not answer.
    """
    runs = []
    for task in tasks:
        claim = _claim(database, task, anyway=anyway)
        if claim is not None:
            runs.append(_run(database, task, claim))
    return runs


def refresh_summary_soon(session: WriteSession) -> None:
    """Make the summary of public molecules follow what the session's transaction changes."""
    MaintenanceRepository(session).hasten(MOLECULE_SUMMARY, within_s=SOON_S)


class MaintenanceThread:
    """Runs what is due about every `interval_s`, beside the requests of one process; never if that is 0."""

    def __init__(self, database: Database, interval_s: float) -> None:
        self._database = database
        self._interval_s = interval_s
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin; in gunicorn's workers the thread is a greenlet."""
        if self._interval_s:
            threading.Thread(target=self._look_now_and_then, name="maintenance", daemon=True).start()

    def stop(self) -> None:
        """Look no more. Nobody waits for a run under way: what it did not commit is as if it had not begun."""
        self._stopped.set()

    def _look_now_and_then(self) -> None:
        while not self._stopped.wait(self._interval_s * random.uniform(0.5, 1.5)):  # noqa: S311 - spreads the workers
            try:
                for run in run_due(self._database):
                    say = _log.info if run.error is None else _log.warning
                    say("maintenance", **asdict(run))
            except Exception as error:  # noqa: BLE001 - whatever it is, the requests go on and so does the next look
                _log.warning("maintenance is put off", cause=type(error).__name__)


def _claim(database: Database, task: Task, *, anyway: bool) -> Claim | None:
    with database.transaction(SERVICE) as session:
        return MaintenanceRepository(session).claim(task.name, every_s=task.every_s, lease_s=LEASE_S, anyway=anyway)


def _run(database: Database, task: Task, claim: Claim) -> Run:
    started = time.perf_counter()
    changed, error = 0, None
    try:
        changed = _work(database, task, claim)
    except Exception as fault:  # noqa: BLE001 - a task's fault is its record's and the log's
        error = f"{type(fault).__name__}: {fault}"
        with database.transaction(SERVICE) as session:
            MaintenanceRepository(session).fail(claim, error, retry_s=RETRY_S)
    return Run(task.name, round((time.perf_counter() - started) * 1000), changed, error)


def _work(database: Database, task: Task, claim: Claim) -> int:
    with database.transaction(SERVICE) as session:
        repository = MaintenanceRepository(session)
        repository.limit_time(TIME_LIMIT_S)
        changed = task.work(session)
        repository.finish(claim)
    return int(changed)
