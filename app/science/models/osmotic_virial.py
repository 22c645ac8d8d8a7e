"""Freezing point and osmolality of aqueous solutions by the multi-solute osmotic virial equation.

Version 1 has the published coefficients. Version 2 has coefficients fitted to tabulated freezing points
(`benchmarks/science`, docs/science/osmotic_virial.md), and the published ones of solutes without such a table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from app.science.models import osmotic_virial_fit as fitted
from app.science.models import solutes
from app.science.models.cases import Case, Composition
from app.science.models.fits import Array
from app.science.models.model import FROM_MEMORY, Answer, Model, Parameter

WATER_FREEZING_POINT_K: Final = 273.15
WATER_MOLAR_MASS_KG_MOL: Final = 0.018015
GAS_CONSTANT_J_MOL_K: Final = 8.314462618
# 6010 J/mol / 273.15 K; that the authors of the equation use 22.00 is remembered, not read.
FUSION_ENTROPY_J_MOL_K: Final = 22.0

UNCHECKED: Final = "coefficients published, unchecked"
_PUBLISHED: Final = (
    "Prickett, Elliott & McGann 2010, Cryobiology 60:30 (not seen itself); "
    "numbers read in code of J. E. S. Abrams, University of Saskatchewan, that cites it"
)
_FITTED: Final = "fitted to tabulated freezing points (Melinder 2010 by way of SecCool; VDI) by benchmarks/science"
# A judgement: four times the error of the published coefficients that could be checked.
_UNCHECKED_ERROR: Final = 0.10
# Mixing by the equation was within 3 % of the depression for the one mixture of two cryoprotectants that was compared.
_MIXING_ERROR: Final = 0.03
_SMALLEST_ERROR_K: Final = fitted.FLOOR_K


def osmolality_osmol_kg(osmoles_mol_kg: Array, b_kg_mol: Array, c_kg2_mol2: Array) -> Array:
    """Return the osmolality of mixtures (rows) of solutes (columns), in osmol per kg of water.

    `osmoles_mol_kg` is molality times dissociation constant. Second coefficients mix by the arithmetic mean and
    third ones by the geometric, so that both sums factorize.
    Reference: Elliott et al. 2007, J. Phys. Chem. B 111:1775; Prickett et al. 2010, Cryobiology 60:30.
    """
    total = osmoles_mol_kg.sum(axis=-1)
    pairs = total * (osmoles_mol_kg * b_kg_mol).sum(axis=-1)
    triples = (osmoles_mol_kg * np.cbrt(c_kg2_mol2)).sum(axis=-1) ** 3
    return np.asarray(total + pairs + triples, np.float64)


def freezing_point_k(osmolality_osmol_kg: Array) -> Array:
    """Return the temperature in kelvin at which ice is in equilibrium with a solution.

    Valid for: above the eutectic, to about 60 % w/w of solutes. The linear 1.86 K kg/osmol is 4-14 K off there.
    Reference: Prickett et al. 2010, Cryobiology 60:30.
    """
    slope = GAS_CONSTANT_J_MOL_K * WATER_MOLAR_MASS_KG_MOL / FUSION_ENTROPY_J_MOL_K
    return np.asarray(WATER_FREEZING_POINT_K / (1.0 + slope * osmolality_osmol_kg), np.float64)


def osmolality_error(freezing_point_k: Array, error_k: Array) -> Array:
    """Return the error of the osmolality, in osmol/kg, that goes with one of the freezing point."""
    slope = GAS_CONSTANT_J_MOL_K * WATER_MOLAR_MASS_KG_MOL / FUSION_ENTROPY_J_MOL_K
    return np.asarray(error_k * WATER_FREEZING_POINT_K / (slope * freezing_point_k**2), np.float64)


@dataclass(frozen=True, slots=True)
class Coefficients:
    """What the equation knows of one solute."""

    dissociation: float
    b_kg_mol: float
    c_kg2_mol2: float
    limit_mass_fraction: float
    """The most solute, alone with water, for which a number is given."""
    limit_reason: str
    relative_error: float
    """Standard error of a measured depression of the freezing point, as a fraction of it, beside the floor."""
    source: str = _PUBLISHED
    reservation: str | None = None
    alone: bool = False
    """Holds with no other solute only."""
    columns: tuple[tuple[float, float, float], ...] = ()
    """Columns of a square root of the covariance of dissociation, B and C."""


_TO_SIXTY: Final = "the ice liquidus is not described past 60 % w/w"
_TO_FORTY: Final = "unchecked coefficients are used to 40 % w/w only"
_EUTECTIC: Final = "no ice liquidus past the eutectic"


def _unchecked(dissociation: float, b_kg_mol: float, limit: float = 0.40, reason: str = _TO_FORTY) -> Coefficients:
    return Coefficients(
        dissociation, b_kg_mol, 0.0, limit, reason, relative_error=_UNCHECKED_ERROR, reservation=UNCHECKED
    )


def _checked(key: str, b_c: tuple[float, float], limit: float, reason: str, dissociation: float = 1.0) -> Coefficients:
    return Coefficients(dissociation, *b_c, limit, reason, relative_error=fitted.PUBLISHED_RELATIVE_ERROR[key])


PUBLISHED: Final[Mapping[str, Coefficients]] = {
    solutes.GLYCEROL: _checked(solutes.GLYCEROL, (0.023, 0.0), 0.60, _TO_SIXTY),
    solutes.ETHYLENE_GLYCOL: _checked(solutes.ETHYLENE_GLYCOL, (0.037, -0.001), 0.60, _TO_SIXTY),
    solutes.PROPYLENE_GLYCOL: _checked(solutes.PROPYLENE_GLYCOL, (0.039, 0.0), 0.60, _TO_SIXTY),
    solutes.METHANOL: _checked(solutes.METHANOL, (0.004, 0.0), 0.475, "checked to 47 % w/w; fails above 50 % w/w"),
    # The eutectic, 23.3 % w/w at -21.1 degC, is remembered; the tables end just before it.
    solutes.SODIUM_CHLORIDE: _checked(solutes.SODIUM_CHLORIDE, (0.044, 0.0), 0.232, _EUTECTIC, dissociation=1.678),
    solutes.DMSO: _unchecked(1.0, 0.108),
    solutes.SUCROSE: _unchecked(1.0, 0.125),
    # The eutectic, about 19.5 % w/w at -10.7 degC, is remembered.
    solutes.POTASSIUM_CHLORIDE: _unchecked(1.772, 0.0, 0.195, _EUTECTIC),
    # B < 0 < C: less than ideal where sugars are more. Harmless in a dilute solution, absurd in a mixture.
    solutes.TREHALOSE: Coefficients(
        1.0, -0.394, 0.388, 0.146, "the published coefficients are unphysical beyond a dilute solution (0.5 mol/kg)",
        relative_error=_UNCHECKED_ERROR, reservation=UNCHECKED, alone=True,
    ),
}  # fmt: skip

REFITTED: Final[Mapping[str, Coefficients]] = {
    **PUBLISHED,
    **{
        key: replace(
            PUBLISHED[key],
            dissociation=refit.values[0],
            b_kg_mol=refit.values[1],
            c_kg2_mol2=refit.values[2],
            columns=refit.columns,
            relative_error=refit.relative_error,
            source=_FITTED,
        )
        for key, refit in fitted.FITTED.items()
    },
}


class _Equation:
    """The equation with one set of coefficients, over many mixtures at once."""

    def __init__(self, coefficients: Mapping[str, Coefficients]) -> None:
        self.coefficients = coefficients
        rows = list(coefficients.values())
        self._index = {key: column for column, key in enumerate(coefficients)}
        self._values = np.array([(row.dissociation, row.b_kg_mol, row.c_kg2_mol2) for row in rows])
        self._relative_error = np.array([row.relative_error for row in rows])
        self._shifts = [
            (column, np.array(shift)) for column, row in enumerate(rows) for shift in row.columns
        ]  # fmt: skip

    def answers(self, cases: Sequence[Case]) -> list[dict[str, Answer]]:
        """Return freezing point and osmolality of each case."""
        refusals = [self._refusal(case.composition) for case in cases]
        inside = [case.composition for case, refusal in zip(cases, refusals, strict=True) if refusal is None]
        numbers = iter(self._numbers(inside))
        return [next(numbers) if refusal is None else _refused(refusal) for refusal in refusals]

    def _refusal(self, composition: Composition) -> str | None:
        if not composition.is_aqueous:
            return f"the equation holds in water, not in {composition.solvent}"
        present = composition.molality_mol_kg
        strange = [composition.named(key) for key in present if key not in self.coefficients]
        if strange:
            return f"no coefficients that were checked for {', '.join(strange)}"
        alone = [key for key in present if self.coefficients[key].alone]
        if alone and len(present) > 1:
            return f"the published coefficients of {solutes.NAMES[alone[0]]} hold for it alone in water"
        return self._past_limit(composition)

    def _past_limit(self, composition: Composition) -> str | None:
        """Return why there is too much of the solutes: shares of each one's limit add up to at most 1."""
        shares = {}
        for key, molality in composition.molality_mol_kg.items():
            fraction = self.coefficients[key].limit_mass_fraction
            shares[key] = molality * composition.molar_mass_g_mol[key] / 1000.0 * (1.0 - fraction) / fraction
        if sum(shares.values()) <= 1.0 + 1e-9:
            return None
        nearest = max(shares, key=shares.__getitem__)
        return f"{solutes.NAMES[nearest]}: {self.coefficients[nearest].limit_reason}"

    def _numbers(self, compositions: Sequence[Composition]) -> list[dict[str, Answer]]:
        molality = np.zeros((len(compositions), len(self._index)))
        for row, composition in enumerate(compositions):
            for key, amount in composition.molality_mol_kg.items():
                molality[row, self._index[key]] = amount
        freezing, error, osmolality = self.evaluate(molality)
        osmolality_errors = osmolality_error(freezing, error)
        reasons = [self._reservation(composition) for composition in compositions]
        return [
            {"freezing_point": Answer(t, u_t, reason), "osmolality": Answer(p, u_p, reason)}
            for t, u_t, p, u_p, reason in zip(
                freezing.tolist(), error.tolist(), osmolality.tolist(), osmolality_errors.tolist(), reasons, strict=True
            )
        ]

    def evaluate(self, molality: Array) -> tuple[Array, Array, Array]:
        """Return freezing points (K), their standard uncertainties (K) and osmolalities (osmol/kg)."""
        osmolality = self._osmolality(molality, self._values)
        freezing = freezing_point_k(osmolality)
        osmoles = molality * self._values[:, 0]
        share = osmoles / np.maximum(osmoles.sum(axis=1, keepdims=True), 1e-300)
        depression = WATER_FREEZING_POINT_K - freezing
        spread = 1.0 - (share**2).sum(axis=1)
        # Twice the spread is 1 for equal parts of two solutes, and 0 for a single one.
        mixing = np.where(osmoles.any(axis=1), _MIXING_ERROR * 2.0 * spread, 0.0)
        relative = (share * self._relative_error).sum(axis=1)
        variance = _SMALLEST_ERROR_K**2 + depression**2 * (relative**2 + mixing**2)
        for column, shift in self._shifts:
            values = self._values.copy()
            values[column] += shift
            variance += (freezing_point_k(self._osmolality(molality, values)) - freezing) ** 2
        return freezing, np.sqrt(variance), osmolality

    @staticmethod
    def _osmolality(molality: Array, values: Array) -> Array:
        return osmolality_osmol_kg(molality * values[:, 0], values[:, 1], values[:, 2])

    def _reservation(self, composition: Composition) -> str | None:
        doubtful = [key for key in composition.molality_mol_kg if self.coefficients[key].reservation]
        if not doubtful:
            return None
        return f"{UNCHECKED}: {', '.join(solutes.NAMES[key] for key in doubtful)}"

    def parameters(self) -> tuple[Parameter, ...]:
        """Return the coefficients with their sources."""
        return (
            Parameter("water", "freezing point", WATER_FREEZING_POINT_K, "K", "definition", seen=True),
            Parameter("water", "molar mass", WATER_MOLAR_MASS_KG_MOL, "kg/mol", "constant", seen=True),
            Parameter("water", "entropy of fusion", FUSION_ENTROPY_J_MOL_K, "J/(mol K)", FROM_MEMORY, seen=False),
            *(
                Parameter(solutes.NAMES[key], name, value, unit, row.source, seen=True)
                for key, row in self.coefficients.items()
                for name, value, unit in (
                    ("k_diss", row.dissociation, "1"),
                    ("B", row.b_kg_mol, "kg/mol"),
                    ("C", row.c_kg2_mol2, "kg2/mol2"),
                )
            ),
        )


def _refused(reason: str) -> dict[str, Answer]:
    return dict.fromkeys(("freezing_point", "osmolality"), Answer(None, None, reason))


_UNITS: Final = {"freezing_point": "K", "osmolality": "osmol/kg"}
_EQUATION_TEXT: Final = (
    "pi = sum_i x_i + sum_ij ((B_i + B_j)/2) x_i x_j + sum_ijk (C_i C_j C_k)^(1/3) x_i x_j x_k, x_i = k_diss,i m_i; "
    "T = T0 / (1 + R M_w pi / dS_fus)"
)
_REFERENCE: Final = "Prickett, Elliott & McGann 2010, Cryobiology 60:30-42"
_VALID_FOR: Final = (
    "solutions in water above the eutectic: glycerol, ethylene glycol and propylene glycol to 60 % w/w, methanol to "
    "47.5 %, NaCl to 23.2 %; with a reservation DMSO and sucrose to 40 %, KCl to 19.5 %, trehalose alone to 0.5 "
    "mol/kg; in a mixture the shares of these limits add up to at most 1"
)
_published: Final = _Equation(PUBLISHED)
_refitted: Final = _Equation(REFITTED)

VERSION_1: Final = Model(
    name="osmotic_virial",
    version="1",
    title="Multi-solute osmotic virial equation, published coefficients",
    properties=_UNITS,
    equation=_EQUATION_TEXT,
    parameters=_published.parameters(),
    valid_for=_VALID_FOR,
    reference=_REFERENCE,
    default_for=frozenset(),
    answers=_published.answers,
)
VERSION_2: Final = replace(
    VERSION_1,
    version="2",
    title="Multi-solute osmotic virial equation, coefficients fitted to tabulated freezing points",
    parameters=_refitted.parameters(),
    default_for=frozenset(_UNITS),
    answers=_refitted.answers,
)
