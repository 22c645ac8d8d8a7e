"""Searches for mixtures that workers carry out: what is searched for, how far each is, and what it found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson

from database.listing import Detail, Field, Kind, Listing, Related
from database.repositories.base import ReadRepository, WriteRepository

OPTIMIZATIONS: Final = Listing(
    name="optimizations",
    source="private.optimizations AS o",
    fields=(
        Field("id", Kind.UUID, "o.id", Detail.MINIMAL, sortable=True, description="Key; sorts by time of creation."),
        Field("state", Kind.TEXT, "o.state", Detail.MINIMAL, description="queued, running, finished or failed."),
        Field(
            "done_fraction",
            Kind.FLOAT,
            "o.done_fraction",
            Detail.MINIMAL,
            description="0 to 1; begins anew where another worker does.",
        ),
        Field("generation_count", Kind.INTEGER, "o.generation_count", description="Generations searched so far."),
        Field(
            "best_objective",
            Kind.FLOAT,
            "o.best_objective",
            nullable=True,
            description="The best objective so far within the constraints, in its unit.",
        ),
        Field("created_by", Kind.UUID, "o.created_by", nullable=True, description="Who asked; null for the service."),
        Field("version", Kind.INTEGER, "o.version", description="Grows with its progress."),
        Field("created_at", Kind.TIMESTAMP, "o.created_at", sortable=True, description="When it was asked for, UTC."),
        Field("updated_at", Kind.TIMESTAMP, "o.updated_at", description="Time of the last progress, UTC."),
        Field("started_at", Kind.TIMESTAMP, "o.started_at", nullable=True, description="When it began, UTC."),
        Field("finished_at", Kind.TIMESTAMP, "o.finished_at", nullable=True, description="When it ended, UTC."),
    ),
    related=(
        Related("request", "SELECT o.request::json", Detail.STANDARD, description="What is searched for."),
        Related(
            "result",
            "SELECT o.result::json",
            Detail.STANDARD,
            description="What it found, as a search at once answers; null before its end.",
        ),
        Related(
            "failure",
            "SELECT o.failure::json",
            Detail.STANDARD,
            description="Why it found nothing; `infeasible` names the constraints that nothing meets.",
        ),
    ),
)

ENQUEUE_OPTIMIZATION_SQL: Final = "SELECT private.enqueue_optimization(%(request)s::jsonb, %(molecules)s::jsonb)"
# A worker writes once a second how far it is: who has been silent for longer than this is gone, and only then another
# begins. Whoever begins raises the fence: one that was only slow keeps nothing any more.
START_OPTIMIZATION_SQL: Final = """
UPDATE private.optimizations
SET state = 'running', fence = fence + 1, done_fraction = 0, generation_count = 0, best_objective = NULL,
    started_at = coalesce(started_at, clock_timestamp())
WHERE id = %(id)s
    AND (state = 'queued' OR state = 'running' AND updated_at < clock_timestamp() - interval '10 s')
RETURNING fence, request::text, molecules::text
"""
HAND_BACK_OPTIMIZATION_SQL: Final = """
UPDATE private.optimizations SET state = 'queued' WHERE id = %(id)s AND fence = %(fence)s AND state = 'running'
"""
ADVANCE_OPTIMIZATION_SQL: Final = """
UPDATE private.optimizations
SET done_fraction = %(done_fraction)s, generation_count = %(generations)s, best_objective = %(best_objective)s
WHERE id = %(id)s AND fence = %(fence)s AND state = 'running'
RETURNING id
"""
END_OPTIMIZATION_SQL: Final = """
UPDATE private.optimizations
SET state = CASE WHEN %(result)s::jsonb IS NULL THEN 'failed' ELSE 'finished' END, result = %(result)s::jsonb,
    failure = %(failure_row)s::jsonb, finished_at = clock_timestamp()
WHERE id = %(id)s AND fence = %(fence)s AND state = 'running'
"""
IS_OPEN_OPTIMIZATION_SQL: Final = """
SELECT id FROM private.optimizations WHERE id = %(id)s AND state IN ('queued', 'running')
"""
VERSION_OPTIMIZATION_SQL: Final = "SELECT version FROM private.optimizations WHERE id = %(id)s"
REMOVE_OPTIMIZATION_SQL: Final = """
DELETE FROM private.optimizations
WHERE id = %(id)s AND (%(version)s::integer IS NULL OR version = %(version)s)
RETURNING id
"""
PRUNE_OPTIMIZATIONS_SQL: Final = """
DELETE FROM private.optimizations
WHERE finished_at < clock_timestamp() - interval '90 days'
RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Begun:
    """A search that a worker has begun."""

    fence: int
    request: Mapping[str, Any]
    molecules: Sequence[Mapping[str, Any]]


class OptimizationReader(ReadRepository):
    """Finds searches with the caller's eyes: its own."""

    listing = OPTIMIZATIONS
    noun = "search"


class OptimizationRepository(WriteRepository):
    """Asks for searches, ends them, and keeps how far they are, inside the caller's transaction."""

    listing = OPTIMIZATIONS
    noun = "search"

    def add(self, request: Mapping[str, Any], molecules: Sequence[Mapping[str, Any]]) -> UUID:
        """Ask for a search, which a worker will carry out, and return its id.

        Raises:
            ConflictError: The caller has too many jobs that wait or run.
        """
        asked = {"request": orjson.dumps(request).decode(), "molecules": orjson.dumps(molecules).decode()}
        return UUID(str(self._session.rows(ENQUEUE_OPTIMIZATION_SQL, asked)[0][0]))

    def remove(self, optimization_id: UUID, version: int | None = None) -> None:
        """Remove a search with what it found; one that waits is never begun, one under way breaks off.

        Raises:
            NotFoundError: No such search is the caller's.
            StaleError: It has another version than the one that is said.
        """
        if not self._session.rows(REMOVE_OPTIMIZATION_SQL, {"id": optimization_id, "version": version}):
            current = self._session.rows(VERSION_OPTIMIZATION_SQL, {"id": optimization_id})
            # Whoever sees a search may remove it.
            raise self._no_row_changed(optimization_id, version, current, lockable=current)

    def start(self, optimization_id: UUID) -> Begun | None:
        """Begin a search; None where it has ended, or a worker is at it. For the service role."""
        rows = self._session.rows(START_OPTIMIZATION_SQL, {"id": optimization_id})
        if not rows:
            return None
        fence, request, molecules = rows[0]
        return Begun(fence, orjson.loads(request), orjson.loads(molecules))

    def advance(
        self, optimization_id: UUID, fence: int, *, done_fraction: float, generations: int, best_objective: float | None
    ) -> bool:
        """Keep how far a search is; False where it is not this worker's any more. For the service role."""
        kept = {
            "id": optimization_id,
            "fence": fence,
            "done_fraction": done_fraction,
            "generations": generations,
            "best_objective": best_objective,
        }
        return bool(self._session.rows(ADVANCE_OPTIMIZATION_SQL, kept))

    def hand_back(self, optimization_id: UUID, fence: int) -> None:
        """Let the next worker begin a search at once where it is this worker's still. For the service role."""
        self._session.rows(HAND_BACK_OPTIMIZATION_SQL, {"id": optimization_id, "fence": fence})

    def end(
        self,
        optimization_id: UUID,
        fence: int,
        *,
        result: Mapping[str, Any] | None = None,
        failure: Mapping[str, Any] | None = None,
    ) -> None:
        """Keep what a search found, or why it failed, where it is this worker's still. For the service role."""
        kept = {
            "id": optimization_id,
            "fence": fence,
            "result": None if result is None else orjson.dumps(result).decode(),
            "failure_row": None if failure is None else orjson.dumps(failure).decode(),
        }
        self._session.rows(END_OPTIMIZATION_SQL, kept)

    def is_open(self, optimization_id: UUID) -> bool:
        """Return whether a search waits or runs. For the service role."""
        return bool(self._session.rows(IS_OPEN_OPTIMIZATION_SQL, {"id": optimization_id}))

    def prune(self) -> int:
        """Remove searches that ended 90 days ago and return how many. For the service role."""
        return len(self._session.rows(PRUNE_OPTIMIZATIONS_SQL, {}))
