"""Stated values: typed, in the property's own unit, each fault with a pointer."""

from __future__ import annotations

import math
from typing import Any

import pytest

from app.domain.molecules import PropertyType, PropertyValue
from app.domain.properties import typed_value, typed_values
from app.errors import InvalidError

TYPES = {
    "melting_point": PropertyType("melting_point", "K", "numeric"),
    "density": PropertyType("density", "kg/m3", "numeric"),
    "xlogp3": PropertyType("xlogp3", "1", "numeric"),
    "class": PropertyType("class", None, "text"),
    "penetrating": PropertyType("penetrating", None, "boolean"),
}


def stated(name: str, value: Any, unit: str | None = None, **more: Any) -> dict[str, Any]:
    return {"property_type": name, "value": value, "unit": unit, **more}


def pointer_of(item: dict[str, Any]) -> str:
    with pytest.raises(InvalidError) as caught:
        typed_value(item, TYPES)
    (fault,) = caught.value.faults
    return fault.pointer


def test_a_number_is_kept_in_the_propertys_own_unit():
    kept = typed_value(stated("melting_point", 18.2, "degC", standard_uncertainty=0.5), TYPES)

    assert kept == PropertyValue("melting_point", numeric_value=291.35, unit="K", standard_uncertainty=0.5)


def test_an_uncertainty_is_a_difference_in_the_units_of_the_value():
    kept = typed_value(stated("density", 1.1, "g/mL", standard_uncertainty=0.002), TYPES)

    assert (kept.numeric_value, kept.standard_uncertainty, kept.unit) == (1100, 2, "kg/m3")


def test_an_uncertainty_of_nothing_is_not_an_unknown_one():
    assert typed_value(stated("density", 1, "g/mL", standard_uncertainty=0), TYPES).standard_uncertainty == 0
    assert typed_value(stated("density", 1, "g/mL"), TYPES).standard_uncertainty is None


def test_method_reference_and_doubt_are_kept():
    kept = typed_value(stated("density", 1, "g/mL", method="at 20 degC", reference="doi:1", verified=False), TYPES)

    assert (kept.method, kept.reference, kept.verified) == ("at 20 degC", "doi:1", False)


def test_texts_and_truth_values_are_kept_as_they_are():
    assert typed_value(stated("class", "polyol"), TYPES) == PropertyValue("class", text_value="polyol")
    assert typed_value(stated("penetrating", value=False), TYPES) == PropertyValue("penetrating", boolean_value=False)


def test_whole_numbers_are_numbers():
    assert typed_value(stated("melting_point", 291, "K"), TYPES).numeric_value == 291.0


@pytest.mark.parametrize(
    ("item", "pointer"),
    [
        (stated("boiling_point", 1, "K"), "/property_type"),
        (stated("melting_point", "hot", "K"), "/value"),
        (stated("melting_point", value=True, unit="K"), "/value"),
        (stated("melting_point", 1), "/unit"),
        (stated("melting_point", 1, "kg"), "/unit"),
        (stated("melting_point", 1, "9**9**9**9"), "/unit"),
        (stated("melting_point", 10**400, "K"), "/value"),
        (stated("melting_point", 1e308, "kK"), "/value"),
        (stated("melting_point", 1, "kK", standard_uncertainty=1e308), "/standard_uncertainty"),
        (stated("xlogp3", 1.5), "/unit"),
        (stated("class", 1), "/value"),
        (stated("class", value=True), "/value"),
        (stated("class", "polyol", "K"), "/unit"),
        (stated("class", "polyol", standard_uncertainty=1), "/standard_uncertainty"),
        (stated("penetrating", "yes"), "/value"),
        (stated("penetrating", 1), "/value"),
        (stated("penetrating", value=True, unit="1"), "/unit"),
    ],
)
def test_a_value_that_does_not_fit_its_property_is_refused_at_the_field(item: dict[str, Any], pointer: str):
    assert pointer_of(item) == pointer


def test_an_unknown_property_names_the_known_ones():
    with pytest.raises(InvalidError, match="class, density, melting_point, penetrating, xlogp3") as caught:
        typed_value(stated("boiling_point", 1, "K"), TYPES)

    assert caught.value.faults[0].pointer == "/property_type"


def test_all_faults_of_a_list_are_named_with_their_index():
    items = [
        stated("density", 1, "g/mL"),
        stated("nothing", 1, "K"),
        stated("density", 1, "K"),
        stated("class", "polyol"),
        stated("penetrating", 3),
    ]

    with pytest.raises(InvalidError) as caught:
        typed_values(items, TYPES, "/properties")

    assert [fault.pointer for fault in caught.value.faults] == [
        "/properties/1/property_type",
        "/properties/2/unit",
        "/properties/4/value",
    ]


def test_a_list_without_faults_keeps_its_order():
    kept = typed_values([stated("density", 1, "g/mL"), stated("class", "x"), stated("density", 2, "g/mL")], TYPES, "")

    assert [item.numeric_value or item.text_value for item in kept] == [1000, "x", 2000]
    assert all(math.isfinite(item.numeric_value or 0) for item in kept)
