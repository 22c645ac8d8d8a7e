"""Finds records that say the same, keeps the best of each group and takes the others out, beside a running service.

Step by step and page by page of groups, each page a transaction: its rows are locked in the order of all writers and
looked at again, for they may have changed since they were found. A page that meets a deadlock is tried again. One that
the database refuses is taken group by group, and what is refused then is left and reported. A dry run is one
transaction, so that its later steps see what its earlier ones did, and keeps its locks until it is undone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID, uuid4

import psycopg
import stamina

from app.domain.callers import SERVICE
from app.errors import CryoProtectError, UnavailableError
from database.errors import DatabaseRefusal, translate
from database.maintenance.deduplicate.molecules import FIND_MOLECULES_SQL, MOLECULES
from database.maintenance.deduplicate.references import FOLLOWING, REFERENCES, REFERENCES_SQL
from database.maintenance.deduplicate.repeats import FIND_SHARED_IDENTIFIERS_SQL, OWN_PARTS, REPEATS
from database.maintenance.deduplicate.work import Conflict, Group, Tally, Work
from database.repositories.maintenance import LIMIT_TIME_SQL
from database.session import Database, WriteSession

STATEMENT_LIMIT_S: Final = 900
FOUND_AT_ONCE: Final = 10_000
"""Groups; finding them reads the whole table."""
ATTEMPTS: Final = 6
FIRST: Final = UUID(int=0)
_MET_ANOTHER: Final = (
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.LockNotAvailable,
)


@dataclass(frozen=True, slots=True)
class Choice:
    """What to do."""

    dry_run: bool = False
    by_parent: bool = False
    """Tell which molecules are forms of one parent."""
    parents: tuple[str, ...] = ()
    """The parents, by their InChIKeys, whose forms are made one."""
    window_days: int = 30
    """Toxicity values that came within so many days of each other may be the same."""


@dataclass(frozen=True, slots=True)
class TableReport:
    """What became of one table's records."""

    table: str
    looked_at: int | None
    """How many records there were; None for parts that are only touched with their molecule."""
    groups: int
    removed: int
    moved: int
    """References that point to another record now."""
    conflicts: int


@dataclass(slots=True)
class Report:
    """What a deduplication did."""

    request_id: str
    """What the audit log keeps with each change."""
    dry_run: bool
    tables: list[TableReport] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    parents: list[Group] = field(default_factory=list)
    """Molecules that are forms of one parent, where that was asked for."""

    @property
    def changed(self) -> bool:
        """Whether anything is different now."""
        return not self.dry_run and any(table.removed for table in self.tables)


def deduplicate(database: Database, choice: Choice) -> Report:
    """Take out what says the same again and return what was done.

    Raises:
        DatabaseRefusal: A table refers to these records in a way that this version does not know.
        UnavailableError: The database does not answer, or others were in the way too often.
    """
    run = _Run(database, choice, Report(f"deduplicate {uuid4()}", choice.dry_run))
    try:
        if not choice.dry_run:
            return run.work()
        with database.transaction(SERVICE, rollback=True, request_id=run.report.request_id) as session:
            run.outer = session
            return run.work()
    except _MET_ANOTHER as error:
        raise UnavailableError("others were in the way too often: try again", code="database_busy") from error


class _Run:
    def __init__(self, database: Database, choice: Choice, report: Report) -> None:
        self.report = report
        self.outer: WriteSession | None = None
        """A dry run's one transaction."""
        self._database = database
        self._choice = choice
        self._tallies: dict[str, Tally] = {}

    def work(self) -> Report:
        with self._transaction() as session:
            _check_references(session)
            looked_at = {work.table: int(session.rows(work.count, {})[0][0]) for work in (MOLECULES, *REPEATS)}
        self._work_off(MOLECULES)
        if self._choice.parents:
            self._work_off(MOLECULES, by_parent=True)
        for step in REPEATS:
            self._work_off(step)
        self._look_for_shared_identifiers()
        if self._choice.by_parent:
            self._look_for_forms()
        self._add_up(looked_at)
        return self.report

    def _work_off(self, work: Work, *, by_parent: bool = False) -> None:
        asked: dict[str, object] = {
            "by_parent": by_parent,
            "parents": list(self._choice.parents) if by_parent else None,
            "window_days": self._choice.window_days,
        }
        tally = self._tallies.setdefault(work.table, Tally())
        after = FIRST
        while found := self._find(work, {**asked, "ids": None, "after": after, "limit": FOUND_AT_ONCE}):
            after = found[-1].kept
            for start in range(0, len(found), work.page_size):
                tally.add(self._page(work, found[start : start + work.page_size], asked))

    def _page(self, work: Work, found: Sequence[Group], asked: dict[str, object]) -> Tally:
        try:
            return self._settle(work, found, asked)
        except psycopg.errors.IntegrityError:
            tally = Tally()
            for group in found:
                tally.add(self._settle_alone(work, group, asked))
            return tally

    def _find(self, work: Work, asked: dict[str, object]) -> list[Group]:
        with self._transaction() as session:
            return _groups(session, work.find, asked)

    def _settle(self, work: Work, found: Sequence[Group], asked: dict[str, object]) -> Tally:
        for attempt in stamina.retry_context(on=_MET_ANOTHER, attempts=ATTEMPTS, wait_initial=0.1, wait_max=2.0):
            with attempt, self._transaction() as session:
                return _settled(session, work, [record for group in found for record in group.ids], asked)
        raise AssertionError

    def _settle_alone(self, work: Work, group: Group, asked: dict[str, object]) -> Tally:
        try:
            return self._settle(work, [group], asked)
        except psycopg.errors.IntegrityError as error:
            refusal = Conflict(work.table, group.label, group.ids, _reason(error))
            return Tally(groups=1, conflicts=[refusal])

    def _look_for_shared_identifiers(self) -> None:
        reason = "several molecules have this identifier"
        with self._transaction() as session:
            self._tallies["molecule_identifiers"].conflicts += [
                Conflict("molecule_identifiers", label, tuple(molecules), reason)
                for label, molecules in session.rows(FIND_SHARED_IDENTIFIERS_SQL, {})
            ]

    def _look_for_forms(self) -> None:
        asked: dict[str, object] = {"by_parent": True, "parents": None, "ids": None, "after": FIRST, "limit": None}
        with self._transaction() as session:
            self.report.parents = _groups(session, FIND_MOLECULES_SQL, asked)

    def _add_up(self, looked_at: dict[str, int]) -> None:
        removed = sum((tally.removed for tally in self._tallies.values()), Counter[str]())
        for table in dict.fromkeys([*looked_at, *sorted(removed)]):
            tally = self._tallies.get(table, Tally())
            self.report.tables.append(
                TableReport(
                    table,
                    looked_at.get(table),
                    tally.groups,
                    removed[table],
                    tally.moved,
                    len(tally.conflicts),
                )
            )
            self.report.conflicts += tally.conflicts

    @contextmanager
    def _transaction(self) -> Iterator[WriteSession]:
        """Give a transaction, or in a dry run a part of its one transaction, that ends with every rule checked.

        Raises:
            psycopg.errors.IntegrityError: The database refuses what was done.
        """
        if self.outer is not None:
            with self.outer.savepoint():
                self.outer.rows(LIMIT_TIME_SQL, {"limit_ms": str(STATEMENT_LIMIT_S * 1000)})
                yield self.outer
                self.outer.check_deferred()
            return
        try:
            with self._database.transaction(SERVICE, request_id=self.report.request_id) as session:
                session.rows(LIMIT_TIME_SQL, {"limit_ms": str(STATEMENT_LIMIT_S * 1000)})
                yield session
        except CryoProtectError as error:
            if isinstance(error.__cause__, (psycopg.errors.IntegrityError, *_MET_ANOTHER)):
                raise error.__cause__ from None
            raise


def _settled(session: WriteSession, work: Work, ids: list[UUID], asked: dict[str, object]) -> Tally:
    for lock in work.locks:
        session.rows(lock, {"ids": ids})
    groups = _groups(session, work.find, {**asked, "ids": ids, "after": FIRST, "limit": None})
    tally = Tally(groups=len(groups))
    tally.conflicts += [
        Conflict(work.table, group.label, group.ids, group.reason) for group in groups if group.reason is not None
    ]
    free = [group for group in groups if group.reason is None]
    if free:
        tally.add(work.settle(session, free))
    return tally


def _groups(session: WriteSession, statement: str, asked: dict[str, object]) -> list[Group]:
    rows = session.rows(statement, asked)
    return [Group(kept, tuple(removed), label, reason) for kept, removed, label, reason in rows]


def _check_references(session: WriteSession) -> None:
    known = {"public.molecules": FOLLOWING.union(REFERENCES), **OWN_PARTS}
    unknown = [
        f"{table}.{column}"
        for target, columns in known.items()
        for table, column in session.rows(REFERENCES_SQL, {"table": target})
        if (table, column) not in columns
    ]
    if unknown:
        msg = f"records are referred to by {', '.join(unknown)}, which this version cannot move"
        raise DatabaseRefusal(msg)


def _reason(error: psycopg.errors.IntegrityError) -> str:
    known = translate(error)
    sentence = known.faults[0].detail if known and known.faults else "the database refuses it"
    return f"{sentence} ({error.diag.constraint_name})"
