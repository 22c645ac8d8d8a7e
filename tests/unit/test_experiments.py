"""Results as they are kept, and what contradicts itself in an experiment."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from app.domain.experiments import Relation, Result, contradictions, measured
from app.domain.molecules import PropertyType
from app.errors import InvalidError

TYPES = {
    name: PropertyType(name, unit, "numeric")
    for name, unit in {
        "post_thaw_viability": "1",
        "cell_volume": "1",
        "freezing_point": "K",
        "toxicity_rate": "1/min",
    }.items()
} | {"oral_ld50": PropertyType("oral_ld50", None, "text")}
NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


def stated(name: str, value: float, unit: str, **changes: Any) -> dict[str, Any]:
    return {
        "property_type": name,
        "value": value,
        "unit": unit,
        "relation": "=",
        "standard_deviation": None,
        "replicates": None,
        **changes,
    }


def test_a_value_and_its_deviation_are_kept_in_the_propertys_unit() -> None:
    (kept,) = measured(
        [stated("freezing_point", -2, "degC", standard_deviation=0.1, relation="~", replicates=3)], TYPES
    )

    assert kept == Result("freezing_point", 271.15, "K", Relation.ABOUT, 0.1, 3)


@pytest.mark.parametrize(
    ("item", "detail"),
    [
        (stated("post_thaw_viability", 101, "%"), "a percentage lies in 0 to 100"),
        (stated("cell_volume", 150, " percent "), "a percentage lies in 0 to 100"),
        (stated("post_thaw_viability", 1.5, "1"), "post_thaw_viability lies in 0 to 1; this is 1.5"),
        (stated("freezing_point", -300, "degC"), "freezing_point is not negative; this is -26.85 K"),
        (stated("oral_ld50", 5, "g/kg"), "oral_ld50 is a text and so not the result of a measurement"),
    ],
)
def test_what_is_impossible_is_refused_with_the_reason(item: dict[str, Any], detail: str) -> None:
    with pytest.raises(InvalidError) as error:
        measured([item], TYPES)

    assert [fault.detail for fault in error.value.faults] == [detail]


def test_every_fault_has_its_place() -> None:
    items = [
        stated("freezing_point", 1, "mol/kg"),
        stated("freezing_point", 1, "K"),
        stated("charm", 1, "1"),
        stated("toxicity_rate", 1, "1/s", standard_deviation=1e308),
    ]

    with pytest.raises(InvalidError) as error:
        measured(items, TYPES)

    assert [fault.pointer for fault in error.value.faults] == [
        "/results/0/unit",
        "/results/2/property_type",
        "/results/3/standard_deviation",
    ]


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ({}, []),
        ({"outcome": "fail"}, []),
        ({"outcome": "fail", "failure_reasons": []}, ["/failure_reasons"]),
        ({"outcome": "fail", "failure_reasons": ["ice"]}, []),
        ({"outcome": "pass", "failure_reasons": ["ice"]}, ["/failure_reasons"]),
        ({"outcome": "pass", "failure_reasons": []}, []),
        ({"outcome": "inconclusive", "failure_reasons": ["ice"]}, []),
        ({"completed_at": NOON}, []),
        ({"started_at": NOON, "completed_at": NOON}, []),
        ({"started_at": NOON, "completed_at": NOON - dt.timedelta(microseconds=1)}, ["/completed_at"]),
    ],
)
def test_only_what_a_body_holds_contradicts(body: dict[str, Any], places: list[str]) -> None:
    assert [fault.pointer for fault in contradictions(body)] == places
