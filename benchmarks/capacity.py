"""What more clients than the service can bear do to it: rising load, to the knee and far beyond.

Once with the connections of the other sections, where the processors are what runs out, and once with a
single connection a worker and little patience, where connections do. Clients that are refused come again
when they were told to, as good clients do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Final

from rich.console import Console

from benchmarks.contestants import Arena, enter_service
from benchmarks.load import drive
from benchmarks.report import table_for, target_table
from benchmarks.run import Run
from benchmarks.scenarios import MOLECULES_PATH
from benchmarks.stats import MS_PER_S, quantile
from benchmarks.targets import Verdict

PATHS: Final = (f"{MOLECULES_PATH}?limit=50",)
LEAST_SHARE: Final = 0.8
"""Of the most answers a second, that must be left at any number of clients above that of the most."""
SLACK_S: Final = 1.0
"""Beyond the patience for a connection: a worker's own queue."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How the service is set."""

    name: str
    pool_max: int
    patience_s: float

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables."""
        size = str(self.pool_max)
        return {"POOL_MIN": size, "POOL_MAX": size, "POOL_TIMEOUT_S": str(self.patience_s)}


@dataclass(frozen=True, slots=True)
class Level:
    """What happened at one number of clients."""

    clients: int
    answers_per_s: float
    p99_ms: float
    refusals_per_s: float
    refusal_p99_ms: float


@dataclass(frozen=True, slots=True)
class Ramp:
    """All levels of one setting."""

    setting: Setting
    levels: Sequence[Level]

    @property
    def best(self) -> Level:
        """The level with the most answers a second."""
        return max(self.levels, key=lambda level: level.answers_per_s)

    @property
    def verdicts(self) -> list[Verdict]:
        """Return the targets and whether they were reached."""
        beyond = [level for level in self.levels if level.clients >= self.best.clients]
        kept = min(level.answers_per_s for level in beyond) / self.best.answers_per_s
        bound_ms = (self.setting.patience_s + SLACK_S) * MS_PER_S
        slowest_ms = max(level.p99_ms for level in self.levels if level.answers_per_s)
        refusal_ms = max((level.refusal_p99_ms for level in self.levels if level.refusals_per_s), default=0.0)
        name = self.setting.name
        return [
            Verdict(f"{name}: left beyond the knee", f">= {LEAST_SHARE:g}", kept, "x", kept >= LEAST_SHARE),
            Verdict(f"{name}: p99 of answers", f"< {bound_ms:,.0f}", slowest_ms, "ms", slowest_ms < bound_ms),
            Verdict(f"{name}: p99 of refusals", f"< {bound_ms:,.0f}", refusal_ms, "ms", refusal_ms < bound_ms),
        ]


SETTINGS: Final = (Setting("10 connections a worker", 10, 4.0), Setting("1 connection a worker", 1, 0.05))
LEVELS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
QUICK_LEVELS: Final = (1, 4, 16, 64, 256)


def measure(run: Run) -> list[Ramp]:
    """Return a ramp for each setting.

    Raises:
        LoadError: The service gave an answer that is neither 200 nor a refusal that says when to come again.
    """
    levels, seconds = (QUICK_LEVELS, 2.0) if run.quick else (LEVELS, 4.0)
    return measure_ramps(run.arena(with_molecules=True), levels, seconds, run.say)


def measure_ramps(arena: Arena, levels: Sequence[int], seconds: float, say: Callable[[str], None]) -> list[Ramp]:
    """Return a ramp for each setting, on the molecules that there are."""
    return [_ramp(arena, setting, levels, seconds, say) for setting in SETTINGS]


def _ramp(arena: Arena, setting: Setting, levels: Sequence[int], seconds: float, say: Callable[[str], None]) -> Ramp:
    with ExitStack() as stack:
        server = enter_service(stack, arena, setting.environment)
        requests = [server.request(path) for path in PATHS]
        found = []
        for clients in levels:
            say(f"{setting.name}, {clients} clients")
            pids = server.worker_pids
            load = drive(server.port, requests, clients=clients, seconds=seconds, worker_pids=pids, may_be_refused=True)
            found.append(
                Level(
                    clients,
                    len(load.latencies_s) / seconds,
                    quantile(sorted(load.latencies_s), 0.99) * MS_PER_S,
                    len(load.refusals_s) / seconds,
                    quantile(sorted(load.refusals_s), 0.99) * MS_PER_S,
                )
            )
        return Ramp(setting, found)


def to_json(ramps: Sequence[Ramp]) -> list[dict[str, object]]:
    """Return the ramps as what a JSON document holds; null where there is no figure."""
    return [
        {
            "setting": asdict(ramp.setting),
            "levels": [_without_nan(asdict(level)) for level in ramp.levels],
            "targets": [asdict(verdict) for verdict in ramp.verdicts],
        }
        for ramp in ramps
    ]


def _without_nan(figures: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(figure) else figure for name, figure in figures.items()}


def print_tables(ramps: Sequence[Ramp], console: Console) -> None:
    """Print the ramps for a person; targets that were missed are marked."""
    for ramp in ramps:
        table = table_for(console, ramp.setting.name, "answers/s", "p99 ms", "refusals/s", "their p99 ms")
        for level in ramp.levels:
            table.add_row(
                f"{level.clients} clients",
                f"{level.answers_per_s:,.0f}",
                f"{level.p99_ms:.1f}",
                f"{level.refusals_per_s:,.1f}",
                f"{level.refusal_p99_ms:.1f}" if level.refusals_per_s else "",
            )
        console.print(table)
    console.print(target_table([verdict for ramp in ramps for verdict in ramp.verdicts], console))
