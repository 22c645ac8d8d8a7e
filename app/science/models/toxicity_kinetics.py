"""Toxicity of five cryoprotectants and their mixtures to endothelial cells: rate, and survival over time.

`warner_2022` is the published reduced model. `warner_weibull` keeps its rate, fits it anew, and lets damage speed
up or slow down with time (`benchmarks/science`, docs/science/toxicity_kinetics.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

import numpy as np

from app.science.models import solutes
from app.science.models import toxicity_kinetics_fit as fitted
from app.science.models.cases import Case
from app.science.models.fits import Array, KineticsFit
from app.science.models.model import Answer, Model, Parameter

AGENTS: Final = (
    solutes.GLYCEROL, solutes.DMSO, solutes.PROPYLENE_GLYCOL, solutes.ETHYLENE_GLYCOL, solutes.FORMAMIDE,
)  # fmt: skip
PAIRS: Final = tuple(combinations(range(len(AGENTS)), 2))
_FIRST, _SECOND = (np.array(place) for place in zip(*PAIRS, strict=True))
# Which agents (columns) a pair (row) is of.
_MEMBERS: Final = np.array([[float(agent in pair) for agent in range(len(AGENTS))] for pair in PAIRS])
REFERENCE_EXPOSURE_MIN: Final = 30.0

_TEMPERATURE_K: Final = (295.15, 301.15)
_EXPOSURE_MIN: Final = (5.0, 60.0)
_TOTAL_MOL_KG: Final = (0.5, 10.0)
_CELLS: Final = frozenset({"endothelial", "bovine pulmonary artery endothelial"})


@dataclass(frozen=True, slots=True)
class Kinetics:
    """The constants of one version, arrays by agent (5) or pair (10); many sets of them have axes before that."""

    zeta: Array
    """1/min per molal^alpha"""
    alpha: Array
    beta: Array
    """1/molal"""
    exponent: Array
    """One number, in an array of one."""
    k_eq: Array
    """1/molal"""
    pair_share: Array
    """beta of a complex over the sum of its partners' beta"""
    shape: Array
    """Power of time; 1 is a constant rate."""

    def scaled(self, ln_factors: Array) -> Kinetics:
        """Return the constants times e^ln_factors, which come in the order of the fields, 41 on the last axis."""
        parts = np.split(np.exp(ln_factors), _SPLITS, axis=-1)
        return Kinetics(*(getattr(self, name) * part for name, part in zip(_FIELDS, parts, strict=True)))


_FIELDS: Final = ("zeta", "alpha", "beta", "exponent", "k_eq", "pair_share", "shape")
_SIZES: Final = (5, 5, 5, 1, 10, 10, 5)
_SPLITS: Final = np.cumsum(_SIZES)[:-1]
FACTORS: Final = sum(_SIZES)

_BETA: Final = np.array([0.0670, 0.0832, 0.128, 0.0698, 0.106])
_BETA_PAIR: Final = np.array([0.0799, 0.0107, 3.42e-8, 9.33e-4, 0.0924, 5.66e-9, 0.0696, 0.151, 7.37e-4, 0.127])
PUBLISHED: Final = Kinetics(
    zeta=np.array([2.95e-4, 6.54e-4, 0.0, 0.0, 8.85e-4]),
    alpha=np.array([1.75, 1.27e-3, 0.0, 0.0, 2.87]),
    beta=_BETA,
    exponent=np.array([9.51]),
    k_eq=np.array([0.0126, 0.0, 0.0131, 0.129, 0.0321, 0.0, 0.0859, 0.163, 0.0, 0.0593]),
    pair_share=_BETA_PAIR / np.array([_BETA[i] + _BETA[j] for i, j in PAIRS]),
    shape=np.ones(5),
)
# Where the fits start, and what they are drawn to: the published constants of single agents, and for every pair
# the same weak complex, half as toxic as its partners were. So a pair that was never measured has a prediction.
BASE: Final = replace(PUBLISHED, k_eq=np.full(10, 0.05), pair_share=np.full(10, 0.5))


def toxicity_rate_per_min(molality: Array, constants: Kinetics) -> Array:
    """Return the rate of mixtures (rows) of the five agents (columns, mol/kg water), in 1/min, by set of constants.

    Complexes are solved pair by pair from the total molalities, as for the published reference rates; solving all
    of them together differs a little for three agents and more.
    Valid for: endothelial cells, 22-28 degC, 0.5-10 molal in total.
    Reference: Warner et al. 2022, doi:10.1016/j.cryobiol.2022.09.002.
    """
    bound = _bound(molality[:, _FIRST], molality[:, _SECOND], constants.k_eq)
    free = np.maximum(molality - bound @ _MEMBERS, 0.0)
    pair_beta = constants.pair_share * (constants.beta[..., _FIRST] + constants.beta[..., _SECOND])
    harm = (bound * pair_beta).sum(axis=-1)
    # DMSO's alpha is next to 0: 0^alpha would make every solution toxic by DMSO that is not there.
    single = np.where(molality > 0.0, constants.zeta * np.where(molality > 0.0, free, 1.0) ** constants.alpha, 0.0)
    together = ((free * constants.beta).sum(axis=-1) + harm) ** constants.exponent[..., 0]
    return np.asarray(single.sum(axis=-1) + together, np.float64)


def _bound(first: Array, second: Array, k_eq: Array) -> Array:
    """Return the molality of the complex of two agents: K = bound / (free first * free second)."""
    known = np.where(k_eq > 0.0, k_eq, 1.0)
    total = first + second + 1.0 / known
    bound = 2.0 * first * second / (total + np.sqrt(total**2 - 4.0 * first * second))
    return np.where(k_eq > 0.0, bound, 0.0)


def hazard(molality: Array, exposure_min: Array, constants: Kinetics) -> Array:
    """Return the accumulated damage; survival is e^-hazard.

    The rate holds at 30 min; the power of time is the agents' own, by their shares of the dose.
    """
    dose = molality * constants.beta
    share = dose / np.maximum(dose.sum(axis=-1, keepdims=True), 1e-300)
    shape = np.exp((share * np.log(constants.shape)).sum(axis=-1))
    time = REFERENCE_EXPOSURE_MIN * (exposure_min / REFERENCE_EXPOSURE_MIN) ** shape
    return np.asarray(toxicity_rate_per_min(molality, constants) * time, np.float64)


# Standard deviations from the mean of a normal distribution to its upper tenth, and to half of its middle 90 %.
_UPPER_90: Final = 1.2816
_HALF_WIDTH_90: Final = 1.6449
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def survival_error(hazards: Array, ln_error: Array, scatter: float) -> Array:
    """Return the standard error of a measured survival, where ln(hazard) has the standard error `ln_error`.

    `scatter` is that of measured survivals near 1; it falls with the square root of survival.
    """
    survival = np.exp(-hazards)
    moved = np.exp(-hazards[:, None] * np.exp(ln_error[:, None] * _NODES))
    variance = (_WEIGHTS * (moved - survival[:, None]) ** 2).sum(axis=1)
    return np.asarray(np.sqrt(variance + scatter**2 * survival + fitted.BLANK_SCATTER**2), np.float64)


def rate_error(rates: Array, ln_error: Array, scatter: float) -> Array:
    """Return the standard error of a measured rate, in 1/min: of the log-normal rate, and of the survival it is from.

    A rate that may be several times larger cannot be as much smaller. So the error is the one with which
    rate + 1.645 u is the upper 90 % bound; the lower bound is zero or near it.
    """
    upper = rates * np.expm1(_UPPER_90 * ln_error) / _HALF_WIDTH_90
    return np.asarray(np.hypot(upper, scatter / _EXPOSURE_MIN[1]), np.float64)


def shifted(constants: Kinetics, columns: Array) -> Kinetics:
    """Return the constants one standard error ahead, then behind, by column of a root of their covariance."""
    return constants.scaled(np.concatenate([columns.T, -columns.T])[:, None, :])


def ln_hazard_error(molality: Array, exposure_min: Array, shifts: Kinetics, model: float) -> Array:
    """Return the standard error of ln(hazard) from the parameters' covariance, as `shifted`, and the model's."""
    ahead, behind = np.split(np.log(np.maximum(hazard(molality, exposure_min, shifts), 1e-30)), 2)
    return np.asarray(np.sqrt(model**2 + (((ahead - behind) / 2.0) ** 2).sum(axis=0)), np.float64)


class _Version:
    """One set of constants with its uncertainty, over many cases at once."""

    def __init__(self, constants: Kinetics, fit: KineticsFit, *, rate_depends_on_time: bool) -> None:
        self.constants = constants
        self._shifts = shifted(constants, fit.columns())
        self._fit = fit
        self._rate_depends_on_time = rate_depends_on_time

    def answers(self, cases: Sequence[Case]) -> list[dict[str, Answer]]:
        """Return rate and survival of each case."""
        refusals = [_refusal(case) for case in cases]
        inside = [index for index, refusal in enumerate(refusals) if refusal is None]
        numbers = iter(self._numbers([cases[index] for index in inside]))
        return [next(numbers) if refusal is None else _refused(refusal) for refusal in refusals]

    def _numbers(self, cases: Sequence[Case]) -> list[dict[str, Answer]]:
        if not cases:
            return []
        molality = np.array([[case.composition.molality_mol_kg.get(key, 0.0) for key in AGENTS] for case in cases])
        stated = [case.conditions.exposure_min for case in cases]
        exposure = np.array([REFERENCE_EXPOSURE_MIN if _exposure_fault(minutes) else minutes for minutes in stated])
        hazards = hazard(molality, exposure, self.constants)
        ln_error = ln_hazard_error(molality, exposure, self._shifts, self._fit.model_error)
        survival_errors = survival_error(hazards, ln_error, self._fit.scatter)
        rates = hazards / exposure
        rate_errors = rate_error(rates, ln_error, self._fit.scatter)
        return [
            self._both(minutes, Answer(rate, rate_u), Answer(survival, survival_u))
            for minutes, rate, rate_u, survival, survival_u in zip(
                stated, rates.tolist(), rate_errors.tolist(), np.exp(-hazards).tolist(), survival_errors.tolist(),
                strict=True,
            )
        ]  # fmt: skip

    def _both(self, minutes: float | None, rate: Answer, survival: Answer) -> dict[str, Answer]:
        fault = _exposure_fault(minutes)
        refused = Answer(None, None, fault)
        return {
            "toxicity_rate": refused if fault and self._rate_depends_on_time else rate,
            "cell_survival": refused if fault else survival,
        }

    def parameters(self, source: str) -> tuple[Parameter, ...]:
        """Return the constants, by agent and by pair."""
        names = [solutes.NAMES[key] for key in AGENTS]
        single = (("zeta", "1/(min molal^alpha)"), ("alpha", "1"), ("beta", "1/molal"), ("shape", "1"))
        pair = (("k_eq", "1/molal"), ("pair_share", "1"))
        return (
            Parameter("all", "exponent", float(self.constants.exponent[0]), "1", source, seen=True),
            *(
                Parameter(names[i], name, float(getattr(self.constants, name)[i]), unit, source, seen=True)
                for i in range(len(AGENTS))
                for name, unit in single
            ),
            *(
                Parameter(f"{names[i]} + {names[j]}", name, float(value), unit, source, seen=True)
                for name, unit in pair
                for (i, j), value in zip(PAIRS, getattr(self.constants, name), strict=True)
            ),
        )


def _refusal(case: Case) -> str | None:
    """Return why neither rate nor survival can be given."""
    composition, conditions = case.composition, case.conditions
    if not composition.is_aqueous:
        return f"the model holds for solutions in water, not in {composition.solvent}"
    strange = [composition.named(key) for key in composition.molality_mol_kg if key not in AGENTS]
    if strange:
        return f"toxicity was measured for five agents, and {', '.join(strange)} is not among them"
    if conditions.cell_type is None:
        return "toxicity differs between cell types: say conditions.cell_type; the model knows endothelial"
    if conditions.cell_type.strip().casefold().removesuffix(" cells") not in _CELLS:
        return f"the model was measured on endothelial cells, not on {conditions.cell_type}"
    return _outside(conditions.temperature_k, _TEMPERATURE_K, "conditions.temperature_k", "K") or _outside(
        sum(composition.molality_mol_kg.values()), _TOTAL_MOL_KG, "total molality", "mol/kg"
    )


def _exposure_fault(minutes: float | None) -> str | None:
    return _outside(minutes, _EXPOSURE_MIN, "conditions.exposure_min", "min")


def _outside(value: float | None, limits: tuple[float, float], what: str, unit: str) -> str | None:
    low, high = limits
    if value is None:
        return f"the model needs {what}"
    # What comes from a conversion of units may be a little off the limit itself.
    slack = 1e-9 * high
    if low - slack <= value <= high + slack:
        return None
    return f"{what} {value:g} {unit} is outside {low:g}-{high:g} {unit}"


def _refused(reason: str) -> dict[str, Answer]:
    return dict.fromkeys(("toxicity_rate", "cell_survival"), Answer(None, None, reason))


_SOURCE: Final = (
    "Warner et al. 2022, supplement (not seen itself), as read in a public notebook that quotes it; "
    "pair_share is beta_ij / (beta_i + beta_j)"
)
_FIT_SOURCE: Final = "fitted to the single and binary survivals of Warner et al. 2022 by benchmarks/science"
_RATE_TEXT: Final = "k = sum_i zeta_i M_i^alpha_i + [sum_i beta_i M_i + sum_ij beta_ij M_ij]^n, K_ij = M_ij / (M_i M_j)"
_VALID_FOR: Final = (
    "glycerol, DMSO, propylene glycol, ethylene glycol and formamide in water, 0.5-10 molal in total; endothelial "
    "cells; 22-28 degC (295.15-301.15 K); exposures of 5-60 min"
)
_UNITS: Final = {"toxicity_rate": "1/min", "cell_survival": "1"}
_REFERENCE: Final = "doi:10.1016/j.cryobiol.2022.09.002"
REFITTED: Final = BASE.scaled(fitted.WEIBULL.factors())

_warner: Final = _Version(PUBLISHED, fitted.WARNER, rate_depends_on_time=False)
_weibull: Final = _Version(REFITTED, fitted.WEIBULL, rate_depends_on_time=True)

WARNER_2022: Final = Model(
    name="warner_2022",
    version="1",
    title="Multi-agent toxicity kinetics, published reduced model",
    properties=_UNITS,
    equation=f"{_RATE_TEXT}; survival = exp(-k t)",
    parameters=_warner.parameters(_SOURCE),
    valid_for=_VALID_FOR,
    reference=_REFERENCE,
    # A constant rate is what this model means; the other's depends on the exposure.
    default_for=frozenset({"toxicity_rate"}),
    answers=_warner.answers,
)
WARNER_WEIBULL: Final = Model(
    name="warner_weibull",
    version="1",
    title="Multi-agent toxicity kinetics, fitted anew with damage that speeds up or slows down",
    properties=_UNITS,
    equation=(
        f"{_RATE_TEXT}; survival = exp(-k 30 min (t / 30 min)^p), ln p = sum_i w_i ln p_i, w_i the agents' shares of "
        "sum_i beta_i M_i; toxicity_rate is -ln(survival) / t"
    ),
    parameters=_weibull.parameters(_FIT_SOURCE),
    valid_for=_VALID_FOR,
    reference=_REFERENCE,
    default_for=frozenset({"cell_survival"}),
    answers=_weibull.answers,
)
