"""One caller at the database: role and claims are set for each transaction, with bound values.

PostgREST's model: the pool logs in as a role that may do nothing but become `anon` or `authenticated`,
and every transaction says which. The settings are local to it, so the next request that gets the same
connection finds no trace of this one; without them the login role sees nothing at all.

A read needs no BEGIN and COMMIT of its own: what is sent before one sync of the extended protocol is one
transaction. Preamble and query travel together and the answer comes back in one round trip.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

import psycopg
import structlog
from psycopg.pq import TransactionStatus

from app.breaker import Breaker
from app.domain.callers import ANON, Caller
from app.errors import UnavailableError
from database.errors import CommitLostError, is_connection_loss, is_outage, translate
from database.exchange import Parameters, Row, exchange
from database.measures import SLOW_S, Measures, PoolState
from database.pool import Pool, Timing
from database.replicas import DEFAULT_MAX_LAG_S, POSITION_SQL, Replica, Replicas, ReplicaState, Statements, breaker
from database.sizing import DEFAULT_SHARE, USABLE_CONNECTIONS_SQL, shares
from database.statements import name_of
from database.urls import DatabaseUrls

READ_PREAMBLE_SQL: Final = """
SELECT set_config('role', %(role)s, true),
       set_config('request.jwt.claims', %(claims)s, true),
       set_config('transaction_read_only', 'on', true)
"""
WRITE_PREAMBLE_SQL: Final = """
SELECT set_config('role', %(role)s, true),
       set_config('request.jwt.claims', %(claims)s, true),
       set_config('cryoprotect.request_id', %(request_id)s, true),
       current_setting('transaction_read_only')
"""
ENSURE_PROFILE_SQL: Final = "SELECT private.ensure_profile()"
CHECK_DEFERRED_SQL: Final = "SET CONSTRAINTS ALL IMMEDIATE"
DEFER_SQL: Final = "SET CONSTRAINTS ALL DEFERRED"
LOOK_AFTER_INTERVAL_S: Final = 1.0
_log = structlog.get_logger(__name__)


class Session(Protocol):
    """What a repository needs: rows for a statement, seen with the caller's eyes."""

    def rows(self, statement: str, parameters: Parameters) -> list[Row]:
        """Return the statement's rows."""
        ...


@dataclass(slots=True)
class _Nearby:
    """The standby that one session reads from, and how far it must have come."""

    replica: Replica
    position: int


class ReadSession:
    """Reads of one caller; each call is a READ ONLY transaction of its own, in one round trip."""

    def __init__(  # noqa: PLR0913 - by name
        self,
        pool: Pool,
        caller: Caller,
        timing: Timing,
        *,
        nearby: _Nearby | None = None,
        wait_s: float | None = None,
        anyway: bool = False,
    ) -> None:
        self._pool = pool
        self._nearby = nearby
        self._anyway = anyway
        self.caller = caller
        self._timing = timing
        self._wait_s = wait_s

    def rows(self, statement: str, parameters: Parameters) -> list[Row]:
        """Return the statement's rows."""
        return self.rows_of_each([(statement, parameters)])[0]

    def rows_of_each(self, statements: Sequence[tuple[str, Parameters]]) -> list[list[Row]]:
        """Return the rows of several statements, all seen by one transaction in one round trip."""
        try:
            answers = self._read_nearby(statements)
            if answers is not None:
                return answers
            return self._pool.run(
                lambda connection: _send(self._pool, connection, self.caller, statements),
                self._timing,
                self._wait_s,
                anyway=self._anyway,
            )
        except Exception as error:
            known = translate(error)
            if known is None:
                raise
            raise known from error

    def _read_nearby(self, statements: Statements) -> list[list[Row]] | None:
        if self._nearby is None:
            return None
        answers = self._nearby.replica.read(self.caller, statements, self._nearby.position, self._timing)
        if answers is None:
            # What follows in this session is not to go back in time.
            self._nearby = None
        return answers


def _send(pool: Pool, connection: psycopg.Connection, caller: Caller, statements: Statements) -> list[list[Row]]:
    # Through a transaction pooler nothing stays prepared.
    role = caller.role if pool.prepares else None
    started = time.perf_counter()
    try:
        return exchange(connection, (READ_PREAMBLE_SQL, _identity(caller)), statements, role=role)
    finally:
        pool.measures.count_statement(name_of(statements), time.perf_counter() - started)


class WriteSession:
    """One read-write transaction of one caller."""

    def __init__(self, connection: psycopg.Connection, caller: Caller, measures: Measures) -> None:
        self._connection = connection
        self._measures = measures
        self.caller = caller

    def rows(self, statement: str, parameters: Parameters) -> list[Row]:
        """Return the statement's rows; none for a statement that returns nothing."""
        with self._measures.timed(name_of([(statement, parameters)])):
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
    """The database as the service uses it: a pool per login role and per standby, a session per caller."""

    def __init__(  # noqa: PLR0913 - by name
        self,
        urls: DatabaseUrls,
        *,
        min_size: int,
        max_size: int | None,
        timeout_s: float,
        transaction_pooler: bool,
        share: float = DEFAULT_SHARE,
        workers: int = 1,
        max_lag_s: float = DEFAULT_MAX_LAG_S,
        slow_s: float = SLOW_S,
    ) -> None:
        """Connect to `urls`; without `max_size` to a share of the servers' connections, divided among `workers`.

        No reader finds less on a standby than what was there `max_lag_s` ago. A statement that takes longer than
        `slow_s` is named in the log.
        """
        self.breaker = Breaker("database", counts=is_outage)
        common: dict[str, Any] = {
            "max_size": max_size,
            "timeout_s": timeout_s,
            "transaction_pooler": transaction_pooler,
            "slow_s": slow_s,
        }
        self._request = Pool(
            urls.request, name="cryoprotect request", min_size=min_size, breaker=self.breaker, **common
        )
        self._service = Pool(urls.service, name="cryoprotect service", min_size=0, breaker=self.breaker, **common)
        self.share = share
        """Of the server's connections, that all workers may have together."""
        self.workers = workers
        # Behind a transaction pooler the server's number is the pooler's business.
        self._is_sized = max_size is not None or transaction_pooler
        self._replicas = Replicas(
            [
                self._replica(url, number, common | {"min_size": min_size})
                for number, url in enumerate(urls.replicas, 1)
            ],
            max_lag_s,
        )
        self._closed = threading.Event()

    @property
    def pools(self) -> tuple[Pool, ...]:
        """The pools by purpose: requests, the service role, and reads of each standby."""
        return self._request, self._service, *(replica.pool for replica in self._replicas.all)

    @property
    def pool_states(self) -> list[PoolState]:
        """The pools at this moment."""
        return [pool.state for pool in self.pools]

    @property
    def replica_states(self) -> list[ReplicaState]:
        """The standbys at this moment."""
        return [replica.state(self._replicas.positions.floor) for replica in self._replicas.all]

    def open(self) -> None:
        """Open the pools of this process, and look after them."""
        for pool in self.pools:
            pool.open()
        threading.Thread(target=self._look_after_pools, name="pools", daemon=True).start()
        if self._replicas.all:
            self._replicas.open(self._position)

    def close(self) -> None:
        """Close the pools of this process."""
        self._closed.set()
        self._replicas.close()
        for pool in self.pools:
            pool.close()

    def reading(
        self,
        caller: Caller,
        timing: Timing | None = None,
        *,
        after: int | None = None,
        wait_s: float | None = None,
        anyway: bool = False,
    ) -> ReadSession:
        """Return a session that reads with the caller's eyes.

        With `after`, a position, a standby may answer that has come as far, to all of the caller's changes that
        are known here, and not too little anyway. `wait_s` is its own patience for a connection; with `anyway`
        it asks past the breaker.
        """
        nearby = None if after is None else self._nearby(caller, after)
        return ReadSession(self._pool(caller), caller, timing or Timing(), nearby=nearby, wait_s=wait_s, anyway=anyway)

    def changed_at(self, caller: Caller) -> int | None:
        """Return the position of the caller's last change here; None where a reader finds it anyway."""
        return self._replicas.positions.of(caller.name) or None

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
        pool = self._pool(caller)
        try:
            with pool.transaction(
                lambda c: _begin(c, caller, request_id, pool.measures), timing or Timing()
            ) as connection:
                session = WriteSession(connection, caller, pool.measures)
                try:
                    yield session
                    if rollback:
                        session.check_deferred()
                        connection.rollback()
                    else:
                        self._commit(connection, caller, pool.measures)
                except Exception:
                    # Whoever is refused looks for the reason next: it must be found.
                    self._note(connection, caller)
                    raise
        except psycopg.Error as error:
            known = translate(error)
            if known is None:
                raise
            raise known from error

    def _pool(self, caller: Caller) -> Pool:
        return self._service if caller.role == "service_role" else self._request

    def _look_after_pools(self) -> None:
        while not self._closed.is_set():
            try:
                if not self._is_sized:
                    self._take_share()
                for pool in self.pools:
                    pool.look_after(time.monotonic())
            except Exception as error:  # noqa: BLE001 - whatever it is, there is another look in a second
                _log.warning("pools_not_looked_after", cause=type(error).__name__)
            self._closed.wait(LOOK_AFTER_INTERVAL_S)

    def _take_share(self) -> None:
        try:
            ((usable,),) = self.reading(ANON, anyway=True).rows(USABLE_CONNECTIONS_SQL, {})
        except UnavailableError:
            return
        for pool, most in zip((self._request, self._service), shares(usable, self.share, self.workers), strict=True):
            pool.limit(most)
        self._is_sized = True

    def _replica(self, url: str, number: int, options: dict[str, Any]) -> Replica:
        name = f"cryoprotect replica {number}"
        guard = breaker(name)
        share = None if self._is_sized else lambda usable: sum(shares(usable, self.share, self.workers))
        return Replica(Pool(url, name=name, breaker=guard, **options), guard, _send, share)

    def _nearby(self, caller: Caller, after: int) -> _Nearby | None:
        if caller.role == "service_role":
            # It has a login of its own, and what it reads it often reads to write.
            return None
        positions = self._replicas.positions
        position = max(after, positions.of(caller.name), positions.floor)
        replica = self._replicas.choose(position)
        return _Nearby(replica, position) if replica else None

    def _position(self) -> int:
        ((position,),) = self.reading(ANON).rows(POSITION_SQL, {})
        return int(position)

    def _commit(self, connection: psycopg.Connection, caller: Caller, measures: Measures) -> None:
        if connection.info.transaction_status is TransactionStatus.INERROR:
            # Somebody swallowed a statement's error: COMMIT would be answered like a success, and keep nothing.
            raise psycopg.errors.InFailedSqlTransaction("a statement failed before the commit")
        try:
            with measures.timed("COMMIT"):
                if self._replicas.all:
                    self._commit_and_note(connection, caller)
                else:
                    connection.commit()
        except psycopg.Error as error:
            if not is_connection_loss(error):
                raise
            raise CommitLostError(str(error)) from error

    def _commit_and_note(self, connection: psycopg.Connection, caller: Caller) -> None:
        """Commit, and learn in the same round trip where that stands."""
        position = None
        commit = connection.cursor()
        try:
            with connection.pipeline():
                commit.execute("COMMIT")
                said = connection.execute(POSITION_SQL)
            position = int(said.fetchall()[0][0])
        except psycopg.Error:
            if commit.statusmessage != "COMMIT":
                raise
            _log.warning("position_unknown")
        self._replicas.positions.note(caller.name, position)

    def _note(self, connection: psycopg.Connection, caller: Caller) -> None:
        if not self._replicas.all:
            return
        position = None
        with suppress(psycopg.Error):
            connection.rollback()
            position = int(connection.execute(POSITION_SQL).fetchall()[0][0])
        self._replicas.positions.note(caller.name, position)


def _identity(caller: Caller) -> dict[str, object]:
    return {"role": caller.role, "claims": caller.claims_json}


def _begin(connection: psycopg.Connection, caller: Caller, request_id: str, measures: Measures) -> None:
    with measures.timed("WRITE_PREAMBLE_SQL"), connection.pipeline():
        connection.execute("BEGIN")
        preamble = connection.execute(WRITE_PREAMBLE_SQL, _identity(caller) | {"request_id": request_id})
        if caller.role == "authenticated":
            # Rows refer to their creator's profile, which is made with the first of them.
            connection.execute(ENSURE_PROFILE_SQL)
    if preamble.fetchall()[0][-1] == "on":
        raise psycopg.errors.ReadOnlySqlTransaction("this server takes no changes")
