"""Imports that the service is asked for: put into the queue, shown, stopped, tried again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from database.listing import Detail, Field, Kind, Listing, Related, Scope
from database.repositories.base import ReadRepository, WriteRepository
from database.repositories.imports import MAX_FAILURE_LENGTH, ImportRepository

IMPORTS: Final = Listing(
    name="imports",
    source="public.import_runs AS r JOIN public.data_sources AS d ON d.id = r.data_source_id",
    fields=(
        Field("id", Kind.UUID, "r.id", Detail.MINIMAL, sortable=True, description="Key; sorts by time of creation."),
        Field("source", Kind.TEXT, "d.name", Detail.MINIMAL, sortable=True, description="The data source."),
        Field("release", Kind.TEXT, "d.release", description="The source's release."),
        Field(
            "state",
            Kind.TEXT,
            "r.state",
            Detail.MINIMAL,
            sortable=True,
            description="queued, running, finished, failed or cancelled; those that failed are the dead letters.",
        ),
        Field("added_count", Kind.INTEGER, "r.added_count", description="Records that are new."),
        Field("existing_count", Kind.INTEGER, "r.existing_count", description="Records that were there already."),
        Field("refused_count", Kind.INTEGER, "r.refused_count", description="Records that were left out."),
        Field(
            "done_fraction",
            Kind.FLOAT,
            "r.done_fraction",
            nullable=True,
            description="0 to 1; null where the source does not tell how much there is.",
        ),
        Field(
            "records_per_s",
            Kind.FLOAT,
            "(r.added_count + r.existing_count + r.refused_count) / nullif(r.working_s, 0)",
            nullable=True,
            filterable=False,
            description="Rate, over the time that workers spent on it.",
        ),
        Field(
            "eta_s",
            Kind.FLOAT,
            """
            CASE WHEN r.state = 'running' AND r.done_fraction > 0
                THEN r.working_s * (1 - r.done_fraction) / r.done_fraction
            END
            """,
            nullable=True,
            filterable=False,
            description="Seconds of work that are left, at this rate.",
        ),
        Field(
            "cancel_requested",
            Kind.BOOLEAN,
            "r.cancel_requested",
            description="Whether it ends after the page under way.",
        ),
        Field("failure", Kind.TEXT, "r.failure", nullable=True, description="Why it failed."),
        Field("version", Kind.INTEGER, "r.version", description="Grows with its progress."),
        Field("created_at", Kind.TIMESTAMP, "r.created_at", sortable=True, description="When it was asked for, UTC."),
        Field("updated_at", Kind.TIMESTAMP, "r.updated_at", sortable=True, description="Time of last progress, UTC."),
        Field(
            "finished_at", Kind.TIMESTAMP, "r.finished_at", sortable=True, nullable=True, description="Its end, UTC."
        ),
    ),
    related=(
        # Where a file lies is the worker's business.
        Related("parameters", "SELECT (r.parameters - 'path')::json", Detail.STANDARD, description="What is imported."),
        Related(
            "checkpoint",
            "SELECT r.checkpoint::json",
            Detail.STANDARD,
            description="Where it would go on; null before its first page.",
        ),
    ),
)

IMPORT_ERRORS: Final = Listing(
    name="import_errors",
    source="public.import_errors AS e",
    fields=(
        Field("id", Kind.UUID, "e.id", Detail.MINIMAL, sortable=True, description="Key."),
        Field(
            "record_index",
            Kind.INTEGER,
            "e.record_index",
            Detail.MINIMAL,
            sortable=True,
            description="The record's number in its source.",
        ),
        Field(
            "source_record",
            Kind.TEXT,
            "e.source_record",
            Detail.MINIMAL,
            nullable=True,
            description="What the source calls it.",
        ),
        Field("reason", Kind.TEXT, "e.reason", Detail.MINIMAL, description="Why it was left out."),
        Field("created_at", Kind.TIMESTAMP, "e.created_at", sortable=True, description="When, UTC."),
    ),
)
FIND_IMPORT_SQL: Final = "SELECT id FROM public.import_runs WHERE id = %(parent)s"
ERRORS_OF_IMPORT: Final = Scope("import", "e.import_run_id = %(parent)s", FIND_IMPORT_SQL)

ENQUEUE_IMPORT_SQL: Final = "SELECT private.enqueue_import(%(id)s)"
CANCEL_IMPORT_JOBS_SQL: Final = "SELECT private.cancel_import_jobs(%(id)s)"
PLACE_FILE_SQL: Final = """
UPDATE public.import_runs
SET parameters = parameters || jsonb_build_object('path', %(path)s::text, 'sha256', %(sha256)s::text)
WHERE id = %(id)s
    AND (parameters ->> 'path', parameters ->> 'sha256') IS DISTINCT FROM (%(path)s::text, %(sha256)s::text)
"""
EXPLAIN_FAILURE_SQL: Final = """
UPDATE public.import_runs SET failure = %(failure)s WHERE id = %(id)s AND state IN ('queued', 'running')
"""


class ImportReader(ReadRepository):
    """Finds imports; for the service role."""

    listing = IMPORTS
    noun = "import"


class ImportErrorReader(ReadRepository):
    """Finds what imports left out; for the service role."""

    listing = IMPORT_ERRORS
    noun = "error"
    scope = ERRORS_OF_IMPORT


class ImportRequestRepository(WriteRepository):
    """Puts imports into the queue and takes them out, inside a transaction of the service role."""

    listing = IMPORTS
    noun = "import"

    def add(self, source_id: UUID, parameters: Mapping[str, object]) -> UUID:
        """Make a run that waits for a worker, and return its id."""
        run_id, _ = ImportRepository(self._writing).create(source_id, parameters)
        self._enqueue(run_id)
        return run_id

    def cancel(self, run_id: UUID) -> None:
        """End a run: at once where nobody works on it, else after the page under way.

        Raises:
            NotFoundError: There is no such run.
            ConflictError: It has ended.
        """
        ImportRepository(self._writing).request_cancel(run_id)
        self._session.rows(CANCEL_IMPORT_JOBS_SQL, {"id": run_id})

    def retry(self, run_id: UUID) -> None:
        """Let a run that failed or was cancelled go on from its checkpoint.

        Raises:
            NotFoundError: There is no such run.
            ConflictError: It neither failed nor was cancelled.
        """
        ImportRepository(self._writing).retry(run_id)
        self._enqueue(run_id)

    def place(self, run_id: UUID, path: str, sha256: str | None) -> None:
        """Say where the run's file lies, and what it is."""
        self._session.rows(PLACE_FILE_SQL, {"id": run_id, "path": path, "sha256": sha256})

    def explain(self, run_id: UUID, failure: str) -> None:
        """Keep why the run is about to fail."""
        self._session.rows(EXPLAIN_FAILURE_SQL, {"id": run_id, "failure": failure[:MAX_FAILURE_LENGTH]})

    def _enqueue(self, run_id: UUID) -> None:
        self._session.rows(ENQUEUE_IMPORT_SQL, {"id": run_id})
