"""What a text must be before it is worth reading as a structure; free of RDKit.

RDKit is generous: it takes `CCO ethanol` for ethanol, drops what it does not know, and reads a text of
any length. A store of structures cannot be: what is accepted here is the structure and nothing else.
These checks need no chemistry, so they run in the web process too, before a text travels to a child.
"""

from __future__ import annotations

import re
from typing import Final

from app.domain.molecules import Notation
from app.errors import StructureError

MAX_LINE_CHARACTERS: Final = 10_000
"""Longest SMILES or InChI."""
MAX_MOLFILE_BYTES: Final = 200_000

_LABEL: Final[dict[Notation, str]] = {"smiles": "SMILES", "inchi": "InChI", "molfile": "molfile"}
_NOT_PRINTABLE_ASCII: Final = re.compile(r"[^\x21-\x7e]")
_CONTROL_CHARACTER: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# An arrow of a reaction; `->` is RDKit's notation of a dative bond, which has its own refusal.
_REACTION_ARROW: Final = re.compile(r"(?<!-)>")
_LINE_END: Final = re.compile(r"\r\n?")
_RECORD_END: Final = "$$$$"
_BLOCK_END: Final = re.compile(r"^M  END[ \t]*$", re.MULTILINE)


def label_of(notation: Notation) -> str:
    """Return the notation's name as sentences write it."""
    return _LABEL[notation]


def checked_text(notation: Notation, text: str) -> str:
    """Return the text as a reader takes it: without blank ends, with line feeds only.

    Raises:
        StructureError: The text is empty, too long, or more than one structure.
    """
    _check_length(notation, text)
    if notation == "molfile":
        return _checked_molfile(text)
    line = _checked_line(_LABEL[notation], text.strip(" \t\r\n"))
    if notation == "smiles" and _REACTION_ARROW.search(line):
        raise StructureError("The SMILES describes a reaction, not a structure.")
    if notation == "inchi" and not line.startswith("InChI=1"):
        raise StructureError("An InChI starts with InChI=1S/ (an InChIKey cannot be turned back into a structure).")
    return line


def _check_length(notation: Notation, text: str) -> None:
    label = _LABEL[notation]
    if not text or text.isspace():
        msg = f"The {label} is empty."
        raise StructureError(msg)
    if notation == "molfile" and _utf8_length(text) > MAX_MOLFILE_BYTES:
        msg = f"The molfile is longer than {MAX_MOLFILE_BYTES:,} bytes."
        raise StructureError(msg)
    if notation != "molfile" and len(text) > MAX_LINE_CHARACTERS:
        msg = f"The {label} is longer than {MAX_LINE_CHARACTERS:,} characters."
        raise StructureError(msg)


def _utf8_length(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise StructureError("The molfile holds half of a surrogate pair, which is no character.") from None


def _checked_line(label: str, line: str) -> str:
    odd = _NOT_PRINTABLE_ASCII.search(line)
    if odd is None:
        return line
    if odd[0].isspace():
        msg = f"The {label} goes on after a blank: names and extensions do not belong to the structure."
    else:
        msg = f"The {label} holds the character U+{ord(odd[0]):04X} at position {odd.start() + 1}."
    raise StructureError(msg)


def _checked_molfile(text: str) -> str:
    block = _LINE_END.sub("\n", text)
    odd = _CONTROL_CHARACTER.search(block)
    if odd:
        msg = f"The molfile holds the control character U+{ord(odd[0]):04X}."
        raise StructureError(msg)
    if block.startswith(("$RXN", "$MDL", "$RDFILE")):
        raise StructureError("The text is a reaction or query file, not a molfile.")
    if len(_BLOCK_END.findall(block)) > 1 or block.partition(_RECORD_END)[2].strip():
        raise StructureError("The molfile holds more than one record; send them one by one.")
    return block
