"""`cryoprotect bench`: the service, its peers and the limit, measured side by side.

The harness and the peers lie beside the package, in `benchmarks/`, and need what developers install; the options are
its own. This process becomes theirs: nothing of the command stays between a signal and the servers to be stopped.
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


@click.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def bench(options: tuple[str, ...]) -> None:
    """Measure this service, its peers and the limit side by side; `bench --help` says what."""
    if not (ROOT / "benchmarks" / "__main__.py").is_file():
        _give_up("the benchmark runs from a checkout of the project, and this is an installed package")
    missing = [name for name in ("asyncpg", "fastapi", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        _give_up(f"the peers need {', '.join(missing)}: run `make bench`, which installs what developers use")
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", "benchmarks", *options])  # noqa: S606 - our own words, no shell


def _give_up(sentence: str) -> NoReturn:
    click.echo(f"bench: {sentence}", err=True)
    raise SystemExit(WRONG_USE)
