"""`pytest --pooler`: the service's statements pass through PgBouncer in transaction mode, as many clusters have it.

Fewer connections than the service opens lead to the server, so that each transaction may get another backend.
Arranging and looking behind the policies goes past the pooler, as migrations do.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit, urlunsplit

import pytest

from database.unprivileged import launcher_for
from database.urls import DatabaseUrls

SETTINGS: Final = Path(__file__).resolve().parents[2] / "deploy" / "pgbouncer" / "settings.ini"
BACKENDS: Final = 2
TIMEOUT_S: Final = 20.0
DEFAULT_PORT: Final = 5432


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption("--pooler", action="store_true", help="send the service's statements through PgBouncer")


@pytest.fixture(scope="session")
def with_pooler(request: pytest.FixtureRequest) -> bool:
    """Whether the service's statements pass through the pooler."""
    return bool(request.config.getoption("--pooler"))


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def wait_for(port: int) -> None:
    """Return when something listens on the port."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline_s, f"nothing listens on port {port}"
            time.sleep(0.05)
        else:
            return


@contextmanager
def through_pooler(urls: DatabaseUrls, folder: Path) -> Iterator[DatabaseUrls]:
    """Give the same URLs, those of the service by way of a pooler of their own."""
    program = shutil.which("pgbouncer")
    if program is None:
        pytest.skip("PgBouncer is not installed; .ci/run installs it")
    parts, port = urlsplit(urls.admin), free_port()
    host = (parse_qs(parts.query).get("host") or [parts.hostname or "localhost"])[0]
    folder.joinpath("userlist.txt").write_text(f'"{parts.username}" "{parts.password or ""}"\n')
    folder.joinpath("pgbouncer.ini").write_text(
        f"[databases]\n"
        f"* = host={host} port={parts.port or DEFAULT_PORT} auth_user={parts.username}\n"
        f"[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_file = {folder / 'userlist.txt'}\n"
        f"%include {SETTINGS}\n"
        f"default_pool_size = {BACKENDS}\nreserve_pool_size = 0\n"
    )
    before = launcher_for(folder, Path(program)).prefix
    with (folder / "pgbouncer.log").open("wb") as log:
        process = subprocess.Popen([*before, program, folder / "pgbouncer.ini"], stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(port)
        yield replace(urls, request=_at(urls.request, port), service=_at(urls.service, port))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(TIMEOUT_S)


def _at(url: str, port: int) -> str:
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{port}", query=""))
