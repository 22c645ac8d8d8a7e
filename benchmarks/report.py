"""What a run found of the service: tables for people, JSON for machines."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.contestants import POOL_SIZE, SERVICE, WORKERS
from benchmarks.dataset import MOLECULES, VISIBLE_MOLECULES
from benchmarks.probes import DeepPage, Stream
from benchmarks.stats import Round, median_round
from benchmarks.targets import BYTES_PER_MB, Cell, Verdict, judge

PLAIN_WIDTH: Final = 110
QUIET_LOAD: Final = 0.5


@dataclass(frozen=True, slots=True)
class Report:
    """All figures of one run."""

    server_version: str
    rounds: int
    seconds: int
    load_before: float
    """The machine's load average of one minute, before anything was started."""
    cells: Sequence[Cell]
    deep: DeepPage
    stream: Stream

    @property
    def verdicts(self) -> list[Verdict]:
        """The targets and whether they were reached."""
        return judge(self.cells, self.deep, self.stream)

    @property
    def generator_cores(self) -> float:
        """The largest share of a core that the load generator took."""
        return max(one.generator_cores for cell in self.cells for rounds in cell.rounds.values() for one in rounds)


def to_json(report: Report) -> dict[str, object]:
    """Return the report as what a JSON document holds."""
    return {
        "machine": {
            "cores": os.cpu_count(),
            "processor": platform.machine(),
            "python": platform.python_version(),
            "postgres": report.server_version,
            "load_average_before": report.load_before,
        },
        "method": {
            "rounds": report.rounds,
            "seconds": report.seconds,
            "workers": WORKERS,
            "connections_per_worker": POOL_SIZE,
            "molecules": MOLECULES,
            "visible_molecules": VISIBLE_MOLECULES,
            "generator_cores_at_most": round(report.generator_cores, 3),
        },
        "scenarios": [_cell_json(cell) for cell in report.cells],
        "deep_page": {"first_ms": _median_ms(report.deep.first), "deep_ms": _median_ms(report.deep.deep)},
        "stream": asdict(report.stream),
        "targets": [asdict(verdict) for verdict in report.verdicts],
    }


def print_tables(report: Report, console: Console) -> None:
    """Print the report for a person; targets that were missed are marked."""
    console.print(
        f"{VISIBLE_MOLECULES:,} visible of {MOLECULES:,} molecules, row-level security on, PostgreSQL "
        f"{report.server_version}, {os.cpu_count()} cores, {WORKERS} workers each, medians of {report.rounds} "
        f"interleaved rounds of {report.seconds} s; the load generator took at most "
        f"{report.generator_cores:.2f} of a core."
    )
    if report.load_before > QUIET_LOAD:
        console.print(
            f"Other work ran on this machine (load average {report.load_before:.1f} before the start): "
            "of these figures trust the processor times.",
            style="yellow",
        )
    console.print(_scenario_table(report.cells, console))
    console.print(_probe_lines(report))
    console.print(target_table(report.verdicts, console))


def console_for_output() -> Console:
    """Return the console that prints to stdout: with colours on a terminal, plain elsewhere."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PLAIN_WIDTH, color_system=None)


def _scenario_table(cells: Sequence[Cell], console: Console) -> Table:
    table = table_for(console, "", "answers/s", "median ms", "p99 ms", "cpu ms", "service is")
    for cell in cells:
        table.add_row(cell.name, style="bold")
        for name, rounds in cell.rounds.items():
            table.add_row(f"  {name}", *_figures(median_round(rounds)), _ratio(cell, name))
        table.add_section()
    return table


def _figures(middle: Round) -> tuple[str, str, str, str]:
    processor = "" if middle.processor_ms is None else f"{middle.processor_ms:.2f}"
    return f"{middle.per_second:,.0f}", f"{middle.median_ms:.2f}", f"{middle.p99_ms:.2f}", processor


def _ratio(cell: Cell, name: str) -> str:
    return "" if name == SERVICE else f"{cell.ratio_to(name):.2f} x"


def _probe_lines(report: Report) -> str:
    stream = report.stream
    return (
        f"page 1: {_median_ms(report.deep.first):.2f} ms, page 10,000: {_median_ms(report.deep.deep):.2f} ms "
        f"(10 records each)\n"
        f"NDJSON: {stream.rows:,} molecules in {stream.seconds:.1f} s, {stream.rows / stream.seconds:,.0f} rows/s, "
        f"{stream.received_bytes / stream.seconds / BYTES_PER_MB:.1f} MB/s, worker's peak memory "
        f"{stream.peak_rss_before_bytes / BYTES_PER_MB:.0f} MB before and "
        f"{stream.peak_rss_bytes / BYTES_PER_MB:.0f} MB after"
    )


def target_table(verdicts: Sequence[Verdict], console: Console) -> Table:
    """Return the targets with what was measured; those that were missed are marked."""
    table = table_for(console, "target", "wanted", "measured", "")
    for verdict in verdicts:
        measured = f"{verdict.measured:.2f} {verdict.unit}"
        style = "green" if verdict.met else "red bold"
        table.add_row(verdict.name, verdict.wanted, measured, "reached" if verdict.met else "MISSED", style=style)
    return table


def table_for(console: Console, first: str, *others: str) -> Table:
    """Return an empty table whose columns after the first hold figures."""
    table = Table(first, box=box.SIMPLE_HEAD if console.is_terminal else box.ASCII2)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _median_ms(rounds: Sequence[Round]) -> float:
    return median_round(rounds).median_ms


def _cell_json(cell: Cell) -> dict[str, object]:
    return {
        "scenario": cell.scenario.name,
        "clients": cell.clients,
        "contestants": {
            name: {
                **asdict(median_round(rounds)),
                "per_second_by_round": [round(one.per_second, 1) for one in rounds],
                "service_ratio": round(cell.ratio_to(name), 4),
            }
            for name, rounds in cell.rounds.items()
        },
    }
