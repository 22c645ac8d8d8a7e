"""The pooled connection wrapper: bounded waiting, and recovery when every backend has died.

No check on checkout: with all backends gone, a pool that checks makes its callers wait for each dead
connection in turn. The first statement of a transaction is the probe; when it finds its connection
dead, the pool is drained once and the transaction starts again on a fresh connection. Nothing has run
by then, so nothing can run twice.

Connections are had for the length of a block or of one read, never to keep.
"""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import CO_GENERATOR
from types import FrameType
from typing import Final, TypeVar

import psycopg
import structlog
from psycopg.types.json import set_json_loads
from psycopg.types.string import ByteaBinaryLoader
from psycopg_pool import ConnectionPool, PoolTimeout, TooManyRequests
from psycopg_pool.pool import AddConnection

from app.breaker import Breaker
from database.connection import SilenceError, WatchedConnection
from database.errors import is_connection_loss
from database.measures import SLOW_S, Measures, PoolState
from database.sizing import DEFAULT_MAX_SIZE, Floor

_R = TypeVar("_R")
_MAX_WAITING_PER_CONNECTION: Final = 50
LIFETIME_S: Final = 1800.0
"""Of a connection, less up to 5 % by chance, so that they do not all end together."""
IDLE_S: Final = 30.0
"""So often one connection is closed of those that were not needed meanwhile."""
PATIENCE_S: Final = 1.0
"""For a server that refuses connections: long enough for a quick restart."""
CONNECT_TIMEOUT_S: Final = 3
READ_ONLY_PAUSE_S: Final = 5.0
"""Between two drains in search of a server that takes changes; reads need the connections meanwhile."""
LEAK_S: Final = 60.0
"""No request has a transaction open for so long; a long task of the maintenance may."""
_FRAMES: Final = 8
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Timing:
    """Seconds that one request spent waiting for a connection and inside the database."""

    pool_s: float = 0.0
    database_s: float = 0.0


@dataclass(slots=True)
class _Hold:
    since_s: float
    where: list[str]
    is_reported: bool = False


class _Connections(ConnectionPool[WatchedConnection]):
    """psycopg's pool, with a little more: it gives up, resizes by what it has, weeds, and fills up again."""

    def reconnect_failed(self) -> None:
        """Let those who wait know that nothing can be had; they wait on where a connection may come back."""
        with self._lock:
            if self._nconns > 0:
                return
            waiting = list(self._waiting)
            self._waiting.clear()
        for client in waiting:
            client.fail(PoolTimeout("the server takes no connections"))

    def resize(self, min_size: int, max_size: int | None = None) -> None:
        """Change the sizes; the library's own opens as many as the floor rises, however many are open."""
        with self._lock:
            self._min_size, self._max_size = self._check_size(min_size, max_size)
            self.max_waiting = self._max_size * _MAX_WAITING_PER_CONNECTION
        self.fill_up()

    def weed(self) -> int:
        """Replace idle connections that the server has ended, and return how many; no round trip is made.

        Nothing is due on an idle connection: what can be read there is a farewell, or the end.
        """
        poll = select.poll()
        with self._lock:
            idle = {connection.pgconn.socket: connection for connection in self._pool if not connection.closed}
            for descriptor in idle:
                poll.register(descriptor, select.POLLIN)
            ended = [idle[descriptor] for descriptor, _ in poll.poll(0)] if idle else []
            for connection in ended:
                self._pool.remove(connection)
        for connection in ended:
            self._close_connection(connection)
            self.run_task(AddConnection(self))
        return len(ended)

    def fill_up(self) -> None:
        """Open what is missing to the floor: attempts to connect are given up after a while."""
        with self._lock:
            missing = 0 if self._closed else max(0, self._min_size - self._nconns)
            self._nconns += missing
        for _ in range(missing):
            self.run_task(AddConnection(self))


class Pool:
    """Connections of one login role."""

    def __init__(  # noqa: PLR0913 - by name
        self,
        url: str,
        *,
        name: str,
        min_size: int,
        max_size: int | None,
        timeout_s: float,
        transaction_pooler: bool,
        breaker: Breaker,
        slow_s: float = SLOW_S,
    ) -> None:
        # A transaction pooler gives every transaction another backend: nothing can stay prepared.
        self.prepares = not transaction_pooler
        self.name = name
        self.timeout_s = timeout_s
        self.measures = Measures(slow_s)
        self._breaker = breaker
        self._floor = Floor(min_size)
        self._peak = 0
        self._drained_at_s = 0.0
        self._held: dict[psycopg.Connection, _Hold | float] = {}
        """Since when each is in use; of a transaction where it was begun, too."""
        most = max_size or max(min_size, DEFAULT_MAX_SIZE)
        self._pool = _Connections(
            url,
            connection_class=WatchedConnection,
            name=name,
            min_size=min_size,
            max_size=most,
            timeout=timeout_s,
            max_waiting=most * _MAX_WAITING_PER_CONNECTION,
            max_lifetime=LIFETIME_S,
            max_idle=IDLE_S,
            reconnect_timeout=PATIENCE_S,
            open=False,
            configure=_configure,
            kwargs={
                "autocommit": True,
                "connect_timeout": CONNECT_TIMEOUT_S,
                # A peer that vanished without a word is noticed by the kernel.
                "tcp_user_timeout": 4_000,
                "keepalives_idle": 10,
                "keepalives_interval": 2,
                "keepalives_count": 2,
                "application_name": name,
                # Reads prepare their statements themselves (database/exchange.py). psycopg's own keeping of
                # prepared statements would throw theirs away with every rollback.
                "prepare_threshold": None,
            },
        )

    def open(self) -> None:
        """Start filling the pool in the background; call after fork, once per process."""
        self._pool.open()

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    def limit(self, max_size: int) -> None:
        """Have at most so many connections from now on."""
        self._pool.resize(min(self._pool.min_size, max_size), max_size)

    def look_after(self, now_s: float) -> None:
        """Adapt the floor to the demand since the last look, replace what died, and report what is held for long."""
        self.measures.losses += self._pool.weed()
        peak, self._peak = self._peak, len(self._held)
        floor = self._floor.after(peak, self._pool.max_size, now_s)
        if floor != self._pool.min_size:
            self._pool.resize(floor, self._pool.max_size)
        self._pool.fill_up()
        self._report_leaks()

    @property
    def state(self) -> PoolState:
        """The pool at this moment."""
        stats = self._pool.get_stats()
        return PoolState(
            name=self.name,
            min_size=stats["pool_min"],
            max_size=stats["pool_max"],
            size=stats["pool_size"],
            in_use=len(self._held),
            waiting=stats["requests_waiting"],
        )

    @contextmanager
    def transaction(self, begin: Callable[[psycopg.Connection], None], timing: Timing) -> Iterator[psycopg.Connection]:
        """Give a connection on which `begin` has succeeded; roll back whatever is left open.

        Raises:
            psycopg.OperationalError: No connection could be had, or it was lost.
            psycopg.errors.ReadOnlySqlTransaction: The server takes no changes.
            UnavailableError: The breaker is open.
        """
        permit = self._breaker.admit()
        begun_s = time.monotonic()
        try:
            where = _where()
            connection = self._begun_on_writable(begin, timing, where)
            started = time.perf_counter()
            try:
                yield connection
            finally:
                _end(connection)
                timing.database_s += time.perf_counter() - started
                self._give_back(connection)
        except BaseException as error:
            if isinstance(error, SilenceError):
                self._drain(begun_s)
            self._breaker.settle(permit, error)
            raise
        self._breaker.settle(permit)

    def run(
        self,
        work: Callable[[psycopg.Connection], _R],
        timing: Timing,
        wait_s: float | None = None,
        *,
        anyway: bool = False,
    ) -> _R:
        """Return what `work` answers; it is called again once when its connection turns out to be dead.

        `work` must be safe to repeat: a read. It waits for a connection as long as all do, or `wait_s`. With
        `anyway` it is past the breaker, and says nothing to it.

        Raises:
            UnavailableError: The breaker is open.
        """
        if anyway:
            return self._recovering(lambda: self._attempt(work, timing, wait_s))
        return self._breaker.call(lambda: self._recovering(lambda: self._attempt(work, timing, wait_s)))

    def _recovering(self, attempt: Callable[[], _R]) -> _R:
        """Return what the attempt gives; where its connection is dead, drain the pool and try once more."""
        begun_s = time.monotonic()
        try:
            return attempt()
        except SilenceError:
            # What else the pool holds is silent, too; but a second wait would be one too many.
            self._drain(begun_s)
            raise
        except psycopg.OperationalError as error:
            if not is_connection_loss(error):
                raise
            self._drain(begun_s)
            return attempt()

    def _drain(self, since_s: float) -> bool:
        """Drain the pool unless somebody has since that moment: what it holds now is fresh."""
        self.measures.losses += 1
        if self._drained_at_s > since_s:
            return False
        self._drained_at_s = time.monotonic()
        self.measures.drains += 1
        self._pool.drain()
        return True

    def _attempt(self, work: Callable[[psycopg.Connection], _R], timing: Timing, wait_s: float | None) -> _R:
        connection = self._take(timing, wait_s)
        started = self._held[connection] = time.perf_counter()
        try:
            return work(connection)
        finally:
            timing.database_s += time.perf_counter() - started
            self._give_back(connection)

    def _begun_on_writable(
        self, begin: Callable[[psycopg.Connection], None], timing: Timing, where: list[str]
    ) -> psycopg.Connection:
        """Return a connection on which `begin` has succeeded; after a failover another server is the one for it."""
        try:
            return self._recovering(lambda: self._begun(begin, timing, where))
        except psycopg.errors.ReadOnlySqlTransaction:
            if not self._drain(time.monotonic() - READ_ONLY_PAUSE_S):
                raise
            return self._begun(begin, timing, where)

    def _begun(
        self, begin: Callable[[psycopg.Connection], None], timing: Timing, where: list[str]
    ) -> psycopg.Connection:
        connection = self._take(timing)
        self._held[connection] = _Hold(time.perf_counter(), where)
        try:
            begin(connection)
        except BaseException:
            _end(connection)
            self._give_back(connection)
            raise
        return connection

    def _take(self, timing: Timing, wait_s: float | None = None) -> psycopg.Connection:
        started = time.perf_counter()
        held = len(self._held)
        if held >= self._pool.max_size:
            self.measures.saturations += 1
        try:
            connection = self._pool.getconn(wait_s)
        except (PoolTimeout, TooManyRequests) as error:
            self.measures.timeouts += 1
            if not self._held:
                raise
            # Others have connections and get answers on them: there are too many of us, and nothing is dead.
            raise TooManyRequests(str(error)) from error
        finally:
            waited_s = time.perf_counter() - started
            timing.pool_s += waited_s
            self.measures.acquisition.observe(waited_s)
        self._peak = max(self._peak, held + 1)
        return connection

    def _give_back(self, connection: psycopg.Connection) -> None:
        hold = self._held.pop(connection)
        self.measures.use.observe(time.perf_counter() - (hold if isinstance(hold, float) else hold.since_s))
        # A broken connection is discarded and replaced by the pool itself.
        self._pool.putconn(connection)  # type: ignore[arg-type]

    def _report_leaks(self) -> None:
        now_s = time.perf_counter()
        for hold in list(self._held.values()):
            if isinstance(hold, _Hold) and not hold.is_reported and now_s - hold.since_s > LEAK_S:
                hold.is_reported = True
                self.measures.leaks += 1
                _log.warning(
                    "connection_held",
                    pool=self.name,
                    held_s=round(now_s - hold.since_s),
                    taken_at=[text.strip() for text in hold.where],
                )


def _where() -> list[str]:
    """Return the places in the code that led here, without the generators in between that are `with` blocks."""
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - what traceback itself starts from
    places: list[str] = []
    while frame is not None and len(places) < _FRAMES:
        if not frame.f_code.co_flags & CO_GENERATOR and not frame.f_code.co_filename.endswith("contextlib.py"):
            places.append(f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_qualname}")
        frame = frame.f_back
    return places


def _end(connection: psycopg.Connection) -> None:
    """Roll back what is still open; a connection that cannot even do that is closed."""
    try:
        connection.rollback()
    except psycopg.Error:
        connection.close()


def _configure(connection: psycopg.Connection) -> None:
    # JSON that Postgres built goes to the client as it is.
    set_json_loads(_as_is, connection)
    # In binary form too, the one that reads ask for, JSON is its text; this loader alone calls no Python.
    connection.adapters.register_loader("json", ByteaBinaryLoader)


def _as_is(data: str | bytes) -> bytes:
    return data if isinstance(data, bytes) else data.encode()
