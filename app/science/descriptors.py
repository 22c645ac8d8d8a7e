"""Numbers computed from a structure alone, named with their units, ready for JSON.

Values are of the form as it is stored: of a hydrate with its water, of a salt with its counter-ion. They are
rounded to what the methods give, so that another build of RDKit writes the same row.
"""

from __future__ import annotations

import re
from typing import Final

from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator, rdMolDescriptors

FINGERPRINT_BITS: Final = 2048
_MORGAN: Final = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=FINGERPRINT_BITS)
_AVERAGE_MASS: Final = rdMolDescriptors.Properties(["amw"])
# Alcohols and phenols, as in polyols and sugars; no acids, whose OH does not stay.
_HYDROXYL: Final = Chem.MolFromSmarts("[OX2H][#6;!$([#6]=[O,S,N])]")
_CARBON: Final = Chem.MolFromSmarts("[#6]")
_ELEMENT: Final = re.compile(r"[A-Z][a-z]?\d*")


def descriptors(molecule: Chem.Mol) -> dict[str, float | int]:
    """Return the descriptors by name.

    Reference: TPSA Ertl 2000, doi:10.1021/jm000942e; logP and refractivity Wildman & Crippen 1999,
    doi:10.1021/ci990307l; surface Labute 2000, doi:10.1016/S1093-3263(00)00068-1.
    """
    logp, refractivity = rdMolDescriptors.CalcCrippenDescriptors(molecule)
    return {
        "heavy_atom_count": molecule.GetNumHeavyAtoms(),
        "component_count": len(Chem.GetMolFrags(molecule)),
        "formal_charge": Chem.GetFormalCharge(molecule),
        "hydrogen_bond_donor_count": rdMolDescriptors.CalcNumHBD(molecule),
        "hydrogen_bond_acceptor_count": rdMolDescriptors.CalcNumHBA(molecule),
        "hydroxyl_group_count": len(molecule.GetSubstructMatches(_HYDROXYL)),
        "rotatable_bond_count": rdMolDescriptors.CalcNumRotatableBonds(molecule),
        "ring_count": rdMolDescriptors.CalcNumRings(molecule),
        "aromatic_ring_count": rdMolDescriptors.CalcNumAromaticRings(molecule),
        "stereocenter_count": rdMolDescriptors.CalcNumAtomStereoCenters(molecule),
        "tpsa_a2": round(rdMolDescriptors.CalcTPSA(molecule), 2),
        "labute_surface_a2": round(rdMolDescriptors.CalcLabuteASA(molecule), 3),
        "crippen_logp": round(logp, 4),
        "crippen_molar_refractivity_cm3_mol": round(refractivity, 4),
        "fraction_csp3": round(rdMolDescriptors.CalcFractionCSP3(molecule), 4),
        "exact_mass_da": round(rdMolDescriptors.CalcExactMolWt(molecule), 6),
    }


def molar_mass_g_mol(molecule: Chem.Mol) -> float:
    """Return the average molar mass; a labelled atom counts with its isotope's mass."""
    (mass,) = _AVERAGE_MASS.ComputeProperties(molecule)
    return round(float(mass), 3)


def formula(molecule: Chem.Mol) -> str:
    """Return the molecular formula in Hill order, isotopes as their element, a net charge at its end."""
    text = rdMolDescriptors.CalcMolFormula(molecule)
    if molecule.HasSubstructMatch(_CARBON):
        return text
    # RDKit puts hydrogen second here, too (H4ClN for ammonium chloride); Hill's order is then alphabetical.
    elements = sorted(_ELEMENT.findall(text))
    return "".join(elements) + _ELEMENT.sub("", text)


def fingerprint(molecule: Chem.Mol) -> str:
    """Return the Morgan fingerprint of radius 2 as 2048 characters, 0 or 1.

    Reference: Rogers & Hahn 2010, doi:10.1021/ci100050t.
    """
    bits: str = _MORGAN.GetFingerprint(molecule).ToBitString()
    return bits
