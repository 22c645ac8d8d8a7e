"""Where imports may come from: one source for each word that a run's `parameters["source"]` may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.importers import chembl_source, pubchem_source
from app.importers.budget import SharedBudget
from app.importers.chembl_source import ChEMBLSource
from app.importers.files import FileSource
from app.importers.pubchem_source import PubChemSource
from app.importers.sources import Source
from app.importers.tox21_source import Tox21Source
from app.importers.upstream import Upstream, Waiting, breaker
from database.session import Database

_BREAKERS: Final = {name: breaker(name) for name in ("pubchem", "chembl")}
"""Of this process: what one run finds out about a service, the others know."""


def known_sources(database: Database, waiting: Waiting) -> Mapping[str, Source]:
    """Return the sources; those on the web share their budgets through the database."""

    def upstream(name: str, address: str) -> Upstream:
        return Upstream(address, _BREAKERS[name], SharedBudget(database, name, waiting.sleep), waiting.sleep)

    return {
        "file": FileSource(),
        "pubchem": PubChemSource(upstream("pubchem", pubchem_source.ADDRESS), waiting.sleep),
        "chembl": ChEMBLSource(upstream("chembl", chembl_source.ADDRESS)),
        "tox21": Tox21Source(),
    }
