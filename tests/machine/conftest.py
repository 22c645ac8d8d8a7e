"""`cryoprotect serve` as a process of its own: started, asked, killed, and looked for afterwards."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import requests

from database.unprivileged import launcher_for

ROOT = Path(__file__).resolve().parents[2]
READY = re.compile(r"CryoProtect is ready at (http://\S+)")
TIMEOUT_S = 60
POSTGRES_15 = Path("/usr/lib/postgresql/15/bin")
PASSWORD = "pa55word-of-a-test"


class Serving:
    """One `serve`, with what it prints kept in a file."""

    def __init__(
        self, folder: Path, output: Path, settings: Mapping[str, str], before: Sequence[str], options: Sequence[str]
    ) -> None:
        self.folder = folder
        self.output = output
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_", "SUPABASE_"))},
            "CRYOPROTECT_DATA_DIR": str(folder),
            "PORT": "0",
            "WEB_CONCURRENCY": "2",
            **settings,
        }
        with output.open("wb") as file:
            self.process = subprocess.Popen(
                # Under nohup the tests' own processes ignore SIGHUP, and hand that on.
                [*before, "env", "--default-signal=HUP", sys.executable, "-m", "app.cli.main", "serve", *options],
                cwd=ROOT,
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def url(self) -> str:
        """Return the service's URL, once it says that it is ready."""
        deadline = time.monotonic() + TIMEOUT_S
        while not (found := READY.search(self.said)):
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)
        return found[1]

    def get(self, path: str) -> requests.Response:
        return requests.get(f"{self.url()}{path}", timeout=TIMEOUT_S)

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal and return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=TIMEOUT_S)

    def processes(self) -> list[psutil.Process]:
        """Return all processes that work for this folder: `serve`, web server, chemistry, database."""
        found = [process for process in psutil.process_iter() if self._is_ours(process)]
        for process in tuple(found):
            # Chemistry is told nothing of the folder; its parents are.
            with suppress(psutil.NoSuchProcess):
                found += process.children(recursive=True)
        return list(set(found))

    def wait_until_gone(self, processes: Sequence[psutil.Process]) -> None:
        _, alive = psutil.wait_procs(processes, timeout=TIMEOUT_S)
        assert alive == []

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                return False
            asked = process.environ().get("CRYOPROTECT_DATA_DIR") == str(self.folder)
            return asked or process.cwd() == str(self.folder / "postgres")
        except psutil.Error:
            return False


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Give a service that runs for all tests that only ask."""
    base = tmp_path_factory.mktemp("shared")
    serving = Serving(base / "data", base / "output.txt", {}, (), ())
    serving.url()
    yield serving
    serving.stop()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Serving]]:
    """Give a starter of services, which takes settings by name."""
    started: list[Serving] = []

    def start(
        folder: Path | None = None, *, before: Sequence[str] = (), options: Sequence[str] = (), **settings: str
    ) -> Serving:
        output = tmp_path / f"output-{len(started)}.txt"
        started.append(Serving(folder or tmp_path / "data", output, settings, before, options))
        return started[-1]

    yield start
    for serving in started:
        serving.stop(signal.SIGTERM)
        for process in serving.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.fixture(scope="module")
def made_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a data folder that was served from once: migrated and seeded."""
    base = tmp_path_factory.mktemp("served")
    serving = Serving(base / "data", base / "output.txt", {}, (), ())
    serving.url()
    assert serving.stop() == 0, serving.said
    return base / "data"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def postgres_15(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the superuser's URL of a PostgreSQL 15 that asks for a password."""
    if not POSTGRES_15.is_dir():
        pytest.skip("PostgreSQL 15 is not installed; .ci/run installs it")
    folder = tmp_path_factory.mktemp("postgres15")
    cluster, password = folder / "data", folder / "password"
    cluster.mkdir(mode=0o700)
    password.write_text(PASSWORD)
    before = launcher_for(cluster, POSTGRES_15 / "postgres").prefix
    init = ["--username=postgres", f"--pwfile={password}", "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync"]
    subprocess.run([*before, POSTGRES_15 / "initdb", "-D", cluster, *init], check=True, capture_output=True)
    port = free_port()
    settings = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": "", "fsync": "off"}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*before, POSTGRES_15 / "postgres", "-D", cluster, *options], stdout=log, stderr=subprocess.STDOUT
        )
    wait_for(port)
    yield f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/postgres"
    server.send_signal(signal.SIGINT)
    server.wait(timeout=TIMEOUT_S)


def wait_for(port: int) -> None:
    """Return when something listens on the port."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline, f"nothing listens on port {port}"
            time.sleep(0.05)
        else:
            return
