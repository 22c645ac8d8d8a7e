"""Reads a measured value out of a sentence, where the sentence leaves no doubt.

PUG View gives experimental values as its sources print them: "41.9 °F (NTP, 1992)", "0.88",
"178-185 °C", "Bulk density: 9.31 lb/gal". A number is taken only if the whole text is one value with
its unit, perhaps with a temperature and the source's own citation, or several such values that each
name their temperature. Ranges, relative densities and remarks stay text; nobody's guess becomes a number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

_NUMBER: Final = r"(?P<number>[-\u2212]?[0-9]{1,9}(?:\.[0-9]{1,9})?)"
_TEMPERATURE: Final = r"(?P<at>\s?(?i:at|@)\s?[-\u2212]?[0-9]{1,4}(?:\.[0-9]{1,3})?\s?(?:°\s?[CF]|K))?"
_CITATION: Final = r"(?:\s?\([A-Za-z][A-Za-z .&]{1,40},\s?[12][0-9]{3}\))?"
_KELVIN_AT_0_C: Final = Decimal("273.15")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A property with the spellings of its units, each with factor and offset to the unit we store."""

    property_type: str
    text_property_type: str
    unit: str
    spellings: Mapping[str, tuple[Decimal, Decimal]]
    pattern: re.Pattern[str]
    least: float
    most: float
    decimals: int


@dataclass(frozen=True, slots=True)
class Reading:
    """One number, in the quantity's unit, and the words that it was read from."""

    value: float
    words: str


def _quantity(
    property_type: str,
    unit: str,
    factors: Mapping[str, tuple[str, str]],
    bounds: tuple[float, float, int],
    conditions: str,
) -> Quantity:
    spellings = {spelling: (Decimal(factor), Decimal(offset)) for spelling, (factor, offset) in factors.items()}
    units = "|".join(re.escape(spelling) for spelling in sorted(spellings, key=len, reverse=True))
    pattern = re.compile(rf"{_NUMBER}\s?(?P<unit>{units}){conditions}{_CITATION}\.?")
    return Quantity(property_type, f"{property_type}_text", unit, spellings, pattern, *bounds)


_ZERO: Final = "0"
_CELSIUS: Final = ("1", str(_KELVIN_AT_0_C))
_FAHRENHEIT: Final = (str(Decimal(5) / Decimal(9)), str(_KELVIN_AT_0_C - Decimal(32) * Decimal(5) / Decimal(9)))

MELTING_POINT: Final = _quantity(
    "melting_point",
    "K",
    {"°C": _CELSIUS, "° C": _CELSIUS, "deg C": _CELSIUS, "°F": _FAHRENHEIT, "° F": _FAHRENHEIT, "deg F": _FAHRENHEIT}
    | {"K": ("1", _ZERO)},
    (0.0, 6000.0, 4),
    "(?P<at>)",
)
DENSITY: Final = _quantity(
    "density",
    "kg/m3",
    dict.fromkeys(("g/cu cm", "g/cm³", "g/cm3", "g/cm^3", "g/mL", "g/ml", "g/cc", "kg/L"), ("1000", _ZERO))
    | dict.fromkeys(("kg/m³", "kg/m3", "kg/m^3", "kg/cu m", "g/L"), ("1", _ZERO)),
    (0.0, 30_000.0, 6),
    _TEMPERATURE,
)
VISCOSITY: Final = _quantity(
    "viscosity",
    "Pa.s",
    dict.fromkeys(
        ("mPa.s", "mPa*s", "mPa·s", "mPa s", "mPa-s", "mPa-sec", "mPa.sec", "cP", "cp", "centipoise"),
        ("0.001", _ZERO),
    )
    | dict.fromkeys(("Pa.s", "Pa*s", "Pa·s", "Pa s", "Pa-s", "Pa-sec"), ("1", _ZERO)),
    (0.0, 1e12, 12),
    _TEMPERATURE,
)


def readings(quantity: Quantity, words: str) -> list[Reading]:
    """Return the values that a text states beyond doubt; an empty list where there is any."""
    parts = [part.strip() for part in words.split(";")]
    found = [_reading(quantity, part, needs_temperature=len(parts) > 1) for part in parts]
    return [reading for reading in found if reading] if all(found) else []


def _reading(quantity: Quantity, part: str, *, needs_temperature: bool) -> Reading | None:
    match = quantity.pattern.fullmatch(part)
    if not match or (needs_temperature and not match["at"]):
        return None
    factor, offset = quantity.spellings[match["unit"]]
    value = float(round(Decimal(match["number"].replace("\u2212", "-")) * factor + offset, quantity.decimals))
    return Reading(value, part) if quantity.least < value < quantity.most else None
