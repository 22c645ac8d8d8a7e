"""What a parser hands on, and the reading of JSON that nobody has checked.

The bodies come from other services through other people's jobs: a number may be a list, a name ten
megabytes of NULs. Each reader here takes any JSON value and gives the wanted type or None; none raises.
Texts are held to what the database's columns take, so that a record is refused by its index here and
not by a constraint later, together with its whole batch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from app.domain.molecules import Identifier, Notation, PropertyValue
from app.domain.toxicity import NewToxicityResult

MAX_NAME_CHARS: Final = 500
MAX_SMILES_CHARS: Final = 20_000
MAX_INCHI_CHARS: Final = 40_000
MAX_MOLFILE_CHARS: Final = 1_000_000
MAX_SYNONYMS: Final = 200

_UNSTORABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{0,30})?([eE][+-]?[0-9]{1,3})?")
_INCHIKEY: Final = re.compile(r"[A-Z]{14}-[A-Z]{10}-[A-Z]")
_CAS_NUMBER: Final = re.compile(r"[1-9][0-9]{1,6}-[0-9]{2}-[0-9]")
_MAX_REGISTER_NUMBER: Final = 10**12


@dataclass(frozen=True, slots=True)
class ParsedRecord:
    """One record of a body: a molecule as the source states it, or the reason why it is none.

    A refused record keeps what could be read of it, so that a report can name it.
    """

    index: int
    pointer: str
    """JSON pointer to the record in the body."""
    name: str | None
    notation: Notation | None
    structure_text: str | None
    stated_inchikey: str | None
    """What the source says; whoever standardizes the structure compares."""
    identifiers: tuple[Identifier, ...] = ()
    properties: tuple[PropertyValue, ...] = ()
    source_record: str | None = None
    """The record's own id in its source."""
    refusal: str | None = None
    notes: tuple[str, ...] = ()
    results: tuple[NewToxicityResult, ...] = ()
    """What assays say of the molecule; whose results they are, is known when it is stored."""


def mapping(value: object) -> Mapping[str, object]:
    """Return the JSON object, or an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[object]:
    """Return the JSON array, or an empty one."""
    return value if isinstance(value, list) else []


def text(value: object, max_chars: int) -> str | None:
    """Return a non-empty text on one line, or None for what is too long or cannot be stored."""
    if not isinstance(value, str) or len(value) > max_chars or _UNSTORABLE.search(value):
        return None
    return " ".join(value.split()) or None


def number(value: object) -> float | None:
    """Return a finite number, also from its text: ChEMBL sends `"4.0"` where it once sent 4."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) else None


def flag(value: object) -> bool:
    """Return whether a yes-no field says yes, be it `true`, 1 or "1"; -1 means not known."""
    return value is True or number(value) == 1.0


def register_number(value: object) -> str | None:
    """Return a positive whole number, such as a CID, as text."""
    found = number(value)
    if found is None or not found.is_integer() or not 0 < found < _MAX_REGISTER_NUMBER:
        return None
    return str(int(found))


def smiles(value: object) -> str | None:
    """Return a SMILES as it stands; whether it is one, the chemistry decides."""
    return text(value, MAX_SMILES_CHARS)


def inchi(value: object) -> str | None:
    """Return an InChI of version 1."""
    found = text(value, MAX_INCHI_CHARS)
    return found if found and found.startswith("InChI=1") else None


def molfile(value: object) -> str | None:
    """Return a molfile up to its end mark; ChEMBL appends SD fields to it. Its first line may be blank."""
    if not isinstance(value, str) or len(value) > MAX_MOLFILE_CHARS or _UNSTORABLE.search(value):
        return None
    block, end, _ = value.partition("M  END")
    return f"{block}{end}\n" if end else None


def inchikey(value: object) -> str | None:
    """Return a well-formed InChIKey."""
    return value if isinstance(value, str) and _INCHIKEY.fullmatch(value) else None


def cas_number(value: object) -> str | None:
    """Return a CAS number whose check digit is right."""
    if not isinstance(value, str) or not _CAS_NUMBER.fullmatch(value):
        return None
    *digits, check = [int(digit) for digit in value if digit != "-"]
    weighted = sum(weight * digit for weight, digit in enumerate(reversed(digits), start=1))
    return value if weighted % 10 == check else None


def first(*candidates: str | None) -> str | None:
    """Return the first that is there."""
    return next((candidate for candidate in candidates if candidate), None)


def synonyms(values: Iterable[object], name: str | None) -> tuple[Identifier, ...]:
    """Return the readable synonyms, each once whatever its case, without the name itself."""
    taken = {name.casefold()} if name else set()
    found: list[Identifier] = []
    for value in values:
        synonym = text(value, MAX_NAME_CHARS)
        if synonym and synonym.casefold() not in taken and len(found) < MAX_SYNONYMS:
            taken.add(synonym.casefold())
            found.append(Identifier("name", "synonym", synonym))
    return tuple(found)
