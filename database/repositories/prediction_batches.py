"""Predictions of many mixtures that were asked for at once: what was asked, by whom, and how far it is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson

from app.domain.callers import Caller
from database.listing import Detail, Field, Kind, Listing, Related
from database.repositories.base import ReadRepository, WriteRepository

PREDICTION_BATCHES: Final = Listing(
    name="prediction_batch",
    source="private.prediction_batches AS b",
    fields=(
        Field("id", Kind.UUID, "b.id", Detail.MINIMAL, sortable=True, description="Key; sorts by time of creation."),
        Field("state", Kind.TEXT, "b.state", Detail.MINIMAL, description="queued, running, finished or failed."),
        Field(
            "mixture_count",
            Kind.INTEGER,
            "cardinality(b.mixture_ids)::int8",
            Detail.MINIMAL,
            description="How many mixtures were asked for.",
        ),
        Field("done_count", Kind.INTEGER, "b.done_count", Detail.MINIMAL, description="How many have been done."),
        Field("added_count", Kind.INTEGER, "b.added_count", description="New predictions."),
        Field("existing_count", Kind.INTEGER, "b.existing_count", description="Predictions that were there already."),
        Field(
            "refused_count",
            Kind.INTEGER,
            "b.refused_count",
            description="Mixtures that the caller may not change or that lack data.",
        ),
        Field("created_by", Kind.UUID, "b.created_by", nullable=True, description="Who asked; null for the service."),
        Field("version", Kind.INTEGER, "b.version", description="Grows with its progress."),
        Field("created_at", Kind.TIMESTAMP, "b.created_at", sortable=True, description="When it was asked for, UTC."),
        Field("updated_at", Kind.TIMESTAMP, "b.updated_at", description="Time of the last progress, UTC."),
        Field("started_at", Kind.TIMESTAMP, "b.started_at", nullable=True, description="When it began, UTC."),
        Field("finished_at", Kind.TIMESTAMP, "b.finished_at", nullable=True, description="When it ended, UTC."),
    ),
    related=(
        Related("question", "SELECT b.question::json", Detail.STANDARD, description="What the models are asked."),
        Related(
            "refused",
            "SELECT b.refused::json",
            Detail.STANDARD,
            description="The first hundred or so of the mixtures that were left out, each with the reason.",
        ),
    ),
)

ENQUEUE_PREDICTIONS_SQL: Final = "SELECT private.enqueue_predictions(%(question)s::jsonb, %(ids)s::uuid[])"
# A batch that was begun by a worker which is no more is begun again where that one left it.
START_PREDICTIONS_SQL: Final = """
UPDATE private.prediction_batches
SET state = 'running', started_at = coalesce(started_at, clock_timestamp())
WHERE id = %(id)s AND state IN ('queued', 'running')
RETURNING role, created_by, token_id, question::text, mixture_ids, done_count
"""
ADVANCE_PREDICTIONS_SQL: Final = """
SELECT private.advance_predictions(
    %(id)s, %(done_before)s::int, %(done)s::int, %(added)s::bigint, %(existing)s::bigint, %(refused_rows)s::jsonb
)
"""
PRUNE_PREDICTION_BATCHES_SQL: Final = """
DELETE FROM private.prediction_batches
WHERE finished_at < clock_timestamp() - interval '90 days'
RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that a worker has begun."""

    caller: Caller
    """With whose rights it runs."""
    question: Mapping[str, Any]
    mixture_ids: Sequence[UUID]
    done: int


@dataclass(frozen=True, slots=True)
class Progress:
    """What became of the next mixtures of a batch."""

    done: int
    added: int
    existing: int
    refused: Sequence[Mapping[str, str]]


class _BatchParts(ReadRepository):
    listing = PREDICTION_BATCHES
    noun = "batch"


class PredictionBatchReader(_BatchParts):
    """Finds batches with the caller's eyes: its own."""


class PredictionBatchRepository(WriteRepository):
    """Asks for batches and keeps how far they are, inside the caller's transaction."""

    listing = PREDICTION_BATCHES
    noun = "batch"

    def add(self, question: Mapping[str, Any], mixture_ids: Sequence[UUID]) -> UUID:
        """Ask for a batch, which a worker will run with the caller's rights, and return its id."""
        asked = {"question": orjson.dumps(question).decode(), "ids": list(mixture_ids)}
        return UUID(str(self._session.rows(ENQUEUE_PREDICTIONS_SQL, asked)[0][0]))

    def start(self, batch_id: UUID) -> Batch | None:
        """Begin a batch, or go on with it; None where it has ended. For the service role."""
        rows = self._session.rows(START_PREDICTIONS_SQL, {"id": batch_id})
        if not rows:
            return None
        role, user_id, token_id, question, mixture_ids, done = rows[0]
        claims = {"role": role, "sub": user_id and str(user_id), "jti": token_id}
        known = {name: value for name, value in claims.items() if value is not None}
        caller = Caller(role, user_id, jti=token_id, claims_json=json.dumps(known, separators=(",", ":")))
        return Batch(caller, orjson.loads(question), mixture_ids, done)

    def advance(self, batch_id: UUID, done_before: int, progress: Progress) -> bool:
        """Keep the progress; False where it is not this transaction's to keep, which then must be rolled back."""
        kept = {
            "id": batch_id,
            "done_before": done_before,
            "done": progress.done,
            "added": progress.added,
            "existing": progress.existing,
            "refused_rows": orjson.dumps(list(progress.refused)).decode(),
        }
        return bool(self._session.rows(ADVANCE_PREDICTIONS_SQL, kept)[0][0])

    def prune(self) -> int:
        """Remove batches that ended 90 days ago and return how many. For the service role."""
        return len(self._session.rows(PRUNE_PREDICTION_BATCHES_SQL, {}))
