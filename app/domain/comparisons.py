"""Which measurements and predictions of one property are of the same thing: under which conditions they hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

STATED_TO_MODELS: Final = ("temperature_k", "exposure_min", "cell_type")
"""The conditions that a prediction holds under."""
_EXPOSURE: Final = STATED_TO_MODELS
_RATES: Final = ("cooling_rate_k_min", "warming_rate_k_min", "rate_context", "plunge")
ALL_CONDITIONS: Final = (*_EXPOSURE, *_RATES)
"""All conditions that anything is compared by."""
# What is not here, a property that somebody adds, is compared under all of them.
_RELEVANT: Final[Mapping[str, tuple[str, ...]]] = {
    "freezing_point": (),
    "osmolality": (),
    "glass_transition_temperature": (),
    "critical_cooling_rate": ("rate_context",),
    "critical_warming_rate": ("rate_context",),
    "toxicity_rate": _EXPOSURE,
    "cell_survival": _EXPOSURE,
    "cell_volume": _EXPOSURE,
    "density": ("temperature_k",),
    "viscosity": ("temperature_k",),
    "ice_recrystallization_inhibition": ("temperature_k", "exposure_min"),
}
# Not said, a rate is one of the solution itself.
_UNSAID: Final = {"rate_context": "solution"}
_DIGITS: Final = 3


def relevant(property_type: str) -> tuple[str, ...]:
    """Return the conditions that a value of this property depends on."""
    return _RELEVANT.get(property_type, ALL_CONDITIONS)


def condition_key(property_type: str, conditions: Mapping[str, Any]) -> tuple[str | None, ...]:
    """Return what is the same for all values of a property that may be compared with each other.

    Temperatures count to the kelvin, other numbers to three digits, texts without regard to case and a final "cells".
    What is not said is a condition of its own.
    """
    return tuple(
        _counted(name, _UNSAID.get(name) if conditions.get(name) is None else conditions[name])
        for name in relevant(property_type)
    )


def stated(property_type: str, conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the conditions that the property depends on."""
    return {name: conditions[name] for name in relevant(property_type) if conditions.get(name) is not None}


def askable(property_type: str, conditions: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the conditions to ask the models under; None where they can say nothing of such conditions."""
    said = {name: value for name, value in stated(property_type, conditions).items() if value != _UNSAID.get(name)}
    if not said.keys() <= set(STATED_TO_MODELS):
        return None
    numbers = (value for name, value in said.items() if name != "cell_type")
    if not all(_is_number(value) and value >= 0 for value in numbers) or said.get("temperature_k") == 0:
        return None
    return said if isinstance(said.get("cell_type", ""), str) else None


def _counted(name: str, value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return value.strip().casefold().removesuffix(" cells")
    if _is_number(value):
        return f"{value:.0f}" if name == "temperature_k" else f"{value:.{_DIGITS}g}"
    return json.dumps(value, sort_keys=True)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300  # noqa: PLR2004
