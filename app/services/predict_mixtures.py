"""Predictions of many mixtures: found, evaluated and kept a page at a time, in four statements whatever its size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.errors import CryoProtectError, ForbiddenError, InvalidError
from app.science.models.cases import Case, Composition
from app.science.models.registry import evaluate_many
from app.services.predict_properties import Question, composition_of, hash_of, rounded
from database.repositories.base import unseen
from database.repositories.mixtures import Composition as StoredComposition
from database.repositories.mixtures import MixtureRepository
from database.repositories.predictions import Added, NewPredictions, PredictionRepository
from database.session import WriteSession

PAGE_MIXTURES: Final = 200
"""How many mixtures one transaction should take: they are held while it lasts."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """What became of one mixture: its predictions are counted, or why there are none."""

    mixture_id: UUID
    counts: Added | None
    error: CryoProtectError | None = None


def predict_mixtures(session: WriteSession, mixture_ids: Sequence[UUID], question: Question) -> list[Predicted]:
    """Compute predictions of a page of mixtures and keep them; one that is refused leaves the others alone.

    Returns what became of each, in their order. The mixtures are held until the transaction ends.

    Raises:
        InvalidError: There is no such property or model.
        UnavailableError: The database does not know the models yet.
    """
    wanted = [*dict.fromkeys(mixture_ids)]
    if not wanted:
        return []
    mixtures = MixtureRepository(session)
    held = mixtures.hold_many(wanted)
    found = mixtures.compositions(wanted)
    compositions, refused = _readable(wanted, held, found)
    news = _asked(compositions, question)
    counts = dict(zip(compositions, PredictionRepository(session).add_many(news), strict=True))
    return [Predicted(item, counts.get(item), refused.get(item)) for item in mixture_ids]


def _readable(
    wanted: Sequence[UUID], held: set[UUID], found: Mapping[UUID, StoredComposition]
) -> tuple[dict[UUID, Composition], dict[UUID, CryoProtectError]]:
    """Return what the models know of each mixture, and why nothing is known of the others."""
    compositions: dict[UUID, Composition] = {}
    refused: dict[UUID, CryoProtectError] = {}
    for mixture_id in wanted:
        if mixture_id not in found:
            refused[mixture_id] = unseen("mixture", mixture_id)
        elif mixture_id not in held:
            refused[mixture_id] = ForbiddenError("you may not change this mixture", code="not_permitted")
        else:
            try:
                compositions[mixture_id] = composition_of(found[mixture_id])
            except InvalidError as error:
                refused[mixture_id] = error
    return compositions, refused


def _asked(compositions: Mapping[UUID, Composition], question: Question) -> list[NewPredictions]:
    cases = [Case(composition, question.conditions) for composition in compositions.values()]
    answers = evaluate_many(cases, question.properties, question.models) if cases else []
    conditions = question.conditions.said()
    return [
        NewPredictions(mixture_id, conditions, hash_of(composition, conditions), rounded(predictions))
        for (mixture_id, composition), predictions in zip(compositions.items(), answers, strict=True)
    ]
