"""Units of measurement, by pint: one registry, and the conversions that the service allows."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import pint

from app.errors import InvalidError

_REGISTRY: Final[pint.UnitRegistry[float]] = pint.UnitRegistry(autoconvert_offset_to_baseunit=True, cache_folder=None)
_REGISTRY.define("osmole = mole = osmol")
_MAX_UNIT_LENGTH: Final = 50


@lru_cache(maxsize=1024)
def _factor_and_offset(unit: str, target: str) -> tuple[float, float]:
    zero = _REGISTRY.Quantity(0.0, unit).to(target).magnitude
    one = _REGISTRY.Quantity(1.0, unit).to(target).magnitude
    return one - zero, zero


def convert(value: float, unit: str, target: str) -> float:
    """Return a value in the unit `target`.

    Raises:
        InvalidError: The unit is unknown or measures something else.
    """
    if unit == target:
        return value
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
