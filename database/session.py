"""One caller at the database: role and claims are set for each transaction, with bound values.

PostgREST's model: the pool logs in as a role that may do nothing but become `anon` or `authenticated`,
and every transaction says which. The settings are local to it, so the next request that gets the same
connection finds no trace of this one; without them the login role sees nothing at all.

A read needs no BEGIN and COMMIT of its own: what is sent before one sync of the extended protocol is one
transaction. Preamble and query travel together and the answer comes back in one round trip.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

import psycopg
from psycopg.pq import TransactionStatus

from app.domain.callers import Caller
from database.errors import translate
from database.exchange import Parameters, Row, exchange
from database.pool import Pool, Timing
from database.urls import DatabaseUrls

READ_PREAMBLE_SQL: Final = """
SELECT set_config('role', %(role)s, true),
       set_config('request.jwt.claims', %(claims)s, true),
       set_config('transaction_read_only', 'on', true)
"""
WRITE_PREAMBLE_SQL: Final = """
SELECT set_config('role', %(role)s, true),
       set_config('request.jwt.claims', %(claims)s, true),
       set_config('cryoprotect.request_id', %(request_id)s, true)
"""
ENSURE_PROFILE_SQL: Final = "SELECT private.ensure_profile()"
CHECK_DEFERRED_SQL: Final = "SET CONSTRAINTS ALL IMMEDIATE"
DEFER_SQL: Final = "SET CONSTRAINTS ALL DEFERRED"


class Session(Protocol):
    """What a repository needs: rows for a statement, seen with the caller's eyes."""

    def rows(self, statement: str, parameters: Parameters) -> list[Row]:
        """Return the statement's rows."""
        ...


class ReadSession:
    """Reads of one caller; each call is a READ ONLY transaction of its own, in one round trip."""

    def __init__(self, pool: Pool, caller: Caller, timing: Timing, wait_s: float | None = None) -> None:
        self._pool = pool
        self._caller = caller
        self._timing = timing
        self._wait_s = wait_s

    def rows(self, statement: str, parameters: Parameters) -> list[Row]:
        """Return the statement's rows."""
        return self.rows_of_each([(statement, parameters)])[0]

    def rows_of_each(self, statements: Sequence[tuple[str, Parameters]]) -> list[list[Row]]:
        """Return the rows of several statements, all seen by one transaction in one round trip."""
        try:
            return self._pool.run(lambda connection: self._send(connection, statements), self._timing, self._wait_s)
        except Exception as error:
            known = translate(error)
            if known is None:
                raise
            raise known from error

    def _send(self, connection: psycopg.Connection, statements: Sequence[tuple[str, Parameters]]) -> list[list[Row]]:
        preamble = (READ_PREAMBLE_SQL, _identity(self._caller))
        # Through a transaction pooler nothing stays prepared.
        role = self._caller.role if self._pool.prepares else None
        return exchange(connection, preamble, statements, role=role)


class WriteSession:
    """One read-write transaction of one caller."""

    def __init__(self, connection: psycopg.Connection, caller: Caller) -> None:
        self._connection = connection
        self.caller = caller

    def rows(self, statement: str, parameters: Parameters) -> list[Row]:
        """Return the statement's rows; none for a statement that returns nothing."""
        cursor = self._connection.execute(statement.encode(), parameters)
        return cursor.fetchall() if cursor.description else []

    def copy(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Send rows to a `COPY ... FROM STDIN`."""
        with self._connection.cursor().copy(statement.encode()) as copy:
            for row in rows:
                copy.write_row(row)

    def check_deferred(self) -> None:
        """Check now what would be checked at commit; what follows is checked at commit again."""
        self._connection.execute(CHECK_DEFERRED_SQL)
        self._connection.execute(DEFER_SQL)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo only what happens inside the block when it fails."""
        with self._connection.transaction():
            yield


class Database:
    """The database as the service uses it: a pool per login role, a session per caller."""

    def __init__(
        self, urls: DatabaseUrls, *, min_size: int, max_size: int, timeout_s: float, transaction_pooler: bool
    ) -> None:
        common: dict[str, Any] = {
            "max_size": max_size,
            "timeout_s": timeout_s,
            "transaction_pooler": transaction_pooler,
        }
        self._request = Pool(urls.request, name="cryoprotect request", min_size=min_size, **common)
        self._service = Pool(urls.service, name="cryoprotect service", min_size=0, **common)

    def open(self) -> None:
        """Open the pools of this process."""
        self._request.open()
        self._service.open()

    def close(self) -> None:
        """Close the pools of this process."""
        self._request.close()
        self._service.close()

    def reading(self, caller: Caller, timing: Timing | None = None, *, wait_s: float | None = None) -> ReadSession:
        """Return a session that reads with the caller's eyes; `wait_s` is its own patience for a connection."""
        return ReadSession(self._pool(caller), caller, timing or Timing(), wait_s)

    @contextmanager
    def transaction(
        self, caller: Caller, timing: Timing | None = None, *, rollback: bool = False, request_id: str = ""
    ) -> Iterator[WriteSession]:
        """Give a session whose changes are committed when the block ends well.

        With `rollback` everything is checked, deferred constraints too, and nothing is kept. The audit log
        keeps `request_id` with each change.

        Raises:
            CryoProtectError: What the database refused, in the service's own terms.
        """
        try:
            with self._pool(caller).transaction(
                lambda c: _begin(c, caller, request_id), timing or Timing()
            ) as connection:
                session = WriteSession(connection, caller)
                yield session
                if rollback:
                    session.check_deferred()
                    connection.rollback()
                else:
                    _commit(connection)
        except psycopg.Error as error:
            known = translate(error)
            if known is None:
                raise
            raise known from error

    def _pool(self, caller: Caller) -> Pool:
        return self._service if caller.role == "service_role" else self._request


def _commit(connection: psycopg.Connection) -> None:
    if connection.info.transaction_status is TransactionStatus.INERROR:
        # Somebody swallowed a statement's error: COMMIT would be answered like a success, and keep nothing.
        raise psycopg.errors.InFailedSqlTransaction("a statement failed before the commit")
    connection.commit()


def _identity(caller: Caller) -> dict[str, object]:
    return {"role": caller.role, "claims": caller.claims_json}


def _begin(connection: psycopg.Connection, caller: Caller, request_id: str) -> None:
    with connection.pipeline():
        connection.execute("BEGIN")
        connection.execute(WRITE_PREAMBLE_SQL, _identity(caller) | {"request_id": request_id})
        if caller.role == "authenticated":
            # Rows refer to their creator's profile, which is made with the first of them.
            connection.execute(ENSURE_PROFILE_SQL)
