"""Units of measurement, by pint: one registry, and the conversions that the service allows.

pint evaluates what it is given as an expression, and `9**9**9**9` is one. So a unit is first read here, as
symbols with powers of one digit, and only what was read is handed on.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Final

import pint

from app.errors import InvalidError

_REGISTRY: Final[pint.UnitRegistry[float]] = pint.UnitRegistry(autoconvert_offset_to_baseunit=True, cache_folder=None)
# Not an amount of substance: how many osmoles a mole gives is what a measurement finds out.
_REGISTRY.define("osmole = [osmotic_amount] = osmol = Osm = osm")
_MAX_UNIT_LENGTH: Final = 50
_SUPERSCRIPTS: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_SPELLINGS: Final = str.maketrans({".": "*", "·": "*", "⋅": "*", "\u00d7": "*", "\u2212": "-", "℃": "°C", "℉": "°F"})
_TEMPERATURE: Final = "K"
# As pint calls degrees that have no zero: a depression of the freezing point is no freezing point.
_DIFFERENCE: Final = re.compile("delta_|\u0394")
_PART: Final = re.compile(
    r"""
    \s*(?:
        (?P<symbol>°?[^\W\d]+|%) (?:(?:\s?(?:\^|\*\*)\s?)?(?P<power>[+-]?[1-9]))?
        | (?P<other>1|[*/()])
    )(?!\d)
    """,
    re.VERBOSE,
)


def convert(value: float, unit: str, target: str) -> float:
    """Return a value in the unit `target`.

    Raises:
        InvalidError: The unit is unknown or measures something else.
    """
    if unit == target:
        return value
    if target == _TEMPERATURE and _DIFFERENCE.search(unit):
        msg = f"{unit!r} is a difference of temperatures, not a temperature"
        raise InvalidError(msg)
    factor, offset = _conversion(unit, target)
    return _rounded(value * factor + offset)


def convert_difference(value: float, unit: str, target: str) -> float:
    """Return a difference (an uncertainty, a standard deviation) in the unit `target`.

    Raises:
        InvalidError: The unit is unknown or measures something else.
    """
    if unit == target:
        return value
    factor, _ = _conversion(unit, target)
    return _rounded(value * abs(factor))


def _rounded(value: float) -> float:
    # 25 degC is 298.15 K, not 298.15000000000003: twelve digits are more than anybody measures.
    return float(f"{value:.12g}")


def _conversion(unit: str, target: str) -> tuple[float, float]:
    if len(unit) > _MAX_UNIT_LENGTH:
        msg = f"a unit has at most {_MAX_UNIT_LENGTH} characters"
        raise InvalidError(msg)
    try:
        return _factor_and_offset(unit, target)
    except Exception as error:  # pint answers strange units with many kinds of error, AssertionError included
        msg = f"the unit {unit!r} does not convert to {target!r}"
        raise InvalidError(msg) from error


@lru_cache(maxsize=1024)
def _factor_and_offset(unit: str, target: str) -> tuple[float, float]:
    source, goal = _expression(unit), _expression(target)
    zero, one, two = (float(_REGISTRY.Quantity(number, source).to(goal).magnitude) for number in (0.0, 1.0, 2.0))
    if not math.isclose(two - one, one - zero):
        msg = f"{unit} is not a linear scale"
        raise ValueError(msg)
    return one - zero, zero


def _expression(unit: str) -> str:
    """Return the unit as pint reads it: `kg m⁻³`, `kg/m3` and `kg.m^-3` all mean kg * m**-3.

    Raises:
        ValueError: It is more, or less, than symbols with powers.
    """
    text = re.sub("[⁰-⁹¹²³⁺⁻]+", lambda match: match[0].translate(_SUPERSCRIPTS), unit.strip().translate(_SPELLINGS))
    parts: list[str] = []
    position = 0
    if not text:
        raise ValueError(text)
    while position < len(text):
        part = _PART.match(text, position)
        if part is None:
            raise ValueError(text)
        if part["other"] in {"*", "/", ")"}:
            parts.append(part["other"])
        else:
            joined = not parts or parts[-1] in {"*", "/", "("}
            parts += [] if joined else ["*"]
            parts.append(part["other"] or (f"{part['symbol']}**{part['power']}" if part["power"] else part["symbol"]))
        position = part.end()
    return " ".join(parts)
