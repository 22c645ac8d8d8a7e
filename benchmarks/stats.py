"""Medians over interleaved rounds, and ratios between contestants.

One round may be unlucky; the median of several that alternate between the contestants is not moved by
it, nor by a machine that grows slower while the run lasts. A ratio is a median of ratios, each taken
within one round, for the same reason.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MS_PER_S: Final = 1_000.0
US_PER_S: Final = 1_000_000.0


@dataclass(frozen=True, slots=True)
class Round:
    """One contestant's figures in one round."""

    per_second: float
    median_ms: float
    p99_ms: float
    processor_ms: float | None = None
    """Processor time of the server's workers for one answer: a figure that other load on the machine moves little."""
    generator_cores: float = 0.0
    """Share of one core that the load generator used; 0 where it is not ours."""


def summarize(latencies_s: Sequence[float], seconds: float) -> Round:
    """Return the figures of one round."""
    ordered = sorted(latencies_s)
    return Round(
        per_second=len(ordered) / seconds,
        median_ms=quantile(ordered, 0.5) * MS_PER_S,
        p99_ms=quantile(ordered, 0.99) * MS_PER_S,
    )


def quantile(ordered: Sequence[float], fraction: float) -> float:
    """Return the value below which `fraction` of the ascending values lie; NaN for none."""
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))]


def median_round(rounds: Sequence[Round]) -> Round:
    """Return the median of each figure over the rounds."""
    known = [one.processor_ms for one in rounds if one.processor_ms is not None]
    return Round(
        per_second=statistics.median(one.per_second for one in rounds),
        median_ms=statistics.median(one.median_ms for one in rounds),
        p99_ms=statistics.median(one.p99_ms for one in rounds),
        processor_ms=statistics.median(known) if known else None,
        generator_cores=statistics.median(one.generator_cores for one in rounds),
    )


def ratio(rounds: Sequence[Round], others: Sequence[Round]) -> float:
    """Return how many times the others' answers a second were given, as the median over the rounds."""
    return statistics.median(
        one.per_second / other.per_second for one, other in zip(rounds, others, strict=True) if other.per_second
    )
