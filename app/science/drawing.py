"""Pictures and molfiles of a stored structure, with coordinates laid out in the plane."""

from __future__ import annotations

import re
from typing import Final

from rdkit import Chem
from rdkit.Chem import rdDepictor, rdMolDescriptors
from rdkit.Chem.Draw import rdMolDraw2D

from app.science.reading import rdkit_log, read_structure

_MAX_NAME_CHARACTERS: Final = 80
_XML_DECLARATION: Final = re.compile(r"^<\?xml[^>]*\?>\s*")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
# Words by which readers of SD, RXN and RD files find the next record.
_FILE_WORD: Final = re.compile(r"^(\$|M  END|> )")


def render_svg(smiles: str, width_px: int, height_px: int) -> str:
    """Return the structure's drawing as an SVG element with a transparent background.

    Raises:
        StructureError: The SMILES cannot be read.
    """
    with rdkit_log():
        molecule = read_structure("smiles", smiles)
        drawer = rdMolDraw2D.MolDraw2DSVG(width_px, height_px)
        drawer.drawOptions().clearBackground = False  # type: ignore[assignment]
        rdMolDraw2D.PrepareAndDrawMolecule(drawer, molecule)
        drawer.FinishDrawing()
    # The declaration names another encoding than the one that the text is sent in.
    return _XML_DECLARATION.sub("", drawer.GetDrawingText())


def molblock(smiles: str, name: str) -> str:
    """Return the structure as a molfile with plane coordinates, V2000 wherever it can be written so.

    Raises:
        StructureError: The SMILES cannot be read.
    """
    with rdkit_log():
        molecule = read_structure("smiles", smiles)
        rdDepictor.Compute2DCoords(molecule)
        molecule.SetProp("_Name", _header(name))
        if _has_stated_centre(molecule):
            # Without the flag a reader may take the drawn centres for relative ones.
            molecule.SetIntProp("_MolFileChiralFlag", 1)
        return Chem.MolToMolBlock(molecule)


def empty_molblock(name: str) -> str:
    """Return a molfile without atoms, by which an SD file says that a record has no structure."""
    with rdkit_log():
        molecule = Chem.Mol()
        molecule.SetProp("_Name", _header(name))
        return Chem.MolToMolBlock(molecule)


def _has_stated_centre(molecule: Chem.Mol) -> bool:
    open_centres = rdMolDescriptors.CalcNumUnspecifiedAtomStereoCenters(molecule)
    return rdMolDescriptors.CalcNumAtomStereoCenters(molecule) > open_centres


def _header(name: str) -> str:
    """Return the name as a molfile's first line: one line, printable, no word of the file format."""
    line = _UNPRINTABLE.sub(" ", name).strip()[:_MAX_NAME_CHARACTERS]
    return f"'{line}'"[:_MAX_NAME_CHARACTERS] if _FILE_WORD.match(line) else line
