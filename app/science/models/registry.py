"""All models, and what they say of a composition: the one entrance for whoever wants a prediction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from app.errors import InvalidError
from app.science.carriers import is_carrier
from app.science.models import (
    critical_cooling,
    dry_glass_transition,
    glass_transition,
    membrane_transport,
    osmotic_virial,
    post_thaw_viability,
    toxicity_kinetics,
)
from app.science.models.cases import Case, Composition, Conditions
from app.science.models.model import Model, Prediction, StructureModel

MODELS: Final[tuple[Model, ...]] = (
    osmotic_virial.VERSION_2,
    osmotic_virial.VERSION_1,
    toxicity_kinetics.WARNER_WEIBULL,
    toxicity_kinetics.WARNER_2022,
    glass_transition.GORDON_TAYLOR,
    critical_cooling.EXPONENTIAL_CCR,
    membrane_transport.TWO_PARAMETER,
    post_thaw_viability.CRYOMN,
)
STRUCTURE_MODELS: Final = (dry_glass_transition.DRY_GLASS,)
"""What is known of a pure molecule by its structure."""
CATALOGUE: Final[tuple[Model | StructureModel, ...]] = (*MODELS, *STRUCTURE_MODELS)
PROPERTIES: Final = frozenset(name for model in MODELS for name in model.properties)


def evaluate(
    composition: Composition,
    conditions: Conditions | None = None,
    properties: Collection[str] = (),
    models: Collection[str] = (),
) -> list[Prediction]:
    """Return what the models say of one composition; those that do not hold for it say why.

    `properties` and `models` (a name, or name@version) choose; empty means all.

    Raises:
        InvalidError: There is no such property or model.
    """
    return evaluate_many([Case(composition, conditions or Conditions())], properties, models)[0]


def evaluate_many(
    cases: Sequence[Case], properties: Collection[str] = (), models: Collection[str] = ()
) -> list[list[Prediction]]:
    """Return the predictions of each case, as `evaluate` does of one.

    A carrier, such as a buffer, counts as water, and what is predicted then says so.

    Raises:
        InvalidError: There is no such property or model.
    """
    chosen, wanted = select(models), _properties(properties)
    asked = [_in_water(case) for case in cases]
    columns = [model.predictions(asked, wanted) for model in chosen]
    return [
        _with_reservation(case, [prediction for parts in rows for prediction in parts])
        for case, *rows in zip(cases, *columns, strict=True)
    ]


def select(names: Collection[str] = ()) -> tuple[Model, ...]:
    """Return the models with these names (all versions) or name@version; all of them where none is named.

    Raises:
        InvalidError: There is no such model.
    """
    known = {model.name for model in MODELS} | {_identity(model) for model in MODELS}
    strange = sorted(set(names) - known)
    if strange:
        raise InvalidError.at("/models", f"no such model: {', '.join(strange)}; there are {', '.join(sorted(known))}")
    return tuple(model for model in MODELS if not names or model.name in names or _identity(model) in names)


def default_model(property_type: str) -> Model:
    """Return the model that is taken for a property where one has to be chosen.

    Raises:
        InvalidError: No model predicts the property.
    """
    for model in MODELS:
        if property_type in model.default_for:
            return model
    raise InvalidError.at("/properties", _no_model([property_type]))


def _in_water(case: Case) -> Case:
    if not is_carrier(case.composition.solvent):
        return case
    return replace(case, composition=replace(case.composition, solvent="water"))


def _with_reservation(case: Case, predictions: list[Prediction]) -> list[Prediction]:
    solvent = case.composition.solvent
    if not is_carrier(solvent):
        return predictions
    counted = f"{solvent} counts as pure water: what is dissolved in it is neglected"
    return [
        replace(item, reason="; ".join(filter(None, [item.reason, counted]))) if item.in_domain else item
        for item in predictions
    ]


def _properties(names: Collection[str]) -> frozenset[str]:
    strange = sorted(set(names) - PROPERTIES)
    if strange:
        raise InvalidError.at("/properties", _no_model(strange))
    return frozenset(names) or PROPERTIES


def _no_model(names: Sequence[str]) -> str:
    return f"no model predicts {', '.join(names)}; there are models of {', '.join(sorted(PROPERTIES))}"


def _identity(model: Model) -> str:
    return f"{model.name}@{model.version}"
