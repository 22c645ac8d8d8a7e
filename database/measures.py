"""What one pool has been through since its process began: counters, and times in histograms.

Plain numbers, for they are counted with every read. In gevent's workers nothing comes between the halves
of an increment; a thread may now and then lose one, which a monitor does not notice.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import structlog

BOUNDS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
SLOW_S: Final = 0.1
"""A request's statement that takes longer is named in the log. One of `BOUNDS_S`, so that the histograms tell, too."""
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Histogram:
    """How many times were no longer than each of `BOUNDS_S`; the last count is of those beyond all."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    sum_s: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count a time."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum_s += seconds

    @property
    def count(self) -> int:
        """How many times there were."""
        return sum(self.counts)

    def quantile_s(self, share: float) -> float | None:
        """Return the bound that so large a share of the times kept; None without any, or beyond all bounds."""
        wanted, seen = share * self.count, 0
        for bound, count in zip(BOUNDS_S, self.counts, strict=False):
            seen += count
            if seen and seen >= wanted:
                return bound
        return None


@dataclass(slots=True)
class Measures:
    """Counts of one pool."""

    slow_s: float = SLOW_S
    """A statement that takes longer is named in the log."""
    acquisition: Histogram = field(default_factory=Histogram)
    """Seconds until a connection was had, or was not."""
    use: Histogram = field(default_factory=Histogram)
    """Seconds that it was held."""
    saturations: int = 0
    """A connection was wanted while all that may be were in use."""
    timeouts: int = 0
    """None was had in time, or the queue was full."""
    losses: int = 0
    """A connection turned out to be dead, read-only where it should write, or silent."""
    drains: int = 0
    leaks: int = 0
    """A transaction was open for too long; the log says where it began."""
    statements: defaultdict[str, Histogram] = field(default_factory=lambda: defaultdict(Histogram))
    """By name, or by the names of those that were sent together: seconds until their answer was there."""
    on_statement: Callable[[str, float], None] | None = None
    """Told each statement's name and seconds, where its answer was waited for."""

    def count_statement(self, name: str, seconds: float) -> None:
        """Count a statement, and name it in the log where it was slow; what it was sent with stays unsaid."""
        self.statements[name].observe(seconds)
        if self.on_statement is not None:
            self.on_statement(name, seconds)
        if seconds > self.slow_s:
            _log.warning("slow_statement", statement=name, took_ms=round(seconds * 1000))

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Count what is inside as a statement of that name, however it ends."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.count_statement(name, time.perf_counter() - started)


@dataclass(frozen=True, slots=True)
class PoolState:
    """A pool at this moment, in connections and in waiting requests."""

    name: str
    min_size: int
    max_size: int
    size: int
    in_use: int
    waiting: int

    @property
    def saturated(self) -> bool:
        """Whether the next request would have to wait."""
        return self.in_use >= self.max_size or self.waiting > 0
