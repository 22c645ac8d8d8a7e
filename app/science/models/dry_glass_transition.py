"""Glass transition of a pure small molecule from its structure: a starting point for what was never measured.

A quadratic form of ten descriptors, fitted to measured temperatures (`benchmarks/science`,
docs/science/dry_glass_transition.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from app.science.models import dry_glass_transition_fit as fitted
from app.science.models.fits import Array
from app.science.models.model import Answer, Parameter, StructureModel

PROPERTY: Final = "glass_transition_temperature"
# Each is divided by the number of heavy atoms; that number itself is the first feature, as its logarithm.
PER_HEAVY_ATOM: Final = (
    "hydrogen_bond_donor_count", "hydrogen_bond_acceptor_count", "rotatable_bond_count", "ring_count",
    "aromatic_ring_count", "tpsa_a2", "crippen_logp", "hydroxyl_group_count", "fraction_csp3",
)  # fmt: skip
# What is a little beyond the molecules that were measured is still answered for, as a part of their range.
_SLACK: Final = 0.05


def features(descriptors: Mapping[str, float]) -> Array:
    """Return the features of one molecule, in the order of the fit."""
    heavy = descriptors["heavy_atom_count"]
    return np.array([math.log(heavy), *(descriptors[name] / heavy for name in PER_HEAVY_ATOM)])


def terms(features: Array) -> Array:
    """Return the terms of the quadratic form, a row for each row of features: each, each squared, each product."""
    scaled = (features - fitted.FEATURE_MEANS) / fitted.FEATURE_DEVIATIONS
    return quadratic(scaled)


def quadratic(scaled: Array) -> Array:
    """Return features, and their products with each other and themselves."""
    first, second = np.triu_indices(scaled.shape[-1])
    return np.concatenate([scaled, scaled[..., first] * scaled[..., second]], axis=-1)


def glass_transition_temperature_k(features: Array) -> float:
    """Return the temperature in kelvin.

    Valid for: neutral organic molecules within the ranges of the features that were fitted, in one piece.
    """
    return float(fitted.INTERCEPT_K + terms(features) @ fitted.COEFFICIENTS_K)


def answer(descriptors: Mapping[str, float]) -> Answer:
    """Return the temperature of a molecule with these descriptors, named as `app.science.descriptors` does."""
    if descriptors["component_count"] != 1 or descriptors["formal_charge"] != 0:
        return Answer(None, None, "the estimate is of neutral molecules: no salts, hydrates or other associates")
    if not descriptors["heavy_atom_count"]:
        return Answer(None, None, "the estimate is of molecules with heavy atoms")
    found = features(descriptors)
    width = _SLACK * (fitted.FEATURE_HIGHEST - fitted.FEATURE_LOWEST)
    outside = (found < fitted.FEATURE_LOWEST - width) | (found > fitted.FEATURE_HIGHEST + width)
    if outside.any():
        names = ["heavy_atom_count", *(f"{name} per heavy atom" for name in PER_HEAVY_ATOM)]
        strange = ", ".join(name for name, out in zip(names, outside, strict=True) if out)
        return Answer(None, None, f"unlike the molecules that were measured: {strange}")
    return Answer(glass_transition_temperature_k(found), fitted.ERROR_K, "estimated from the structure alone")


_SOURCE: Final = "fitted to measured temperatures of 368 small molecules (Zenodo record 7319485) by benchmarks/science"
DRY_GLASS: Final = StructureModel(
    name="dry_glass_transition",
    version="1",
    title="Glass transition of a pure molecule from its structure",
    properties={PROPERTY: "K"},
    equation="Tg = c + sum_i a_i z_i + sum_i<=j b_ij z_i z_j, z scaled: ln N and descriptors per heavy atom",
    parameters=(
        Parameter("all", "intercept", fitted.INTERCEPT_K, "K", _SOURCE, seen=True),
        Parameter("all", "standard error", fitted.ERROR_K, "K", "molecules of left-out scaffolds", seen=True),
        *(
            Parameter("term", str(number), value, "K", _SOURCE, seen=True)
            for number, value in enumerate(fitted.COEFFICIENTS_K.tolist(), 1)
        ),
    ),
    valid_for="neutral organic molecules of one piece, of the sizes and kinds that were measured; pure and dry",
    reference="doi:10.5281/zenodo.7319485",
    answer=answer,
)
