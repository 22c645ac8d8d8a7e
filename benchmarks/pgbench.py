"""The limit: pgbench sends the service's own statements, with nothing around them.

It logs in as the service's request role and sends preamble and query in one pipeline without BEGIN and
COMMIT, exactly as the service does: what it reaches is what this machine's Postgres can give to any
server, in whatever language, that does the same protected work.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from benchmarks.stats import US_PER_S, Round, summarize
from database.cluster import programs
from database.urls import public_url

LATENCY_SAMPLE: Final = 0.2
"""Share of the transactions whose latency pgbench writes down."""
_TPS: Final = re.compile(r"^tps = ([0-9.]+) \(without initial connection time\)$", re.MULTILINE)


class PgbenchError(Exception):
    """pgbench ended with an error."""


@dataclass(frozen=True, slots=True)
class Script:
    """What pgbench sends for one scenario; `variables` are strings or numbers that stay the same."""

    text: str
    variables: Mapping[str, str] = field(default_factory=dict)


def find_pgbench() -> Path | None:
    """Return a pgbench: the embedded server's own, else any on this machine."""
    on_path = shutil.which("pgbench")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"), reverse=True)
    candidates = [programs() / "pgbench", *([Path(on_path)] if on_path else []), *installed]
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def run(binary: Path, url: str, script: Script, *, clients: int, seconds: int) -> Round:
    """Return what pgbench reached with `clients` connections in `seconds`.

    Raises:
        PgbenchError: It failed, or some of its transactions did.
    """
    with tempfile.TemporaryDirectory(prefix="cryoprotect-pgbench-") as folder:
        file = Path(folder) / "script.sql"
        file.write_text(script.text, encoding="utf-8")
        finished = subprocess.run(
            [str(binary), *_options(script, file, clients, seconds), public_url(url)],
            cwd=folder,
            env=os.environ | {"PGPASSWORD": urlsplit(url).password or ""},
            capture_output=True,
            text=True,
            check=False,
        )
        per_second = _TPS.search(finished.stdout)
        if finished.returncode != 0 or per_second is None:
            msg = f"pgbench failed: {finished.stderr.strip() or finished.stdout.strip()}"
            raise PgbenchError(msg)
        return Round(float(per_second[1]), *_latencies(sorted(Path(folder).glob("latency.*"))))


def _options(script: Script, file: Path, clients: int, seconds: int) -> Sequence[str]:
    threads = min(clients, os.cpu_count() or 1)
    options = ["-n", "-M", "prepared", "-c", str(clients), "-j", str(threads), "-T", str(seconds), "-f", str(file)]
    options += ["-l", "--log-prefix=latency", f"--sampling-rate={LATENCY_SAMPLE}"]
    for name, value in script.variables.items():
        options += ["-D", f"{name}={value}"]
    return options


def _latencies(logs: Sequence[Path]) -> tuple[float, float]:
    lines = (line.split() for log in logs for line in log.read_text(encoding="ascii").splitlines())
    figures = summarize([int(columns[2]) / US_PER_S for columns in lines], seconds=1.0)
    return figures.median_ms, figures.p99_ms
