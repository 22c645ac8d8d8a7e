"""From a value as somebody states it to the typed value that is kept, in the property's own unit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from app.domain.molecules import PropertyType, PropertyValue
from app.domain.units import convert, convert_difference
from app.errors import Fault, InvalidError


def typed_values(
    stated: Iterable[Mapping[str, Any]], types: Mapping[str, PropertyType], pointer: str
) -> tuple[PropertyValue, ...]:
    """Return stated values as they are kept.

    Raises:
        InvalidError: With a pointer to each value of an unknown property, kind or unit.
    """
    values, faults = [], []
    for index, item in enumerate(stated):
        try:
            values.append(typed_value(item, types))
        except InvalidError as error:
            faults += [Fault(f"{pointer}/{index}{fault.pointer}", fault.detail) for fault in error.faults]
    if faults:
        raise InvalidError("the values cannot be accepted", code="invalid_values", faults=faults)
    return tuple(values)


def typed_value(stated: Mapping[str, Any], types: Mapping[str, PropertyType]) -> PropertyValue:
    """Return one stated value as it is kept.

    Raises:
        InvalidError: The property is unknown, the value of another kind, or the unit measures something else.
    """
    name = stated["property_type"]
    kind = types.get(name)
    if kind is None:
        raise InvalidError.at("/property_type", f"no such property; known: {', '.join(sorted(types))}")
    common = {field: stated.get(field) for field in ("method", "reference")}
    verified = bool(stated.get("verified", True))
    value, unit = stated["value"], stated.get("unit")
    if kind.value_kind == "numeric":
        number = _number(value, name)
        if kind.unit is None or unit is None:
            raise InvalidError.at("/unit", f"say the unit; {name} is kept in {kind.unit}")
        return PropertyValue(
            name,
            numeric_value=_in_unit(number, unit, kind.unit),
            unit=kind.unit,
            standard_uncertainty=_uncertainty(stated.get("standard_uncertainty"), unit, kind.unit),
            verified=verified,
            **common,
        )
    for pointer in ("/unit", "/standard_uncertainty"):
        if stated.get(pointer[1:]) is not None:
            raise InvalidError.at(pointer, f"{name} is not a number and has neither unit nor uncertainty")
    if kind.value_kind == "boolean" and isinstance(value, bool):
        return PropertyValue(name, boolean_value=value, verified=verified, **common)
    if kind.value_kind == "text" and isinstance(value, str):
        return PropertyValue(name, text_value=value, verified=verified, **common)
    raise InvalidError.at("/value", f"{name} is a {kind.value_kind}")


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidError.at("/value", f"{name} is a number")
    try:
        return _finite(float(value))
    except OverflowError:
        raise InvalidError.at("/value", "the number is too large to keep") from None


def _in_unit(value: float, unit: str, target: str) -> float:
    try:
        return _finite(convert(value, unit, target))
    except InvalidError as error:
        raise InvalidError.at(error.faults[0].pointer if error.faults else "/unit", error.detail) from error


def _uncertainty(value: float | None, unit: str, target: str) -> float | None:
    if value is None:
        return None
    return _finite(convert_difference(value, unit, target), "/standard_uncertainty")


def _finite(value: float, pointer: str = "/value") -> float:
    if not math.isfinite(value):
        raise InvalidError.at(pointer, "the number is too large to keep")
    return value
