"""`cryoprotect bench`: the service, its peers and the limit, measured side by side.

The harness and the peers lie beside the package, in `benchmarks/`, and need what developers install.
It runs as a process of its own, whose imports and signals are not those of the command.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Final, NoReturn

import click

ROOT: Final = Path(__file__).resolve().parents[2]
WRONG_USE: Final = 2


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
@click.option(
    "--quick", is_flag=True, help="Only what has a target, fewer and shorter rounds: 90 seconds instead of six minutes."
)
def bench(*, as_json: bool, quick: bool) -> int:
    """Measure this service, its peers and the limit side by side, on 100,000 real molecules.

    Targets that are missed are marked; the exit status is 0 all the same, and 2 where it cannot run.
    """
    if not (ROOT / "benchmarks" / "__main__.py").is_file():
        _give_up("the benchmark runs from a checkout of the project, and this is an installed package")
    missing = [name for name in ("asyncpg", "fastapi", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        _give_up(f"the peers need {', '.join(missing)}: run `make bench`, which installs what developers use")
    options = [*(["--json"] if as_json else []), *(["--quick"] if quick else [])]
    command = [sys.executable, "-m", "benchmarks", *options]
    with subprocess.Popen(command, cwd=ROOT) as process:
        return _wait(process)


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Return the benchmark's status; at Ctrl-C it stops its servers first."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def _give_up(sentence: str) -> NoReturn:
    click.echo(f"bench: {sentence}", err=True)
    raise SystemExit(WRONG_USE)
