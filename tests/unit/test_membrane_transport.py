"""Cell volumes in protocols of baths, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.errors import InvalidError
from app.science.models import solutes
from app.science.models.cases import ISOTONIC_OSMOL_KG, Composition, Conditions, Protocol, Step
from app.science.models.membrane_cells import CELLS, cell_named
from app.science.models.membrane_transport import Bath, Membrane, cell_volumes
from app.science.models.model import Prediction
from app.science.models.registry import evaluate

OOCYTE = "rhesus monkey MII oocyte"
ISLET = "newborn pig islet cells"
KELVIN_23_5 = 296.65
MASSES = {
    solutes.ETHYLENE_GLYCOL: 62.068,
    solutes.DMSO: 78.133,
    solutes.GLYCEROL: 92.094,
    solutes.SUCROSE: 342.297,
    solutes.FORMAMIDE: 45.041,
}
WATER = Composition({}, {})
GLYCOL = Composition({solutes.ETHYLENE_GLYCOL: 1.5}, MASSES)
INACTIVE = 0.197


def protocol(*steps: Step, diameter: float | None = 110.0, inactive: float | None = None) -> Protocol:
    return Protocol(steps, cell_diameter_um=diameter, inactive_volume_fraction=inactive)


def volumes(
    composition: Composition, baths: Protocol | None, cell_type: str | None = OOCYTE, kelvin: float | None = KELVIN_23_5
) -> dict[str, Prediction]:
    answers = evaluate(composition, Conditions(kelvin, None, cell_type, baths), models=["two_parameter_transport"])
    return {answer.property_type: answer for answer in answers}


def number(answers: dict[str, Prediction], name: str = "cell_volume") -> float:
    value = answers[name].value
    assert value is not None, answers[name].reason
    return value


@pytest.mark.parametrize("osmolality", [0.2, 0.6, 1.2, 2.4])
def test_salts_alone_shrink_and_swell_a_cell_by_boyle_and_van_t_hoff(osmolality: float):
    answers = volumes(WATER, protocol(Step(600, impermeant_osmolality_osmol_kg=osmolality)))

    expected = INACTIVE + (1.0 - INACTIVE) * ISOTONIC_OSMOL_KG / osmolality
    assert number(answers) == pytest.approx(expected, rel=1e-4)


def test_sugar_of_the_composition_counts_among_what_stays_outside():
    sugar = Composition({solutes.SUCROSE: 0.9}, MASSES)

    answers = volumes(sugar, protocol(Step(600)))

    assert number(answers) == pytest.approx(INACTIVE + (1.0 - INACTIVE) / 4.0, rel=1e-4)


def test_a_cell_shrinks_at_first_and_takes_up_the_agent_then():
    answers = volumes(GLYCOL, protocol(Step(120)))

    molar_volume = 0.062068 / 1.1101
    loaded = 1.0 + molar_volume * 1.5 * (1.0 - INACTIVE)
    assert number(answers, "cell_volume_minimum") < 0.75
    assert number(answers) == pytest.approx(loaded, rel=2e-3)
    assert number(answers, "cell_volume_maximum") == pytest.approx(number(answers), rel=1e-6)


def test_washing_the_agent_out_brings_the_isotonic_volume_back():
    answers = volumes(GLYCOL, protocol(Step(60), Step(240, 0.0)))

    assert number(answers) == pytest.approx(1.0, abs=1e-3)
    assert number(answers, "cell_volume_maximum") > 1.2


def test_sugar_in_the_wash_keeps_the_cell_from_swelling():
    plain = volumes(GLYCOL, protocol(Step(60), Step(30, 0.0)))
    sweet = volumes(GLYCOL, protocol(Step(60), Step(30, 0.0, ISOTONIC_OSMOL_KG + 0.5)))

    assert number(sweet, "cell_volume_maximum") < number(plain, "cell_volume_maximum") - 0.1


def test_loading_in_two_steps_shrinks_the_cell_less_than_in_one():
    once = volumes(GLYCOL, protocol(Step(20)))
    twice = volumes(GLYCOL, protocol(Step(20, 0.5), Step(20)))

    assert number(twice, "cell_volume_minimum") > number(once, "cell_volume_minimum") + 0.05


def test_the_extremes_do_not_depend_on_the_size_of_the_cell():
    small = volumes(GLYCOL, protocol(Step(600), diameter=60.0))
    large = volumes(GLYCOL, protocol(Step(600), diameter=120.0))

    assert number(small, "cell_volume_minimum") == pytest.approx(number(large, "cell_volume_minimum"), abs=0.01)


def test_a_protocol_of_isotonic_baths_changes_nothing():
    answers = volumes(WATER, protocol(Step(5), Step(50)))

    assert [number(answers, name) for name in answers] == pytest.approx([1.0, 1.0, 1.0], abs=1e-9)


@settings(deadline=None, max_examples=25)
@given(
    molality=st.floats(0.1, 3.0),
    steps=st.lists(st.tuples(st.floats(1.0, 30.0), st.floats(0.0, 1.0)), min_size=1, max_size=4),
)
# Amounts near the smallest numbers that there are.
@example(3.0, [(7.0, 1e-308), (7.0, 1e-300), (2.0, 1e-300)])
def test_the_volume_is_between_its_extremes_and_returns_to_isotonic(molality: float, steps: list[tuple[float, float]]):
    composition = Composition({solutes.ETHYLENE_GLYCOL: molality}, MASSES)
    # Sugar in the washes, or the cell would burst on the way.
    baths = [Step(minutes, fraction, ISOTONIC_OSMOL_KG + 3.0 * (1.0 - fraction)) for minutes, fraction in steps]

    answers = volumes(composition, protocol(*baths, Step(400, 0.0, 3.0), Step(900, 0.0)))

    assert number(answers) == pytest.approx(1.0, abs=5e-3)
    assert INACTIVE < number(answers, "cell_volume_minimum") <= 1.0 <= number(answers, "cell_volume_maximum")


def test_the_numbers_follow_the_equations_integrated_in_small_steps():
    bath = Bath(5.0, 296.65, 1.5, 0.3)
    membrane = Membrane(np.array([0.61]), np.array([20.4]), 0.0559, np.array([0.197]), 6.0 / 110.0)

    times, found = cell_volumes([bath], [membrane])

    water, agent, count = 0.803, 0.0, 200_000
    step = 5.0 / count
    for _ in range(count):
        d_water = -0.61 * 6 / 110 * 0.082057366 * 296.65 * (1.8 - (0.3 * 0.803 + agent) / water)
        d_agent = 20.4 * 6 / 110 * (1.5 - agent / water)
        water, agent = water + step * d_water, agent + step * d_agent
    assert times[-1] == 5.0
    assert found[0, -1] == pytest.approx(0.197 + water + 0.0559 * agent, abs=1e-4)


@pytest.mark.parametrize(("celsius", "water", "dmso"), [(4, 0.050, 0.89), (10, 0.071, 1.86), (22, 0.300, 5.33)])
def test_arrhenius_law_meets_the_permeabilities_at_other_temperatures(celsius: float, water: float, dmso: float):
    # Fedorow et al. 2001, abstract; its activation energies are of fits, and a point lies 27 % off.
    cell = cell_named(ISLET)
    assert cell is not None

    assert cell.water.at(celsius + 273.15) == pytest.approx(water, rel=0.3)
    assert cell.agents[solutes.DMSO].at(celsius + 273.15) == pytest.approx(dmso, rel=0.3)


def test_a_cold_cell_takes_longer():
    dmso = Composition({solutes.DMSO: 1.0}, MASSES)
    baths = protocol(Step(5), diameter=10.0, inactive=0.4)

    assert number(volumes(dmso, baths, ISLET, 277.15)) < number(volumes(dmso, baths, ISLET, 295.15)) - 0.05


def test_a_bath_may_have_a_temperature_of_its_own():
    dmso = Composition({solutes.DMSO: 1.0}, MASSES)
    cold = protocol(Step(5, temperature_k=277.15), diameter=10.0, inactive=0.4)

    assert number(volumes(dmso, cold, ISLET, 295.15)) == number(
        volumes(dmso, protocol(Step(5), diameter=10.0, inactive=0.4), ISLET, 277.15)
    )


def test_the_curve_runs_from_isotonic_to_the_value():
    (answer,) = (item for item in volumes(GLYCOL, protocol(Step(10), Step(20))).values() if item.curve)

    assert answer.property_type == "cell_volume"
    assert answer.curve is not None
    assert answer.curve.time_min[0] == 0.0
    assert answer.curve.time_min[-1] == 30.0
    assert answer.curve.values[0] == 1.0
    assert answer.curve.values[-1] == pytest.approx(answer.value, abs=1e-6)
    assert list(answer.curve.time_min) == sorted(answer.curve.time_min)


def test_an_uncertain_inactive_volume_makes_the_answer_less_certain():
    measured = volumes(GLYCOL, protocol(Step(2)))["cell_volume"].standard_uncertainty
    stated = volumes(GLYCOL, protocol(Step(2), inactive=INACTIVE))["cell_volume"].standard_uncertainty

    assert measured is not None
    assert stated is not None
    assert measured > stated > 0.05


@pytest.mark.parametrize(
    ("composition", "baths", "cell_type", "kelvin", "reason"),
    [
        (GLYCOL, None, OOCYTE, 296.65, "needs conditions.protocol"),
        (replace(GLYCOL, solvent="ethanol"), protocol(Step(5)), OOCYTE, 296.65, "in water, not in ethanol"),
        (GLYCOL, protocol(Step(5)), None, 296.65, "say conditions.cell_type"),
        (GLYCOL, protocol(Step(5)), "keratinocyte", 296.65, "permeabilities are known of granulosa cell, human sperm"),
        (GLYCOL, protocol(Step(5)), ISLET, 290.0, "permeability of newborn pig islet cell to"),
        (
            Composition({solutes.ETHYLENE_GLYCOL: 1.0, solutes.DMSO: 1.0}, MASSES),
            protocol(Step(5)),
            OOCYTE,
            296.65,
            "one cryoprotectant at a time",
        ),
        (GLYCOL, protocol(Step(5), diameter=None), OOCYTE, 296.65, "cell_diameter_um or surface_to_volume_per_um"),
        (Composition({solutes.DMSO: 1.0}, MASSES), protocol(Step(5)), ISLET, 290.0, "inactive volume of newborn pig"),
        (GLYCOL, protocol(Step(5)), OOCYTE, None, "needs a temperature"),
        (GLYCOL, protocol(Step(5)), OOCYTE, 310.15, "310.15 K is outside 294.65-298.65 K"),
        (GLYCOL, protocol(Step(5), diameter=1e-300), OOCYTE, 296.65, "cells of 0.2-5000 um"),
        (GLYCOL, protocol(Step(5), diameter=0.1), OOCYTE, 296.65, "cells of 0.2-5000 um"),
        (GLYCOL, protocol(Step(5), diameter=1e6), OOCYTE, 296.65, "cells of 0.2-5000 um"),
        (GLYCOL, protocol(Step(5), inactive=0.999999999), OOCYTE, 296.65, "inactive volume up to 0.9"),
        (GLYCOL, protocol(Step(5), Step(5e-324)), OOCYTE, 296.65, "at least 0.001 min"),
        (GLYCOL, protocol(Step(1500)), OOCYTE, 296.65, "at most 1440 min"),
        (GLYCOL, protocol(Step(5, impermeant_osmolality_osmol_kg=11.0)), OOCYTE, 296.65, "far from ideal"),
        (WATER, protocol(Step(60, impermeant_osmolality_osmol_kg=0.01)), OOCYTE, 296.65, "times its isotonic volume"),
        (WATER, protocol(Step(600, impermeant_osmolality_osmol_kg=0.0)), OOCYTE, 296.65, "and burst"),
    ],
)
def test_what_the_model_cannot_say_is_refused_with_the_reason(
    composition: Composition, baths: Protocol | None, cell_type: str | None, kelvin: float | None, reason: str
):
    answers = volumes(composition, baths, cell_type, kelvin)

    assert len(answers) == 3
    assert all(answer.value is None and not answer.in_domain for answer in answers.values())
    assert all(answer.reason and reason in answer.reason for answer in answers.values())


@pytest.mark.parametrize("diameter", [0.2, 10.0, 5000.0])
@pytest.mark.parametrize("inactive", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("osmolality", [0.2, 10.0])
def test_no_cell_within_the_limits_is_smaller_than_what_is_inactive_in_it(
    diameter: float, inactive: float, osmolality: float
):
    step = Step(720, impermeant_osmolality_osmol_kg=osmolality)
    short = Step(0.001, impermeant_osmolality_osmol_kg=osmolality)
    answers = volumes(WATER, protocol(short, step, diameter=diameter, inactive=inactive))

    assert inactive < number(answers, "cell_volume_minimum") <= 1.0


@pytest.mark.parametrize(
    ("step", "fields", "pointer"),
    [
        (Step(0), {}, "/conditions/protocol/steps/0/duration_min"),
        (Step(-1), {}, "/conditions/protocol/steps/0/duration_min"),
        (Step(1, -0.1), {}, "/conditions/protocol/steps/0/fraction"),
        (Step(1, 1.0, float("nan")), {}, "/conditions/protocol/steps/0/impermeant_osmolality_osmol_kg"),
        (Step(1, temperature_k=-3), {}, "/conditions/protocol/steps/0/temperature_k"),
        (Step(1), {"cell_diameter_um": 0.0}, "/conditions/protocol/cell_diameter_um"),
        (Step(1), {"surface_to_volume_per_um": -1.0}, "/conditions/protocol/surface_to_volume_per_um"),
        (
            Step(1),
            {"surface_to_volume_per_um": 1.0, "cell_diameter_um": 6.0},
            "/conditions/protocol/surface_to_volume_per_um",
        ),
        (Step(1), {"inactive_volume_fraction": 1.0}, "/conditions/protocol/inactive_volume_fraction"),
    ],
)
def test_what_is_no_protocol_is_an_error(step: Step, fields: dict[str, float], pointer: str):
    with pytest.raises(InvalidError) as refused:
        Protocol((step,), **fields)

    assert [fault.pointer for fault in refused.value.faults] == [pointer]


@pytest.mark.parametrize("name", ["Human sperm", " human  sperm ", "granulosa cells", "mouse unfertilised ova"])
def test_a_cell_is_known_in_singular_and_plural(name: str):
    assert cell_named(name) in CELLS
