"""SQL as a caller could send it past the service: through the logins, with role and claims as a session sets them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from app.domain.callers import Caller
from database.session import WRITE_PREAMBLE_SQL
from database.urls import DatabaseUrls

REFUSED = "42501"
REQUEST_ID = "a-request"
Statement = str | sql.Composed
Parameters = Sequence[object] | Mapping[str, object]


class Acting:
    """One caller's transaction; nothing is kept unless it is committed."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def rows(self, statement: Statement, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        """Return the statement's rows."""
        return self._connection.execute(_sendable(statement), parameters).fetchall()

    def attempt(self, statement: Statement, parameters: Parameters = ()) -> int | str:
        """Return how many rows the statement met, or the SQLSTATE with which it was refused and undone."""
        try:
            with self._connection.transaction():
                return self._connection.execute(_sendable(statement), parameters).rowcount
        except psycopg.Error as error:
            return error.sqlstate or "lost"

    def commit(self) -> None:
        """Keep what was done; the caller's role ends with it."""
        self._connection.commit()


@contextmanager
def acting(urls: DatabaseUrls, caller: Caller) -> Iterator[Acting]:
    """Give a transaction with the caller's role and claims, undone at the end."""
    login = urls.service if caller.role == "service_role" else urls.request
    with psycopg.connect(login) as connection:
        identity = {"role": caller.role, "claims": caller.claims_json, "request_id": REQUEST_ID}
        connection.execute(WRITE_PREAMBLE_SQL, identity)
        yield Acting(connection)
        connection.rollback()


def _sendable(statement: Statement) -> bytes | sql.Composed:
    return statement.encode() if isinstance(statement, str) else statement
