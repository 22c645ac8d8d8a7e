"""Which values of a property may be compared: never survival of other cells, or after another exposure."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.comparisons import askable, condition_key, relevant, stated

EXPOSED = {"temperature_k": 298.15, "exposure_min": 30, "cell_type": "endothelial"}


@pytest.mark.parametrize(
    "same",
    [
        EXPOSED,
        {**EXPOSED, "temperature_k": 298},
        {**EXPOSED, "exposure_min": 30.0},
        {**EXPOSED, "cell_type": " Endothelial cells "},
        {**EXPOSED, "cooling_rate_k_min": 1, "anything": {"else": 1}},
    ],
)
def test_the_same_said_otherwise_is_the_same(same: dict[str, Any]):
    assert condition_key("cell_survival", same) == condition_key("cell_survival", EXPOSED)


@pytest.mark.parametrize(
    "other",
    [
        {**EXPOSED, "temperature_k": 277.15},
        {**EXPOSED, "exposure_min": 31},
        {**EXPOSED, "cell_type": "chondrocytes"},
        {"temperature_k": 298.15, "exposure_min": 30},
        {},
    ],
)
def test_other_cells_times_and_temperatures_are_not(other: dict[str, Any]):
    assert condition_key("cell_survival", other) != condition_key("cell_survival", EXPOSED)


def test_an_equilibrium_is_the_same_whatever_the_cells():
    assert condition_key("freezing_point", EXPOSED) == condition_key("freezing_point", {}) == ()


def test_a_rate_of_nothing_said_is_one_of_the_solution():
    unsaid = condition_key("critical_cooling_rate", {})

    assert unsaid == condition_key("critical_cooling_rate", {"rate_context": "solution"})
    assert unsaid != condition_key("critical_cooling_rate", {"rate_context": "tissue"})


def test_what_nobody_has_listed_is_compared_under_all_conditions():
    assert "cooling_rate_k_min" in relevant("post_thaw_viability")
    assert condition_key("a_new_property", {"plunge": True}) != condition_key("a_new_property", {"plunge": False})


@pytest.mark.parametrize("strange", [[1], {"a": 1}, True, float("inf"), 10**400, "", None])
def test_whatever_a_database_holds_is_a_condition(strange: Any):
    assert len(condition_key("cell_survival", {"temperature_k": strange})) == 3


def test_only_what_matters_is_said():
    assert stated("density", {**EXPOSED, "more": 1}) == {"temperature_k": 298.15}


@pytest.mark.parametrize(
    ("property_type", "conditions", "asked"),
    [
        ("cell_survival", {**EXPOSED, "plunge": True}, EXPOSED),
        ("freezing_point", EXPOSED, {}),
        ("critical_cooling_rate", {"rate_context": "solution"}, {}),
        ("critical_cooling_rate", {"rate_context": "tissue"}, None),
        ("cell_survival", {"temperature_k": "warm"}, None),
        ("cell_survival", {"exposure_min": -1}, None),
        ("cell_survival", {"cell_type": 7}, None),
    ],
)
def test_the_models_are_asked_under_conditions_that_they_take(
    property_type: str, conditions: dict[str, Any], asked: dict[str, Any] | None
):
    assert askable(property_type, conditions) == asked
