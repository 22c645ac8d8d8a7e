"""The same faults before gunicorn's workers, where waiting is gevent's and one blocked call would block all."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import requests

from tests.faults.clients import Clients, HttpCaller
from tests.faults.conftest import POLYMERS, Server
from tests.faults.history import OK
from tests.faults.proxy import FaultyNetwork
from tests.faults.test_matrix import AFTER_S, ANSWER_S, NAMES_SQL
from tests.plugins.database import SECRET

pytestmark = pytest.mark.machine
PROJECT: Final = Path(__file__).parents[2]
START_TIMEOUT_S: Final = 60.0
KILL_EVERY_S: Final = 1.0


class Gunicorn:
    """A web server with two workers behind the network."""

    def __init__(self, database_url: str, folder: Path) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        environment = {
            **os.environ,
            "CRYOPROTECT_DATA_DIR": str(folder),
            "DATABASE_URL": database_url,
            "SUPABASE_JWT_SECRET": SECRET,
            "WEB_CONCURRENCY": "2",
            "RATE_LIMITS": "off",
            "MAINTENANCE_INTERVAL_S": "0",
            "LOG_LEVEL": "ERROR",
        }
        command = [sys.executable, "-m", "gunicorn", "--config", "deploy/gunicorn.conf.py"]
        command += ["--bind", f"fd://{listener.fileno()}", "wsgi:app"]
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=PROJECT, env=environment, pass_fds=(listener.fileno(),), stdout=log, stderr=log
            )
        listener.close()

    def wait(self) -> None:
        """Wait until it is ready."""
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline_s and self.process.poll() is None:
            try:
                requests.get(f"{self.url}/health/ready", timeout=5).raise_for_status()
            except requests.RequestException:
                time.sleep(0.1)
            else:
                return
        pytest.fail(f"gunicorn did not become ready: {self.log.read_text(errors='replace')[-2000:]}")


@pytest.fixture(scope="module")
def network(server: Server) -> Iterator[FaultyNetwork]:
    """Give one network for all tests here: to start the workers takes longer than what is done to them."""
    with FaultyNetwork(server.socket) as running:
        yield running


@pytest.fixture(scope="module")
def started() -> Iterator[list[Gunicorn]]:
    """Give the web servers started so far, to stop them at the end."""
    servers: list[Gunicorn] = []
    yield servers
    for running in servers:
        running.process.terminate()
        running.process.wait(START_TIMEOUT_S)


@pytest.fixture
def gunicorn(
    server: Server, network: FaultyNetwork, started: list[Gunicorn], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gunicorn]:
    """Give a web server, ready."""
    if not started or started[-1].process.poll() is not None:
        started.append(Gunicorn(network.through(server.url), tmp_path_factory.mktemp("gunicorn")))
    started[-1].wait()
    yield started[-1]
    network.heal()
    server.execute("DELETE FROM public.teams")


def _clients(gunicorn: Gunicorn) -> Clients:
    return Clients(lambda token: HttpCaller(gunicorn.url, token), streamed=POLYMERS)


def _stored(server: Server) -> dict[str, int]:
    return {str(name): int(str(count)) for name, count in server.execute(NAMES_SQL)}


@pytest.mark.timeout(90)
def test_backends_killed_again_and_again_are_hardly_noticed(gunicorn: Gunicorn, server: Server):
    killed = 0

    with _clients(gunicorn).at_work({"read": 8, "write": 7, "stream": 1}) as history:
        for _ in range(4):
            time.sleep(KILL_EVERY_S)
            killed += server.kill()
        healed_s = time.monotonic()
        time.sleep(AFTER_S)

    assert killed >= 4
    assert history.violations(_stored(server), healed_s=healed_s, within_s=ANSWER_S) == []
    # Nobody can do a COMMIT again whose answer was lost, where there is no key; all else is done again, unseen.
    assert {event.code for event in history.events if event.status not in OK} <= {"outcome_unknown"}


@pytest.mark.timeout(90)
def test_a_frozen_network_is_noticed_and_blocks_no_worker(gunicorn: Gunicorn, server: Server, network: FaultyNetwork):
    alive_s: list[float] = []

    with _clients(gunicorn).at_work({"read": 4, "write": 3, "stream": 1}) as history:
        time.sleep(0.5)
        network.freeze()
        frozen_s = time.monotonic()
        while time.monotonic() < frozen_s + 6:
            started_s = time.monotonic()
            requests.get(f"{gunicorn.url}/health/live", timeout=5).raise_for_status()
            alive_s.append(time.monotonic() - started_s)
            time.sleep(0.1)
        network.thaw()
        healed_s = time.monotonic()
        time.sleep(AFTER_S)

    assert max(alive_s) < 1.0
    assert history.violations(_stored(server), healed_s=healed_s, within_s=ANSWER_S) == []
    first_refusal_s = min(event.ended_s for event in history.events if event.status == 503)
    assert first_refusal_s - frozen_s < 5


@pytest.mark.timeout(60)
def test_requests_that_wait_for_the_database_are_answered_before_the_workers_stop(
    gunicorn: Gunicorn, network: FaultyNetwork
):
    answers: list[int] = []

    def ask() -> None:
        answers.append(HttpCaller(gunicorn.url).request("GET", "/molecules?limit=5").status_code)

    asking = [threading.Thread(target=ask) for _ in range(4)]
    network.latency_s = 0.6
    for thread in asking:
        thread.start()
    time.sleep(0.4)
    gunicorn.process.send_signal(signal.SIGTERM)
    for thread in asking:
        thread.join(30)

    assert answers == [200] * 4
    assert gunicorn.process.wait(30) == 0
