"""A circuit breaker: while a dependency does not answer, nobody waits for it, and one at a time finds out.

Closed, all calls go through and their outcomes are counted over a short window. When enough of them
failed it opens, and calls are refused at once. After a pause one call is let through as a probe; what it
finds closes the breaker or opens it again. A probe that never reports, because whoever made it died, has
a deadline of its own.

A permit is the number of the generation in which it was given, and each change of state begins another:
an answer that comes late speaks of another time, and changes nothing.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeVar

import structlog

from app.errors import UnavailableError

_R = TypeVar("_R")
_SLOTS: Final = 10
_log = structlog.get_logger(__name__)


class State(Enum):
    """What the breaker does with a call: let it through, refuse it, refuse all but the probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Rules:
    """When a breaker opens and when it tries again."""

    window_s: float = 3.0
    """Short: a dependency that dies after a busy time must not be outvoted for long by what went well before."""
    min_volume: int = 5
    failed_share: float = 0.5
    pause_s: float = 1.0
    """Between opening and the first probe, and after each probe that failed."""
    probe_s: float = 10.0
    """After this the next call is the probe: nothing more is expected of the last one."""


class Breaker:
    """The breaker of one dependency, shared by the threads or greenlets of one process."""

    def __init__(
        self,
        name: str,
        *,
        counts: Callable[[Exception], bool],
        rules: Rules | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Guard `name`; `counts` tells an error of the dependency from one that it answered with."""
        self.name = name
        self.transitions = dict.fromkeys(State, 0)
        """How often it took on each state."""
        self.refused = 0
        self._counts = counts
        self.rules = rules or Rules()
        self._clock = clock
        self._lock = threading.Lock()
        self._state = State.CLOSED
        self._generation = 0
        self._probe_at_s = 0.0
        self._slots: deque[list[int]] = deque()
        """Number, successes and failures of each slot of the window."""

    @property
    def state(self) -> State:
        """What the breaker does with calls now."""
        return self._state

    def call(self, work: Callable[[], _R]) -> _R:
        """Return what `work` returns.

        Raises:
            UnavailableError: The breaker is open.
        """
        permit = self.admit()
        try:
            answer = work()
        except BaseException as error:
            self.settle(permit, error)
            raise
        self.settle(permit)
        return answer

    def admit(self) -> int:
        """Return a permit, for `settle`.

        Raises:
            UnavailableError: The breaker is open; it says when the next probe is due.
        """
        with self._lock:
            if self._state is State.CLOSED:
                return self._generation
            now_s = self._clock()
            left_s = self._probe_at_s - now_s
            if left_s <= 0:
                self._become(State.HALF_OPEN, now_s + self.rules.probe_s)
                return self._generation
            self.refused += 1
        msg = f"the {self.name} does not answer right now"
        raise UnavailableError(msg, retry_after_s=max(1, math.ceil(left_s)), code=f"{self.name}_unavailable")

    def settle(self, permit: int, error: BaseException | None = None) -> None:
        """Take notice of how a call ended; one that was broken off from outside says nothing."""
        if error is None:
            self._succeed(permit)
        elif not isinstance(error, Exception):
            self._abandon(permit)
        elif self._counts(error):
            self._fail(permit)
        else:
            self._succeed(permit)

    def _succeed(self, permit: int) -> None:
        with self._lock:
            if permit != self._generation:
                return
            if self._state is State.CLOSED:
                self._slot()[1] += 1
                return
            self._become(State.CLOSED, 0.0)
        _log.warning("breaker_closed", dependency=self.name)

    def _fail(self, permit: int) -> None:
        with self._lock:
            if permit != self._generation:
                return
            if self._state is State.CLOSED:
                self._slot()[2] += 1
                if not self._failed_enough():
                    return
            self._become(State.OPEN, self._clock() + self.rules.pause_s)
        _log.warning("breaker_open", dependency=self.name)

    def _abandon(self, permit: int) -> None:
        with self._lock:
            if permit == self._generation and self._state is State.HALF_OPEN:
                # The next call may probe at once.
                self._become(State.OPEN, self._clock())

    def _become(self, state: State, probe_at_s: float) -> None:
        self._state = state
        self.transitions[state] += 1
        self._probe_at_s = probe_at_s
        self._generation += 1
        self._slots.clear()

    def _slot(self) -> list[int]:
        number = int(self._clock() * _SLOTS / self.rules.window_s)
        slots = self._slots
        if not slots or slots[-1][0] != number:
            slots.append([number, 0, 0])
            while slots[0][0] <= number - _SLOTS:
                slots.popleft()
        return slots[-1]

    def _failed_enough(self) -> bool:
        failed = sum(slot[2] for slot in self._slots)
        total = failed + sum(slot[1] for slot in self._slots)
        return total >= self.rules.min_volume and failed >= total * self.rules.failed_share
