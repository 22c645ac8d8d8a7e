"""One run: database, servers, interleaved rounds, report (`cryoprotect bench`, or `python -m benchmarks`)."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import ExitStack
from typing import Final, NoReturn

import click
from rich.console import Console

from app.errors import CryoProtectError
from benchmarks.dataset import DataError
from benchmarks.load import LoadError
from benchmarks.pgbench import PgbenchError
from benchmarks.processes import PROC, StartError
from benchmarks.report import console_for_output
from benchmarks.run import Run
from benchmarks.sections import SECTIONS

WRONG_USE: Final = 2
RUN_ERRORS: Final = (CryoProtectError, DataError, LoadError, PgbenchError, StartError)
_BY_NAME: Final = {section.name: section for section in SECTIONS}


@click.command(name="bench")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
@click.option(
    "--quick", is_flag=True, help="Only what has a target, fewer and shorter rounds: two minutes instead of eight."
)
@click.option("--only", type=click.Choice(list(_BY_NAME)), help="Measure one section.")
@click.option("--science", "only", flag_value="science", help="--only science: the models beside measured values.")
@click.option("--load", "only", flag_value="capacity", help="--only capacity: rising load, to saturation and beyond.")
def main(*, as_json: bool, quick: bool, only: str | None) -> None:
    """Measure the service, its peers and the limit side by side.

    Targets that are missed are marked; the exit status is 0 all the same, and 2 where it cannot run.
    """
    notes = Console(stderr=True, highlight=False)
    signal.signal(signal.SIGTERM, _stop)
    if not PROC.joinpath("self", "status").is_file():
        _give_up("the benchmark reads /proc and runs on Linux only")
    chosen = [_BY_NAME[only]] if only else [section for section in SECTIONS if section.by_default]
    try:
        with ExitStack() as stack:
            run = Run(stack, lambda text: notes.print(text, style="dim"), quick=quick, load_before=os.getloadavg()[0])
            results = [(section, section.measure(run)) for section in chosen]
    except RUN_ERRORS as error:
        _give_up(str(error))
    if as_json:
        click.echo(json.dumps({section.name: section.to_json(result) for section, result in results}, indent=2))
        return
    console = console_for_output()
    for section, result in results:
        section.print_tables(result, console)


def _give_up(sentence: str) -> NoReturn:
    click.echo(f"bench: {sentence}", err=True)
    raise SystemExit(WRONG_USE)


def _stop(*_: object) -> NoReturn:
    # An exit like any other, so that every server that was started is ended.
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
