"""How far a standby must have come to answer a reader.

A position is a place in the primary's log, in bytes from its beginning. A caller's own last change must be
there, and everybody finds what was there `max_lag_s` ago; both are one number, and a standby that has
replayed as much is as good as the primary. When it is asked, and not by a clock: a standby may stop
replaying at any time.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from typing import Final

MAX_CALLERS: Final = 10_000
UNKNOWN: Final = 2**63 - 1
"""Farther than any standby comes."""


class Positions:
    """The positions that matter to one process."""

    def __init__(self, max_lag_s: float) -> None:
        self._max_lag_s = max_lag_s
        self._lock = threading.Lock()
        self._floor = 0
        self._samples: deque[tuple[float, int]] = deque()
        self._changes: OrderedDict[str, int] = OrderedDict()
        self._unsure: dict[str, int] = {}
        """After how many more samples the last change is surely before one; the next may be under way."""

    def note(self, caller: str, position: int | None) -> None:
        """Remember where a caller's last change stands; None where nobody said."""
        with self._lock:
            if position is None:
                self._unsure[caller] = 2
            else:
                self._change(caller, position)

    def sample(self, position: int, now_s: float) -> None:
        """Remember where the primary was at a moment."""
        with self._lock:
            if not self._floor:
                # Nothing is known of before; what was there at the start is asked of all.
                self._raise_floor(position)
            self._samples.append((now_s, position))
            for caller, left in list(self._unsure.items()):
                self._unsure[caller] = left - 1
                if left == 1:
                    del self._unsure[caller]
                    self._change(caller, position)
            while self._samples[0][0] < now_s - self._max_lag_s:
                self._raise_floor(self._samples.popleft()[1])

    def of(self, caller: str) -> int:
        """Return where the caller's last change stands; 0 where every standby in use has it."""
        return UNKNOWN if caller in self._unsure else self._changes.get(caller, 0)

    @property
    def floor(self) -> int:
        """What every reader finds. It stays where it is while the primary cannot be asked."""
        return self._floor

    def _change(self, caller: str, position: int) -> None:
        self._changes[caller] = max(position, self._changes.pop(caller, 0))
        if len(self._changes) > MAX_CALLERS:
            # Whoever is forgotten finds the change all the same: from now on everybody does.
            self._raise_floor(self._changes.popitem(last=False)[1])

    def _raise_floor(self, position: int) -> None:
        self._floor = max(self._floor, position)
        for caller in [name for name, changed in self._changes.items() if changed <= self._floor]:
            del self._changes[caller]
