"""What became of each record of a batch, and how a batch reaches Postgres in parts that it takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar
from uuid import UUID

import psycopg

from app.errors import CryoProtectError, Fault
from database.errors import translate

_T = TypeVar("_T")
ROWS_PER_STATEMENT: Final = 5000


class OutcomeStatus(StrEnum):
    """What became of one record of a batch."""

    ADDED = "added"
    EXISTING = "existing"
    CHANGED = "changed"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one record of a batch, and its id where it has one."""

    status: OutcomeStatus
    id: UUID | None
    reason: str | None = None
    pointer: str = ""
    error: CryoProtectError | None = None
    """What refused the record, where it came by itself."""


def slices(rows: list[_T]) -> Iterator[list[_T]]:
    """Give the rows in parts that Postgres takes as one value: a jsonb ends at 256 MB."""
    for start in range(0, len(rows), ROWS_PER_STATEMENT):
        yield rows[start : start + ROWS_PER_STATEMENT]


def refused_by(error: psycopg.Error) -> Outcome:
    """Return the outcome of a record that broke a constraint.

    Raises:
        psycopg.Error: The error given, where it is a fault of ours.
    """
    said = translate(error)
    if said is None:
        raise error
    return refusal(said)


def refusal(error: CryoProtectError) -> Outcome:
    """Return the outcome of a record that is refused with an error."""
    fault = error.faults[0] if error.faults else Fault("", error.detail)
    return Outcome(OutcomeStatus.REFUSED, None, fault.detail, fault.pointer, error)
