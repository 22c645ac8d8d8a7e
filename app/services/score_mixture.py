"""The toxicity of a stored mixture: its molecules' scores by their share, and the survival that models expect."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final
from uuid import UUID

import orjson

from app.domain.mixtures import AmountUnit
from app.domain.toxicity import MixtureScore, MolarScore, score_mixture
from app.errors import InvalidError
from app.science.composition import converted, solvent_named
from app.science.models.cases import Conditions
from app.services.predict_properties import Question, answers, solution_of, stored_solute, told
from database.repositories.base import Document
from database.repositories.mixtures import Composition, MixtureReader
from database.repositories.toxicity_scores import ALL, ScoreReader, Selection
from database.session import ReadSession

_SURVIVAL: Final = ("cell_survival", "toxicity_rate")


def score_stored_mixture(
    session: ReadSession, mixture_id: UUID, selection: Selection, conditions: Conditions
) -> Document:
    """Return a mixture's score with those of its components, and what the kinetic models say of its survival.

    Raises:
        NotFoundError: No such mixture is visible to the caller.
        InvalidError: There is no such endpoint.
    """
    stored = MixtureReader(session).composition(mixture_id)
    scores = ScoreReader(session).component_scores(mixture_id, selection)
    # Whoever changes the mixture between the two looks at it is not waited for.
    present = [component for component in stored.components if component["molecule_id"] in scores]
    components = [scores[component["molecule_id"]] for component in present]
    molalities, why_not = _molalities(stored, present)
    whole = _whole(components, molalities, why_not)
    amounts: list[dict[str, float | None]] = [
        {"molality_mol_kg": molality, "share": share}
        for molality, share in zip(molalities, _shares(molalities), strict=True)
    ] or [{"molality_mol_kg": None, "share": None} for _ in components]
    document = {
        "mixture_id": mixture_id,
        "endpoint": selection.endpoint or ALL,
        "assay_cell_type": selection.cell_type or ALL,
        **asdict(whole),
        "components": [score | amount for score, amount in zip(components, amounts, strict=True)],
        "survival": _survival(stored, conditions),
    }
    return Document(orjson.dumps(document), stored.version)


def _molalities(stored: Composition, components: Sequence[dict[str, Any]]) -> tuple[list[float], str | None]:
    try:
        parts = [stored_solute(component, "").part for component in components]
        molalities = converted(parts, solvent_named(stored.solvent), AmountUnit.MOLALITY, "")
    except InvalidError as error:
        return [], error.detail
    if molalities and not 0.0 < max(molalities) < math.inf:
        return [], "the amounts are beyond all measure"
    return molalities, None


def _shares(molalities: Sequence[float]) -> list[float]:
    # Against the largest first: the sum of amounts that a number just holds may be more than any holds.
    parts = [molality / max(molalities) for molality in molalities]
    return [part / sum(parts) for part in parts]


def _whole(components: Sequence[dict[str, Any]], molalities: Sequence[float], why_not: str | None) -> MixtureScore:
    if why_not is not None:
        return MixtureScore(None, 0.0, 0.0, f"shares in mol are not known: {why_not}")
    return score_mixture(
        [
            MolarScore(share, score["score"], score["coverage"], score["confidence"])
            for score, share in zip(components, _shares(molalities), strict=True)
        ]
    )


def _survival(stored: Composition, conditions: Conditions) -> dict[str, Any]:
    """Return what models of toxicity kinetics say; what they would need to know stands in their reasons."""
    said = {
        "cell_type": conditions.cell_type,
        "exposure_min": conditions.exposure_min,
        "temperature_k": conditions.temperature_k,
    }
    try:
        solutes = [stored_solute(component, "") for component in stored.components]
        composition = solution_of(solutes, stored.solvent, "")
        predictions = answers(composition, Question(conditions, _SURVIVAL))
    except InvalidError as error:
        return {"conditions": said, "predictions": [], "reason": error.detail}
    return {"conditions": said, "predictions": [told(item) for item in predictions], "reason": None}
