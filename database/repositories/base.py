"""What every repository does alike: give one record, give a page, say why a change met no row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Literal
from uuid import UUID

import orjson
import psycopg

from app.errors import Fault, ForbiddenError, NotFoundError, StaleError
from database.exchange import Row
from database.listing import (
    MAX_INCLUDED,
    MAX_INCLUDED_ON_PAGE,
    Listing,
    ListRequest,
    Plan,
    Scope,
    Shape,
    compose_count,
    compose_estimate,
    compose_one,
    compose_page,
    compose_parent,
)
from database.session import ReadSession, Session, WriteSession

Counting = Literal["none", "exact", "estimated"]
STREAM_PAGE_ROWS = 1000
# As many as may show all of each kind that a record shows at most.
STREAM_PAGE_ROWS_INCLUDING = MAX_INCLUDED_ON_PAGE // MAX_INCLUDED

MY_PROJECTS_SQL: Final = """
SELECT private.my_project_ids('{owner}'), private.my_project_ids('{owner,editor}')
"""


@dataclass(frozen=True, slots=True)
class Document:
    """One record as the JSON that clients receive, and its version."""

    json: bytes
    version: int


@dataclass(frozen=True, slots=True)
class Page:
    """One page of records, and the sort values of its last where another page follows."""

    documents: list[bytes]
    next_after: tuple[str | None, ...] | None
    count: int | None = None


class Repository:
    """Works inside the session that it is given; never commits."""

    listing: ClassVar[Listing]
    noun: ClassVar[str]
    """What one record is called in sentences."""
    scope: ClassVar[Scope | None] = None
    """Where the records are parts of a parent, which their key is unique in."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, record_id: UUID, shape: Shape | None = None, *, parent: UUID | None = None) -> Document:
        """Return one record, in a scope that of one parent.

        Raises:
            NotFoundError: No such record is visible to the caller.
        """
        statement = compose_one(self.listing, shape or Shape(), self.scope)
        rows = self._session.rows(
            statement, {"id": record_id} if parent is None else {"id": record_id, "parent": parent}
        )
        if not rows:
            raise self.missing(record_id)
        return Document(*rows[0])

    def missing(self, record_id: UUID) -> NotFoundError:
        """Return the error for a record that is not there, or not for this caller."""
        return unseen(self.noun, record_id)

    def _no_row_changed(
        self, record_id: UUID, version: int | None, current: list[Row], lockable: list[Row]
    ) -> NotFoundError | ForbiddenError | StaleError:
        """Return why a change met no row: unseen before not permitted before stale."""
        if not current:
            return self.missing(record_id)
        if not lockable:
            return ForbiddenError(f"you may not change this {self.noun}", code="not_permitted")
        if version is not None and current[0][0] != version:
            whole = self.scope.parent if self.scope else self.noun
            return StaleError(f"this {whole} was changed meanwhile: its version is {current[0][0]}")
        return ForbiddenError(f"you may not do this with this {self.noun}", code="not_permitted")


class WriteRepository(Repository):
    """A repository inside the caller's transaction, which can also try a change and undo it."""

    def __init__(self, session: WriteSession) -> None:
        super().__init__(session)
        self._writing = session
        self._caller = session.caller

    def _attempt(self, statement: str, parameters: Mapping[str, object]) -> list[Row]:
        """Return the rows of a change that is undone at once: whether the caller may delete only an attempt tells."""
        rows: list[Row] = []
        with suppress(_UndoError), self._writing.savepoint():
            try:
                rows = self._session.rows(statement, parameters)
            except psycopg.IntegrityError as error:
                # The policies let it through; what stands against it is said when it is meant.
                rows = [()]
                raise _UndoError from error
            raise _UndoError
        return rows


class _UndoError(Exception):
    """Ends a savepoint that was only an attempt."""


class ReadRepository(Repository):
    """A repository on a reading session, which can also list."""

    def __init__(self, session: ReadSession) -> None:
        super().__init__(session)
        self._reading = session

    def page(self, request: ListRequest, counting: Counting = "none") -> Page:
        """Return one page; parent and count, where asked for, are seen by the same transaction.

        Raises:
            NotFoundError: The list is narrowed to a parent that the caller does not see.
        """
        plans = [
            compose_page(self.listing, request),
            *self._count_plans(request, counting),
            *_parent_plans(request),
        ]
        rows, *counts = self._reading.rows_of_each([(plan.statement, plan.parameters) for plan in plans])
        if request.within and not counts.pop():
            scope, parent = request.within
            raise unseen(scope.parent, parent)
        return page_of(rows, request, plans[0].keys, int(counts[0][0][0]) if counts else None)

    def _count_plans(self, request: ListRequest, counting: Counting) -> list[Plan]:
        if counting == "none":
            return []
        if counting == "estimated":
            return [compose_estimate(self.listing, request)]
        return [compose_count(self.listing, request, signed_in=self._reading.caller.role == "authenticated")]

    def stream(self, request: ListRequest) -> Iterator[list[bytes]]:
        """Give all records from the request's start on, a chunk at a time.

        Each chunk is a page of its own: a slow reader holds neither a connection nor a snapshot.
        """
        after = request.after
        limit = STREAM_PAGE_ROWS_INCLUDING if request.shape.inclusions else STREAM_PAGE_ROWS
        while True:
            page = self.page(replace(request, limit=limit, after=after))
            yield page.documents
            if page.next_after is None:
                return
            after = page.next_after


class RecordRepository(WriteRepository):
    """A repository of records that are private, in a project or public."""

    version_sql: ClassVar[str]
    """Gives the version of the record with `%(id)s`, where the caller sees it."""
    lock_sql: ClassVar[str]
    """The same, where the caller may change it."""
    remove_sql: ClassVar[str]
    """Deletes the record with `%(id)s` of `%(version)s`, any where that is null, and returns a row."""

    def remove(self, record_id: UUID, version: int | None) -> None:
        """Delete a record with its parts.

        Raises:
            NotFoundError, ForbiddenError, StaleError: No row could be deleted, in this order.
            ConflictError: Other records refer to it.
        """
        if not self._session.rows(self.remove_sql, {"id": record_id, "version": version}):
            removable = self._attempt(self.remove_sql, {"id": record_id, "version": None})
            raise self._no_row_changed(record_id, version, self._version(record_id), removable)

    def _why_not(self, record_id: UUID, version: int | None) -> NotFoundError | ForbiddenError | StaleError:
        """Return why a change met no row."""
        lockable = self._session.rows(self.lock_sql, {"id": record_id})
        return self._no_row_changed(record_id, version, self._version(record_id), lockable)

    def _version(self, record_id: UUID) -> list[Row]:
        return self._session.rows(self.version_sql, {"id": record_id})

    def _refused(self, places: Sequence[tuple[UUID | None, bool | None]]) -> dict[int, Fault]:
        """Return which new records the policies would refuse, and why, by their project and whether they are public."""
        if self._caller.role == "service_role" or not any(project or public for project, public in places):
            return {}
        owned, editable = self._session.rows(MY_PROJECTS_SQL, {})[0]
        refused = {}
        for index, (project_id, is_public) in enumerate(places):
            if project_id is not None and project_id not in editable:
                refused[index] = Fault("/project_id", "you may not add to this project")
            elif is_public and project_id not in owned:
                refused[index] = Fault("/is_public", "only an owner of the project's team may publish")
        return refused

    def _publishes(self, *, said: bool | None) -> bool:
        """Return whether a new record is public: what is said, or what is usual for the caller's role."""
        return self._caller.role == "service_role" if said is None else said


def page_of(rows: list[Row], request: ListRequest, keys: tuple[str, ...], count: int | None = None) -> Page:
    """Return the page that rows make, one more than asked for where another page follows.

    `keys` are the fields of a record that a cursor is made of; without any, columns behind the record hold its values.
    """
    shown = rows[: request.limit]
    following = _sort_values(shown[-1], keys) if len(rows) > request.limit else None
    return Page([row[0] for row in shown], following, count)


def unseen(noun: str, record_id: UUID) -> NotFoundError:
    """Return the error for a record that is not there, or not for this caller."""
    return NotFoundError(f"no {noun} {record_id} is visible to you")


def _parent_plans(request: ListRequest) -> list[Plan]:
    return [compose_parent(*request.within)] if request.within else []


def not_permitted(fault: Fault) -> ForbiddenError:
    """Return the refusal of one new record."""
    return ForbiddenError(fault.detail, code="not_permitted", faults=[fault])


def _sort_values(row: Row, keys: tuple[str, ...]) -> tuple[str | None, ...]:
    """Return what a cursor holds of a page's last row; JSON keeps every digit of each kind of sort value."""
    if not keys:
        return tuple(row[1:])
    record = orjson.loads(row[0])
    return tuple(None if record[key] is None else str(record[key]) for key in keys)
