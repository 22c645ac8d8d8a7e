"""Reads published solutions and measurements out of the project's package, without a database.

Only what a source states becomes a number: what it leaves open is left out, and `left_out` says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.domain.mixtures import AmountUnit
from app.domain.provenance import Certainty
from app.services.seed_records import rows_of

_NUMBERS: Final = ("temperature_k", "exposure_min", "published_value")
_TEXTS: Final = ("cell_type", "rate_context")


@dataclass(frozen=True, slots=True)
class Amount:
    """How much of a molecule of the seed there is."""

    molecule: str
    amount: float
    unit: AmountUnit


@dataclass(frozen=True, slots=True)
class Solution:
    """A composition as its source states it."""

    key: str
    name: str
    purpose: str
    solvent: str
    components: tuple[Amount, ...]
    certainty: Certainty
    description: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a source measured on one subject under one set of conditions."""

    key: str
    name: str
    results: tuple[Mapping[str, Any], ...]
    """As clients state them: property type, relation, value, unit, standard deviation, replicates."""
    conditions: Mapping[str, Any]
    certainty: Certainty
    solution: str | None = None
    """The key of the solution; where there is none, the subject is a molecule."""
    molecule: str | None = None
    protocol: str | None = None
    reference: str | None = None
    notes: str | None = None


def seed_solutions() -> tuple[Solution, ...]:
    """Return the published solutions."""
    components: dict[str, list[Amount]] = {}
    for row in rows_of("solution_components.csv"):
        amount = Amount(row["molecule"], float(row["amount"]), AmountUnit(row["unit"]))
        components.setdefault(row["solution"], []).append(amount)
    solutions = tuple(_solution(row, components.pop(row["solution"], [])) for row in rows_of("solutions.csv"))
    if components:
        message = f"solution_components.csv names solutions that solutions.csv does not have: {sorted(components)}"
        raise ValueError(message)
    return solutions


def seed_measurements() -> tuple[Measurement, ...]:
    """Return the published measurements; rows of one experiment are its results."""
    rows: dict[str, list[dict[str, str]]] = {}
    for row in rows_of("measurements.csv"):
        rows.setdefault(row["experiment"], []).append(row)
    return tuple(_measurement(key, results) for key, results in rows.items())


def left_out() -> Iterator[tuple[str, str]]:
    """Give what the sources hold and the seed does not, each with the reason."""
    for row in rows_of("left_out.csv"):
        yield row["record"], row["reason"]


def _solution(row: Mapping[str, str], components: list[Amount]) -> Solution:
    return Solution(
        key=row["solution"],
        name=row["name"],
        purpose=row["purpose"],
        solvent=row["solvent"],
        components=tuple(components),
        certainty=Certainty(row["certainty"]),
        description=row["description"] or None,
        reference=row["reference"] or None,
    )


def _measurement(key: str, rows: list[dict[str, str]]) -> Measurement:
    first = rows[0]
    return Measurement(
        key=key,
        name=first["name"],
        results=tuple(_result(row) for row in rows),
        conditions={
            **{name: float(first[name]) for name in _NUMBERS if first[name]},
            **{name: first[name] for name in _TEXTS if first[name]},
        },
        certainty=Certainty(first["certainty"]),
        solution=first["solution"] or None,
        molecule=first["molecule"] or None,
        protocol=first["protocol"] or None,
        reference=first["reference"] or None,
        notes=first["notes"] or None,
    )


def _result(row: Mapping[str, str]) -> dict[str, Any]:
    return {
        "property_type": row["property_type"],
        "relation": row["relation"],
        "value": float(row["value"]),
        "unit": row["unit"],
        "standard_deviation": float(row["standard_deviation"]) if row["standard_deviation"] else None,
        "replicates": int(row["replicates"]) if row["replicates"] else None,
    }
