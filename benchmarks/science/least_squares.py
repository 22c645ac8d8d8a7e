"""Least squares by Levenberg's and Marquardt's method, in NumPy: the project has no other solver, and needs no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.science.models.fits import Array

Residuals = Callable[[Array], Array]

_STEP: Final = 1e-6
_ROUNDS: Final = 300
_ENOUGH: Final = 1e-10
_STUCK: Final = 1e12


@dataclass(frozen=True, slots=True)
class Solution:
    """The best parameters, and a square root of their covariance: columns @ columns.T."""

    values: Array
    columns: Array


def solve(residuals: Residuals, start: Array) -> Solution:
    """Return the parameters with the least sum of squared residuals, each in units of its standard error.

    A prior is one more residual. The covariance is Gauss's and Newton's at the solution.
    """
    values, damping = start.astype(np.float64), 1e-3
    current = residuals(values)
    for _ in range(_ROUNDS):
        slopes = jacobian(residuals, values)
        normal, gradient = slopes.T @ slopes, slopes.T @ current
        moved, after, damping = _step(residuals, values, current, (normal, gradient), damping)
        gain = float(current @ current - after @ after)
        values, current = moved, after
        if damping > _STUCK or gain < _ENOUGH * float(current @ current):
            break
    slopes = jacobian(residuals, values)
    return Solution(values, np.linalg.cholesky(np.linalg.inv(slopes.T @ slopes)))


def _step(
    residuals: Residuals, values: Array, current: Array, equations: tuple[Array, Array], damping: float
) -> tuple[Array, Array, float]:
    """Return the next values, residuals and damping; the old values where no step is downhill."""
    normal, gradient = equations
    while damping <= _STUCK:
        moved = values - np.linalg.solve(normal + damping * np.diag(np.diag(normal)), gradient)
        after = residuals(moved)
        if np.isfinite(after).all() and after @ after < current @ current:
            return moved, after, damping / 5.0
        damping *= 4.0
    return values, current, damping


def jacobian(function: Residuals, values: Array) -> Array:
    """Return the slopes of a function's values (rows) by each parameter (columns), by central differences."""
    steps = _STEP * np.eye(len(values))
    return np.array([(function(values + step) - function(values - step)) / (2.0 * _STEP) for step in steps]).T


def soft(residuals: Array) -> Array:
    """Return residuals whose squares grow like |r| where |r| is large, so that an odd row pulls little."""
    return np.asarray(np.sign(residuals) * np.sqrt(2.0 * (np.sqrt(1.0 + residuals**2) - 1.0)), np.float64)
