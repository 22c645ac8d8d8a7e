"""The parent's end of one chemistry child: start it, ask it, end it when it takes too long.

Modules are named in full where they are called (`subprocess.Popen`, `socket.socketpair`): under gunicorn's gevent
worker those names are gevent's own by then, and a wait for the child lets every other request go on.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from app.errors import UnavailableError
from app.services import chemistry_wire as wire

Arguments = Sequence[object]
Answer = tuple[str, Any]

_CHILD_MODULE: Final = "app.services.chemistry_child"
_PROJECT_DIR: Final = Path(__file__).resolve().parents[2]
_START_LIMIT_S: Final = 60.0
# What an interpreter needs to start; secrets and addresses of the service stay with the parent.
_INHERITED_VARIABLES: Final = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR", "PYTHONHOME", "PYTHONPATH")
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class ChildLostError(Exception):
    """The child had to be killed, or died by itself, over the item that it had not yet answered."""

    def __init__(self, *, overran: bool) -> None:
        super().__init__("overran" if overran else "died")
        self.overran = overran


class ChemistryProcess:
    """One child, started when it is first asked and again after it was lost; used by one caller at a time."""

    def __init__(self, time_limit_s: float, memory_limit_mib: int, niceness: int = 0) -> None:
        self._time_limit_s = time_limit_s
        self._memory_limit_mib = memory_limit_mib
        self._niceness = niceness
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._owner_pid = 0

    def ask(self, operation: str, items: Sequence[Arguments]) -> Iterator[Answer]:
        """Yield the answers in the order of the items, each as soon as it is there.

        Raises:
            ChildLostError: There will be no answer to the next item.
            UnavailableError: No child can be started.
        """
        try:
            connection = self._started()
            connection.settimeout(self._time_limit_s)
            wire.send(connection, [operation, items])
            for _ in items:
                yield self._answer(connection)
        except BaseException as error:
            # Whatever went wrong, answers that nobody has read may be under way: this child is done.
            self.kill()
            if isinstance(error, OSError | wire.BrokenWireError):
                raise ChildLostError(overran=isinstance(error, TimeoutError)) from error
            raise

    def kill(self) -> None:
        """End the child; the next request starts another."""
        process, self._process = self._process, None
        connection, self._connection = self._connection, None
        if connection:
            connection.close()
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        if self._owner_pid == os.getpid():
            process.kill()
            process.wait()

    def _answer(self, connection: socket.socket) -> Answer:
        kind, value = wire.receive(connection, time.monotonic() + self._time_limit_s)
        if kind == wire.OUT_OF_MEMORY:
            raise wire.BrokenWireError(kind)
        return kind, value

    def _started(self) -> socket.socket:
        if self._owner_pid != os.getpid():
            # A child made before a fork belongs to the process that made it.
            self.kill()
        return self._start() if self._connection is None else self._connection

    def _start(self) -> socket.socket:
        try:
            return self._start_once()
        except (OSError, wire.BrokenWireError):
            # One that is killed while it starts is no sign yet that none can be started.
            self.kill()
        try:
            return self._start_once()
        except (OSError, wire.BrokenWireError) as error:
            raise UnavailableError("No chemistry process can be started.", retry_after_s=10) from error

    def _start_once(self) -> socket.socket:
        self._owner_pid = os.getpid()
        ours, theirs = socket.socketpair()
        self._connection = ours
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", _CHILD_MODULE, str(theirs.fileno()), str(self._memory_limit_mib)],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env=child_environment(),
                # Ctrl-C at a terminal goes to the parent, which ends its children itself.
                start_new_session=True,
            )
        if self._niceness:
            os.setpriority(os.PRIO_PROCESS, self._process.pid, self._niceness)
        wire.receive(ours, time.monotonic() + _START_LIMIT_S)
        return ours


def child_environment() -> dict[str, str]:
    """Return what a child of ours needs of the environment: no secrets, and one thread."""
    inherited = {name: os.environ[name] for name in _INHERITED_VARIABLES if name in os.environ}
    paths = [str(_PROJECT_DIR), *filter(None, [inherited.get("PYTHONPATH")])]
    return {**inherited, **_ONE_THREAD, "PYTHONPATH": os.pathsep.join(paths)}
