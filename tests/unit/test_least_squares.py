"""The solver of the fits, against problems whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.science.least_squares import jacobian, soft, solve


def test_a_line_is_fitted_as_linear_algebra_fits_it():
    x = np.linspace(0.0, 4.0, 9)
    y = np.array([0.1, 0.8, 2.3, 2.9, 4.2, 4.8, 6.1, 7.2, 7.9])
    design = np.column_stack([np.ones_like(x), x])

    solution = solve(lambda values: (design @ values - y) / 0.2, np.zeros(2))

    assert solution.values == pytest.approx(np.linalg.lstsq(design, y)[0], abs=1e-6)
    assert solution.columns @ solution.columns.T == pytest.approx(0.04 * np.linalg.inv(design.T @ design), rel=1e-4)


def test_a_curved_valley_is_followed_to_its_lowest_point():
    # Rosenbrock's function.
    solution = solve(lambda v: np.array([10.0 * (v[1] - v[0] ** 2), 1.0 - v[0]]), np.array([-1.2, 1.0]))

    assert solution.values == pytest.approx([1.0, 1.0], abs=1e-5)


def test_slopes_are_those_of_the_function():
    slopes = jacobian(lambda v: np.array([v[0] ** 2, v[0] * v[1]]), np.array([2.0, 3.0]))

    assert slopes == pytest.approx(np.array([[4.0, 0.0], [3.0, 2.0]]), abs=1e-6)


def test_a_soft_residual_keeps_small_ones_and_tames_large_ones():
    assert soft(np.array([0.01, -0.01])) == pytest.approx([0.01, -0.01], rel=1e-4)
    assert soft(np.array([100.0]))[0] ** 2 < 200.0


def test_an_odd_row_pulls_a_soft_fit_little():
    measured = np.array([1.0, 1.1, 0.9, 1.0, 9.0])

    hard = solve(lambda v: (v[0] - measured) / 0.1, np.zeros(1))
    tame = solve(lambda v: soft((v[0] - measured) / 0.1), np.zeros(1))

    assert hard.values[0] == pytest.approx(measured.mean())
    assert tame.values[0] == pytest.approx(1.0, abs=0.1)
