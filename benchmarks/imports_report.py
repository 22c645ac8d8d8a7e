"""How imports go, as tables for people and as JSON for machines."""

from __future__ import annotations

from dataclasses import asdict

from rich.console import Console

from benchmarks.imports import ALL_RECORDS, ImportsReport
from benchmarks.report import table_for, target_table
from benchmarks.targets import BYTES_PER_MB


def to_json(report: ImportsReport) -> dict[str, object]:
    """Return the report as what a JSON document holds."""
    return {**asdict(report), "targets": [asdict(one) for one in report.verdicts]}


def print_tables(report: ImportsReport, console: Console) -> None:
    """Print the report for a person; targets that were missed are marked."""
    console.print(
        "Imports: the same records by bare chemistry and by an import, in turns; processor time of all processes. "
        f"Load before: {report.load_before:.1f}."
    )
    rates = table_for(console, "round", "chemistry/s", "import/s", "ratio", "chemistry us", "import us")
    for number, one in enumerate(report.rounds, start=1):
        ratio = one.import_per_second / one.chemistry_per_second
        rates.add_row(
            str(number),
            *(f"{value:,.0f}" for value in (one.chemistry_per_second, one.import_per_second)),
            f"{ratio:.2f}",
            *(f"{value:,.0f}" for value in (one.chemistry_us, one.import_us)),
        )
    console.print(rates)
    pages = table_for(console, "page of", "records", "bytes a page", "reading us", "chemistry us")
    for page in report.pages:
        figures = (page.records, page.page_bytes, page.reading_us, page.chemistry_us)
        pages.add_row(page.service, *(f"{figure:,.0f}" for figure in figures))
    console.print(pages)
    found = report.long
    console.print(
        f"{found.records:,} records: {found.seconds:,.0f} s, {found.records / found.seconds:,.0f} a second "
        f"({ALL_RECORDS:,} at this rate: {ALL_RECORDS * found.seconds / found.records / 60:.1f} min); "
        f"tables {found.table_bytes / BYTES_PER_MB:,.0f} MB, indexes {found.index_bytes / BYTES_PER_MB:,.0f} MB; "
        f"again: {found.second_seconds:.1f} s, {found.second_added} added."
    )
    memory = table_for(console, "process", "peak MB, first half", "second half")
    for name, peaks in found.memory_mb.items():
        memory.add_row(name, *(f"{peak:,.0f}" for peak in peaks))
    console.print(memory)
    disturbed = table_for(console, "disturbed by", "times", "records", "result")
    for trial in report.disturbed:
        result = "the same, row for row" if trial.same else "DIFFERENT"
        disturbed.add_row(trial.how, str(trial.times), f"{trial.records:,}", result)
    console.print(disturbed)
    console.print(target_table(report.verdicts, console))
