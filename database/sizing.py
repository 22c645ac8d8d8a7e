"""How many connections a process keeps: the most from the server, the fewest from what is asked for.

The server has a number of connections for everybody. A share of it is the service's, divided among its
workers and, in each, between the pool of requests and that of the service role. Below that ceiling a pool
grows by itself; its floor, which stays open through quiet seconds, follows the demand that was measured:
up at once, down only after it has been low for a while.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

USABLE_CONNECTIONS_SQL: Final = """
SELECT current_setting('max_connections')::int
    - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true)::int, 0)
"""
DEFAULT_SHARE: Final = 0.75
DEFAULT_MAX_SIZE: Final = 10
"""Until the server was asked, and behind a transaction pooler, which has numbers of its own."""
SERVICE_PART: Final = 4
"""One connection in so many is the service role's."""
HEADROOM: Final = 1.25
LOW_SHARE: Final = 0.5
LOW_FOR_S: Final = 30.0


def shares(usable: int, share: float, workers: int) -> tuple[int, int]:
    """Return the most connections of one worker's request and service pools, at least one each."""
    of_worker = int(usable * share) // workers
    service = max(1, of_worker // SERVICE_PART)
    return max(1, of_worker - service), service


@dataclass(slots=True)
class Floor:
    """The number of connections that a pool keeps open, between `least` and the pool's most."""

    least: int
    _now: int = 0
    _low_since_s: float | None = None

    def after(self, peak: int, most: int, now_s: float) -> int:
        """Return the floor after a while in which at most `peak` connections were wanted at once."""
        wanted = max(self.least, min(most, math.ceil(peak * HEADROOM)))
        floor = min(max(self._now, self.least), most)
        if wanted > floor:
            floor, self._low_since_s = wanted, None
        elif wanted > floor * LOW_SHARE:
            self._low_since_s = None
        elif self._low_since_s is None:
            self._low_since_s = now_s
        elif now_s - self._low_since_s >= LOW_FOR_S:
            floor, self._low_since_s = wanted, None
        self._now = floor
        return floor
