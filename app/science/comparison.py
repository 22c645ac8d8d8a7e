"""How predictions meet measurements: results pooled, residuals in units of their error, intervals that hold or not.

Residuals are measured minus predicted; the bias of a model is predicted minus measured, so that a model that says
too much has a positive one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

LEVELS: Final = (0.5, 0.8, 0.9, 0.95)
"""The intervals whose coverage is counted."""
WITHIN_LEVEL: Final = 0.9
"""The interval that `within_uncertainty` means: predictions state it."""
INVERSE_VARIANCE: Final = "inverse variance, random effects"
BORROWED_ERRORS: Final = f"{INVERSE_VARIANCE}; a result without a standard deviation has the largest of the others"
PLAIN_MEAN: Final = "plain mean: no result has a standard deviation"
# A result that states next to no error shall not outweigh all others without limit.
_LEAST_SHARE: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Measured:
    """One measured value, the mean of its replicates, with their standard deviation, in its property's unit."""

    value: float
    standard_deviation: float | None = None
    replicates: int | None = None

    @property
    def weight(self) -> int:
        """Return how many measurements it stands for: one where that is not said."""
        return self.replicates or 1


@dataclass(frozen=True, slots=True)
class Heterogeneity:
    """How far results differ beyond their own errors.

    Reference: Cochran 1954, doi:10.2307/3001666 (Q); Higgins & Thompson 2002, doi:10.1002/sim.1186 (I squared);
    DerSimonian & Laird 1986, doi:10.1016/0197-2456(86)90046-2 (the variance between results).
    """

    q: float
    degrees_of_freedom: int
    i_squared: float
    """The part of the variation that the results' own errors do not explain, 0 to 1."""
    between_variance: float


@dataclass(frozen=True, slots=True)
class Pooled:
    """Results of one property under comparable conditions as one value, in the property's unit."""

    mean: float
    standard_error: float | None
    """Of the mean; None where nothing tells it."""
    standard_deviation: float | None
    """Of a single measurement, within results and between them."""
    n: int
    """Measurements: replicates where they are stated."""
    weights: tuple[float, ...]
    method: str
    heterogeneity: Heterogeneity | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a prediction meets a pooled measurement."""

    residual: float
    z_score: float | None
    within_uncertainty: bool | None


@dataclass(frozen=True, slots=True)
class Point:
    """A prediction with its standard uncertainty beside what was measured, in one unit."""

    predicted: float
    standard_uncertainty: float | None
    measured: float


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which part of the measured values lies in the predictions' interval of a level; None where none has one."""

    level: float
    observed: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """How well a model meets what was measured."""

    n: int
    rmse: float
    bias: float
    r2: float | None
    """1 - residual over total sum of squares; None where the measured values do not differ."""
    coverage: tuple[Coverage, ...]


def pooled(results: Sequence[Measured]) -> Pooled:
    """Return results as one, weighted by inverse variance where any states its error.

    The variance between results is added to each one's own, so that results that contradict each other give a mean
    that is as unsure as they make it; where they agree this is the fixed-effect mean.
    Reference: DerSimonian & Laird 1986, doi:10.1016/0197-2456(86)90046-2.
    """
    # No deviation at all is none that anybody has measured.
    known = [result.standard_deviation for result in results if result.standard_deviation]
    if not known:
        return _plain_mean(results)
    largest = max(known)
    deviations = [max(result.standard_deviation or largest, largest * _LEAST_SHARE) for result in results]
    errors = [deviation / math.sqrt(result.weight) for deviation, result in zip(deviations, results, strict=True)]
    heterogeneity = _heterogeneity([result.value for result in results], errors)
    between = heterogeneity.between_variance if heterogeneity else 0.0
    variances = [error * error + between for error in errors]
    weights = _shares(variances)
    mean = sum(weight * result.value for weight, result in zip(weights, results, strict=True))
    return Pooled(
        mean=mean,
        standard_error=math.sqrt(variances[0] * weights[0]),
        standard_deviation=_spread(results, deviations, mean),
        n=sum(result.weight for result in results),
        weights=weights,
        method=INVERSE_VARIANCE if len(known) == len(results) else BORROWED_ERRORS,
        heterogeneity=heterogeneity,
    )


def agreement(predicted: float, standard_uncertainty: float | None, measured: Pooled) -> Agreement:
    """Return how a prediction meets what was measured; its error and the measured mean's add up in squares."""
    residual = measured.mean - predicted
    if standard_uncertainty is None:
        return Agreement(residual, None, None)
    error = math.hypot(standard_uncertainty, measured.standard_error or 0.0)
    z_score = residual / error if error else None
    return Agreement(residual, z_score, None if z_score is None else abs(z_score) <= half_width(WITHIN_LEVEL))


def half_width(level: float) -> float:
    """Return how many standard deviations to each side of its mean hold this part of a normal distribution."""
    return NormalDist().inv_cdf((1.0 + level) / 2.0)


def rmse(residuals: Sequence[float]) -> float | None:
    """Return the root of the mean square; None of nothing."""
    return math.sqrt(sum(value * value for value in residuals) / len(residuals)) if residuals else None


def calibration(points: Sequence[Point]) -> Calibration | None:
    """Return how well predictions meet measurements; None where there are none to compare."""
    if not points:
        return None
    residuals = [point.measured - point.predicted for point in points]
    squares = sum(value * value for value in residuals)
    mean = sum(point.measured for point in points) / len(points)
    total = sum((point.measured - mean) * (point.measured - mean) for point in points)
    return Calibration(
        n=len(points),
        rmse=math.sqrt(squares / len(points)),
        bias=-sum(residuals) / len(points),
        r2=1.0 - squares / total if total > 0.0 else None,
        coverage=tuple(_coverage(points, level) for level in LEVELS),
    )


def _plain_mean(results: Sequence[Measured]) -> Pooled:
    count = len(results)
    mean = sum(result.value / count for result in results)
    deviation = None
    if count > 1:
        squares = ((result.value - mean) * (result.value - mean) for result in results)
        deviation = math.sqrt(sum(squares) / (count - 1))
    return Pooled(
        mean=mean,
        standard_error=None if deviation is None else deviation / math.sqrt(count),
        standard_deviation=deviation,
        n=sum(result.weight for result in results),
        weights=(1.0 / count,) * count,
        method=PLAIN_MEAN,
        heterogeneity=None,
    )


def _heterogeneity(values: Sequence[float], errors: Sequence[float]) -> Heterogeneity | None:
    """Return how far values differ beyond their errors; None of a single one, which has nothing to differ from."""
    freedom = len(values) - 1
    if not freedom:
        return None
    largest = max(errors)
    weights = [largest / error * (largest / error) for error in errors]
    total = sum(weights)
    mean = sum(weight / total * value for weight, value in zip(weights, values, strict=True))
    scaled = [(value - mean) / largest for value in values]
    q = sum(weight * value * value for weight, value in zip(weights, scaled, strict=True))
    excess = max(0.0, q - freedom)
    share = total - sum(weight * weight for weight in weights) / total
    return Heterogeneity(q, freedom, excess / q if q else 0.0, excess / share * largest * largest)


def _shares(variances: Sequence[float]) -> tuple[float, ...]:
    largest = max(variances)
    weights = [largest / variance for variance in variances]
    total = sum(weights)
    return tuple(weight / total for weight in weights)


def _spread(results: Sequence[Measured], deviations: Sequence[float], mean: float) -> float:
    """Return the standard deviation of a single measurement: the variance within results and that between them."""
    squares = sum(
        result.weight * (deviation * deviation + (result.value - mean) * (result.value - mean))
        for result, deviation in zip(results, deviations, strict=True)
    )
    return math.sqrt(squares / sum(result.weight for result in results))


def _coverage(points: Sequence[Point], level: float) -> Coverage:
    width = half_width(level)
    inside = [
        abs(point.measured - point.predicted) <= width * point.standard_uncertainty
        for point in points
        if point.standard_uncertainty is not None
    ]
    return Coverage(level, sum(inside) / len(inside) if inside else None, len(inside))
