"""An experiment before it is stored: its subject, how it ended, what was measured and under which conditions."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from app.domain.molecules import PropertyType
from app.domain.properties import typed_value
from app.domain.provenance import Origin
from app.errors import Fault, InvalidError


class ExperimentOutcome(StrEnum):
    """How an experiment ended."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class Relation(StrEnum):
    """How the true value lies to the one that is stated: a rate too slow to measure is only known to be less."""

    EQUAL = "="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    ABOUT = "~"


PERCENT_UNITS: Final = frozenset({"%", "percent"})
_FRACTIONS: Final = frozenset({"cell_survival", "post_thaw_viability"})
_NOT_NEGATIVE: Final = frozenset(
    {"cell_volume", "cell_volume_minimum", "cell_volume_maximum", "ice_recrystallization_inhibition"}
)
# A first-order rate is not among them: fitted to noisy counts it may come out below zero.
_NOT_NEGATIVE_UNITS: Final = frozenset({"K", "K/min", "osmol/kg", "kg/m3", "Pa.s"})


@dataclass(frozen=True, slots=True)
class Result:
    """One measured value in the unit of its property."""

    property_type: str
    value: float
    unit: str
    relation: Relation = Relation.EQUAL
    standard_deviation: float | None = None
    """In the same unit."""
    replicates: int | None = None


@dataclass(frozen=True, slots=True)
class NewExperiment:
    """An experiment to store, on a mixture or on a molecule."""

    outcome: ExperimentOutcome
    results: tuple[Result, ...]
    mixture_id: UUID | None = None
    molecule_id: UUID | None = None
    name: str | None = None
    failure_reasons: tuple[str, ...] = ()
    started_at: dt.datetime | None = None
    completed_at: dt.datetime | None = None
    protocol: str | None = None
    conditions: Mapping[str, Any] = field(default_factory=dict)
    reference: str | None = None
    notes: str | None = None
    is_public: bool | None = None
    """None: what is usual for the caller's role (service public, user private)."""
    project_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class PublishedExperiment:
    """An experiment as a source states it, for everybody to see."""

    experiment: NewExperiment
    origin: Origin


def contradictions(stated: Mapping[str, Any]) -> list[Fault]:
    """Return what in a body contradicts something else in it; what it does not hold contradicts nothing."""
    faults = []
    outcome, reasons = stated.get("outcome"), stated.get("failure_reasons")
    if reasons is not None and outcome == ExperimentOutcome.FAIL and not reasons:
        faults.append(Fault("/failure_reasons", "a failed experiment has at least one failure reason"))
    if reasons and outcome == ExperimentOutcome.PASS:
        faults.append(Fault("/failure_reasons", "a passed experiment has no failure reason"))
    started, completed = stated.get("started_at"), stated.get("completed_at")
    if started is not None and completed is not None and completed < started:
        faults.append(Fault("/completed_at", "an experiment is not completed before it is started"))
    return faults


def measured(stated: Iterable[Mapping[str, Any]], types: Mapping[str, PropertyType]) -> tuple[Result, ...]:
    """Return stated results as they are kept: in their properties' own units, so that they compare.

    Raises:
        InvalidError: With a pointer to each value that is of an unknown property, in a unit that measures something
            else, or outside what is physically possible.
    """
    results, faults = [], []
    for index, item in enumerate(stated):
        try:
            results.append(_result(item, types))
        except InvalidError as error:
            faults += [Fault(f"/results/{index}{fault.pointer}", fault.detail) for fault in error.faults]
    if faults:
        raise InvalidError("the results cannot be accepted", code="invalid_values", faults=faults)
    return tuple(results)


def _result(stated: Mapping[str, Any], types: Mapping[str, PropertyType]) -> Result:
    name, value, unit, deviation = (stated[key] for key in ("property_type", "value", "unit", "standard_deviation"))
    kind = types.get(name)
    if kind is not None and kind.value_kind != "numeric":
        raise InvalidError.at("/property_type", f"{name} is a {kind.value_kind} and so not the result of a measurement")
    if unit.strip() in PERCENT_UNITS and not 0 <= value <= 100:  # noqa: PLR2004 - the whole
        raise InvalidError.at("/value", "a percentage lies in 0 to 100")
    kept = _kept({"property_type": name, "value": value, "unit": unit, "standard_uncertainty": deviation}, types)
    number, kept_unit = kept.numeric_value, kept.unit
    if number is None or kept_unit is None:
        msg = f"{name} was kept without a number"
        raise RuntimeError(msg)
    low, high = _range(name, kept_unit)
    if not low <= number <= high:
        raise InvalidError.at("/value", _outside(name, number, kept_unit, high))
    return Result(
        name, number, kept_unit, Relation(stated["relation"]), kept.standard_uncertainty, stated["replicates"]
    )


def _kept(stated: Mapping[str, Any], types: Mapping[str, PropertyType]) -> Any:  # noqa: ANN401 - a PropertyValue
    try:
        return typed_value(stated, types)
    except InvalidError as error:
        # What a property value calls its uncertainty is a result's standard deviation.
        renamed = (("/standard_deviation" if f.pointer == "/standard_uncertainty" else f.pointer) for f in error.faults)
        faults = [Fault(pointer, f.detail) for pointer, f in zip(renamed, error.faults, strict=True)]
        raise InvalidError(error.detail, faults=faults) from error


def _range(name: str, unit: str) -> tuple[float, float]:
    """Return between which values of a property, in its own unit, nature stays."""
    if name in _FRACTIONS:
        return 0.0, 1.0
    if name in _NOT_NEGATIVE or unit in _NOT_NEGATIVE_UNITS:
        return 0.0, math.inf
    return -math.inf, math.inf


def _outside(name: str, number: float, unit: str, high: float) -> str:
    shown = f"{number:.10g}" if unit == "1" else f"{number:.10g} {unit}"
    limits = "is not negative" if math.isinf(high) else f"lies in 0 to {high:g}"
    return f"{name} {limits}; this is {shown}"
