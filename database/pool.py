"""The pooled connection wrapper: bounded waiting, and recovery when every backend has died.

No check on checkout: with all backends gone, a pool that checks makes its callers wait for each dead
connection in turn. The first statement of a transaction is the probe; when it finds its connection
dead, the pool is drained once and the transaction starts again on a fresh connection. Nothing has run
by then, so nothing can run twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import psycopg
from psycopg.types.json import set_json_loads
from psycopg.types.string import ByteaBinaryLoader
from psycopg_pool import ConnectionPool

from database.errors import is_connection_loss

_R = TypeVar("_R")
_MAX_WAITING_PER_CONNECTION = 50


@dataclass(slots=True)
class Timing:
    """Seconds that one request spent waiting for a connection and inside the database."""

    pool_s: float = 0.0
    database_s: float = 0.0


class Pool:
    """Connections of one login role."""

    def __init__(  # noqa: PLR0913 - by name
        self, url: str, *, name: str, min_size: int, max_size: int, timeout_s: float, transaction_pooler: bool
    ) -> None:
        # A transaction pooler gives every transaction another backend: nothing can stay prepared.
        self.prepares = not transaction_pooler
        self._pool: ConnectionPool[psycopg.Connection] = ConnectionPool(
            url,
            name=name,
            min_size=min_size,
            max_size=max_size,
            timeout=timeout_s,
            max_waiting=max_size * _MAX_WAITING_PER_CONNECTION,
            open=False,
            configure=_configure,
            kwargs={
                "autocommit": True,
                "connect_timeout": 5,
                # A peer that vanished without a word is noticed by the kernel.
                "tcp_user_timeout": 30_000,
                "keepalives_idle": 30,
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

    @contextmanager
    def transaction(self, begin: Callable[[psycopg.Connection], None], timing: Timing) -> Iterator[psycopg.Connection]:
        """Give a connection on which `begin` has succeeded; roll back whatever is left open.

        Raises:
            psycopg.OperationalError: No connection could be had, or it was lost.
        """
        connection = self._recovering(lambda: self._begun(begin, timing))
        started = time.perf_counter()
        try:
            yield connection
        finally:
            _end(connection)
            timing.database_s += time.perf_counter() - started
            self._give_back(connection)

    def run(self, work: Callable[[psycopg.Connection], _R], timing: Timing, wait_s: float | None = None) -> _R:
        """Return what `work` answers; it is called again once when its connection turns out to be dead.

        `work` must be safe to repeat: a read. It waits for a connection as long as all do, or `wait_s`.
        """
        return self._recovering(lambda: self._attempt(work, timing, wait_s))

    def _recovering(self, attempt: Callable[[], _R]) -> _R:
        """Return what the attempt gives; where its connection is dead, drain the pool and try once more."""
        try:
            return attempt()
        except psycopg.OperationalError as error:
            if not is_connection_loss(error):
                raise
            self._pool.drain()
            return attempt()

    def _attempt(self, work: Callable[[psycopg.Connection], _R], timing: Timing, wait_s: float | None) -> _R:
        connection = self._take(timing, wait_s)
        started = time.perf_counter()
        try:
            return work(connection)
        finally:
            timing.database_s += time.perf_counter() - started
            self._give_back(connection)

    def _begun(self, begin: Callable[[psycopg.Connection], None], timing: Timing) -> psycopg.Connection:
        connection = self._take(timing)
        try:
            begin(connection)
        except BaseException:
            _end(connection)
            self._give_back(connection)
            raise
        return connection

    def _take(self, timing: Timing, wait_s: float | None = None) -> psycopg.Connection:
        started = time.perf_counter()
        try:
            return self._pool.getconn(wait_s)
        finally:
            timing.pool_s += time.perf_counter() - started

    def _give_back(self, connection: psycopg.Connection) -> None:
        # A broken connection is discarded and replaced by the pool itself.
        self._pool.putconn(connection)


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
