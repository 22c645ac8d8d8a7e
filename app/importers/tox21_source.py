"""Tox21's files as a source of records: molecules, each with what its assays say of it.

A folder is read file by file: MoleculeNet's table, then the challenge's file of each assay; other files in it are
passed over. A checkpoint is the file and the rows of it that are done.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.errors import InvalidError
from app.importers import tox21
from app.importers.files import file_sha256
from app.importers.records import ParsedRecord
from app.importers.sources import Page
from app.importers.toxicity_records import RejectedRow, Stream, ToxicityRecord

PAGE_RECORDS: Final = 500
PAGE_RESULTS: Final = 5000
_TABLES: Final = frozenset({"tox21.csv", "deepchem_tox21.csv"})
_HEADER_LINES: Final = 1


def files_of(path: Path) -> list[Path]:
    """Return the files of Tox21 in a folder, or the one that the path is, in the order in which they are read.

    Raises:
        InvalidError: There is none.
    """
    found = sorted(path.iterdir()) if path.is_dir() else [path]
    known = [file for file in found if file.is_file() and (_is_table(file) or tox21.assay_of_file(file.name))]
    if not known:
        msg = f"{path} holds none of Tox21's files: {', '.join(sorted(_TABLES))} or challenge_*.tab, plain or .gz"
        raise InvalidError(msg)
    return sorted(known, key=lambda file: (not _is_table(file), file.name))


def folder_sha256(files: Sequence[Path]) -> str:
    """Return what tells these files from others, by name and content."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file_sha256(file)}  {file.name}\n".encode())
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Tox21Source:
    """Reads the files that a run's `path` names."""

    page_records: int = PAGE_RECORDS

    def pages(
        self, parameters: Mapping[str, Any], checkpoint: Mapping[str, Any] | None, sha256: str | None
    ) -> Iterator[Page]:
        """Yield the pages behind the checkpoint.

        Raises:
            InvalidError: The files are not there, not those that the run began with, other tables, or damaged.
        """
        path = Path(parameters["path"])
        files = files_of(path)
        if sha256 is not None and sha256 != (file_sha256(path) if path.is_file() else folder_sha256(files)):
            msg = f"{path} does not hold the files that this import began with"
            raise InvalidError(msg)
        first, done = (checkpoint["file"], checkpoint["rows"]) if checkpoint else (files[0].name, 0)
        names = [file.name for file in files]
        for position in range(names.index(first), len(files)):
            fractions = (position / len(files), (position + 1) / len(files))
            yield from self._pages(files[position], done if names[position] == first else 0, fractions)

    def _pages(self, file: Path, done: int, fractions: tuple[float, float]) -> Iterator[Page]:
        before, behind = fractions
        page: list[ParsedRecord] = []
        rows = results = 0
        for row in _rows(file):
            rows += 1
            if rows <= done:
                continue
            page.append(_record(file, row))
            results += len(page[-1].results)
            if len(page) >= self.page_records or results >= PAGE_RESULTS:
                yield Page(page, {"file": file.name, "rows": rows}, before)
                page, results = [], 0
        if page:
            yield Page(page, {"file": file.name, "rows": rows}, behind)


def _is_table(file: Path) -> bool:
    return file.name.casefold().removesuffix(".gz") in _TABLES


def _rows(file: Path) -> Iterator[ToxicityRecord | RejectedRow]:
    is_packed = file.name.casefold().endswith(".gz")
    with gzip.open(file) if is_packed else file.open("rb") as stream:
        try:
            yield from _parsed(file, stream)
        except (EOFError, OSError, zlib.error) as error:
            msg = f"{file.name} is damaged: {error}"
            raise InvalidError(msg) from error


def _parsed(file: Path, stream: Stream) -> Iterator[ToxicityRecord | RejectedRow]:
    assay = tox21.assay_of_file(file.name)
    return tox21.parse_table(stream) if assay is None else tox21.parse_challenge(stream, assay)


def _record(file: Path, row: ToxicityRecord | RejectedRow) -> ParsedRecord:
    index = row.index + _HEADER_LINES + 1
    if isinstance(row, RejectedRow):
        refusal = f"{file.name}: {row.reason}"
        return ParsedRecord(index, "", None, None, None, None, source_record=row.source_record, refusal=refusal)
    stated = row.molecule
    return ParsedRecord(
        index,
        "",
        stated.name,
        "smiles",
        stated.smiles,
        stated.stated_inchikey,
        identifiers=stated.identifiers,
        source_record=row.source_record,
        results=row.results,
    )
