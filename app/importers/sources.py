"""What the pipeline asks of a source: pages of records, each with the checkpoint behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from app.importers.records import ParsedRecord


@dataclass(frozen=True, slots=True)
class Page:
    """Some records of a source, and where it goes on behind them."""

    records: list[ParsedRecord]
    """Their `index` is the record's number in its source: a file's line, an id, a position."""
    checkpoint: Mapping[str, Any]
    """What the source needs to go on behind this page; kept as JSON, and another one for each page."""
    done_fraction: float | None = None
    """How much of the source is read by the end of this page, 0 to 1; None where nobody knows."""


class Source(Protocol):
    """Where records come from; one for each word that a run's `parameters["source"]` may be."""

    def pages(
        self, parameters: Mapping[str, Any], checkpoint: Mapping[str, Any] | None, sha256: str | None
    ) -> Iterator[Page]:
        """Yield the pages behind the checkpoint, or all where it is None: each time the same records.

        Raises:
            UnavailableError: The source does not answer now; the run goes on from its checkpoint later.
            CryoProtectError: It cannot be read on; the run has failed.
        """
        ...


@runtime_checkable
class ReleasedSource(Source, Protocol):
    """A source that tells itself which release it gives; the run is then of that release."""

    def release(self, parameters: Mapping[str, Any], checkpoint: Mapping[str, Any] | None) -> str:
        """Return the release.

        Raises:
            UnavailableError: The source does not answer now.
            CryoProtectError: It is not the release that the run asks for, or began with.
        """
        ...
