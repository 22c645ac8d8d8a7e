"""gunicorn with the real service, as a test starts and stops it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import requests

from tests.plugins.database import SECRET

PROJECT: Final = Path(__file__).parents[2]
START_TIMEOUT_S: Final = 60.0


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
        msg = f"gunicorn did not become ready: {self.log.read_text(errors='replace')[-2000:]}"
        raise RuntimeError(msg)

    def stop(self) -> None:
        """Stop, and wait for the end."""
        self.process.terminate()
        self.process.wait(START_TIMEOUT_S)
