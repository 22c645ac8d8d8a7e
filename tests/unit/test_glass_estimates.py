"""Glass transitions and critical cooling rates: estimates, refused where nothing is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.science.models import critical_cooling, glass_transition, solutes
from app.science.models.cases import Composition
from app.science.models.model import Prediction
from app.science.models.registry import evaluate

MASSES = {
    solutes.GLYCEROL: 92.094,
    solutes.ETHYLENE_GLYCOL: 62.068,
    solutes.ETHANOL: 46.069,
    solutes.DMSO: 78.134,
    solutes.SUCROSE: 342.297,
    solutes.FORMAMIDE: 45.041,
}
PENETRATING = [solutes.GLYCEROL, solutes.ETHYLENE_GLYCOL, solutes.ETHANOL, solutes.DMSO]


def composed(mass_fractions: dict[str, float], solvent: str = "water") -> Composition:
    water = 1.0 - sum(mass_fractions.values())
    amounts = {key: 1000.0 * fraction / water / MASSES[key] for key, fraction in mass_fractions.items()}
    return Composition(amounts, MASSES, solvent, solutes.NAMES)


def answer(property_type: str, mass_fractions: dict[str, float], solvent: str = "water") -> Prediction:
    (only,) = evaluate(composed(mass_fractions, solvent), properties=[property_type])
    return only


def test_the_published_pair_of_trehalose_temperatures_is_met():
    # Drake 2018, abstract: 360 K dry and 220 K with 0.4 of water.
    tg_k = glass_transition.gordon_taylor_tg_k(np.array([1.0, 0.6, 0.0]), np.full(3, 360.0))

    assert tg_k == pytest.approx([360.0, 220.0, 136.0])


def test_a_dry_mixture_of_equal_substances_is_that_substance():
    assert glass_transition.fox_tg_k(np.array([[0.3, 0.7]]), np.array([190.0, 190.0]))[0] == pytest.approx(190.0)


@settings(deadline=None, max_examples=50)
@given(
    keys=st.lists(st.sampled_from(PENETRATING), min_size=1, max_size=3, unique=True), total=st.floats(0.31, 0.95)
)  # fmt: skip
def test_a_glass_transition_lies_between_those_of_its_parts_with_an_honest_interval(keys: list[str], total: float):
    estimate = answer("glass_transition_temperature", {key: total / len(keys) for key in keys})

    parts = [glass_transition.WATER_K, *(glass_transition.PURE_K[key] for key in keys)]
    assert estimate.value is not None
    assert estimate.standard_uncertainty is not None
    assert min(parts) <= estimate.value <= max(parts)
    assert 1.645 * estimate.standard_uncertainty >= 10.0
    assert "remembered, not checked" in str(estimate.reason)


@pytest.mark.parametrize(
    ("property_type", "mass_fractions", "solvent", "reason"),
    [
        ("glass_transition_temperature", {solutes.FORMAMIDE: 0.5}, "water", "formamide"),
        ("glass_transition_temperature", {solutes.GLYCEROL: 0.2}, "water", "30 %"),
        ("glass_transition_temperature", {}, "water", "30 %"),
        ("glass_transition_temperature", {solutes.GLYCEROL: 0.5}, "ethanol", "ethanol"),
        ("critical_cooling_rate", {solutes.GLYCEROL: 0.5}, "water", "ethylene glycol alone"),
        ("critical_cooling_rate", {solutes.ETHANOL: 0.2, solutes.ETHYLENE_GLYCOL: 0.2}, "water", "alone"),
        ("critical_cooling_rate", {solutes.ETHANOL: 0.04}, "water", "5%-60%"),
        ("critical_cooling_rate", {solutes.ETHANOL: 0.61}, "water", "5%-60%"),
        ("critical_cooling_rate", {}, "water", "alone"),
        ("critical_cooling_rate", {solutes.ETHANOL: 0.3}, "methanol", "methanol"),
    ],
)
def test_out_of_range_there_is_a_reason_and_no_number(
    property_type: str, mass_fractions: dict[str, float], solvent: str, reason: str
):
    refused = answer(property_type, mass_fractions, solvent)

    assert (refused.value, refused.standard_uncertainty, refused.in_domain) == (None, None, False)
    assert reason in str(refused.reason)


@pytest.mark.parametrize(("key", "fraction"), [(solutes.ETHANOL, 0.36), (solutes.ETHYLENE_GLYCOL, 0.57)])
def test_the_critical_cooling_rate_is_1_k_s_where_it_was_read(key: str, fraction: float):
    estimate = answer("critical_cooling_rate", {key: fraction})

    assert estimate.value == pytest.approx(60.0)
    assert "order of magnitude" in str(estimate.reason)


@pytest.mark.parametrize(("key", "per_percent"), [(solutes.ETHANOL, 0.345), (solutes.ETHYLENE_GLYCOL, 0.218)])
def test_each_percent_of_solute_lowers_the_critical_cooling_rate_by_the_derived_factor(key: str, per_percent: float):
    one_k_s_at = critical_cooling.ONE_K_S_AT[key]

    ratio = critical_cooling.critical_cooling_rate_k_min(0.30, one_k_s_at) / (
        critical_cooling.critical_cooling_rate_k_min(0.31, one_k_s_at)
    )

    assert math.log(ratio) == pytest.approx(per_percent, abs=6e-4)
