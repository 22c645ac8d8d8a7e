"""What is counted a shorter way than RDKit's is what RDKit counts."""

from __future__ import annotations

import gzip
from itertools import islice
from pathlib import Path
from typing import Final

import pytest
from rdkit import Chem
from rdkit.Chem import rdMolDescriptors

from app.science.descriptors import descriptors

REAL_STRUCTURES: Final = (
    Path(__file__).resolve().parents[3] / "shared" / "data" / "scale" / "combined_unique_825k.tsv.gz"
)
EVERY_NTH: Final = 330
ODD: Final = (
    # Each kind of hydrogen.
    "O", "[OH-]", "[OH3+]", "OO", "CO", "Oc1ccccc1", "CC(=O)O", "CC(O)=N", "C[OH+]C", "C#CO", "[OH]", "OCl", "ON",
    "On1cccc1", "OS(=O)(=O)O", "OP(O)O", "OB(O)O", "CS", "CP", "C[SiH3]", "N", "[NH4+]", "c1cc[nH]c1", "CNC(=O)NO",
    # Hydrogens that are atoms already.
    "[H][H]", "[2H]O[2H]", "[2H]C([2H])([2H])O", "[H+]",
    # A sum between two roundings.
    "N=COCCC#N", "CCOC(=N)C#N", "N#CNC(=N)NCCO", "NC1C(NC1=N)C#N", "N=CNC(=O)NCC#N",
    # Beyond the number of matches that RDKit looks for.
    "C" * 999, "CO" * 400,
    # Bonds that do not turn.
    "CC(C)(C)CC", "FC(F)(F)CC", "ClC(Cl)(Cl)CC", "BrC(Br)(Br)CC", "CC#CC", "CNC(=O)C", "CNC(=O)CC(=S)NC", "CC(=N)NCC",
    "CC(=[NH2+])NCC", "O=C(O)C(=O)O.[Sc]", "CCOC(=O)CC", "CS(=O)(=O)NC", "[2H]C([2H])([2H])CC",
)  # fmt: skip


def as_we_count(text: str) -> tuple[float, ...]:
    found = descriptors(Chem.MolFromSmiles(text))
    return found["crippen_logp"], found["crippen_molar_refractivity_cm3_mol"], found["rotatable_bond_count"]


def as_rdkit_counts(text: str) -> tuple[float, ...]:
    molecule = Chem.MolFromSmiles(text)
    logp, refractivity = rdMolDescriptors.CalcCrippenDescriptors(molecule)
    return round(logp, 4), round(refractivity, 4), rdMolDescriptors.CalcNumRotatableBonds(molecule)


@pytest.mark.parametrize("text", ODD)
def test_odd_structures_count_as_in_rdkit(text: str):
    assert as_we_count(text) == as_rdkit_counts(text)


@pytest.mark.skipif(not REAL_STRUCTURES.is_file(), reason=f"needs {REAL_STRUCTURES.name} of the shared data")
def test_real_structures_count_as_in_rdkit():
    with gzip.open(REAL_STRUCTURES, mode="rt", encoding="utf-8") as file:
        texts = [line.split("\t")[0] for line in islice(file, 1, None, EVERY_NTH)]

    different = [text for text in texts if as_we_count(text) != as_rdkit_counts(text)]

    assert len(texts) > 2000
    assert different == []
