"""What a client asks to be imported, as the parameters of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from app.errors import InvalidError
from app.importers.download import Allowed, check_url
from app.importers.files import check_columns
from app.services.import_records import SOURCES as SERVICES
from database.repositories.provenance import SourceStatement

FILE: Final = "file"
SOURCES: Final = {
    **SERVICES,
    "tox21": SourceStatement("Tox21", url="https://tripod.nih.gov/tox21/", licence="public domain"),
    FILE: SourceStatement("file"),
}
# What a run keeps for itself. A path of the worker's own disk is nothing that a client may name.
_KEPT: Final = frozenset({"source", "path", "url", "sha256", "columns", "release"})
_LONGEST_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """A run to be made."""

    source: SourceStatement
    parameters: dict[str, Any]


def import_wanted(allowed: Allowed, asked: Mapping[str, Any]) -> Wanted:
    """Return the run that a client asks for.

    Raises:
        InvalidError: It names an address that is not fetched from, an option that is not the client's, or a column
            that no record has.
    """
    statement = replace(SOURCES[asked["source"]], release=asked["release"])
    options = asked.get("options", {})
    if reserved := _KEPT & options.keys():
        raise InvalidError.at("/options", f"this is no option: {', '.join(sorted(reserved))}")
    parameters = {**options, "source": asked["source"], "release": asked["release"]}
    if asked["source"] == FILE:
        parts = check_url(asked["url"], allowed)
        statement = replace(statement, name=f"{parts.hostname}{parts.path}"[:_LONGEST_NAME], url=asked["url"])
        columns = asked.get("columns", {})
        check_columns(columns)
        parameters |= {"url": asked["url"], "columns": columns}
    return Wanted(statement, parameters)
