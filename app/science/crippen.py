"""Crippen's logP and molar refractivity, without an atom for each hydrogen.

RDKit adds the hydrogens and tries its 110 patterns on twice as many atoms. What a hydrogen contributes shows in the
atom that it is on, so RDKit is asked for the heavy atoms only and hydrogens are counted; a test compares the results.

Reference: Wildman & Crippen 1999, doi:10.1021/ci990307l, table 1.
"""

from __future__ import annotations

from typing import Final

from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

DECIMALS: Final = 4
# RDKit finds no more than so many atoms of a type, which for a giant makes its result another one.
_MOST_ATOMS: Final = 1000
# logP's contributions have up to five decimals, those of the refractivity four.
_SMALLEST: Final = 1e-5
_HALF: Final = 5
_ON_CARBON: Final = (0.123, 1.057)
_ON_OTHERS: Final = Chem.MolFromSmarts("[!#6;!H0]")
# The atom that the hydrogens are on, logP, refractivity; the first that fits counts.
_TYPES: Final = tuple(
    (Chem.MolFromSmarts(smarts), logp, refractivity)
    for smarts, logp, refractivity in (
        ("[!#6;!#7;!H0;!#8,$(O[CX4,c]),$(O[!#6;!#7;!#8;!#16]),$([O;!H1])]", -0.2677, 1.395),  # alcohols, water
        ("[#7,$(O[#7]);!H0]", 0.2142, 0.9627),  # amines
        ("[O;!H0;$(OC=[#6,#7,O,S]),$(O[O,S])]", 0.298, 1.805),  # acids
        ("[!#6;!H0]", 0.1125, 1.112),
    )
)


def crippen(molecule: Chem.Mol) -> tuple[float, float]:
    """Return logP and the molar refractivity in cm3/mol, both rounded to `DECIMALS`."""
    has_hydrogens = molecule.GetNumHeavyAtoms() < molecule.GetNumAtoms()
    if has_hydrogens or rdMolDescriptors.CalcNumAtoms(molecule) > _MOST_ATOMS:
        return _rounded(*rdMolDescriptors.CalcCrippenDescriptors(molecule, force=True))
    logp, refractivity = rdMolDescriptors.CalcCrippenDescriptors(molecule, includeHs=False, force=True)
    for count, of_logp, of_refractivity in _hydrogens(molecule):
        logp += count * of_logp
        refractivity += count * of_refractivity
    if round(logp / _SMALLEST) % 10 == _HALF:
        # Which way this is rounded lies in the order in which the contributions are added up.
        return _rounded(*rdMolDescriptors.CalcCrippenDescriptors(molecule, force=True))
    return _rounded(logp, refractivity)


def _hydrogens(molecule: Chem.Mol) -> list[tuple[int, float, float]]:
    """Return how many hydrogens there are of each type, with the contributions of one."""
    on_carbon = rdMolDescriptors.CalcNumAtoms(molecule) - molecule.GetNumAtoms()
    found = []
    carriers = _atoms(molecule, _ON_OTHERS)
    for pattern, logp, refractivity in _TYPES:
        if not carriers:
            break
        fitting = carriers & _atoms(molecule, pattern)
        if fitting:
            count = sum(molecule.GetAtomWithIdx(index).GetTotalNumHs() for index in fitting)
            found.append((count, logp, refractivity))
            on_carbon -= count
            carriers -= fitting
    return [*found, (on_carbon, *_ON_CARBON)]


def _atoms(molecule: Chem.Mol, pattern: Chem.Mol) -> set[int]:
    return {index for (index,) in molecule.GetSubstructMatches(pattern, maxMatches=molecule.GetNumAtoms())}


def _rounded(logp: float, refractivity: float) -> tuple[float, float]:
    return round(logp, DECIMALS), round(refractivity, DECIMALS)
