"""gunicorn as a child: started, watched and stopped by `serve`, and never left behind.

It runs in a session of its own. The terminal's Ctrl-C therefore reaches `serve` alone, which stops it in
order: requests in flight end first, then the workers, then whatever processes they had made.
"""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from app.cli.lifeline import tied
from app.cli.listener import url_of
from app.errors import UnavailableError

CONFIGURATION: Final = Path(__file__).resolve().parents[2] / "deploy" / "gunicorn.conf.py"
READY_TIMEOUT_S: Final = 120.0
# gunicorn's own patience with requests in flight, and some more for itself.
STOP_TIMEOUT_S: Final = 35.0
POLL_INTERVAL_S: Final = 0.1
PROBE_TIMEOUT_S: Final = 2.0
OK: Final = 200


class WebServer:
    """The web server of one `serve`."""

    def __init__(self, listener: socket.socket, environment: Mapping[str, str]) -> None:
        self.url = url_of(listener)
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "--config",
            str(CONFIGURATION),
            "--bind",
            f"fd://{listener.fileno()}",
        ]
        self._process = subprocess.Popen(
            [*command, "wsgi:app"],
            cwd=CONFIGURATION.parents[1],
            env=tied(environment),
            stdin=subprocess.DEVNULL,
            pass_fds=(listener.fileno(),),
            start_new_session=True,
        )
        # Once it is the web server's alone, nobody is kept waiting when that has ended.
        listener.close()

    @property
    def has_ended(self) -> bool:
        """Whether it ended by itself."""
        return self._process.poll() is not None

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.returncode

    def wait_until_ready(self, keep_waiting: Callable[[], bool]) -> None:
        """Return when the service answers that it is ready.

        Raises:
            UnavailableError: It ended, or does not become ready.
        """
        deadline = time.monotonic() + READY_TIMEOUT_S
        while keep_waiting() and not self._answers():
            if self.has_ended:
                msg = f"the web server ended with status {self.status}; what it said stands above"
                raise UnavailableError(msg)
            if time.monotonic() > deadline:
                msg = f"the service was not ready after {READY_TIMEOUT_S:.0f} s; what it said stands above"
                raise UnavailableError(msg)
            time.sleep(POLL_INTERVAL_S)

    def stop(self, hurried: Callable[[], bool]) -> None:
        """End it: requests in flight may finish, unless somebody hurries."""
        deadline = time.monotonic() + STOP_TIMEOUT_S
        self._send(signal.SIGTERM)
        hurrying = False
        while not self.has_ended and time.monotonic() < deadline:
            if hurried() and not hurrying:
                hurrying = True
                self._send(signal.SIGQUIT)
            time.sleep(POLL_INTERVAL_S)
        # The group: a worker or a chemistry process that did not end with the others.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _send(self, request: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(request)

    def _answers(self) -> bool:
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=PROBE_TIMEOUT_S)
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
