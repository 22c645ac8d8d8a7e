"""How far a standby must have come to answer a reader.

A position is a place in the primary's log, in bytes from its beginning. A caller's own last change must be
there, and everybody finds what was there `max_lag_s` ago; both are one number, and a standby that has
replayed as much is as good as the primary. When it is asked, and not by a clock: a standby may stop
replaying at any time.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict, deque
from typing import Final

MAX_CALLERS: Final = 10_000
MAX_SEEN: Final = 3600
"""An hour of a busy primary, seen once a second; of what was before, less and less is kept."""
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


class Course:
    """Where the primary was seen at what moment, which makes seconds of a standby's position.

    The clock is this process's own: neither server's has to be right, and an idle primary puts nobody behind.
    """

    def __init__(self) -> None:
        self._seen: list[tuple[int, float]] = []
        """Each position, with the last moment at which the primary was there."""

    def sample(self, position: int, now_s: float) -> None:
        """Remember where the primary was at a moment."""
        seen = self._seen
        if seen and position < seen[-1][0]:
            # After a failover that lost changes the log is another.
            seen = []
        if seen and position == seen[-1][0]:
            seen[-1] = (position, now_s)
        else:
            seen.append((position, now_s))
        # Others may be reading the list: it is replaced, and never shortened.
        self._seen = seen[-1::-2][::-1] if len(seen) > MAX_SEEN else seen

    def state_s(self, replayed: int, seen_s: float) -> float | None:
        """Return the moment whose state a standby had that was seen at `seen_s` to have replayed so much.

        None where that is from before the first sample, or where it is no standby.
        """
        seen = self._seen
        newest = seen[-1][0] if seen else 0
        if replayed >= newest:
            return seen_s
        index = bisect_right(seen, replayed, key=lambda sample: sample[0])
        return min(seen[index - 1][1], seen_s) if index else None
