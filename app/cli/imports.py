"""`cryoprotect import`: runs an import itself, with a bar on a terminal and plain lines elsewhere.

What the command does can be stopped at any moment, by Ctrl-C, SIGKILL or a power cut: started again with the same
words, it goes on where it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import click

from app.cli.import_runs import Wanted, carry_out
from app.errors import InvalidError
from app.importers.files import check_columns, file_sha256, layout_of
from app.importers.tox21_source import files_of, folder_sha256
from app.services.ask_for_import import FILE, SOURCES, TOX21, service_wanted
from database.repositories.imports import ImportRepository
from database.repositories.provenance import ProvenanceRepository, SourceStatement
from database.session import WriteSession

_EXISTING: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_SHA256_SHOWN: Final = 12


@click.group(name="import")
def import_() -> None:
    """Import molecules; what was interrupted goes on where it was."""


@dataclass(frozen=True, slots=True)
class FileImport:
    """A file to import, and what is said of it."""

    path: Path
    columns: dict[str, str]
    source: str | None
    release: str | None
    licence: str | None


@import_.command(name="file")
@click.argument("path", type=_EXISTING)
@click.option(
    "--columns",
    default="",
    metavar="FIELD=NAME,...",
    help="Which columns say what, where their names do not: smiles, inchi, inchikey, name, id, cas.",
)
@click.option("--source", metavar="NAME", help="The data source's name; the file's by default.")
@click.option("--release", metavar="TEXT", help="The source's release; the file's SHA-256 by default.")
@click.option("--licence", metavar="TEXT", help="The terms under which the data may be used.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
def file(  # noqa: PLR0913 - one for each option
    path: Path, columns: str, source: str | None, release: str | None, licence: str | None, *, as_json: bool
) -> None:
    """Import a file of SMILES, CSV, TSV or SDF, plain or gzip, of any size.

    A file is imported once, by its SHA-256: an import that was interrupted goes on where it was. The exit status is 1
    where the import has not come to its end, or nothing in the file could be stored, and 2 where the file is none
    that can be imported.
    """
    wanted = FileImport(path.absolute(), _columns(columns), source, release, licence)
    _check(wanted)
    _carry_out_file(wanted, as_json=as_json)


@import_.command()
@click.option("--cids", metavar="TEXT", help="Compounds by number: 1-1000,2244.")
@click.option("--cids-file", type=_EXISTING, help="The same from a file, a number or range a line.")
@click.option("--names-file", type=_EXISTING, help="Compounds by name, one a line.")
@click.option("--inchikeys-file", type=_EXISTING, help="Compounds by InChIKey, one a line.")
@click.option("--formula", metavar="TEXT", help="All compounds of a formula: C3H8O3.")
@click.option("--listkey", metavar="KEY", help="The result of a search that PubChem has kept.")
@click.option("--sdf", type=_EXISTING, help="One of PubChem's bulk files, which asks PubChem nothing.")
@click.option("--measurements", is_flag=True, help="Take melting points, LD50 and the like, two requests a compound.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
def pubchem(*, sdf: Path | None, measurements: bool, as_json: bool, **named: Any) -> None:  # noqa: ANN401 - click's own
    """Import compounds from PubChem, slowly enough for its rules whatever else is under way."""
    if sdf is not None:
        if measurements or any(named.values()):
            raise click.UsageError("--sdf stands alone")
        source = SOURCES["pubchem"]
        _carry_out_file(FileImport(sdf.absolute(), {}, source.name, None, source.licence), as_json=as_json)
        return
    options: dict[str, Any] = {
        kind: named[option]
        for kind, option in (("cids", "cids"), ("formula", "formula"), ("listkey", "listkey"))
        if named[option]
    }
    if named["cids_file"]:
        options["cids"] = _one_of(options.get("cids"), ",".join(_lines(named["cids_file"])))
    options |= {kind: _lines(named[f"{kind}_file"]) for kind in ("names", "inchikeys") if named[f"{kind}_file"]}
    _carry_out_service("pubchem", options | {"measurements": measurements}, as_json=as_json)


@import_.command()
@click.option("--ids", metavar="TEXT", help="Molecules by number: CHEMBL1-CHEMBL1000,CHEMBL25.")
@click.option("--ids-file", type=_EXISTING, help="The same from a file, a number or range a line.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
def chembl(*, ids: str | None, ids_file: Path | None, as_json: bool) -> None:
    """Import molecules from ChEMBL, of the release that it serves."""
    given = _one_of(ids, ",".join(_lines(ids_file)) if ids_file else None)
    _carry_out_service("chembl", {"ids": given} if given else {}, as_json=as_json)


@import_.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
def tox21(folder: Path, *, as_json: bool) -> None:
    """Import molecules with what Tox21's assays say of them, from a folder of its files or one of them."""
    try:
        files = files_of(folder.absolute())
    except InvalidError as error:
        raise click.UsageError(error.detail) from error
    sha256 = folder_sha256(files) if folder.is_dir() else file_sha256(files[0])
    parameters = {"source": TOX21, "release": "", "path": str(folder.absolute())}

    def place(session: WriteSession) -> UUID:
        source_id = ProvenanceRepository(session).ensure_source(SOURCES[TOX21])
        return ImportRepository(session).create(source_id, parameters, sha256)[0]

    carry_out(Wanted(str(folder), place, "row"), as_json=as_json)


def _carry_out_file(wanted: FileImport, *, as_json: bool) -> None:
    sha256 = file_sha256(wanted.path)
    statement = SourceStatement(
        wanted.source or wanted.path.name,
        wanted.release if wanted.release is not None else f"sha256:{sha256[:_SHA256_SHOWN]}",
        licence=wanted.licence,
    )
    parameters = {"source": FILE, "path": str(wanted.path), "columns": wanted.columns}

    def place(session: WriteSession) -> UUID:
        source_id = ProvenanceRepository(session).ensure_source(statement)
        return ImportRepository(session).create(source_id, parameters, sha256)[0]

    carry_out(Wanted(wanted.path.name, place, "line"), as_json=as_json)


def _carry_out_service(name: str, options: dict[str, Any], *, as_json: bool) -> None:
    try:
        wanted = service_wanted(name, options)
    except InvalidError as error:
        raise click.UsageError(error.detail) from error

    def place(session: WriteSession) -> UUID:
        source_id = ProvenanceRepository(session).ensure_source(wanted.source)
        return ImportRepository(session).create_or_resume(source_id, wanted.parameters)[0]

    carry_out(Wanted(wanted.source.name, place), as_json=as_json)


def _lines(path: Path) -> list[str]:
    read = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    return [line.strip() for line in read if line.strip() and not line.startswith("#")]


def _one_of(first: Any, second: Any) -> Any:  # noqa: ANN401 - what options take
    if first and second:
        raise click.UsageError("give them as text or as a file")
    return first or second


def _check(wanted: FileImport) -> None:
    try:
        check_columns(wanted.columns)
        layout_of(wanted.path, wanted.columns)
    except InvalidError as error:
        raise click.UsageError(error.detail) from error


def _columns(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if any(not name.strip() or not column.strip() for name, _, column in pairs):
        message = "--columns takes FIELD=NAME, several with commas between them"
        raise click.UsageError(message)
    return {name.strip(): column.strip() for name, _, column in pairs}
