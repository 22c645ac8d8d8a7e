"""Brings the file of an import to the machine that works on it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from app.domain.callers import SERVICE
from app.errors import CryoProtectError, InvalidError
from app.importers.download import Allowed, download
from database.repositories.import_requests import ImportRequestRepository
from database.repositories.imports import get_run
from database.session import Database

_UNUSUAL: Final = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME: Final = 100


def place_import(
    database: Database, run_id: UUID, allowed: Allowed, folder: Path, keep_going: Callable[[], bool]
) -> Path | None:
    """Fetch the file that a run names by its address, unless it is here, and return it; None where it names none.

    Raises:
        InvalidError: It may not be fetched, or is not the file any more that the run began with.
        UnavailableError: It cannot be fetched now.
    """
    run = get_run(database.reading(SERVICE), run_id)
    url = run.parameters.get("url")
    if url is None or run.state not in {"queued", "running"}:
        return None
    # The name tells its format. Folder and run keep two imports of one name apart.
    name = _UNUSUAL.sub("_", urlsplit(url).path.rpartition("/")[2])[-_LONGEST_NAME:].lstrip(".") or "file"
    file = folder / str(run_id) / name
    try:
        digest = _fetched(url, file, run.parameters.get("sha256"), allowed, keep_going)
    except CryoProtectError as error:
        with database.transaction(SERVICE) as session:
            ImportRequestRepository(session).explain(run_id, error.detail)
        raise
    with database.transaction(SERVICE) as session:
        ImportRequestRepository(session).place(run_id, str(file), digest)
    return file


def remove_placed(file: Path) -> None:
    """Remove a file that was fetched for an import."""
    file.unlink(missing_ok=True)
    file.parent.rmdir()


def _fetched(url: str, file: Path, digest: str | None, allowed: Allowed, keep_going: Callable[[], bool]) -> str | None:
    """Return the SHA-256 of a file that is here, fetched where it was not."""
    if file.exists():
        return digest
    file.parent.mkdir(parents=True, exist_ok=True)
    fetched = download(url, file, allowed, keep_going)
    if digest not in {None, fetched.sha256}:
        file.unlink()
        raise InvalidError("the file has changed since the import began; start a new one")
    return fetched.sha256
