"""From text to an RDKit molecule, or to the reason why not.

RDKit reports most of what it dislikes in its log, not in an exception. The log is caught for each call, so
that a refusal can carry RDKit's own reason and nothing reaches stderr.

Every text is looked at before it is sanitized: size, placeholders and brackets are cheap to see then, while
ring perception and aromaticity are what a hostile structure makes expensive. A short SMILES has no more atoms than
characters, so that it is read once and looked at afterwards.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rdkit import Chem, rdBase
from rdkit.Chem import rdinchi

from app.domain.molecules import Notation
from app.errors import StructureError
from app.science.notations import checked_text, label_of

MAX_ATOMS: Final = 999
_MAX_REASON_CHARACTERS: Final = 300
_LOG_CLOCK: Final = re.compile(r"^\[\d\d:\d\d:\d\d\] *")
# What RDKit repeats around its reason: its own name, and the whole input once more.
_LOG_ECHO: Final = re.compile(r"^SMILES Parse Error: | (for input|while parsing): .*$")
# What a SMILES writes dative and unknown bonds with; an InChI has none.
_ODD_BOND: Final = re.compile(r"[<>~]")
_PLACEHOLDER: Final = Chem.MolFromSmarts("[#0]")
_BONDS: Final = frozenset(
    {
        Chem.BondType.SINGLE,
        Chem.BondType.DOUBLE,
        Chem.BondType.TRIPLE,
        Chem.BondType.QUADRUPLE,
        Chem.BondType.AROMATIC,
    }
)
_POLYMER_BRACKETS: Final = frozenset({"SRU", "MON", "MER", "COP", "CRO", "MOD", "GRA", "ANY"})
_MIXTURE_STEREO: Final = frozenset({Chem.StereoGroupType.STEREO_OR, Chem.StereoGroupType.STEREO_AND})

_PARSERS: Final[dict[Notation, Callable[[str, bool], Chem.Mol | None]]] = {
    "smiles": lambda text, sanitize: Chem.MolFromSmiles(text, sanitize=sanitize),
    "inchi": lambda text, sanitize: _from_inchi(text, sanitize=sanitize),
    "molfile": lambda text, sanitize: Chem.MolFromMolBlock(text, sanitize=sanitize, removeHs=sanitize),
}


def read_structure(notation: Notation, text: str) -> Chem.Mol:
    """Return the sanitized molecule that the text describes, without explicit hydrogens.

    Raises:
        StructureError: The text is not one fully specified structure within the limits.
    """
    line = checked_text(notation, text)
    if notation == "smiles" and len(line) <= MAX_ATOMS and not _ODD_BOND.search(line):
        return _read_short_smiles(line)
    outline = _parsed(notation, line, sanitize=False)
    _check_outline(outline)
    if notation == "molfile" or _ODD_BOND.search(line):
        _check_bonds(outline)
    if notation == "molfile":
        _check_annotations(outline)
    molecule = _parsed(notation, line, sanitize=True)
    if notation == "inchi":
        _check_same_inchi(line, molecule)
    return molecule


def _read_short_smiles(line: str) -> Chem.Mol:
    try:
        molecule = _parsed("smiles", line, sanitize=True)
    except StructureError:
        # A placeholder is the better reason than what it does to the atoms around it.
        _check_outline(_parsed("smiles", line, sanitize=False))
        raise
    _check_outline(molecule)
    return molecule


def inchi_of(molecule: Chem.Mol) -> str:
    """Return the standard InChI.

    Raises:
        StructureError: The structure has none; the InChI software's reason is the detail.
    """
    with rdkit_log() as lines:
        inchi, _, message, *_ = rdinchi.MolToInchi(molecule, "")
    if not inchi:
        msg = f"No InChI can be written for this structure: {message or _reason(lines)}"
        raise StructureError(msg)
    return str(inchi)


def _from_inchi(text: str, *, sanitize: bool) -> Chem.Mol | None:
    answer: tuple[Chem.Mol | None, int, str, str] = rdinchi.InchiToMol(text, sanitize, sanitize)
    molecule, _, message, _ = answer
    if molecule is None and message:
        raise ValueError(message)
    return molecule


def _parsed(notation: Notation, text: str, *, sanitize: bool) -> Chem.Mol:
    reason = ""
    with rdkit_log() as lines:
        try:
            molecule = _PARSERS[notation](text, sanitize)
        except (ValueError, RuntimeError) as error:
            molecule, reason = None, str(error)
    if molecule is None:
        msg = f"RDKit cannot read this {label_of(notation)}: {_shortened(reason) or _reason(lines)}"
        raise StructureError(msg)
    return molecule


def _check_outline(molecule: Chem.Mol) -> None:
    atoms = molecule.GetNumAtoms()
    if not atoms:
        raise StructureError("The structure has no atoms.")
    if atoms > MAX_ATOMS:
        msg = f"The structure has {atoms} atoms; {MAX_ATOMS} is the most."
        raise StructureError(msg)
    if molecule.HasQuery() or molecule.HasSubstructMatch(_PLACEHOLDER):
        raise StructureError("The structure holds placeholders or queries; it has to name each of its atoms and bonds.")


def _check_bonds(molecule: Chem.Mol) -> None:
    if any(molecule.GetBondWithIdx(index).GetBondType() not in _BONDS for index in range(molecule.GetNumBonds())):
        raise StructureError("The structure holds dative bonds or bonds of no order, which an InChI cannot express.")


def _check_annotations(molecule: Chem.Mol) -> None:
    """Refuse what only a molfile can say and neither SMILES nor InChI would keep."""
    brackets = {group.GetProp("TYPE") for group in Chem.GetMolSubstanceGroups(molecule)}
    if brackets & _POLYMER_BRACKETS:
        raise StructureError("The molfile describes a polymer; it has no single structure.")
    if any(group.GetGroupType() in _MIXTURE_STEREO for group in molecule.GetStereoGroups()):
        raise StructureError(
            "The molfile describes a racemate or one unknown stereoisomer (AND or OR groups); leave its centres open."
        )


def _check_same_inchi(text: str, molecule: Chem.Mol) -> None:
    """Refuse an InChI that RDKit turns into another compound, as happens to about 3 in 10,000."""
    standard = inchi_of(molecule)
    if text.startswith("InChI=1S/") and standard != text:
        msg = f"RDKit reads another structure from this InChI ({_shortened(standard)}); send a SMILES or a molfile."
        raise StructureError(msg)


class _LineKeeper(logging.Handler):
    """Keeps RDKit's lines in the list of the innermost block; made once, for a handler costs more than a parse."""

    lines: list[str] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self.lines is not None:
            self.lines.append(_LOG_CLOCK.sub("", record.getMessage()).strip())


_KEEPER: Final = _LineKeeper()


@contextmanager
def rdkit_log() -> Iterator[list[str]]:
    """Keep what RDKit logs inside the block, in the list that is given, and off stderr; may be nested."""
    outer, lines = _KEEPER.lines, list[str]()
    _KEEPER.lines = lines
    try:
        if outer is None:
            with _logging_to_keeper():
                yield lines
        else:
            yield lines
    finally:
        _KEEPER.lines = outer


@contextmanager
def _logging_to_keeper() -> Iterator[None]:
    logger = logging.getLogger("rdkit")
    before = logger.handlers[:]
    logger.handlers[:] = [_KEEPER]
    rdBase.LogToPythonLogger()
    try:
        yield
    finally:
        logger.handlers[:] = before
        rdBase.LogToCppStreams()


def _reason(lines: list[str]) -> str:
    # A syntax error's second line says where.
    said = [_shortened(_LOG_ECHO.sub("", line)).rstrip(":") for line in lines[:2] if line]
    if len(said) > 1 and not said[1].startswith("check for mistakes"):
        said.pop()
    return "; ".join(said) or "it gives no reason"


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_REASON_CHARACTERS else f"{text[:_MAX_REASON_CHARACTERS]}..."
