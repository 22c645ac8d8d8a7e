"""Pooling results, meeting predictions with them, and how good a model's intervals are."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.science.comparison import (
    BORROWED_ERRORS,
    INVERSE_VARIANCE,
    PLAIN_MEAN,
    Measured,
    Point,
    agreement,
    calibration,
    half_width,
    pooled,
    rmse,
)

# Tuberculosis with and without BCG vaccine, ill and well: Colditz et al. 1994, doi:10.1001/jama.1994.03510330076038.
TRIALS = (
    (4, 119, 11, 128), (6, 300, 29, 274), (3, 228, 11, 209), (62, 13536, 248, 12619), (33, 5036, 47, 5761),
    (180, 1361, 372, 1079), (8, 2537, 10, 619), (505, 87886, 499, 87892), (29, 7470, 45, 7232), (17, 1699, 65, 1600),
    (186, 50448, 141, 27197), (5, 2493, 3, 2338), (27, 16886, 29, 17825),
)  # fmt: skip

numbers = st.floats(-1e6, 1e6)
deviations = st.floats(1e-3, 1e3)
results = st.builds(Measured, numbers, st.none() | deviations, st.none() | st.integers(1, 1000))
certain = st.builds(Measured, numbers, deviations, st.none() | st.integers(1, 1000))


def log_risk_ratio(ill: int, well: int, ill_without: int, well_without: int) -> Measured:
    with_it, without = ill + well, ill_without + well_without
    variance = 1 / ill - 1 / with_it + 1 / ill_without - 1 / without
    return Measured(math.log(ill / with_it / (ill_without / without)), math.sqrt(variance))


def test_the_published_example_of_the_bcg_trials_is_met():
    """As in Viechtbauer 2010, doi:10.18637/jss.v036.i03: Q there, the rest as metafor gives it with method DL."""
    assert sum(map(sum, TRIALS)) == 357_347

    found = pooled([log_risk_ratio(*trial) for trial in TRIALS])

    assert found.heterogeneity is not None
    assert found.heterogeneity.q == pytest.approx(152.2330, abs=5e-5)
    assert found.heterogeneity.degrees_of_freedom == 12
    assert found.heterogeneity.i_squared == pytest.approx(0.9212, abs=5e-5)
    assert found.heterogeneity.between_variance == pytest.approx(0.3088, abs=5e-5)
    assert found.mean == pytest.approx(-0.7141, abs=5e-5)
    assert found.standard_error == pytest.approx(0.1787, abs=5e-5)


def test_results_that_agree_are_weighted_by_inverse_variance_alone():
    found = pooled([Measured(10.0, 1.0), Measured(11.0, 2.0)])

    # By hand: weights 1 and 1/4, Q = 0.2 < 1.
    assert found.mean == pytest.approx(10.2)
    assert found.standard_error == pytest.approx(math.sqrt(1 / 1.25))
    assert found.weights == pytest.approx((0.8, 0.2))
    assert found.heterogeneity is not None
    assert found.heterogeneity.q == pytest.approx(0.2)
    assert (found.heterogeneity.i_squared, found.heterogeneity.between_variance) == (0.0, 0.0)


def test_results_that_contradict_each_other_are_as_unsure_as_they_make_it():
    found = pooled([Measured(0.0, 1.0), Measured(10.0, 1.0)])

    # By hand: Q = 50, tau2 = (50 - 1) / (2 - 1) = 49, each variance 50.
    assert found.heterogeneity is not None
    assert found.heterogeneity.q == pytest.approx(50.0)
    assert found.heterogeneity.i_squared == pytest.approx(0.98)
    assert found.heterogeneity.between_variance == pytest.approx(49.0)
    assert found.mean == pytest.approx(5.0)
    assert found.standard_error == pytest.approx(5.0)
    assert found.standard_deviation == pytest.approx(math.sqrt(26.0))


def test_replicates_make_a_mean_surer_and_weigh_in_the_spread():
    found = pooled([Measured(10.0, 2.0, 4), Measured(10.0, 2.0, 16)])

    assert found.n == 20
    assert found.weights == pytest.approx((0.2, 0.8))
    assert found.standard_error == pytest.approx(2.0 / math.sqrt(20))
    assert found.standard_deviation == pytest.approx(2.0)


@pytest.mark.parametrize("silent", [None, 0.0])
def test_a_result_without_a_deviation_has_the_largest_of_the_others(silent: float | None):
    said = pooled([Measured(1.0, 0.1, 4), Measured(2.0, 0.2, 9), Measured(3.0, 0.2, 2)])
    unsaid = pooled([Measured(1.0, 0.1, 4), Measured(2.0, 0.2, 9), Measured(3.0, silent, 2)])

    assert (said.method, unsaid.method) == (INVERSE_VARIANCE, BORROWED_ERRORS)
    assert unsaid.mean == said.mean
    assert unsaid.standard_error == said.standard_error


def test_where_none_states_a_deviation_the_mean_is_plain():
    found = pooled([Measured(1.0), Measured(2.0), Measured(6.0, None, 3)])

    # By hand: squares 4 + 1 + 9 = 14.
    assert (found.method, found.n, found.heterogeneity) == (PLAIN_MEAN, 5, None)
    assert found.mean == pytest.approx(3.0)
    assert found.standard_deviation == pytest.approx(math.sqrt(7.0))
    assert found.standard_error == pytest.approx(math.sqrt(7.0 / 3.0))


@given(certain)
def test_one_result_pooled_is_itself(result: Measured):
    found = pooled([result])

    assert found.mean == pytest.approx(result.value)
    assert found.standard_deviation == pytest.approx(result.standard_deviation)
    assert found.standard_error == pytest.approx((result.standard_deviation or 0) / math.sqrt(result.weight))
    assert (found.weights, found.heterogeneity) == ((1.0,), None)


@given(st.lists(results, min_size=1, max_size=20))
def test_the_mean_lies_among_the_results_whatever_their_order_and_weights_add_up(some: list[Measured]):
    found = pooled(some)
    values = [result.value for result in some]

    assert sum(found.weights) == pytest.approx(1.0)
    assert min(found.weights) >= 0.0
    slack = 1e-9 * max(1.0, *map(abs, values))
    assert min(values) - slack <= found.mean <= max(values) + slack
    assert pooled(some[::-1]).mean == pytest.approx(found.mean, rel=1e-6, abs=1e-6)


@given(st.lists(certain, min_size=2, max_size=10), st.floats(1e-3, 1e3))
def test_another_unit_changes_nothing_but_the_unit(some: list[Measured], factor: float):
    one = pooled(some)
    other = pooled([Measured(m.value * factor, (m.standard_deviation or 0) * factor, m.replicates) for m in some])

    assert other.mean == pytest.approx(one.mean * factor, rel=1e-6, abs=1e-6)
    assert other.weights == pytest.approx(one.weights, rel=1e-5, abs=1e-9)


@given(st.lists(certain, min_size=2, max_size=10))
def test_heterogeneity_is_no_less_than_nothing(some: list[Measured]):
    found = pooled(some).heterogeneity

    assert found is not None
    assert found.q >= 0.0
    assert 0.0 <= found.i_squared <= 1.0
    assert found.between_variance >= 0.0
    assert (found.between_variance > 0.0) == (found.q > found.degrees_of_freedom)


@pytest.mark.parametrize(
    "extreme",
    [
        [Measured(1e308, 1e-308), Measured(-1e308, 1e308)],
        [Measured(1.0, 5e-324), Measured(2.0, 5e-324)],
        [Measured(1.0, 5e-324), Measured(2.0, 1e308)],
        [Measured(1e308), Measured(-1e308)],
    ],
)
def test_no_number_that_can_be_stored_is_too_much(extreme: list[Measured]):
    found = pooled(extreme)

    # Nothing is raised; what is no number any more is shown as null.
    assert isinstance(agreement(1e308, 1e-308, found).residual, float)


@given(st.floats(-1e3, 1e3), st.floats(1e-2, 1e2), certain)
def test_the_z_score_has_the_residuals_sign_and_is_no_more_than_either_error_allows(
    predicted: float, error: float, result: Measured
):
    measured = pooled([result])
    found = agreement(predicted, error, measured)

    assert found.residual == measured.mean - predicted
    assert found.z_score is not None
    assert math.copysign(1, found.z_score) == math.copysign(1, found.residual)
    assert abs(found.z_score) <= abs(found.residual) / error * (1 + 1e-12)
    assert found.within_uncertainty == (abs(found.z_score) <= half_width(0.9))


def test_both_errors_count():
    found = agreement(10.0, 3.0, pooled([Measured(15.0, 4.0)]))

    assert (found.residual, found.z_score, found.within_uncertainty) == (5.0, 1.0, True)
    assert agreement(10.0, 3.0, pooled([Measured(15.0)])).z_score == pytest.approx(5 / 3)


def test_without_an_uncertainty_nothing_is_within_it():
    assert agreement(1.0, None, pooled([Measured(2.0, 0.1)])).z_score is None
    assert agreement(1.0, 0.0, pooled([Measured(2.0)])).within_uncertainty is None


def test_the_root_mean_square():
    assert rmse([3.0, -4.0]) == pytest.approx(math.sqrt(12.5))
    assert rmse([]) is None


def test_a_calibration_by_hand():
    found = calibration([Point(1.0, 1.0, 2.0), Point(4.0, 1.0, 4.5), Point(6.0, 1.0, 4.0), Point(9.0, None, 9.5)])

    # Residuals 1, 0.5, -2, 0.5; squares 5.5; measured 2, 4.5, 4, 9.5 about 5: 9 + 0.25 + 1 + 20.25 = 30.5.
    assert found is not None
    assert found.n == 4
    assert found.rmse == pytest.approx(math.sqrt(5.5 / 4))
    assert found.bias == pytest.approx(0.0)
    assert found.r2 == pytest.approx(1 - 5.5 / 30.5)
    assert [(item.level, item.n) for item in found.coverage] == [(0.5, 3), (0.8, 3), (0.9, 3), (0.95, 3)]
    assert [item.observed for item in found.coverage] == pytest.approx([1 / 3, 2 / 3, 2 / 3, 2 / 3])


def test_a_model_that_says_too_much_has_a_positive_bias():
    found = calibration([Point(3.0, None, 1.0), Point(4.0, None, 3.0)])

    assert found is not None
    assert found.bias == pytest.approx(1.5)
    assert [item.observed for item in found.coverage] == [None] * 4


def test_nothing_has_no_calibration_and_equal_measurements_no_r2():
    assert calibration([]) is None
    found = calibration([Point(1.0, 1.0, 2.0), Point(3.0, 1.0, 2.0)])
    assert found is not None
    assert found.r2 is None


def test_the_intervals_are_those_of_the_normal_distribution():
    assert [half_width(level) for level in (0.5, 0.8, 0.9, 0.95)] == pytest.approx(
        [0.67449, 1.28155, 1.64485, 1.95996], abs=1e-5
    )


@given(st.lists(st.builds(Point, numbers, deviations, numbers), min_size=1, max_size=30))
def test_a_wider_interval_holds_no_less(points: list[Point]):
    found = calibration(points)

    assert found is not None
    observed = [item.observed for item in found.coverage]
    assert observed == sorted(observed, key=lambda part: part or 0.0)
