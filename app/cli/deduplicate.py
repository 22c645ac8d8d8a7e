"""`cryoprotect db deduplicate`: takes out what is stored twice, and tells what it left for somebody to look at.

A table on a terminal, plain lines elsewhere, or one JSON object.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Final

import click
import orjson
from rich.console import Console
from rich.table import Table
from stamina.instrumentation import get_on_retry_hooks, set_on_retry_hooks

from app.cli.running import current_database
from app.domain.callers import SERVICE
from app.services.maintenance import refresh_summary_soon
from config import Settings
from database.maintenance.deduplicate.run import Choice, Report, TableReport
from database.maintenance.deduplicate.run import deduplicate as run

CONFLICTS_LEFT: Final = 1
SHOWN: Final = 50
"""Conflicts, and as many parents, that are listed one by one; JSON has them all."""
_INCHIKEY: Final = re.compile(r"[A-Z]{14}-[A-Z]{10}-[A-Z]", re.ASCII)
_COLUMNS: Final = ("table", "looked at", "groups", "removed", "references moved", "conflicts")


class _InchiKey(click.ParamType[str]):
    """An InChIKey."""

    name = "inchikey"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not _INCHIKEY.fullmatch(value):
            self.fail(f"{value!r} is no InChIKey", param, ctx)
        return value


@click.command()
@click.option("--dry-run", is_flag=True, help="Do everything, report it, and undo it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--by-parent", is_flag=True, help="List molecules that are forms of one parent: salts, hydrates.")
@click.option(
    "--parent", "parents", type=_InchiKey(), multiple=True, help="Make all forms of this parent one; repeatable."
)
@click.option(
    "--window-days",
    type=click.IntRange(0, 36_500),
    default=30,
    show_default=True,
    help="Toxicity values without a record of their source are repeats within so many days.",
)
def deduplicate(*, dry_run: bool, as_json: bool, by_parent: bool, parents: tuple[str, ...], window_days: int) -> None:
    """Take out what is stored twice: molecules, identifiers, properties, experiments, predictions, toxicity results.

    The best of each group stays: verified before unverified, then what says more, then what is newer. References
    move to it. The exit status is 1 where conflicts were left.
    """
    choice = Choice(dry_run=dry_run, by_parent=by_parent, parents=parents, window_days=window_days)
    with current_database(Settings.from_environment(), _note) as database, _retries_told():
        report = run(database, choice)
        if report.changed:
            with database.transaction(SERVICE) as session:
                refresh_summary_soon(session)
    if as_json:
        click.echo(orjson.dumps(asdict(report)))
    else:
        _show(report)
    if report.conflicts:
        raise SystemExit(CONFLICTS_LEFT)


@contextmanager
def _retries_told() -> Iterator[None]:
    """Tell of retries on standard error for as long as the block: the logs' own place is standard output here."""
    before = get_on_retry_hooks()
    set_on_retry_hooks([lambda retry: _note(f"another writer was in the way: trying again in {retry.wait_for:.1f} s")])
    try:
        yield
    finally:
        set_on_retry_hooks(before)


def _show(report: Report) -> None:
    console = Console()
    if console.is_terminal:
        table = Table(title="What a run would do" if report.dry_run else "What was done")
        for number, column in enumerate(_COLUMNS):
            table.add_column(column, justify="right" if number else "left")
        for row in report.tables:
            table.add_row(row.table, *map(_number, _figures(row)))
        console.print(table)
    else:
        for row in report.tables:
            figures = (f"{_number(n)} {what}" for n, what in zip(_figures(row), _COLUMNS[1:], strict=True))
            click.echo(f"{row.table}: {', '.join(figures)}")
    for conflict in report.conflicts[:SHOWN]:
        records = " ".join(filter(None, (conflict.label, *map(str, conflict.records))))
        click.echo(f"conflict in {conflict.table}: {records}: {conflict.reason}")
    _tell_of_more(len(report.conflicts), "conflicts")
    for group in report.parents[:SHOWN]:
        click.echo(f"forms of {group.label}: {' '.join(map(str, group.ids))}")
    _tell_of_more(len(report.parents), "parents")
    if report.dry_run:
        click.echo("undone: this was a dry run")
    else:
        click.echo(f"in the audit log: {report.request_id}" if report.changed else "nothing was changed")


def _figures(row: TableReport) -> tuple[int | None, ...]:
    return (row.looked_at, row.groups, row.removed, row.moved, row.conflicts)


def _number(figure: int | None) -> str:
    return "-" if figure is None else f"{figure:,}"


def _tell_of_more(count: int, what: str) -> None:
    if count > SHOWN:
        click.echo(f"and {count - SHOWN:,} more {what}: --json lists all")


def _note(sentence: str) -> None:
    click.echo(sentence, err=True)
