"""Standbys that answer reads.

A standby is behind the primary by a moment, or by more. So each read asks it, in the same round trip and
before anything else, how far it has come: an answer from before the position that the reader must find is
thrown away, and the primary answers. So it is with whatever else goes wrong there. Once a second each is
asked by itself, so that no request has to find out whether one is back.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import psycopg
import structlog

from app.breaker import Breaker, Rules, State
from app.domain.callers import ANON, Caller
from app.errors import UnavailableError
from database.errors import is_outage
from database.exchange import Parameters, Row
from database.pool import Pool, Timing
from database.positions import Course, Positions
from database.sizing import USABLE_CONNECTIONS_SQL

Statements = Sequence[tuple[str, Parameters]]
Send = Callable[[Pool, psycopg.Connection, Caller, Statements], list[list[Row]]]
"""Carries out a caller's statements on a connection of a pool."""

REPLAYED_SQL: Final = """
SELECT CASE WHEN pg_is_in_recovery() THEN (pg_last_wal_replay_lsn() - '0/0'::pg_lsn)::int8 ELSE -1 END
"""
"""A standby that was promoted has come nowhere: its history is not the primary's any more."""
POSITION_SQL: Final = """
SELECT here - CASE
        WHEN mod(here, pg_size_bytes(current_setting('wal_segment_size'))) = 40 THEN 40
        WHEN mod(here, current_setting('wal_block_size')::int8) = 24 THEN 24
        ELSE 0
    END
FROM (SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::int8 AS here) AS log
"""
"""Of what was inserted and not of what was flushed, which a commit need not wait for.

That is where the next record begins. Where a page or a segment is full it lies behind the next one's header,
and a standby that has replayed all there is ends before it.
"""
DEFAULT_MAX_LAG_S: Final = 10.0
INTERVAL_S: Final = 1.0
RECHECK_S: Final = 0.2
"""A standby that was found behind is not tried more often than this."""
WAIT_S: Final = 0.25
"""For a connection; the primary is there to be asked."""
RULES: Final = Rules(window_s=1.0, min_volume=1, failed_share=0.1)
"""Opens early: what is refused here is answered elsewhere."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """A standby at this moment."""

    name: str
    reason: str | None
    """Why it is not used, if it is not."""
    answered: int
    passed_on: int
    """Reads that it was asked for and the primary answered."""
    lag_s: float
    """Since the moment whose state it is known to have; what it has not been asked about, it is not known to have."""


class Replica:
    """One standby, with a pool and a breaker of its own."""

    def __init__(self, pool: Pool, breaker: Breaker, send: Send, share: Callable[[int], int] | None) -> None:
        """Watch a pool's server; `share` says how many of its connections this process may have."""
        self.pool = pool
        self._share = share
        self._usable = 0
        self._send = send
        self.answered = 0
        self.passed_on = 0
        self._breaker = breaker
        self._replayed = 0
        self._seen_at_s = 0.0
        self._state_s = time.monotonic()

    def may_answer(self, position: int) -> bool:
        """Return whether it is worth asking for what was there at a position."""
        if self._breaker.state is not State.CLOSED:
            return False
        return self._replayed >= position or time.monotonic() - self._seen_at_s >= RECHECK_S

    def read(self, caller: Caller, statements: Statements, position: int, timing: Timing) -> list[list[Row]] | None:
        """Return the rows of each statement as they are at a position or later; None where the primary must be asked.

        Raises:
            psycopg.errors.QueryCanceled: It took too long, and would there, too.
        """
        try:
            (said,), *answers = self._ask(caller, [(REPLAYED_SQL, {}), *statements], timing, WAIT_S)
        except psycopg.errors.QueryCanceled:
            raise
        except (psycopg.Error, UnavailableError) as error:
            # Conflicts with what is replayed, a schema that is not there yet, and all that breaks.
            self.passed_on += 1
            _log.info("replica_failed", pool=self.pool.state.name, cause=type(error).__name__)
            return None
        self._saw(said[0])
        if self._replayed < position:
            self.passed_on += 1
            return None
        self.answered += 1
        return answers

    def look(self, course: Course) -> None:
        """Ask how far it has come and what it can take; where its breaker is open, this is the probe."""
        with suppress(psycopg.Error, UnavailableError):
            ((said,), (usable,)) = self._ask(
                ANON, [(REPLAYED_SQL, {}), (USABLE_CONNECTIONS_SQL, {})], Timing(), INTERVAL_S
            )
            self._saw(said[0])
            state_s = course.state_s(said[0], self._seen_at_s)
            self._state_s = max(self._state_s, state_s or 0.0)
            if self._share is not None and usable[0] != self._usable:
                self._usable = usable[0]
                self.pool.limit(self._share(usable[0]))

    def state(self, floor: int) -> ReplicaState:
        """Return how it is, where everybody must find what was there at `floor`."""
        reason = None
        if self._breaker.state is not State.CLOSED:
            reason = "does not answer"
        elif self._replayed < floor:
            reason = "is behind" if self._replayed >= 0 else "is no standby"
        lag_s = round(time.monotonic() - self._state_s, 3)
        return ReplicaState(self.pool.name, reason, self.answered, self.passed_on, lag_s)

    def _ask(self, caller: Caller, statements: Statements, timing: Timing, wait_s: float) -> list[list[Row]]:
        return self.pool.run(lambda connection: self._send(self.pool, connection, caller, statements), timing, wait_s)

    def _saw(self, replayed: int) -> None:
        self._replayed, self._seen_at_s = replayed, time.monotonic()


class Replicas:
    """All standbys, asked in turn."""

    def __init__(self, replicas: Sequence[Replica], max_lag_s: float) -> None:
        self.all = tuple(replicas)
        self.positions = Positions(max_lag_s)
        self._course = Course()
        self._turns = itertools.count()
        self._closed = threading.Event()

    def choose(self, position: int) -> Replica | None:
        """Return the next that may answer; None where only the primary can."""
        position = max(position, self.positions.floor)
        first = next(self._turns)
        for offset in range(len(self.all)):
            replica = self.all[(first + offset) % len(self.all)]
            if replica.may_answer(position):
                return replica
        return None

    def open(self, ask_primary: Callable[[], int]) -> None:
        """Begin to watch; `ask_primary` returns its position now, or raises UnavailableError."""
        self._start("position", lambda: self._sample(ask_primary()))
        for replica in self.all:
            self._start("replica", partial(replica.look, self._course))

    def close(self) -> None:
        """End the watch."""
        self._closed.set()

    def _sample(self, position: int) -> None:
        now_s = time.monotonic()
        self.positions.sample(position, now_s)
        self._course.sample(position, now_s)

    def _start(self, name: str, work: Callable[[], None]) -> None:
        threading.Thread(target=self._every_second, args=(work,), name=name, daemon=True).start()

    def _every_second(self, work: Callable[[], None]) -> None:
        while not self._closed.is_set():
            try:
                work()
            except UnavailableError:
                pass
            except Exception as error:  # noqa: BLE001 - whatever it is, there is another look in a second
                _log.warning("replicas_not_looked_after", cause=type(error).__name__)
            self._closed.wait(INTERVAL_S)


def breaker(name: str) -> Breaker:
    """Return the breaker of one standby."""
    return Breaker(name, counts=_is_unusable, rules=RULES)


def _is_unusable(error: Exception) -> bool:
    """Return whether a standby cannot be used: it does not answer, or has not the schema of this version."""
    state = error.sqlstate if isinstance(error, psycopg.Error) else None
    return is_outage(error) or (state is not None and state.startswith("42"))
