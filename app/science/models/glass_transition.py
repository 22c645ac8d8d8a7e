"""Glass transition of an aqueous solution: Gordon's and Taylor's equation, Fox's for what is dissolved. An estimate.

The pure solutes' temperatures are remembered, not read; so the interval is wide, and the reason says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from app.science.models import solutes
from app.science.models.cases import Case, Composition
from app.science.models.fits import Array
from app.science.models.model import FROM_MEMORY, Answer, Model, Parameter

PROPERTY: Final = "glass_transition_temperature"
WATER_K: Final = 136.0
WATER_FACTOR: Final = 2.5
REMEMBERED: Final = "an estimate: the glass transition temperatures of the pure solutes are remembered, not checked"
PURE_K: Final = {
    solutes.GLYCEROL: 190.0,
    solutes.ETHYLENE_GLYCOL: 154.0,
    solutes.PROPYLENE_GLYCOL: 170.0,
    solutes.DMSO: 150.0,
    solutes.METHANOL: 103.0,
    solutes.ETHANOL: 97.0,
    solutes.SUCROSE: 336.0,
    solutes.TREHALOSE: 386.0,
    solutes.RAFFINOSE: 379.0,
    solutes.MALTOSE: 365.0,
    solutes.GLUCOSE: 304.0,
    solutes.SORBITOL: 270.0,
}
_LEAST_MASS_FRACTION: Final = 0.3
# Judgements. Vitrification solutions are reported near -120 degC, where the estimate for their DMSO and diols is some
# 10 K lower, so the interval of 90 % is never narrower than +-13 K; a remembered temperature may be off by 10 K; that
# the factor's +-1 is right is remembered as well.
_LEAST_ERROR_K: Final = 8.0
_PURE_ERROR_K: Final = 10.0
_FACTOR_ERROR: Final = 1.0


def fox_tg_k(mass_fractions: Array, pure_k: Array) -> Array:
    """Return the glass transition (K) of dry mixtures (rows) of substances (columns), fractions adding up to 1.

    Reference: Fox 1956, Bull. Am. Phys. Soc. 1:123 (remembered).
    """
    return np.asarray(1.0 / (mass_fractions / pure_k).sum(axis=1), np.float64)


def gordon_taylor_tg_k(solute_mass_fraction: Array, solutes_k: Array, factor: float = WATER_FACTOR) -> Array:
    """Return the glass transition (K) of solutions in water; `factor` multiplies the water's term.

    Valid for: solutions that are glass as a whole, without ice.
    Reference: Gordon & Taylor 1952, doi:10.1002/jctb.5010020901; 2.5 for organic substances, Shiraiwa 2017.
    """
    water = 1.0 - solute_mass_fraction
    top = solute_mass_fraction * solutes_k + factor * water * WATER_K
    return np.asarray(top / (solute_mass_fraction + factor * water), np.float64)


def answers(cases: Sequence[Case]) -> list[dict[str, Answer]]:
    """Return the glass transition temperature of each case."""
    refusals = [_refusal(case.composition) for case in cases]
    inside = [case.composition for case, refusal in zip(cases, refusals, strict=True) if refusal is None]
    numbers = iter(_numbers(inside))
    return [{PROPERTY: next(numbers) if reason is None else Answer(None, None, reason)} for reason in refusals]


def _refusal(composition: Composition) -> str | None:
    if not composition.is_aqueous:
        return f"the estimate is for solutions in water, not in {composition.solvent}"
    strange = [composition.named(key) for key in composition.molality_mol_kg if key not in PURE_K]
    if strange:
        return f"no glass transition temperature is known of {', '.join(strange)}"
    if composition.mass_fraction() < _LEAST_MASS_FRACTION:
        return "below 30 % w/w water freezes out: the solution as a whole is no glass"
    return None


def _numbers(compositions: Sequence[Composition]) -> list[Answer]:
    pure = np.array(list(PURE_K.values()))
    masses = np.zeros((len(compositions), len(pure)))
    for row, composition in enumerate(compositions):
        fractions = composition.solute_mass_fractions()
        masses[row] = [fractions.get(key, 0.0) for key in PURE_K]
    total = masses.sum(axis=1)
    shares = masses / total[:, None]

    def tg_k(moved_k: float = 0.0, factor: float = WATER_FACTOR) -> Array:
        return gordon_taylor_tg_k(total, fox_tg_k(shares, pure + moved_k), factor)

    values = tg_k()
    by_factor = (tg_k(factor=WATER_FACTOR - _FACTOR_ERROR) - tg_k(factor=WATER_FACTOR + _FACTOR_ERROR)) / 2.0
    errors = np.sqrt(_LEAST_ERROR_K**2 + (tg_k(_PURE_ERROR_K) - values) ** 2 + by_factor**2)
    return [Answer(value, error, REMEMBERED) for value, error in zip(values.tolist(), errors.tolist(), strict=True)]


_AEROSOL: Final = "read in aerosol code that quotes Shiraiwa et al. 2017 and Koop et al. 2011"
GORDON_TAYLOR: Final = Model(
    name="gordon_taylor",
    version="1",
    title="Glass transition by Gordon and Taylor, and Fox: an estimate",
    properties={PROPERTY: "K"},
    equation=(
        "Tg = (w Tg_s + k (1 - w) Tg_water) / (w + k (1 - w)), w the mass fraction of all solutes; "
        "1 / Tg_s = sum_i w_i / Tg_i, w_i the shares of their mass"
    ),
    parameters=(
        Parameter("water", "Tg", WATER_K, "K", _AEROSOL, seen=True),
        Parameter("organic + water", "k", WATER_FACTOR, "1", _AEROSOL, seen=True),
        *(Parameter(solutes.NAMES[key], "Tg", value, "K", FROM_MEMORY, seen=False) for key, value in PURE_K.items()),
    ),
    valid_for="solutions of the named solutes in water, at least 30 % w/w, without ice",
    reference="doi:10.1002/jctb.5010020901",
    default_for=frozenset({PROPERTY}),
    answers=answers,
)
