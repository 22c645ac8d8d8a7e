"""A PostgreSQL server of a test's own, of any version on this machine, whose roles a test may make and drop."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psycopg
import pytest

from database.cluster import ENVIRONMENT
from database.unprivileged import launcher_for

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 60.0
# The superuser is let in; everybody else has to prove who they are, as on a server that is not ours.
ACCESS_RULES: Final = "local all postgres trust\nlocal all all scram-sha-256\n"
SETTINGS: Final = {
    "listen_addresses": "",
    "port": "5432",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "40",
}


@contextmanager
def private_server(programs: Path) -> Iterator[str]:
    """Give the superuser's URL of a fresh server, stopped and removed at the end."""
    # A short path: a socket's may have 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    data = folder / "data"
    data.mkdir(mode=0o700)
    launcher = launcher_for(data, programs / "postgres")
    launcher.hand_over(folder)
    launcher.hand_over(data)
    command = [*launcher.prefix, str(programs / "initdb"), f"--pgdata={data}", "--username=postgres"]
    subprocess.run(
        [*command, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"],
        check=True,
        capture_output=True,
        env=ENVIRONMENT,
    )
    (data / "pg_hba.conf").write_text(ACCESS_RULES, encoding="ascii")
    settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
    command = [*launcher.prefix, str(programs / "postgres"), "-D", str(data), "-k", str(folder), *settings]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=ENVIRONMENT)
    url = f"postgresql://postgres@localhost/postgres?host={quote(str(folder))}"
    try:
        _wait(url, process, folder / "log")
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(STOP_TIMEOUT_S)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"PostgreSQL did not start: {log.read_text(errors='replace')[-2000:]}")
