"""ChEMBL's parent of a structure: isotopes, solvents and counter-ions taken off, charges where a proton can move.

The steps are those of `chembl_structure_pipeline`, and a test compares the results. It reads its two lists of
patterns from disk and parses them anew for each structure, which takes 4 ms, and those of charges, too; here they are
read once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from chembl_structure_pipeline import standardizer
from chembl_structure_pipeline.exclude_flag import exclude_flag
from rdkit import Chem
from rdkit.Chem.MolStandardize import rdMolStandardize

_LISTS: Final = Path(standardizer.__file__).parent / "data"
SOLVENTS: Final = "solvents.smi"
SALTS: Final = "salts.smi"
_UNCHARGER: Final = rdMolStandardize.Uncharger(canonicalOrder=True)
_SPELLING: Final = (
    Chem.SANITIZE_SYMMRINGS | Chem.SANITIZE_FINDRADICALS | Chem.SANITIZE_SETAROMATICITY | Chem.SANITIZE_ADJUSTHS
)


def chembl_parent(molecule: Chem.Mol) -> Chem.Mol:
    """Return what `standardizer.get_parent_mol` gives; it may need another sanitization."""
    return uncharged(_bare_parent(standardizer.get_isotope_parent_mol(molecule)))


def uncharged(molecule: Chem.Mol) -> Chem.Mol:
    """Return what `standardizer.uncharge_mol` gives."""
    result: Chem.Mol = _UNCHARGER.uncharge(molecule)
    result.UpdatePropertyCache(strict=False)
    return result


def _bare_parent(bare: Chem.Mol) -> Chem.Mol:
    """Return the parent of a structure without isotopes, with the charges that it has."""
    fragments = list(Chem.GetMolFrags(bare, asMols=True, sanitizeFrags=False))
    kept = _without(fragments, SOLVENTS) if len(fragments) > 1 else []
    if not kept:
        return bare
    drugs = _without(kept, SALTS) or kept
    parent = drugs[0] if len({_spelling(fragment) for fragment in drugs}) == 1 else _together(drugs)
    if exclude_flag(parent, includeRDKitSanitization=False):
        # What ChEMBL leaves alone, metals for instance, keeps its counter-ions.
        return _together(kept)
    return parent


def _without(fragments: Sequence[Chem.Mol], list_name: str) -> list[Chem.Mol]:
    patterns = _patterns(list_name)
    return [fragment for fragment in fragments if not _is_any(_read(fragment), patterns)]


def _is_any(fragment: Chem.Mol, patterns: dict[tuple[int, int], list[Chem.Mol]]) -> bool:
    return any(fragment.HasSubstructMatch(pattern) for pattern in patterns.get(_size(fragment), ()))


@cache
def _patterns(list_name: str) -> dict[tuple[int, int], list[Chem.Mol]]:
    """Return the list's patterns by their numbers of atoms and bonds: one matches whole fragments only."""
    found: dict[tuple[int, int], list[Chem.Mol]] = {}
    for smarts in smarts_of(list_name):
        pattern = Chem.MolFromSmarts(smarts)
        found.setdefault(_size(pattern), []).append(pattern)
    return found


def smarts_of(list_name: str) -> Iterator[str]:
    """Yield the patterns of one of ChEMBL's lists."""
    for line in (_LISTS / list_name).read_text(encoding="utf-8").splitlines():
        columns = line.strip().split("\t")
        if not line.startswith("#") and len(columns) == len(("name", "smarts")):
            yield columns[1]


def _size(molecule: Chem.Mol) -> tuple[int, int]:
    return molecule.GetNumAtoms(), molecule.GetNumBonds()


def _read(fragment: Chem.Mol) -> Chem.Mol:
    fragment = Chem.RemoveHs(fragment, sanitize=False)
    fragment.UpdatePropertyCache(strict=False)
    Chem.SetAromaticity(fragment)
    return fragment


def _spelling(fragment: Chem.Mol) -> str:
    neutral = Chem.RemoveHs(uncharged(fragment), sanitize=False)
    neutral.ClearComputedProps()
    neutral.UpdatePropertyCache(strict=False)
    Chem.SanitizeMol(neutral, sanitizeOps=_SPELLING)
    return str(Chem.MolToSmiles(neutral))


def _together(fragments: Sequence[Chem.Mol]) -> Chem.Mol:
    whole = fragments[0]
    for fragment in fragments[1:]:
        whole = Chem.CombineMols(whole, fragment)
    return whole
