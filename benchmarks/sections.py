"""What a run can measure, each section with the figures that it gives and how they are shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console

from benchmarks import capacity, imports, imports_report, includes, predictions, report, security_report, toxicity
from benchmarks.run import Run
from benchmarks.science.report import measure_science, print_lines
from benchmarks.security import SecurityReport, measure_security
from benchmarks.security_data import SIZES
from benchmarks.service import measure_service


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a run."""

    name: str
    measure: Callable[[Run], Any]
    to_json: Callable[[Any], object]
    print_tables: Callable[[Any, Console], None]
    by_default: bool = True
    """Measured where nothing else is asked for."""


def _security(run: Run) -> SecurityReport:
    arena = run.arena(with_molecules=True)
    sizes, rounds = (SIZES[:2], 15) if run.quick else (SIZES, 40)
    return measure_security(arena.admin_url, arena.secret, sizes, rounds, run.say)


def _includes(run: Run) -> list[includes.Comparison]:
    arena = run.arena(with_molecules=False)
    return includes.measure_includes(arena.admin_url, arena.secret, 10 if run.quick else 30, run.say)


def _toxicity(run: Run) -> toxicity.ToxicityReport:
    rounds, seconds = (2, 1) if run.quick else (3, 3)
    return toxicity.measure_toxicity(run.arena(with_molecules=False), rounds, seconds, run.say)


def _imports(run: Run) -> imports.ImportsReport:
    run.alone()
    return imports.measure_imports(run.data, imports.QUICK_PLAN if run.quick else imports.FULL_PLAN, run.say)


SECTIONS: Final = (
    Section("service", measure_service, report.to_json, report.print_tables),
    Section("security", _security, security_report.to_json, security_report.print_tables),
    Section("includes", _includes, includes.to_json, includes.print_tables),
    Section("toxicity", _toxicity, toxicity.to_json, toxicity.print_tables),
    Section(
        "predictions",
        lambda run: predictions.measure_predictions(7, run.say),
        predictions.to_json,
        predictions.print_tables,
    ),
    Section("imports", _imports, imports_report.to_json, imports_report.print_tables, by_default=False),
    Section("capacity", capacity.measure, capacity.to_json, capacity.print_tables, by_default=False),
    Section("science", lambda run: measure_science(run.say), list, print_lines, by_default=False),
)
