"""Predictions of many mixtures, with the rights of whoever asked for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from app.domain.callers import SERVICE
from app.science.models.cases import Conditions
from app.services.predict_mixtures import PAGE_MIXTURES, predict_mixtures
from app.services.predict_properties import Question
from database.repositories.prediction_batches import PredictionBatchRepository, Progress
from database.session import Database, WriteSession


class OvertakenError(Exception):
    """Another worker has gone on with the batch meanwhile."""


def ask_for_batch(session: WriteSession, question: Question, mixture_ids: Sequence[UUID]) -> UUID:
    """Put a batch into the queue and return its id."""
    # In one order: of two batches that hold the same mixtures one waits for the other, and none for itself.
    return PredictionBatchRepository(session).add(asdict(question), sorted(set(mixture_ids)))


def predict_batch(
    database: Database, batch_id: UUID, keep_going: Callable[[], bool], page_mixtures: int = PAGE_MIXTURES
) -> bool:
    """Go on with a batch and return whether it has ended; False where `keep_going` said no before.

    Each mixture is predicted as its own request would be: what the caller may not change by now is left out.

    Raises:
        OvertakenError: Another worker runs it, too.
        UnavailableError: The database does not answer.
    """
    with database.transaction(SERVICE) as session:
        batch = PredictionBatchRepository(session).start(batch_id)
    if batch is None:
        return True
    question = _question(batch.question)
    for first in range(batch.done, len(batch.mixture_ids), page_mixtures):
        if not keep_going():
            return False
        wanted = batch.mixture_ids[first : first + page_mixtures]
        with database.transaction(batch.caller, request_id=str(batch_id)) as session:
            progress = _predict(session, wanted, question)
            if not PredictionBatchRepository(session).advance(batch_id, first, progress):
                raise OvertakenError
    return True


def _predict(session: WriteSession, mixture_ids: Sequence[UUID], question: Question) -> Progress:
    predicted = predict_mixtures(session, mixture_ids, question)
    counts = [item.counts for item in predicted if item.counts]
    return Progress(
        done=len(predicted),
        added=sum(item.added for item in counts),
        existing=sum(item.existing for item in counts),
        refused=[{"mixture_id": str(item.mixture_id), "detail": item.error.detail} for item in predicted if item.error],
    )


def _question(asked: Mapping[str, Any]) -> Question:
    return Question(Conditions.of(asked["conditions"]), tuple(asked["properties"]), tuple(asked["models"]))
