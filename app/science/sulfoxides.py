"""One spelling of the sulfoxide: neutral, S=O.

The usual standardizers, ChEMBL's pipeline and RDKit's Cleanup alike, write dimethyl sulfoxide as
`C[S+](C)[O-]`. Chemists, catalogues and queries write `CS(C)=O`, which does not match that form. DMSO being
the most used cryoprotectant of all, every structure that is stored and every query goes through here.
"""

from __future__ import annotations

import re
from typing import Final

from rdkit import Chem

_CHARGED_PAIR: Final = Chem.MolFromSmarts("[#16;+,+2]-[O;D1;-]")
_SULFUR: Final = 16
_OXYGEN: Final = 8
# Charge and valence of the sulfur in a sulfoxide and in a sulfone without double bonds.
_SULFOXIDE: Final = (1, 3)
_SULFONE: Final = (2, 4)
# In the SMARTS of one atom these can be nothing but charges.
_PLUS_ONE: Final = re.compile(r"\+1?(?!\d)")
_MINUS_ONE: Final = re.compile(r"-1?(?!\d)")
_ALTERNATIVES: Final = re.compile(r"[,!$]")


def neutral_sulfoxides(molecule: Chem.Mol) -> Chem.Mol:
    """Return the molecule with each S+-O- written as S=O; the same object where there is none.

    Stereo centres keep their sense: no neighbour changes its place.
    """
    matches = molecule.GetSubstructMatches(_CHARGED_PAIR)
    if not matches:
        return molecule
    edited = Chem.RWMol(molecule)
    # Thiophene oxides count as aromatic in the charged spelling only.
    Chem.Kekulize(edited, clearAromaticFlags=True)
    for sulfur, oxygen in [pair for pair in matches if _has_no_double_bond(edited.GetAtomWithIdx(pair[0]))]:
        _neutralize(edited, sulfur, oxygen)
    Chem.SanitizeMol(edited)
    return edited.GetMol()


def _has_no_double_bond(sulfur: Chem.Atom) -> bool:
    return (sulfur.GetFormalCharge(), sulfur.GetTotalValence()) in {_SULFOXIDE, _SULFONE}


def _neutralize(edited: Chem.RWMol, sulfur: int, oxygen: int) -> None:
    atom = edited.GetAtomWithIdx(sulfur)
    if atom.GetFormalCharge() < 1:
        # A sulfinate's second O- keeps its charge.
        return
    atom.SetFormalCharge(atom.GetFormalCharge() - 1)
    edited.GetAtomWithIdx(oxygen).SetFormalCharge(0)
    edited.GetBondBetweenAtoms(sulfur, oxygen).SetBondType(Chem.BondType.DOUBLE)


def neutral_sulfoxide_query(query: Chem.Mol) -> Chem.Mol:
    """Return the SMARTS pattern with `[S+]-[O-]` written as `[S+0]=[O+0]`, so that it finds what is stored.

    Atoms that leave their element or charge open stay as they are.
    """
    edited = Chem.RWMol(query)
    for bond in query.GetBonds():
        oxygen, sulfur = sorted((bond.GetBeginAtom(), bond.GetEndAtom()), key=Chem.Atom.GetAtomicNum)
        if _is_charged_pair(sulfur, oxygen) and bond.GetBondType() == Chem.BondType.SINGLE:
            edited.ReplaceAtom(sulfur.GetIdx(), _without_charge(sulfur, _PLUS_ONE))
            edited.ReplaceAtom(oxygen.GetIdx(), _without_charge(oxygen, _MINUS_ONE))
            edited.ReplaceBond(bond.GetIdx(), Chem.BondFromSmarts("="))
    return edited.GetMol()


def _is_charged_pair(sulfur: Chem.Atom, oxygen: Chem.Atom) -> bool:
    if (sulfur.GetAtomicNum(), oxygen.GetAtomicNum()) != (_SULFUR, _OXYGEN):
        return False
    # The charge of a parsed query atom is not always set, its SMARTS is.
    texts = sulfur.GetSmarts(), oxygen.GetSmarts()
    return bool(
        _PLUS_ONE.search(texts[0]) and _MINUS_ONE.search(texts[1]) and not any(map(_ALTERNATIVES.search, texts))
    )


def _without_charge(atom: Chem.Atom, charge: re.Pattern[str]) -> Chem.Atom:
    return Chem.AtomFromSmarts(charge.sub("+0", atom.GetSmarts(), count=1))
