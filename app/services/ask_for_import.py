"""What a client asks to be imported, as the parameters of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from app.errors import InvalidError
from app.importers import chembl_source, pubchem_source
from app.importers.download import Allowed, check_url
from app.importers.files import check_columns
from app.services.import_records import SOURCES as SERVICES
from app.services.record_toxicity import SOURCES as TOXICITY_SOURCES
from database.repositories.provenance import SourceStatement

FILE: Final = "file"
TOX21: Final = "tox21"
BY_ADDRESS: Final = frozenset({FILE, TOX21})
"""Sources that are files, which a client names by their address."""
SOURCES: Final = {
    **SERVICES,
    TOX21: TOXICITY_SOURCES[TOX21],
    FILE: SourceStatement("file"),
}
_OPTIONS: Final = {"chembl": chembl_source.options, "pubchem": pubchem_source.options}
_LONGEST_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """A run to be made."""

    source: SourceStatement
    parameters: dict[str, Any]


def import_wanted(allowed: Allowed, asked: Mapping[str, Any]) -> Wanted:
    """Return the run that a client asks for.

    Raises:
        InvalidError: It names an address that is not fetched from, nothing that the service can be asked for, or a
            column that no record has.
    """
    source, release = asked["source"], asked["release"]
    if source not in BY_ADDRESS:
        try:
            return service_wanted(source, asked.get("options", {}), release)
        except InvalidError as error:
            raise InvalidError.at("/options", error.detail) from error
    parts = check_url(asked["url"], allowed)
    parameters = {"source": source, "release": release, "url": asked["url"]}
    if source == TOX21:
        return Wanted(replace(SOURCES[TOX21], release=release), parameters)
    columns = asked.get("columns", {})
    check_columns(columns)
    name = f"{parts.hostname}{parts.path}"[:_LONGEST_NAME]
    return Wanted(SourceStatement(name, release, url=asked["url"]), {**parameters, "columns": columns})


def service_wanted(source: str, options: Mapping[str, Any], release: str = "") -> Wanted:
    """Return the run that imports from a service what the options name.

    Raises:
        InvalidError: They name nothing that can be asked of it.
    """
    parameters = {"source": source, "release": release, **_OPTIONS[source](options)}
    return Wanted(replace(SOURCES[source], release=release), parameters)
