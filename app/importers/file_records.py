"""A file's lines into records: SMILES, delimited columns and SDF. Pure: lines in, parsed records out.

A record that cannot be read is one refused record. A quote that nobody closes, or a molfile without its end, must
not swallow the good records behind it.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.domain.molecules import Identifier, Notation
from app.importers import records
from app.importers.records import ParsedRecord

Line = tuple[int, bytes | None]
"""Offset behind the line, and the line; None for one that is too long."""

FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "smiles": (
        *("smiles", "canonical_smiles", "isomeric_smiles", "connectivity_smiles"),
        *("pubchem_smiles", "structure_smiles", "structure"),
    ),
    "inchi": ("inchi", "standard_inchi", "pubchem_iupac_inchi"),
    "inchikey": ("inchikey", "inchi_key", "standard_inchi_key", "structure_inchikey", "pubchem_iupac_inchikey"),
    "name": (
        *("name", "preferred_name", "pref_name", "compound_name", "molecule_name"),
        *("substance_name", "title", "pubchem_iupac_name"),
    ),
    "id": (
        *("id", "mol_id", "molecule_id", "molecule_chembl_id", "chembl_id", "cid", "pubchem_cid", "dtxsid"),
        *("dsstox_substance_id", "source_id", "zinc_id", "pubchem_compound_cid", "compound"),
    ),
    "cas": ("cas", "casrn", "cas_number", "cas_rn", "substance_casrn"),
}
"""What a record may say of itself, and the names of the columns or SD fields that say it."""
_MAX_QUOTED_LINES: Final = 50
_MAX_SDF_BYTES: Final = 2 * 1024 * 1024
_MAX_SOURCE_RECORD_CHARS: Final = 200
_TOO_LONG: Final = "the record is longer than 1 MB"
_REGISTERS: Final = (
    (re.compile(r"CHEMBL[1-9]\d*"), "chembl", "chembl_id"),
    (re.compile(r"DTXSID\d+"), "dsstox", "dtxsid"),
    (re.compile(r"ZINC\d+"), "zinc", "zinc_id"),
)
_CID: Final = re.compile(r"(?:CID)?([1-9]\d{0,11})", re.IGNORECASE)
_CID_COLUMNS: Final = frozenset({"cid", "pubchem_cid", "pubchem_compound_cid"})
_SD_FIELD: Final = re.compile(r"^>.*<([^>]+)>")


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column, or SD field, says what; positions are None where the records name their fields themselves."""

    names: Mapping[str, str]
    positions: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class RecordEnd:
    """A record and where the next one begins."""

    record: ParsedRecord
    offset: int
    line: int


def decoded(line: bytes) -> str:
    """Return a line's text: UTF-8, and where it is not, Latin-1, which reads everything."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def mapped(header: Sequence[str], wanted: Mapping[str, str]) -> dict[str, str]:
    """Return the header's name for each field: the one that is wanted, or one by which it is known."""
    by_key = {_key(name): name for name in reversed(header)}
    found = {field: next((by_key[k] for k in keys if k in by_key), None) for field, keys in FIELDS.items()}
    chosen = {field: by_key.get(_key(name)) for field, name in wanted.items()}
    return {field: name for field, name in (found | chosen).items() if name is not None}


def fields_of(line: str, delimiter: str) -> list[str] | None:
    """Return a line's fields, None where a quote is not closed. Quotes are those of CSV; tabs know none."""
    if delimiter == "\t" or '"' not in line:
        return line.split(delimiter)
    if line.count('"') % 2:
        return None
    try:
        return next(csv.reader([line], delimiter=delimiter))
    except (csv.Error, StopIteration):
        return None


def smiles_records(lines: Iterable[Line], first_line: int) -> Iterator[RecordEnd]:
    """Yield the records of lines that are a SMILES, a blank and a name or number."""
    for number, (offset, line) in enumerate(lines, start=first_line):
        if line is None:
            yield RecordEnd(_refused(number, None, _TOO_LONG), offset, number + 1)
            continue
        text = decoded(line).strip()
        if not text or text.startswith("#") or (number == 1 and text.split()[0].casefold() in FIELDS["smiles"]):
            continue
        smiles, _, name = text.replace("\t", " ").partition(" ")
        yield RecordEnd(_record(number, {"smiles": smiles, "name": name.strip()}, Columns({})), offset, number + 1)


def delimited_records(
    lines: Iterator[Line], first_line: int, delimiter: str, columns: Columns, width: int
) -> Iterator[RecordEnd]:
    """Yield the records of lines whose columns are known."""
    queue: list[tuple[int, int, bytes | None]] = []
    numbered = ((number, offset, line) for number, (offset, line) in enumerate(lines, start=first_line))
    while (entry := queue.pop(0) if queue else next(numbered, None)) is not None:
        number, offset, line = entry
        if line is None:
            yield RecordEnd(_refused(number, None, _TOO_LONG), offset, number + 1)
            continue
        text = decoded(line)
        if not text.strip():
            continue
        values = fields_of(text, delimiter)
        end = number
        if values is None:
            values, end, offset = _continued(text, entry, queue, numbered, delimiter)
        yield RecordEnd(_row(number, values, text, columns, width), offset, end + 1)


def sdf_records(lines: Iterator[Line], first_line: int, wanted: Mapping[str, str]) -> Iterator[RecordEnd]:
    """Yield the records of an SD file; each one's index is the line that it begins at."""
    block: list[str] = []
    begin, size, problem = first_line, 0, ""
    offset, number = 0, first_line - 1
    for number, (offset, line) in enumerate(lines, start=first_line):
        if line is not None and line.startswith(b"$$$$"):
            if block or problem:
                yield RecordEnd(_sd_record(begin, block, problem, wanted), offset, number + 1)
            block, begin, size, problem = [], number + 1, 0, ""
            continue
        size += len(line or b"")
        if line is None or size > _MAX_SDF_BYTES:
            block, problem = [], "the record is longer than 2 MB"
        elif not problem:
            block.append(decoded(line))
    if problem or any(text.strip() for text in block):
        yield RecordEnd(_sd_record(begin, block, problem, wanted), offset, number + 1)


def _continued(
    text: str,
    first: tuple[int, int, bytes | None],
    queue: list[tuple[int, int, bytes | None]],
    numbered: Iterator[tuple[int, int, bytes | None]],
    delimiter: str,
) -> tuple[list[str] | None, int, int]:
    """Return the fields of a record whose quote goes on over line ends; what a stray quote took is put back."""
    taken: list[tuple[int, int, bytes | None]] = []
    while len(taken) < _MAX_QUOTED_LINES:
        entry = queue.pop(0) if queue else next(numbered, None)
        if entry is None or entry[2] is None:
            taken += [entry] if entry else []
            break
        taken.append(entry)
        text = f"{text}\n{decoded(entry[2])}"
        if text.count('"') % 2 == 0:
            values = _quoted(text, delimiter)
            if values is not None:
                return values, entry[0], entry[1]
    queue[:0] = taken
    return None, first[0], first[1]


def _quoted(text: str, delimiter: str) -> list[str] | None:
    try:
        rows = list(csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    return rows[0] if len(rows) == 1 else None


def _row(number: int, values: list[str] | None, text: str, columns: Columns, width: int) -> ParsedRecord:
    if values is None:
        return _refused(number, text, "a quote in this line is not closed")
    if len(values) < width and any(position >= len(values) for position in (columns.positions or {}).values()):
        return _refused(number, text, f"the line has {len(values)} of {width} columns")
    return _record(number, {k: values[position] for k, position in (columns.positions or {}).items()}, columns)


def _sd_record(begin: int, block: list[str], problem: str, wanted: Mapping[str, str]) -> ParsedRecord:
    if problem:
        return _refused(begin, None, problem)
    end = next((position for position, line in enumerate(block) if line.startswith("M  END")), None)
    if end is None:
        return _refused(begin, block[0] if block else None, "the record has no molfile with its end, M  END")
    fields = _sd_fields(block[end + 1 :])
    columns = Columns(mapped(list(fields), wanted))
    said = {field: fields[name] for field, name in columns.names.items() if field not in {"smiles", "inchi"}}
    title = block[0].strip()
    said.setdefault("id" if _register(title, "") else "name", title)
    molfile = "\n".join(block[: end + 1]) + "\n"
    return _record(begin, {**said, "molfile": molfile}, columns)


def _sd_fields(rows: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = None
    for row in rows:
        head = _SD_FIELD.match(row)
        if head:
            name = head[1]
        elif name and row.strip():
            fields.setdefault(name, row.strip())
    return fields


def _record(index: int, said: Mapping[str, str], columns: Columns) -> ParsedRecord:
    notation, structure_text = _structure(said)
    own_id = records.text(said.get("id", ""), _MAX_SOURCE_RECORD_CHARS)
    name = records.text(said.get("name", ""), records.MAX_NAME_CHARS)
    identifiers = _identifiers(own_id, name, records.cas_number(said.get("cas", "").strip()), columns)
    return ParsedRecord(
        index=index,
        pointer="",
        name=name or own_id,
        notation=notation,
        structure_text=structure_text,
        stated_inchikey=records.inchikey(said.get("inchikey", "").strip()),
        identifiers=identifiers,
        source_record=own_id or (name[:_MAX_SOURCE_RECORD_CHARS] if name else None),
        refusal=None if structure_text else "the record has no structure",
    )


def _structure(said: Mapping[str, str]) -> tuple[Notation | None, str | None]:
    notations: tuple[Notation, ...] = ("molfile", "smiles", "inchi")
    for notation in notations:
        value = said.get(notation, "")
        if value.strip():
            return notation, value if notation == "molfile" else value.strip()
    return None, None


def _identifiers(own_id: str | None, name: str | None, cas: str | None, columns: Columns) -> tuple[Identifier, ...]:
    found = [_register(own_id, columns.names.get("id", "")) if own_id else None, _register(name, "") if name else None]
    if cas:
        found.append(Identifier("cas", "cas_number", cas))
    if name and found[1] is None:
        # A molecule that exists under another name is found by this one, too.
        found.append(Identifier("name", "synonym", name))
    return tuple(dict.fromkeys(item for item in found if item))


def _register(text: str, column: str) -> Identifier | None:
    """Return the register number that a text is, by its own form or its column's name."""
    for pattern, source, kind in _REGISTERS:
        if pattern.fullmatch(text):
            return Identifier(source, kind, text)
    cid = _CID.fullmatch(text)
    if cid and (not text.isdigit() or _key(column) in _CID_COLUMNS):
        return Identifier("pubchem", "cid", cid[1])
    if records.cas_number(text):
        return Identifier("cas", "cas_number", text)
    return None


def _refused(index: int, text: str | None, reason: str) -> ParsedRecord:
    shown = records.text(text[:_MAX_SOURCE_RECORD_CHARS], _MAX_SOURCE_RECORD_CHARS) if text else None
    return ParsedRecord(index, "", None, None, None, None, source_record=shown, refusal=reason)


def _key(name: str) -> str:
    return name.strip().casefold().replace(" ", "_").replace("-", "_")
