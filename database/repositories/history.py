"""The history of records: what the audit log keeps of each, for those who may change it.

`private.history` gives nothing to anybody else, so an empty page asks once more whether that is the reason.
A deleted record has a history, too, which the service role reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, LiteralString

from app.errors import ForbiddenError
from database.listing import Detail, Field, Kind, Listing, ListRequest, Scope
from database.repositories.base import Counting, Page, ReadRepository
from database.session import ReadSession

_FIELDS: Final = (
    Field("id", Kind.UUID, "a.id", Detail.MINIMAL, sortable=True, description="Key of the entry."),
    Field("created_at", Kind.TIMESTAMP, "a.occurred_at", Detail.MINIMAL, sortable=True, description="When, UTC."),
    Field("action", Kind.TEXT, "a.action", Detail.MINIMAL, description="insert, update or delete."),
    Field("table_name", Kind.TEXT, "a.table_name", Detail.MINIMAL, description="The record itself or a part of it."),
    Field(
        "actor_id", Kind.UUID, "a.actor_id", Detail.MINIMAL, nullable=True, description="Which user; null for others."
    ),
    Field("role", Kind.TEXT, "a.role", description="In which role."),
    Field("token_id", Kind.TEXT, "a.token_id", nullable=True, description="By which token: its jti, where it has one."),
    Field("request_id", Kind.TEXT, "a.request_id", nullable=True, description="In which request."),
    Field("before", Kind.JSON, "a.before", nullable=True, filterable=False, description="The row as it was."),
    Field("after", Kind.JSON, "a.after", nullable=True, filterable=False, description="The row as it became."),
)

MAY_CHANGE_SQL: Final = "SELECT private.may_change(%(resource)s, %(id)s)"


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """The history of one kind of record."""

    resource: str
    listing: Listing
    scope: Scope


_SOURCE: Final = "private.history('{0}', %(parent)s) AS a"
# A deleted record is found by what its history still shows.
_FIND: Final = """
SELECT id FROM public.{0} WHERE id = %(parent)s
UNION ALL
SELECT id FROM private.history('{0}', %(parent)s)
LIMIT 1
"""


def _history(resource: LiteralString, noun: str) -> History:
    listing = Listing(name="history", source=_SOURCE.format(resource), fields=_FIELDS)
    return History(resource, listing, Scope(noun, "true", _FIND.format(resource)))


HISTORIES: Final = (
    _history("molecules", "molecule"),
    _history("mixtures", "mixture"),
    _history("experiments", "experiment"),
    _history("teams", "team"),
    _history("projects", "project"),
)


class HistoryReader(ReadRepository):
    """Reads the history of one kind of record with the caller's eyes."""

    noun = "entry"

    def __init__(self, session: ReadSession, history: History) -> None:
        super().__init__(session)
        self._history = history

    @property
    def listing(self) -> Listing:  # type: ignore[override] # one for each kind of record
        """What can be asked of this history."""
        return self._history.listing

    def page(self, request: ListRequest, counting: Counting = "none") -> Page:
        """Return one page of a record's history.

        Raises:
            NotFoundError: The caller does not see the record.
            ForbiddenError: The caller may not change it, and so does not see who did.
        """
        page = super().page(request, counting)
        if not page.documents and request.within:
            parameters = {"resource": self._history.resource, "id": request.within[1]}
            if not self._session.rows(MAY_CHANGE_SQL, parameters)[0][0]:
                msg = f"only those who may change this {self._history.scope.parent} see its history"
                raise ForbiddenError(msg, code="not_permitted")
        return page
