"""The worker of the job queue as a child of `serve`: started, started again when it has died, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import click

from app.cli.lifeline import tied

ROOT: Final = Path(__file__).resolve().parents[2]
FIRST_PAUSE_S: Final = 1.0
MAX_PAUSE_S: Final = 30.0
STEADY_S: Final = 60.0
"""A worker that has lived for so long is started again at once."""
# The worker's own patience with its jobs, and some more for itself.
STOP_TIMEOUT_S: Final = 30.0
POLL_INTERVAL_S: Final = 0.1


class WorkerProcess:
    """The worker of one `serve`. The service answers without it, so its death is no reason to stop."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = tied(environment)
        self._pause_s = FIRST_PAUSE_S
        self._start_at: float | None = None
        self._started, self._process = self._start()

    def look_after(self) -> None:
        """Start the worker again where it has died, after a pause that grows while it does not live long."""
        now = time.monotonic()
        if self._process.poll() is None:
            return
        if self._start_at is None:
            self._pause_s = FIRST_PAUSE_S if now - self._started > STEADY_S else min(self._pause_s * 2, MAX_PAUSE_S)
            self._start_at = now + self._pause_s
            click.echo(f"the worker ended with status {self._process.returncode}; it is started again", err=True)
        elif now >= self._start_at:
            self._end_group()
            self._start_at = None
            self._started, self._process = self._start()

    def ask_to_stop(self) -> None:
        """Let it take no more jobs."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def stop(self, hurried: Callable[[], bool]) -> None:
        """End it: jobs under way may end or be handed back, unless somebody hurries."""
        self.ask_to_stop()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self._process.poll() is None and time.monotonic() < deadline and not hurried():
            time.sleep(POLL_INTERVAL_S)
        self._end_group()
        self._process.wait()

    def _start(self) -> tuple[float, subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli.main", "worker"],
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            # The terminal's Ctrl-C reaches `serve` alone.
            start_new_session=True,
        )
        return time.monotonic(), process

    def _end_group(self) -> None:
        """End what is left of it: itself, or its chemistry processes."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
