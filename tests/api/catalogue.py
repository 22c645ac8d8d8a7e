"""A small catalogue of molecules that lists are tried on: awkward names, missing values, rows for some eyes only."""

from __future__ import annotations

from typing import Any, Final

MOLECULES: Final[tuple[dict[str, Any], ...]] = (
    {"name": "Alpha 100% pure", "smiles": "C", "synonyms": ["methane", "marsh gas"]},
    {"name": "alpha_beta", "smiles": "CC"},
    {"name": "alphaXbeta", "smiles": "CCC"},
    {"name": "Back\\slash", "smiles": "CCCC"},
    {"name": "glycerine", "smiles": "OCC(O)CO", "synonyms": ["glycerol"]},
    {"name": "Éthylène glycol δ", "smiles": "OCCO"},
    {"name": "it's; DROP TABLE molecules --", "smiles": "CCCl"},
    {"name": '"quoted" {braces} :named %(q)s %s', "smiles": "CCN"},
    {"name": "same mass a", "smiles": "CC(C)O"},
    {"name": "same mass b", "smiles": "CCCO"},
    {"name": "amylose", "smiles": "OC1CCCCC1"},
)
POLYMERS: Final = ("Dextran 40", "Ficoll 70", "hydroxyethyl starch")
HIDDEN: Final = ({"name": "hidden from visitors", "smiles": "CCCCCCCC", "is_public": False},)
PUBLIC_COUNT: Final = len(MOLECULES) + len(POLYMERS)
