"""What the service must reach, and whether it did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.contestants import NAIVE, PEER, PGBENCH, SERVICE
from benchmarks.probes import DEEP_PAGE, DeepPage, Stream
from benchmarks.scenarios import GET_ONE, LIST_50, Scenario
from benchmarks.stats import Round, ratio

BYTES_PER_MB: Final = 1_000_000
MOST_DEEP_PAGE_COST: Final = 1.2
MOST_STREAM_MB: Final = 150


@dataclass(frozen=True, slots=True)
class Cell:
    """One scenario at one number of clients: everybody's rounds, by name."""

    scenario: Scenario
    clients: int
    rounds: dict[str, list[Round]]

    @property
    def name(self) -> str:
        """What was asked, and by how many."""
        return f"{self.scenario.name}, {self.clients} client{'' if self.clients == 1 else 's'}"

    def ratio_to(self, name: str) -> float:
        """Return the service's answers a second as a multiple of another's."""
        return ratio(self.rounds[SERVICE], self.rounds[name])


@dataclass(frozen=True, slots=True)
class Target:
    """A multiple of another's answers a second that the service must reach."""

    scenario: Scenario
    against: str
    at_least: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target, what was measured, and whether that reaches it."""

    name: str
    wanted: str
    measured: float
    unit: str
    met: bool


TARGETS: Final = (
    Target(GET_ONE, PEER, 1.0),
    Target(GET_ONE, PGBENCH, 0.15),
    Target(LIST_50, PEER, 1.2),
    Target(LIST_50, NAIVE, 3.0),
    Target(LIST_50, PGBENCH, 0.6),
)


def judge(cells: Sequence[Cell], deep: DeepPage, stream: Stream) -> list[Verdict]:
    """Return a verdict for every target and every number of clients it was measured with."""
    peak_mb = stream.peak_rss_bytes / BYTES_PER_MB
    return [
        *(verdict for target in TARGETS for verdict in _judge_ratios(target, cells)),
        Verdict(
            f"page {DEEP_PAGE:,} beside page 1",
            f"<= {MOST_DEEP_PAGE_COST:g}",
            deep.cost,
            "x",
            deep.cost <= MOST_DEEP_PAGE_COST,
        ),
        Verdict(
            f"worker's peak memory after NDJSON of {stream.rows:,}",
            f"< {MOST_STREAM_MB}",
            peak_mb,
            "MB",
            peak_mb < MOST_STREAM_MB,
        ),
    ]


def _judge_ratios(target: Target, cells: Sequence[Cell]) -> Iterator[Verdict]:
    for cell in cells:
        if cell.scenario is target.scenario and target.against in cell.rounds:
            reached = cell.ratio_to(target.against)
            yield Verdict(
                f"{cell.name}, beside {target.against}",
                f">= {target.at_least:g}",
                reached,
                "x",
                reached >= target.at_least,
            )
