"""Fits of the toxicity kinetics, their errors on pairs that a fit has not seen, and their uncertainties.

`python -m benchmarks.science.toxicity_kinetics` writes app/science/models/toxicity_kinetics_fit.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import chain, product
from pathlib import Path
from textwrap import fill
from typing import Final

import numpy as np

from app.science.models.fits import Array
from app.science.models.toxicity_kinetics import (
    BASE,
    FACTORS,
    PAIRS,
    PUBLISHED,
    REFERENCE_EXPOSURE_MIN,
    Kinetics,
    hazard,
    ln_hazard_error,
    rate_error,
    shifted,
    survival_error,
)
from benchmarks.science.least_squares import Solution, solve
from benchmarks.science.measurements import Survivals, survivals
from benchmarks.science.osmotic_virial import root_mean_square

_AGENTS: Final = ("Gly", "DMSO", "PG", "EG", "FA")
TARGET: Final = Path(__file__).parents[2] / "app" / "science" / "models" / "toxicity_kinetics_fit.py"
# Standard error of one survival in the fits: near what is left over.
SURVIVAL_SD: Final = 0.1
_MODEL_ERRORS: Final = tuple(step / 10 for step in range(16))
_SCATTERS: Final = (0.04, 0.05, 0.06, 0.07, 0.08, 0.10, 0.12)
_SINGLE_SD: Final = (
    *(1.0, 0.0, 0.0, 0.0, 1.0),  # zeta; alpha near 0 makes DMSO's another constant, which it keeps
    *(0.25, 0.0, 0.0, 0.0, 0.2),  # alpha
    *(0.3,) * 5,  # beta
    0.2,  # exponent
)
"""Standard deviations of ln(constant / base); 0 keeps the base's value."""


@dataclass(frozen=True, slots=True)
class Form:
    """A form of the equation: which constants are free, and how firmly they are drawn to BASE."""

    name: str
    prior_sd: Array
    prior_mean: Array


def _form(name: str, k_eq_sd: float, pair_share_sd: float, shape_sd: float) -> Form:
    single = list(_SINGLE_SD)
    single[1] = 1.0
    sd = np.array([*single, *(k_eq_sd,) * 10, *(pair_share_sd,) * 10, *(shape_sd,) * 5])
    mean = np.zeros(FACTORS)
    if shape_sd > 0.0:
        # Most of the single agents do little at first and much later.
        mean[-5:] = np.log(1.3)
    return Form(name, sd, mean)


# The published form, as a yardstick: of the priors tried, these did best on left-out pairs.
WARNER: Final = _form("WARNER", 0.3, 0.3, 0.0)
# A complex counts half of its partners in every pair; how much there is of it is fitted.
WEIBULL: Final = _form("WEIBULL", 0.5, 0.0, 0.5)
_FORMS: Final = {form.name: form for form in (WARNER, WEIBULL)}


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What fits say of rows that they have not seen."""

    hazard: Array
    parameter_error: Array
    """Standard error of ln(hazard) by the parameters."""


def fit(form: Form, data: Survivals) -> Solution:
    """Return ln(constant / base), all 41, and the columns of a square root of the free ones' covariance."""
    free = form.prior_sd > 0.0

    def factors(parameters: Array) -> Array:
        whole = form.prior_mean.copy()
        whole[free] += parameters * form.prior_sd[free]
        return whole

    def residuals(parameters: Array) -> Array:
        hazards = hazard(data.molality_mol_kg, data.exposure_min, BASE.scaled(factors(parameters)))
        return np.concatenate([(np.exp(-hazards) - data.survival) / SURVIVAL_SD, parameters])

    solution = solve(residuals, np.zeros(int(free.sum())))
    columns = np.zeros((FACTORS, int(free.sum())))
    columns[free] = form.prior_sd[free][:, None] * solution.columns
    return Solution(factors(solution.values), columns)


@cache
def _fitted(form_name: str) -> Solution:
    return fit(_FORMS[form_name], survivals())


@cache
def _left_out(form_name: str, *, compositions: bool) -> LeftOut:
    data, form = survivals(), _FORMS[form_name]
    folds = [tuple(row) for row in data.molality_mol_kg.tolist()] if compositions else data.pair()
    hazards, errors = np.full(len(folds), np.nan), np.full(len(folds), np.nan)
    for fold in sorted(set(folds)) if compositions else PAIRS:
        out = np.array([row == fold for row in folds])
        solution = fit(form, data.where(~out))
        constants, unseen = BASE.scaled(solution.values), data.where(out)
        hazards[out] = hazard(unseen.molality_mol_kg, unseen.exposure_min, constants)
        errors[out] = ln_hazard_error(
            unseen.molality_mol_kg, unseen.exposure_min, shifted(constants, solution.columns), 0.0
        )
    return LeftOut(hazards, errors)


def fitted(form: Form) -> Solution:
    """Return the fit to all rows."""
    return _fitted(form.name)


def left_out(form: Form, *, compositions: bool = False) -> LeftOut:
    """Return what is said of each pair's rows by a fit to all others, NaN for single agents.

    With `compositions`, of each composition's rows by a fit to all other compositions.
    """
    return _left_out(form.name, compositions=compositions)


def errors_by_pair(form: Form) -> dict[tuple[int, ...], float]:
    """Return the RMSE of survival on each left-out pair."""
    data, said = survivals(), left_out(form)
    agents = data.pair()
    errors = np.exp(-said.hazard) - data.survival
    return {pair: root_mean_square(errors[[row == pair for row in agents]]) for pair in PAIRS}


def left_out_error(form: Form, *, compositions: bool = False) -> float:
    """Return the RMSE of survival over all left-out pairs, or compositions."""
    said = left_out(form, compositions=compositions)
    pairs = np.isfinite(said.hazard)
    return root_mean_square((np.exp(-said.hazard) - survivals().survival)[pairs])


def error_on(constants: Kinetics) -> float:
    """Return the RMSE of survival on all 300 rows."""
    data = survivals()
    return root_mean_square(np.exp(-hazard(data.molality_mol_kg, data.exposure_min, constants)) - data.survival)


def scatter(form: Form) -> tuple[float, float]:
    """Return the model's error of ln(hazard) and the scatter of survival that make the left-out rows likeliest."""
    return _scatter(form.name)


@cache
def _scatter(form_name: str) -> tuple[float, float]:
    said, data = left_out(_FORMS[form_name]), survivals()
    pairs = np.isfinite(said.hazard)
    hazards, ln_error = said.hazard[pairs], said.parameter_error[pairs]
    errors = np.exp(-hazards) - data.survival[pairs]

    def likelihood(choice: tuple[float, float]) -> float:
        deviation = survival_error(hazards, np.hypot(ln_error, choice[0]), choice[1])
        return float(-np.sum(np.log(deviation) + 0.5 * (errors / deviation) ** 2))

    return max(product(_MODEL_ERRORS, _SCATTERS), key=likelihood)


def coverage(form: Form, quantile: float = 1.645) -> float:
    """Return the part of left-out survivals within 1.645 (or `quantile`) standard errors."""
    said, data = left_out(form), survivals()
    model, survival = scatter(form)
    pairs = np.isfinite(said.hazard)
    deviation = survival_error(said.hazard[pairs], np.hypot(said.parameter_error[pairs], model), survival)
    return float(np.mean(np.abs(np.exp(-said.hazard) - data.survival)[pairs] <= quantile * deviation))


def measured_rates() -> tuple[Array, Array]:
    """Return the rate (1/min) of each composition that leaves cells alive at 5 min, and which rows are its 30 min."""
    data, rates = survivals(), np.logspace(-5.0, 0.0, 1001)
    found, rows = [], []
    for composition in np.unique(data.molality_mol_kg, axis=0):
        own = np.flatnonzero((data.molality_mol_kg == composition).all(axis=1))
        minutes, survival = data.exposure_min[own], data.survival[own]
        if survival[np.argmin(minutes)] > SURVIVAL_SD:
            misfit = ((np.exp(-rates[:, None] * minutes) - survival) ** 2).sum(axis=1)
            found.append(float(rates[np.argmin(misfit)]))
            rows.append(int(own[minutes == REFERENCE_EXPOSURE_MIN][0]))
    return np.array(found), np.array(rows)


def rate_coverage(form: Form) -> float:
    """Return the part of measured rates of left-out pairs within 1.645 standard errors."""
    rates, rows = measured_rates()
    said = left_out(form)
    hazards, ln_error = said.hazard[rows], said.parameter_error[rows]
    pairs = np.isfinite(hazards)
    model, survival = scatter(form)
    predicted = hazards[pairs] / REFERENCE_EXPOSURE_MIN
    deviation = rate_error(predicted, np.hypot(ln_error[pairs], model), survival)
    return float(np.mean(np.abs(predicted - rates[pairs]) <= 1.645 * deviation))


def report() -> list[str]:
    """Return the errors of both models."""
    by_pair = {form.name: errors_by_pair(form) for form in _FORMS.values()}
    return [
        "cell survival: RMSE on all rows, left-out pairs, left-out compositions; pairs and their rates in intervals",
        f"{'no toxicity at all':24s} {root_mean_square(1.0 - survivals().survival):.3f}",
        f"{'warner_2022, published':24s} {error_on(PUBLISHED):.3f}",
        *(_line(form) for form in _FORMS.values()),
        *(
            f"  {_AGENTS[i]} + {_AGENTS[j]}: {by_pair['WARNER'][i, j]:.3f}  {by_pair['WEIBULL'][i, j]:.3f}"
            for i, j in PAIRS
        ),
    ]


def _line(form: Form) -> str:
    title = {"WARNER": "its form, fitted anew", "WEIBULL": "warner_weibull"}[form.name]
    errors = (
        error_on(BASE.scaled(fitted(form).values)),
        left_out_error(form),
        left_out_error(form, compositions=True),
    )
    numbers = "  ".join(f"{error:.3f}" for error in errors)
    return f"{title:24s} {numbers}  {coverage(form):.0%}  {rate_coverage(form):.0%}"


def source() -> str:
    """Return the module of fitted numbers."""
    return _HEAD + "".join(_constant(form) for form in (WARNER, WEIBULL))


def _constant(form: Form) -> str:
    solution, free = fitted(form), np.flatnonzero(form.prior_sd > 0.0)
    model, survival = scatter(form)
    triangle = chain.from_iterable(row[: place + 1] for place, row in enumerate(solution.columns[free].tolist()))
    return (
        f"\n{form.name}: Final = KineticsFit(\n"
        f"    ln_factors={_text(f'{value:.5g}' for value in solution.values.tolist())},\n"
        f"    free={_text(map(str, free.tolist()))},\n"
        f"    root={_text(f'{value:.4g}' for value in triangle)},\n"
        f"    model_error={model},\n    scatter={survival},\n)\n"
    )


def _text(numbers: Iterable[str]) -> str:
    return '"""\n' + fill(" ".join(numbers), 118) + '\n"""'


_HEAD: Final = '''"""Toxicity kinetics, written by `python -m benchmarks.science.toxicity_kinetics`, not by hand."""

from __future__ import annotations

from typing import Final

from app.science.models.fits import KineticsFit

# Standard error of a survival near 0: of the reading, with all cells dead.
BLANK_SCATTER: Final = 0.01
'''


if __name__ == "__main__":
    TARGET.write_text(source(), encoding="utf-8")
    print("\n".join(report()))
