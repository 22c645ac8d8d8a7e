"""Molecules for tests: small, real and each with an InChIKey of its own."""

from __future__ import annotations

from typing import Any

from rdkit import Chem

DMSO = {"name": "Dimethyl sulfoxide", "smiles": "CS(C)=O"}
DMSO_INCHIKEY = "IAZDPXIOMUYVGZ-UHFFFAOYSA-N"
GLYCEROL = {"name": "Glycerol", "smiles": "OCC(O)CO"}
GLYCEROL_INCHIKEY = "PEDCQBHIVMGVHV-UHFFFAOYSA-N"
ETHANOL = {"name": "Ethanol", "smiles": "CCO"}
BENZENE_MOLFILE = """benzene
  test

  6  6  0  0  0  0  0  0  0  0999 V2000
    1.2124    0.7000    0.0000 C   0  0
    0.0000    1.4000    0.0000 C   0  0
   -1.2124    0.7000    0.0000 C   0  0
   -1.2124   -0.7000    0.0000 C   0  0
    0.0000   -1.4000    0.0000 C   0  0
    1.2124   -0.7000    0.0000 C   0  0
  1  2  2  0
  2  3  1  0
  3  4  2  0
  4  5  1  0
  5  6  2  0
  6  1  1  0
M  END
"""


def canonical(smiles: str) -> str:
    """Return the SMILES as RDKit itself writes it."""
    return str(Chem.MolToSmiles(Chem.MolFromSmiles(smiles)))


def alkanes(count: int, **fields: Any) -> list[dict[str, Any]]:
    """Return bodies of the first straight alkanes."""
    return [{"name": f"alkane {length}", "smiles": "C" * length, **fields} for length in range(1, count + 1)]
