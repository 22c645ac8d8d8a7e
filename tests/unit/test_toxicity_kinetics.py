"""Toxicity rates and survivals against published numbers, measured ones, and what holds for every mixture."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import InvalidError
from app.science.models import solutes, toxicity_kinetics_fit
from app.science.models import toxicity_kinetics as kinetics
from app.science.models.cases import Case, Composition, Conditions
from app.science.models.model import Prediction
from app.science.models.registry import evaluate, evaluate_many
from benchmarks.science import toxicity_kinetics as fitting
from benchmarks.science.measurements import MEASUREMENTS

GLY, DMSO, PG, EG, FA = kinetics.AGENTS
MASSES = {GLY: 92.094, DMSO: 78.134, PG: 76.095, EG: 62.068, FA: 45.041, solutes.SUCROSE: 342.297}
Amounts = dict[str, float]
ROOM = Conditions(temperature_k=298.15, exposure_min=30.0, cell_type="endothelial")
MODELS = ["warner_2022", "warner_weibull"]

unhurried = settings(deadline=None, max_examples=50)
needs_measurements = pytest.mark.skipif(
    not MEASUREMENTS.is_file(), reason=f"the measured survivals are not here: {MEASUREMENTS}"
)


def answers(amounts: Amounts, conditions: Conditions = ROOM, model: str = "warner_2022") -> dict[str, Prediction]:
    composition = Composition(amounts, MASSES, names=solutes.NAMES)
    return {answer.property_type: answer for answer in evaluate(composition, conditions, models=[model])}


def survival(amounts: Amounts, exposure_min: float, model: str) -> float:
    answer = answers(amounts, Conditions(298.15, exposure_min, "endothelial"), model)["cell_survival"]
    assert answer.value is not None
    return answer.value


@st.composite
def mixtures(draw: st.DrawFn) -> Amounts:
    keys = draw(st.lists(st.sampled_from(kinetics.AGENTS), min_size=1, max_size=5, unique=True))
    weights = [draw(st.floats(0.01, 1.0)) for _ in keys]
    total = draw(st.floats(0.5, 10.0))
    return {key: total * weight / sum(weights) for key, weight in zip(keys, weights, strict=True)}


@pytest.mark.parametrize(
    ("amounts", "rate_per_min"),
    [
        ({GLY: 5.0}, 0.0049624),
        ({DMSO: 7.0}, 0.0065070),
        ({FA: 5.0}, 0.092127),
        ({PG: 7.0}, 0.35255),
        ({EG: 10.0}, 0.032739),
        ({GLY: 2.5, FA: 2.5}, 0.0073953),
        ({PG: 3.5, FA: 3.5}, 0.18198),
        ({GLY: 7 / 3, DMSO: 7 / 3, FA: 7 / 3}, 0.0053587),
    ],
)
def test_the_published_model_gives_the_reference_rates_within_half_a_percent(amounts: Amounts, rate_per_min: float):
    assert answers(amounts)["toxicity_rate"].value == pytest.approx(rate_per_min, rel=5e-3)


def test_dmso_that_is_not_there_is_not_toxic():
    rate = kinetics.toxicity_rate_per_min(np.array([[0.0, 0.0, 0.0, 1.0, 0.0]]), kinetics.PUBLISHED)

    assert rate[0] == pytest.approx((0.0698 * 1.0) ** 9.51, rel=1e-9)


@pytest.mark.parametrize("constants", [kinetics.PUBLISHED, kinetics.REFITTED], ids=MODELS)
def test_without_solutes_nothing_dies(constants: kinetics.Kinetics):
    assert kinetics.hazard(np.zeros((1, 5)), np.array([30.0]), constants)[0] == 0.0


def test_the_complex_of_two_agents_is_in_equilibrium_with_what_is_free():
    first, second, k_eq = np.array([3.0]), np.array([4.0]), np.array([0.16])

    bound = kinetics._bound(first, second, k_eq)

    assert bound / ((first - bound) * (second - bound)) == pytest.approx(k_eq)


@pytest.mark.parametrize("model", MODELS)
@unhurried
@given(mixture=mixtures(), times=st.tuples(st.floats(5.0, 60.0), st.floats(5.0, 60.0)))
def test_survival_falls_with_time(model: str, mixture: Amounts, times: tuple[float, float]):
    earlier, later = sorted(times)

    assert 0.0 <= survival(mixture, later, model) <= survival(mixture, earlier, model) <= 1.0


@unhurried
@given(mixture=mixtures())
def test_the_published_rate_is_the_same_at_all_times_and_gives_the_survival(mixture: Amounts):
    rate = answers(mixture)["toxicity_rate"].value
    assert rate is not None

    assert survival(mixture, 10.0, "warner_2022") == pytest.approx(math.exp(-10.0 * rate))
    assert survival(mixture, 60.0, "warner_2022") == pytest.approx(math.exp(-60.0 * rate))


@pytest.mark.parametrize("model", MODELS)
@unhurried
@given(mixture=mixtures())
def test_every_number_has_a_finite_uncertainty(model: str, mixture: Amounts):
    for answer in answers(mixture, model=model).values():
        assert answer.standard_uncertainty is not None
        assert math.isfinite(answer.standard_uncertainty)
        assert answer.standard_uncertainty > 0.0


@pytest.mark.parametrize(
    ("amounts", "conditions", "reason"),
    [
        ({GLY: 1.0, solutes.SUCROSE: 0.1}, ROOM, "sucrose"),
        ({GLY: 0.4}, ROOM, "0.5-10"),
        ({GLY: 10.1}, ROOM, "0.5-10"),
        ({}, ROOM, "0.5-10"),
        ({GLY: 5.0}, Conditions(310.15, 30.0, "endothelial"), "295.15-301.15"),
        ({GLY: 5.0}, Conditions(277.15, 30.0, "endothelial"), "295.15-301.15"),
        ({GLY: 5.0}, Conditions(None, 30.0, "endothelial"), "temperature_k"),
        ({GLY: 5.0}, Conditions(298.15, 30.0, "chondrocyte"), "chondrocyte"),
        ({GLY: 5.0}, Conditions(298.15, 30.0, None), "cell_type"),
        ({GLY: 5.0}, Conditions(298.15, 61.0, "endothelial"), "5-60 min"),
        ({GLY: 5.0}, Conditions(298.15, 0.0, "endothelial"), "5-60 min"),
        ({GLY: 5.0}, Conditions(298.15, None, "endothelial"), "exposure_min"),
    ],
)
@pytest.mark.parametrize("model", MODELS)
def test_out_of_range_there_is_a_reason_and_no_survival(
    amounts: Amounts, conditions: Conditions, reason: str, model: str
):
    answer = answers(amounts, conditions, model)["cell_survival"]

    assert (answer.value, answer.standard_uncertainty, answer.in_domain) == (None, None, False)
    assert reason in str(answer.reason)


@pytest.mark.parametrize("celsius", [22.0, 27.1, 28.0])
def test_the_ends_of_the_temperature_range_are_inside(celsius: float):
    assert answers({GLY: 5.0}, Conditions(celsius + 273.15, 30.0, "Endothelial cells"))["cell_survival"].in_domain


def test_only_a_constant_rate_needs_no_exposure():
    unsaid = Conditions(298.15, None, "endothelial")

    assert answers({GLY: 5.0}, unsaid, "warner_2022")["toxicity_rate"].in_domain
    assert not answers({GLY: 5.0}, unsaid, "warner_weibull")["toxicity_rate"].in_domain


@pytest.mark.parametrize("conditions", [{"exposure_min": -1.0}, {"exposure_min": math.nan}, {"temperature_k": 0.0}])
def test_what_is_no_condition_is_an_error(conditions: dict[str, Any]):
    with pytest.raises(InvalidError):
        Conditions(**conditions)


def test_a_thousand_mixtures_by_all_models_take_less_than_a_second_of_the_processor():
    draw = np.random.default_rng(7)
    amounts = draw.uniform(0.2, 2.0, (1000, 3))
    cases = [Case(Composition(dict(zip((GLY, DMSO, EG), row, strict=True)), MASSES), ROOM) for row in amounts.tolist()]

    start = time.process_time()
    predictions = evaluate_many(cases)
    seconds = time.process_time() - start

    assert len(predictions) == 1000
    assert all(answer.in_domain for answer in predictions[0] if answer.property_type == "cell_survival")
    assert seconds < 1.0


@needs_measurements
def test_the_published_model_meets_the_single_and_binary_rows_within_0_13():
    assert fitting.error_on(kinetics.PUBLISHED) <= 0.13


@needs_measurements
def test_the_second_model_wins_on_pairs_that_neither_has_seen():
    published_form, second = fitting.left_out_error(fitting.WARNER), fitting.left_out_error(fitting.WEIBULL)

    assert fitting.error_on(kinetics.REFITTED) <= 0.095
    assert second < published_form
    assert second <= 0.155


@needs_measurements
@pytest.mark.parametrize("form", [fitting.WARNER, fitting.WEIBULL], ids=MODELS)
def test_ninety_percent_intervals_hold_85_to_95_percent_of_left_out_survivals(form: fitting.Form):
    assert 0.85 <= fitting.coverage(form) <= 0.95


@needs_measurements
def test_the_fitted_constants_are_those_of_the_fit():
    shipped = toxicity_kinetics_fit.WEIBULL

    solution = fitting.fitted(fitting.WEIBULL)

    assert (shipped.model_error, shipped.scatter) == fitting.scatter(fitting.WEIBULL)
    assert shipped.factors() == pytest.approx(solution.values, abs=1e-3)
    assert shipped.columns() @ shipped.columns().T == pytest.approx(solution.columns @ solution.columns.T, abs=2e-3)
