"""What row-level security costs, as a table for people and as JSON for machines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.report import table_for, target_table
from benchmarks.security import PER_ROW, POLICIES, UNBOUND, VARIANTS, Price, SecurityReport
from benchmarks.security_data import PROJECTS, TEAMS
from benchmarks.targets import BYTES_PER_MB

PLACES: Final = 4


def to_json(report: SecurityReport) -> dict[str, object]:
    """Return the report as what a JSON document holds; null where the server gave up."""
    return {
        "rounds": report.rounds,
        "teams": TEAMS,
        "projects": PROJECTS,
        "prices": [_price_json(price) for price in report.prices],
        "unused_indexes": [asdict(index) for index in report.unused_indexes],
        "targets": [asdict(one) | {"measured": _finite(one.measured)} for one in report.verdicts],
    }


def print_tables(report: SecurityReport, console: Console) -> None:
    """Print the report for a person; targets that were missed are marked."""
    console.print(
        f"The price of row-level security: whole transactions of a member of four of {TEAMS} teams, {PROJECTS} "
        f"projects, half of the molecules public; medians in ms of {report.rounds} interleaved rounds."
    )
    table = table_for(console, "", "molecules", *(variant.name for variant in VARIANTS), "price", "gain")
    for price in report.prices:
        table.add_row(*_cells(price))
    console.print(table)
    console.print(_index_table(report, console))
    console.print(target_table(report.verdicts, console))


def _cells(price: Price) -> Sequence[str]:
    times = [_ms(price.median_ms(variant)) for variant in VARIANTS]
    cost, gain = price.ratio(POLICIES, UNBOUND), price.ratio(PER_ROW, POLICIES)
    return price.question.name, f"{price.size:,}", *times, f"{cost:.2f} x", f"{gain:.1f} x"


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.2f}" if math.isfinite(milliseconds) else "too long"


def _index_table(report: SecurityReport, console: Console) -> Table:
    table = table_for(console, "index that no list or look-up scanned", "MB", "holds")
    for index in report.unused_indexes:
        table.add_row(index.name, f"{index.size_bytes / BYTES_PER_MB:.1f}", index.holds or "nothing")
    return table


def _price_json(price: Price) -> dict[str, object]:
    return {
        "question": price.question.name,
        "molecules": price.size,
        "median_ms": {variant.name: _finite(price.median_ms(variant)) for variant in VARIANTS},
        "price": _finite(price.ratio(POLICIES, UNBOUND)),
        "gain": _finite(price.ratio(PER_ROW, POLICIES)),
    }


def _finite(number: float) -> float | None:
    return round(number, PLACES) if math.isfinite(number) else None
