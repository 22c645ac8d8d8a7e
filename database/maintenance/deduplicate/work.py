"""What the steps of a deduplication have in common: groups of records that say the same, and what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import LiteralString
from uuid import UUID

from database.session import WriteSession


@dataclass(frozen=True, slots=True)
class Group:
    """Records that say the same: the one that stays, and those that go."""

    kept: UUID
    removed: tuple[UUID, ...]
    label: str | None = None
    """What they have in common, where that has a name: an InChIKey."""
    reason: str | None = None
    """Why they are left as they are."""

    @property
    def ids(self) -> tuple[UUID, ...]:
        """All of them, the one that stays first."""
        return (self.kept, *self.removed)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Records that were left as they are, for somebody to look at."""

    table: str
    label: str | None
    records: tuple[UUID, ...]
    reason: str


@dataclass(slots=True)
class Tally:
    """What was done to some groups."""

    groups: int = 0
    moved: int = 0
    """References that point to another record now."""
    removed: Counter[str] = field(default_factory=Counter)
    """By table: a molecule's parts that stood twice go with it."""
    conflicts: list[Conflict] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Add what was done to others."""
        self.groups += other.groups
        self.moved += other.moved
        self.removed += other.removed
        self.conflicts += other.conflicts


@dataclass(frozen=True, slots=True)
class Work:
    """One step.

    `find` gives kept id, removed ids, label and reason of each group whose kept id is greater than `after`, `limit` of
    them, and looks at `ids` only where these are given. `locks` lock what `ids` names, in the order of all writers.
    """

    table: str
    count: LiteralString
    find: LiteralString
    locks: tuple[LiteralString, ...]
    settle: Callable[[WriteSession, Sequence[Group]], Tally]
    page_size: int = 1000
    """Groups in one transaction."""
