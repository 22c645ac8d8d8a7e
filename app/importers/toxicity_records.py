"""What parsers of toxicity files hand on, and the reading of tables that nobody has checked."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Final, cast

from app.domain.molecules import Identifier
from app.domain.toxicity import NewToxicityResult
from app.errors import InvalidError
from app.importers import records

MAX_SOURCE_RECORD: Final = 200
_MAX_CELL: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class StatedMolecule:
    """A molecule as a file states it; without a SMILES it is one that is stored already."""

    reference: str
    name: str | None = None
    smiles: str | None = None
    stated_inchikey: str | None = None
    identifiers: tuple[Identifier, ...] = ()


@dataclass(frozen=True, slots=True)
class ToxicityRecord:
    """One row of a file: a molecule and what assays say of it, in the shape that the batch endpoint takes."""

    index: int
    source_record: str
    molecule: StatedMolecule
    results: tuple[NewToxicityResult, ...]


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row of which nothing is taken, and why."""

    index: int
    source_record: str | None
    reason: str


Row = Mapping[str, str]
Stream = IO[bytes] | io.BufferedIOBase
"""Bytes as they come: of a file, a decompressor or a request's body."""


def table(
    stream: Stream, needed: frozenset[str], *, encoding: str = "utf-8", delimiter: str = ","
) -> Iterator[tuple[int, Row | RejectedRow]]:
    """Give the rows of a table with their index, whatever ends its records: LF, CR LF or CR alone.

    Raises:
        InvalidError: The table has no header with the columns needed.
    """
    csv.field_size_limit(_MAX_CELL)
    lines = io.TextIOWrapper(cast("IO[bytes]", stream), encoding=encoding, errors="replace", newline="")
    try:
        reader = csv.reader(lines, delimiter=delimiter)
        header = next(reader, [])
        if missing := sorted(needed - set(header)):
            msg = f"this is another table: it has no column {', '.join(missing)}"
            raise InvalidError(msg, code="unknown_records")
        for index, cells in enumerate(_cells(reader)):
            if isinstance(cells, str):
                yield index, RejectedRow(index, None, cells)
            elif len(cells) != len(header):
                yield index, RejectedRow(index, None, f"the row has {len(cells)} cells, the header {len(header)}")
            else:
                yield index, dict(zip(header, cells, strict=True))
    finally:
        # The stream is the caller's to close.
        lines.detach()


def _cells(reader: Iterator[list[str]]) -> Iterator[list[str] | str]:
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield f"the row cannot be read: {error}"


def source_record(value: str) -> str | None:
    """Return the id of a record where it can be kept."""
    return records.text(value, MAX_SOURCE_RECORD)


def slug(text: str) -> str:
    """Return a text as the name of an endpoint: small letters, digits and low lines."""
    return re.sub(r"[^a-z0-9]+", "_", text.casefold()).strip("_")[:80]
