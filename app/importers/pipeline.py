"""The way of an import run: read a page, standardize it, store it with its checkpoint, go on.

The next page is standardized while the last one is stored, and no more than that is ever in memory. Whoever runs
this has the run's lease, renewed beside the work; a worker that lost it stops, and what it had not stored is done
again by the other. Nothing but whole pages is stored, so a run can be killed at any moment and go on elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from app.importers.records import ParsedRecord
from app.services.chemistry import ChemistryPool
from database.repositories.imports import Counts
from database.session import Database


@dataclass(frozen=True, slots=True)
class Page:
    """Some records of a source, and where it goes on behind them."""

    records: list[ParsedRecord]
    """Their `index` is unique in the whole run: the record's number in its source."""
    checkpoint: Mapping[str, Any]
    """Whatever the source needs to go on behind this page; it is kept as JSON."""
    done_fraction: float | None = None
    """How much of the source is read by the end of this page, 0 to 1; None where nobody knows."""


class Source(Protocol):
    """Where records come from; one for each word that a run's `parameters["source"]` may be."""

    def pages(
        self, parameters: Mapping[str, Any], checkpoint: Mapping[str, Any] | None, sha256: str | None
    ) -> Iterator[Page]:
        """Yield the pages behind the checkpoint, or all where it is None: each time the same records.

        Raises:
            CryoProtectError: The source cannot be read on; UnavailableError where it may be later.
        """
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    counts: Counts
    done_fraction: float | None
    working_s: float


@dataclass(frozen=True, slots=True)
class ImportReport:
    """How a run ended for this worker."""

    run_id: UUID
    state: str
    """finished, failed or cancelled; running or queued where somebody else has it."""
    counts: Counts
    working_s: float
    failure: str | None = None


OnProgress = Callable[[Progress], None]


def run_import(
    database: Database, chemistry: ChemistryPool, run_id: UUID, *, on_progress: OnProgress | None = None
) -> ImportReport:
    """Work on a run until it ends, and return how it did; nothing happens where another worker has its lease."""
    raise NotImplementedError
