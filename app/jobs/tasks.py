"""What a worker can do: each task takes ids only, and looks up in the database what is to be done now.

A task may be run twice, by a worker that was thought dead and by the one after it. Ours keep their progress in the
transactions of their effects, so the second finds nothing to do, or the first finds itself overtaken. The job then is
the second's, and the queue takes nothing about it from the first any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from procrastinate import App, JobContext
from procrastinate.connector import BaseConnector
from procrastinate.exceptions import JobAborted
from procrastinate.job_context import AbortReason

from app.domain.callers import SERVICE
from app.errors import CryoProtectError
from app.importers.download import Allowed
from app.importers.pipeline import run_import as run_pages
from app.jobs.own_jobs import OwnJobs
from app.jobs.retries import Backoff, BrokenOffError, HeldElsewhereError, UncountedError, is_final
from app.services.chemistry import ChemistryPool
from app.services.place_import import place_import, remove_placed
from app.services.predict_batch import OvertakenError, predict_batch
from app.services.run_optimization import run_optimization
from database.repositories.jobs import JobRepository
from database.session import Database

PARTS: Final = "parts"


@dataclass(frozen=True, slots=True)
class Parts:
    """What tasks work with; one worker process has one of each."""

    database: Database
    chemistry: ChemistryPool
    allowed: Allowed
    """Where files may be fetched from."""
    folder: Path
    """Where fetched files lie while they are imported."""


class ImportFailedError(CryoProtectError):
    """The run has ended in failure and says why; only who started it can have it tried again."""


def queue_app(connector: BaseConnector) -> App:
    """Return the queue with its tasks."""
    app = App(connector=connector)
    app.job_manager = OwnJobs(connector)
    app.task(name="run_import", queue="imports", retry=Backoff(), pass_context=True)(run_import)
    app.task(name="predict_mixtures", queue="predictions", retry=Backoff(), pass_context=True)(predict_mixtures)
    app.task(name="optimize_mixtures", queue="predictions", retry=Backoff(), pass_context=True)(optimize_mixtures)
    return app


def run_import(context: JobContext, run_id: str) -> None:
    """Work on an import run until it ends.

    Raises:
        HeldElsewhereError: Another worker has it.
        ImportFailedError: It ended in failure.
    """
    parts = _parts(context)
    with _attempt(context) as attempt:
        placed = place_import(parts.database, UUID(run_id), parts.allowed, parts.folder, attempt.goes_on)
        report = run_pages(parts.database, parts.chemistry, UUID(run_id), on_progress=lambda _: attempt.come_further())
        if report.state in {"queued", "running"}:
            raise HeldElsewhereError
    if placed is not None:
        remove_placed(placed)
    if report.state == "failed":
        raise ImportFailedError(report.failure or "the import failed")


def predict_mixtures(context: JobContext, batch_id: str) -> None:
    """Predict the mixtures of a batch with the rights of whoever asked for it."""
    _carry_out(context, predict_batch, batch_id)


def optimize_mixtures(context: JobContext, optimization_id: str) -> None:
    """Search for mixtures until the search has ended."""
    _carry_out(context, run_optimization, optimization_id)


def _carry_out(context: JobContext, work: Callable[[Database, UUID, Callable[[], bool]], bool], record_id: str) -> None:
    with _attempt(context) as attempt:
        try:
            ended = work(_parts(context).database, UUID(record_id), attempt.goes_on)
        except OvertakenError as error:
            raise HeldElsewhereError from error
        if not ended:
            raise JobAborted


class _Attempt:
    """One worker's go at a job."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self.has_come_further = False

    def goes_on(self) -> bool:
        """Return whether the worker goes on; one that stops hands its jobs back between two steps."""
        return self._context.abort_reason() is not AbortReason.SHUTDOWN

    def come_further(self) -> None:
        """Note that something of the job is done for good."""
        self.has_come_further = True
        if not self.goes_on():
            raise JobAborted


@contextmanager
def _attempt(context: JobContext) -> Iterator[_Attempt]:
    """Give an attempt, which counts as failed only where it failed before it came any further."""
    attempt = _Attempt(context)
    try:
        yield attempt
    except (JobAborted, UncountedError):
        _count(context, context.job.attempts)
        raise
    except Exception as error:
        if not attempt.has_come_further or is_final(error):
            raise
        _count(context, 0)
        raise BrokenOffError from error


def _count(context: JobContext, attempts: int) -> None:
    """Make the job's failed attempts so many; the queue adds this one."""
    job = context.job
    assert job.id is not None  # noqa: S101 - it was fetched
    assert job.worker_id is not None  # noqa: S101
    with _parts(context).database.transaction(SERVICE) as session:
        JobRepository(session).count_attempts(job.id, job.worker_id, attempts - 1)


def _parts(context: JobContext) -> Parts:
    parts: Any = context.additional_context[PARTS]
    assert isinstance(parts, Parts)  # noqa: S101 - the worker gave them
    return parts
