"""Things that are handed out one at a time, strictly first come, first served.

A lock or a queue from the standard library lets a thread that has just given something back take it again before
the one that waits has woken up. Here the thing goes straight to whoever waits longest, so that a batch which
comes back for more, turn after turn, stands behind every single request each time.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from app.errors import UnavailableError

_T = TypeVar("_T")


class _Waiter(Generic[_T]):
    def __init__(self) -> None:
        self.served = threading.Event()
        self.thing: _T | None = None


class Turns(Generic[_T]):
    """Hands out a fixed set of things."""

    def __init__(self, things: Iterable[_T]) -> None:
        self._free = list(things)
        self._waiting: deque[_Waiter[_T]] = deque()
        self._lock = threading.Lock()

    @contextmanager
    def turn(self, longest_wait_s: float) -> Iterator[_T]:
        """Give one of the things for the length of the block.

        Raises:
            UnavailableError: The others kept everything for too long.
        """
        thing = self._take(longest_wait_s)
        try:
            yield thing
        finally:
            self._give_back(thing)

    def _take(self, longest_wait_s: float) -> _T:
        with self._lock:
            if self._free:
                return self._free.pop()
            waiter = _Waiter[_T]()
            self._waiting.append(waiter)
        try:
            waiter.served.wait(longest_wait_s)
        except BaseException:
            # A greenlet can be ended while it waits; what it was handed meanwhile goes on to the next.
            thing = self._withdraw(waiter)
            if thing is not None:
                self._give_back(thing)
            raise
        thing = self._withdraw(waiter)
        if thing is None:
            raise UnavailableError("All chemistry processes are busy.", retry_after_s=round(longest_wait_s))
        return thing

    def _withdraw(self, waiter: _Waiter[_T]) -> _T | None:
        with self._lock:
            if waiter.thing is None:
                self._waiting.remove(waiter)
            return waiter.thing

    def _give_back(self, thing: _T) -> None:
        with self._lock:
            if not self._waiting:
                self._free.append(thing)
                return
            waiter = self._waiting.popleft()
            waiter.thing = thing
            waiter.served.set()
