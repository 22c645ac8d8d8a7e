"""The parent of a structure is what ChEMBL's own package makes of it, which parses its lists anew each time."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Final

import pytest
from chembl_structure_pipeline import get_parent_mol
from rdkit import Chem

from app.science.parents import SALTS, SOLVENTS, chembl_parent, smarts_of

DRUGS: Final = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "chembl" / "patwalters_chembl_drugs.smi"
DRUG: Final = "CC(=O)Nc1ccc(O)cc1"
ODD: Final = (
    "O.O", "[Na+].[Cl-]", "[Na+].[Na+].[Cl-].[Cl-]", "CS(C)=O.O", "CCO.CCO", "C[N+](C)(C)CC(=O)O.[Cl-]",
    "[2H]O[2H].CC[NH3+]", "[13CH4]", "[Fe+2].[O-]C(=O)CC.[O-]C(=O)CC", "[Zn+2].CC(=O)[O-].CC(=O)[O-]",
    "CC(=O)[O-]", "[NH3+]CC(=O)[O-].[Na+]", "C1CCNCC1.Cl.O", "CCCC.CCCC",
    "CC[NH+](C)C.CC[NH+](C)C.[O-]S(=O)(=O)[O-]", "[Pt](Cl)(Cl)(N)N.O",
)  # fmt: skip


def spelling(molecule: Chem.Mol) -> str:
    copy = Chem.Mol(molecule)
    Chem.SanitizeMol(copy, catchErrors=True)
    return str(Chem.MolToSmiles(copy))


def as_chembl_has_it(text: str) -> str:
    return spelling(get_parent_mol(Chem.MolFromSmiles(text))[0])


def as_we_have_it(text: str) -> str:
    return spelling(chembl_parent(Chem.MolFromSmiles(text)))


@pytest.mark.parametrize("text", ODD)
def test_the_parent_of_odd_structures(text: str):
    assert as_we_have_it(text) == as_chembl_has_it(text)


@pytest.mark.parametrize("listed", [SALTS, SOLVENTS])
def test_everything_on_the_lists_is_taken_off_and_only_where_something_is_left(listed: str):
    patterns = [Chem.MolFromSmarts(smarts) for smarts in smarts_of(listed)]
    fragments = [Chem.MolToSmiles(pattern) for pattern in patterns]
    readable = [text for text in fragments if Chem.MolFromSmiles(text) is not None]
    texts = [text for fragment in readable for text in (fragment, f"{DRUG}.{fragment}", f"O.{fragment}")]

    ours = [as_we_have_it(text) for text in texts]

    assert len(readable) >= 5
    assert sum(parent == DRUG for parent in ours) > 0.8 * len(readable)
    assert ours == [as_chembl_has_it(text) for text in texts]


@pytest.mark.skipif(not DRUGS.is_file(), reason="the collected real files are not beside this checkout")
def test_the_parents_of_real_salts():
    texts = [line.split()[0] for line in DRUGS.read_text(encoding="utf-8").splitlines() if line.strip()]
    salts = list(itertools.islice((text for text in texts if "." in text or "+" in text), 150))

    assert len(salts) == 150
    assert [as_we_have_it(text) for text in salts] == [as_chembl_has_it(text) for text in salts]
