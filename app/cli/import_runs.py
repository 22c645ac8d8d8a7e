"""A run that the command carries out itself: placed, waited for, worked on, shown and reported."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from typing import Final
from uuid import UUID

import click
import structlog
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from app.cli.running import open_database, running_database, urls_of, with_secret
from app.domain.callers import SERVICE
from app.errors import UnavailableError
from app.importers import pipeline
from app.importers.pipeline import ImportReport, OnProgress, run_import
from app.services.chemistry import ChemistryPool
from config import Settings
from database import migrate
from database.repositories.imports import LEASE_S, ImportRepository, Run
from database.repositories.provenance import ImportFault
from database.session import Database, WriteSession

SHOWN_ERRORS: Final = 5
_NICENESS: Final = 10
_SLOW_S: Final = 5.0
"""A page of a thousand records is slow by nature; what takes longer than this waits for somebody."""
_LINE_EVERY_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Wanted:
    """An import to carry out."""

    what: str
    """What it is of, as the bar and its lines call it."""
    place: Callable[[WriteSession], UUID]
    """Gives the id of its run, in a transaction of the service role."""
    index: str = "record"
    """What the number of a record counts."""


def carry_out(wanted: Wanted, *, as_json: bool) -> None:
    """Work on an import until it ends, and print how it went; the process ends with 1 where it did not go well."""
    given = Settings.from_environment()
    _configure_logging(given.log_level)
    with (
        running_database(with_secret(given), _note) as settings,
        open_database(settings, slow_s=_SLOW_S) as database,
    ):
        _prepare(settings)
        report, faults = _import(database, settings, wanted)
    click.echo(_as_json(report, faults) if as_json else _as_text(report, faults, wanted.index))
    stored = report.counts.added + report.counts.existing
    if report.state != "finished" or (report.counts.refused and not stored):
        sys.exit(1)


def _configure_logging(level: str) -> None:
    """Write lines for people; standard output is the report's."""
    if not structlog.is_configured():
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(level),
            # Looked up for each line: while there is a bar, this is what writes above it.
            logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        )


def _prepare(settings: Settings) -> None:
    """Bring the service's own database to the newest revision; of another one, that is its administrator's to say."""
    urls = urls_of(settings)
    if Settings.from_environment().embedded:
        migrate.upgrade(urls, secret=settings.shared_secret)
    revision = migrate.current(urls)
    if revision != migrate.head():
        msg = f"the database is at {revision or 'base'}, this needs {migrate.head()}: run `cryoprotect db upgrade`"
        raise UnavailableError(msg)


def _import(database: Database, settings: Settings, wanted: Wanted) -> tuple[ImportReport, list[ImportFault]]:
    with database.transaction(SERVICE) as session:
        run_id = wanted.place(session)
        imports = ImportRepository(session)
        if imports.get(run_id).state in {"failed", "cancelled"}:
            imports.retry(run_id)
    run = _free(database, run_id)
    report = ImportReport(run_id, run.state, run.counts, run.failure, run.working_s)
    if run.state == "finished":
        _note(f"{wanted.what} is imported already; nothing is to be done")
    elif run.lease_left_s:
        _note(f"another process is importing {wanted.what}")
    else:
        chemistry = ChemistryPool(
            max(settings.chemistry_processes, os.cpu_count() or 1),
            settings.chemistry_time_limit_s,
            settings.chemistry_memory_limit_mib,
            # An import has all night; who reads meanwhile has not.
            niceness=_NICENESS,
        )
        with closing(chemistry), _shown(wanted.what, sum(asdict(run.counts).values())) as on_progress:
            report = run_import(database, chemistry, run_id, on_progress=on_progress)
    with database.transaction(SERVICE) as session:
        return report, ImportRepository(session).errors(run_id, SHOWN_ERRORS)


def _free(database: Database, run_id: UUID) -> Run:
    """Return the run when nobody has its lease, or as it is when somebody renews it."""
    patience_until_s = time.monotonic() + LEASE_S + 2 * _LOOK_EVERY_S
    said = False
    while True:
        with database.transaction(SERVICE) as session:
            run = ImportRepository(session).get(run_id)
        if run.state != "running" or not run.lease_left_s or time.monotonic() > patience_until_s:
            return run
        if not said:
            _note(f"another process has this import, and its lease for {run.lease_left_s:.0f} s: waiting")
            said = True
        time.sleep(_LOOK_EVERY_S)


@contextmanager
def _shown(name: str, done_before: int) -> Iterator[OnProgress]:
    console = Console(stderr=True)
    with _bar(name, console) if console.is_terminal else _lines(name, done_before) as on_progress:
        yield on_progress


@contextmanager
def _bar(name: str, console: Console) -> Iterator[OnProgress]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(name, total=1.0, said="")

        def show(progress: pipeline.Progress) -> None:
            bar.update(task, completed=progress.done_fraction or 0.0, said=_counted(progress))

        yield show


@contextmanager
def _lines(name: str, done_before: int) -> Iterator[OnProgress]:
    started_s = said_s = time.monotonic()

    def show(progress: pipeline.Progress) -> None:
        nonlocal said_s
        now_s = time.monotonic()
        if now_s - said_s < _LINE_EVERY_S:
            return
        said_s = now_s
        rate = (progress.counts.total - done_before) / (now_s - started_s)
        done = "" if progress.done_fraction is None else f"{progress.done_fraction:.0%}, "
        _note(f"{name}: {done}{_counted(progress)}, {rate:,.0f}/s")

    yield show


def _counted(progress: pipeline.Progress) -> str:
    counts = progress.counts
    return f"{counts.added:,} added, {counts.existing:,} existing, {counts.refused:,} refused"


def _as_json(report: ImportReport, faults: list[ImportFault]) -> str:
    return json.dumps({**asdict(report), "first_errors": [asdict(fault) for fault in faults]}, default=str)


def _as_text(report: ImportReport, faults: list[ImportFault], index: str) -> str:
    counts = report.counts
    rows = [
        f"Import {report.run_id}: {report.state}{f': {report.failure}' if report.failure else ''}",
        f"  added     {counts.added:>12,}",
        f"  existing  {counts.existing:>12,}",
        f"  refused   {counts.refused:>12,}",
    ]
    if report.working_s:
        rows.append(
            f"  worked    {report.working_s:>12,.1f} s, {counts.total / report.working_s:,.0f} records a second"
        )
    rows.extend(f"  {index} {fault.index}: {fault.reason}" for fault in faults)
    if counts.refused > len(faults):
        rows.append(f"  and {counts.refused - len(faults):,} more, in import_errors")
    return "\n".join(rows)


def _note(text: str) -> None:
    click.echo(text, err=True)
