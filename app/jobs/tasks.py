"""What a worker can do: each task takes ids only, and looks up in the database what is to be done now.

A task may be run twice, by a worker that was thought dead and by the one after it. Both of ours keep their progress
in the transactions of their effects, so the second finds nothing to do, or the first finds itself overtaken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from procrastinate import App, JobContext
from procrastinate.connector import BaseConnector
from procrastinate.exceptions import JobAborted
from procrastinate.job_context import AbortReason

from app.errors import CryoProtectError
from app.importers.download import Allowed
from app.importers.pipeline import run_import as run_pages
from app.jobs.retries import Backoff, HeldElsewhereError
from app.services.chemistry import ChemistryPool
from app.services.place_import import place_import, remove_placed
from app.services.predict_batch import OvertakenError, predict_batch
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
    app.task(name="run_import", queue="imports", retry=Backoff(), pass_context=True)(run_import)
    app.task(name="predict_mixtures", queue="predictions", retry=Backoff(), pass_context=True)(predict_mixtures)
    return app


def run_import(context: JobContext, run_id: str) -> None:
    """Work on an import run until it ends.

    Raises:
        HeldElsewhereError: Another worker has it.
        ImportFailedError: It ended in failure.
    """
    parts = _parts(context)
    placed = place_import(parts.database, UUID(run_id), parts.allowed, parts.folder, _keep_going(context))
    report = run_pages(parts.database, parts.chemistry, UUID(run_id), on_progress=lambda _: _hand_back(context))
    if report.state in {"queued", "running"}:
        raise HeldElsewhereError
    if placed is not None:
        remove_placed(placed)
    if report.state == "failed":
        raise ImportFailedError(report.failure or "the import failed")


def predict_mixtures(context: JobContext, batch_id: str) -> None:
    """Predict the mixtures of a batch with the rights of whoever asked for it."""
    try:
        ended = predict_batch(_parts(context).database, UUID(batch_id), _keep_going(context))
    except OvertakenError as error:
        raise HeldElsewhereError from error
    if not ended:
        raise JobAborted


def _parts(context: JobContext) -> Parts:
    parts: Any = context.additional_context[PARTS]
    assert isinstance(parts, Parts)  # noqa: S101 - the worker gave them
    return parts


def _keep_going(context: JobContext) -> Callable[[], bool]:
    """Return what tells whether the worker goes on; one that stops hands its jobs back between two steps."""
    return lambda: context.abort_reason() is not AbortReason.SHUTDOWN


def _hand_back(context: JobContext) -> None:
    if not _keep_going(context)():
        raise JobAborted
