"""Where a record comes from, and how surely what it states is known."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class Certainty(StrEnum):
    """How surely a published statement is known; only what was seen counts as verified."""

    SEEN = "seen"
    """Read in the publication itself."""
    SECONDARY = "secondary"
    """Read where others quote the publication."""
    MEMORY = "memory"
    """General knowledge of the field: no source was seen."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The source and the run that brought a record, and the record's own key in that source."""

    data_source_id: UUID
    import_run_id: UUID
    source_record: str
    """The same key again is the same record."""
    certainty: Certainty
