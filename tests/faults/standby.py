"""Standbys of a test's server: made by pg_basebackup, fed by streaming, paused, killed and promoted at will."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from database.cluster import ENVIRONMENT, programs
from database.embedded import EmbeddedServer
from tests.faults.conftest import SETTINGS, Server

TIMEOUT_S: Final = 20.0
POLL_INTERVAL_S: Final = 0.02
MARK_SQL: Final = "SELECT pg_logical_emit_message(true, 'tests', 'here')"
REPLAYED_SQL: Final = "SELECT pg_last_wal_replay_lsn() >= '{}'"


@dataclass
class Standby(Server):
    """A standby that streams from a server."""

    def pause(self) -> None:
        """Receive what the primary sends, and do not replay it."""
        self.execute("SELECT pg_wal_replay_pause()")
        self._until("SELECT pg_get_wal_replay_pause_state() = 'paused'")

    def resume(self) -> None:
        """Replay what was held back."""
        self.execute("SELECT pg_wal_replay_resume()")

    def promote(self) -> None:
        """Become a server of its own."""
        self.execute("SELECT pg_promote()")

    def catch_up(self, primary: Server) -> None:
        """Wait until everything is replayed that the primary has now."""
        ((position,),) = primary.execute(MARK_SQL)
        self._until(REPLAYED_SQL.format(position))

    def _until(self, question: str) -> None:
        deadline_s = time.monotonic() + TIMEOUT_S
        while self.execute(question) != [(True,)]:
            assert time.monotonic() < deadline_s, question
            time.sleep(POLL_INTERVAL_S)


def make_standby(primary: Server, folder: Path) -> Standby:
    """Return a standby that runs."""
    folder.mkdir()
    source = ["-h", str(primary.socket.parent), "-U", "postgres"]
    command = [str(programs() / "pg_basebackup"), *source, "-D", str(folder / "postgres"), "-R", "--no-sync"]
    subprocess.run(
        [*command, "--checkpoint=fast", "--wal-method=stream"], check=True, capture_output=True, env=ENVIRONMENT
    )
    # What crashed is streamed from again soon.
    made = Standby(EmbeddedServer(folder, settings=SETTINGS | {"wal_retrieve_retry_interval": "200ms"}), folder)
    made.start()
    return made
