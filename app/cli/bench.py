"""`cryoprotect bench`: the service, its peers and the limit, measured side by side.

The harness and the peers lie beside the package, in `benchmarks/`, and need what developers install.
This process becomes theirs: nothing of the command stays between a signal and the servers to be stopped.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Final, NoReturn

import click

ROOT: Final = Path(__file__).resolve().parents[2]
WRONG_USE: Final = 2


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
@click.option(
    "--quick", is_flag=True, help="Only what has a target, fewer and shorter rounds: two minutes instead of eight."
)
@click.option(
    "--only",
    type=click.Choice(["service", "security", "imports"]),
    help="Measure one section: the service, row-level security, or (not measured otherwise) imports.",
)
def bench(*, as_json: bool, quick: bool, only: str | None) -> None:
    """Measure this service, its peers and the limit side by side, and what row-level security costs.

    Targets that are missed are marked; the exit status is 0 all the same, and 2 where it cannot run.
    """
    if not (ROOT / "benchmarks" / "__main__.py").is_file():
        _give_up("the benchmark runs from a checkout of the project, and this is an installed package")
    missing = [name for name in ("asyncpg", "fastapi", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        _give_up(f"the peers need {', '.join(missing)}: run `make bench`, which installs what developers use")
    options = [*(["--json"] if as_json else []), *(["--quick"] if quick else []), *(["--only", only] if only else [])]
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", "benchmarks", *options])  # noqa: S606 - our own words, no shell


def _give_up(sentence: str) -> NoReturn:
    click.echo(f"bench: {sentence}", err=True)
    raise SystemExit(WRONG_USE)
