"""Files as a source of records: SMILES, CSV and TSV, SDF, each plain or gzip, of any size.

What a file is, its content says; where that leaves it open, its name does. A checkpoint is the offset in the
unpacked file behind the last record, so going on costs a look past what is done and no chemistry.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

from app.errors import InvalidError
from app.importers.file_bytes import DamagedFileError, FileBytes, lines
from app.importers.file_records import (
    FIELDS,
    Columns,
    RecordEnd,
    decoded,
    delimited_records,
    fields_of,
    mapped,
    sdf_records,
    smiles_records,
)
from app.importers.records import ParsedRecord
from app.importers.sources import Page

PAGE_RECORDS: Final = 1000
PAGE_BYTES: Final = 4 * 1024 * 1024
Format = Literal["smiles", "delimited", "sdf"]
_FORMATS_BY_NAME: Final[dict[str, Format]] = {
    ".smi": "smiles",
    ".smiles": "smiles",
    ".ism": "smiles",
    ".can": "smiles",
    ".txt": "smiles",
    ".csv": "delimited",
    ".tsv": "delimited",
    ".tab": "delimited",
    ".sdf": "sdf",
    ".sd": "sdf",
    ".mol": "sdf",
}
_DELIMITERS: Final = ("\t", ",", ";", "|")
_SAMPLE_LINES: Final = 400
_SAMPLE_BYTES: Final = 4 * 1024 * 1024
_HASHED_BYTES: Final = 1024 * 1024
_NO_COLUMNS: Final = Columns({})
_UTF8_MARK: Final = b"\xef\xbb\xbf"
_UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Layout:
    """What a file is, and where its first record begins."""

    format: Format
    offset: int = 0
    line: int = 1
    delimiter: str = "\t"
    width: int = 1
    columns: Columns = _NO_COLUMNS


@dataclass(frozen=True, slots=True)
class FileSource:
    """Reads the file that a run's `path` names, with the `columns` that it maps by hand."""

    page_records: int = PAGE_RECORDS

    def pages(
        self, parameters: Mapping[str, Any], checkpoint: Mapping[str, Any] | None, sha256: str | None
    ) -> Iterator[Page]:
        """Yield the pages behind the checkpoint.

        Raises:
            InvalidError: It is not there, not the file that the run began with, of no known form, or damaged.
        """
        path, wanted = Path(parameters["path"]), parameters.get("columns") or {}
        if not path.is_file():
            msg = f"there is no file {path}"
            raise InvalidError(msg)
        if sha256 is not None and sha256 != file_sha256(path):
            msg = f"{path} is not the file that this import began with"
            raise InvalidError(msg)
        if checkpoint and checkpoint.get("damage"):
            raise DamagedFileError(checkpoint["damage"])
        layout = layout_of(path, wanted)
        at = (checkpoint["offset"], checkpoint["line"]) if checkpoint else (layout.offset, layout.line)
        with FileBytes(path) as content:
            yield from self._pages(content, layout, wanted, at)

    def _pages(
        self, content: FileBytes, layout: Layout, wanted: Mapping[str, str], at: tuple[int, int]
    ) -> Iterator[Page]:
        kept: list[ParsedRecord] = []
        size, (offset, line) = 0, at
        try:
            for end in _records(content, layout, wanted, at):
                kept.append(end.record)
                size += len(end.record.structure_text or "")
                offset, line = end.offset, end.line
                if len(kept) >= self.page_records or size >= PAGE_BYTES:
                    yield Page(kept, {"offset": offset, "line": line}, content.read_fraction)
                    kept, size = [], 0
        except DamagedFileError as error:
            damage = f"{error.detail}; what follows line {line - 1} cannot be read"
            kept.append(ParsedRecord(line, "", None, None, None, None, refusal=damage))
            yield Page(kept, {"offset": offset, "line": line, "damage": damage}, content.read_fraction)
            raise DamagedFileError(damage) from error
        if kept:
            yield Page(kept, {"offset": offset, "line": line}, 1.0)


def file_sha256(path: Path, on_progress: Callable[[int], None] = lambda _: None) -> str:
    """Return the SHA-256 of a file as it lies there; `on_progress` is told the bytes that were read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASHED_BYTES):
            digest.update(chunk)
            on_progress(len(chunk))
    return digest.hexdigest()


def layout_of(path: Path, wanted: Mapping[str, str]) -> Layout:
    """Return what a file is.

    Raises:
        InvalidError: It is of no known form, or has no column of structures; the detail names the columns it has.
    """
    sample = _sample(path)
    if any(line is not None and line.startswith((b"M  END", b"$$$$")) for _, line in sample):
        return Layout("sdf")
    offset, first = sample[0] if sample else (0, b"")
    if (first or b"").startswith(_UTF16_MARKS):
        raise InvalidError("the file is UTF-16; save it as UTF-8")
    form = _FORMATS_BY_NAME.get(_suffix(path), "smiles")
    header = decoded((first or b"").removeprefix(_UTF8_MARK))
    layout = _delimited_layout(header, offset, wanted)
    if layout is not None:
        return layout
    if form == "delimited" or wanted:
        names = max((fields_of(header, d) or [header] for d in _DELIMITERS), key=len)
        msg = (
            f"no column of {path.name} is known to hold structures; say which, for instance "
            f"--columns smiles=NAME. It has: {', '.join(name[:50] for name in names[:50])}"
        )
        raise InvalidError(msg)
    return Layout(form)


def _sample(path: Path) -> list[tuple[int, bytes | None]]:
    found: list[tuple[int, bytes | None]] = []
    with FileBytes(path) as content:
        try:
            for offset, line in islice(lines(content.chunks()), _SAMPLE_LINES):
                found.append((offset, line))
                if offset > _SAMPLE_BYTES:
                    break
        except DamagedFileError:
            # What it is shows in what is there; that it is damaged shows when it is read.
            return found
    return found


def _delimited_layout(header: str, offset: int, wanted: Mapping[str, str]) -> Layout | None:
    best: Layout | None = None
    for delimiter in _DELIMITERS:
        names = [name.strip() for name in fields_of(header, delimiter) or []]
        found = mapped(names, wanted)
        if not ({"smiles", "inchi"} & found.keys()) or not wanted.keys() <= found.keys():
            continue
        if best is None or len(names) > best.width:
            columns = Columns(found, {field: names.index(name) for field, name in found.items()})
            best = Layout("delimited", offset, 2, delimiter, len(names), columns)
    # A lone word `smiles` heads a list of SMILES as well as it heads a column.
    return best


def _records(content: FileBytes, layout: Layout, wanted: Mapping[str, str], at: tuple[int, int]) -> Iterator[RecordEnd]:
    offset, line = at
    read = lines(_without_mark(content.chunks(offset), offset), offset)
    if layout.format == "sdf":
        return sdf_records(read, line, wanted)
    if layout.format == "delimited":
        return delimited_records(read, line, layout.delimiter, layout.columns, layout.width)
    return smiles_records(read, line)


def _without_mark(chunks: Iterator[bytes], offset: int) -> Iterator[bytes]:
    for number, chunk in enumerate(chunks):
        # Blanks in its place: the offsets stay what they are.
        marked = number == 0 and offset == 0 and chunk.startswith(_UTF8_MARK)
        yield b" " * len(_UTF8_MARK) + chunk[len(_UTF8_MARK) :] if marked else chunk


def _suffix(path: Path) -> str:
    name = path.name.casefold().removesuffix(".gz").removesuffix(".gzip")
    return Path(name).suffix


def check_columns(wanted: Mapping[str, str]) -> None:
    """Refuse a mapping that names what no record says.

    Raises:
        InvalidError: It names the fields that there are.
    """
    unknown = sorted(wanted.keys() - FIELDS.keys())
    if unknown:
        msg = f"no record says {', '.join(unknown)}; columns are given for {', '.join(FIELDS)}"
        raise InvalidError(msg)
