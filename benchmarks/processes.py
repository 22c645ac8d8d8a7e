"""Servers as child processes: start, wait until ready, look at their workers, stop.

What `/proc` says of a process answers two questions that no server answers itself: which worker
holds which connection, and how much memory a worker has had at most.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

PR_SET_PDEATHSIG: Final = 1
PROC: Final = Path("/proc")
START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 10.0
_ESTABLISHED: Final = "01"
_LISTEN: Final = "0A"
_PEAK_RSS: Final = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


class StartError(Exception):
    """A server of the benchmark ended, or did not answer, instead of starting."""


@contextlib.contextmanager
def running(
    name: str, command: Sequence[str], env: Mapping[str, str], port: int, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for the length of a `with` block and give its process.

    Raises:
        StartError: It does not accept connections within a minute; the end of its log is told.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=dict(env),
            stdout=output,
            stderr=output,
            # Out of reach of the terminal's Ctrl-C: the measurement ends first, then the servers.
            start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - this process has one thread
        )
    try:
        _wait_until_open(name, process, port, log)
        yield process
    finally:
        _stop(process)


def start_failure(name: str, log: Path) -> StartError:
    """Return the error for a server that is not ready, with its last words."""
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    return StartError(f"{name} did not start; its log ends with:\n{tail}")


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def workers(pid: int, port: int) -> list[int]:
    """Return the children of a prefork server that take connections on `port`."""
    try:
        children = [int(child) for child in (PROC / str(pid) / "task" / str(pid) / "children").read_text().split()]
    except FileNotFoundError:
        return []
    listening = {row[9] for row in _tcp_rows() if row[3] == _LISTEN and _port(row[1]) == port}
    return [child for child in children if listening & set(_socket_inodes(child))]


def owners_of_connections(pids: Sequence[int]) -> dict[int, int]:
    """Return which process holds the server's end of a connection, by the client's port."""
    owners = {inode: pid for pid in pids for inode in _socket_inodes(pid)}
    return {_port(row[2]): owners[row[9]] for row in _tcp_rows() if row[3] == _ESTABLISHED and row[9] in owners}


def processor_s(pids: Sequence[int]) -> float:
    """Return the processor time that processes have used since their start."""
    # The second field, the name, may hold blanks; user and system time are the 12th and 13th behind it.
    fields = [(PROC / str(pid) / "stat").read_text().rpartition(")")[2].split() for pid in pids]
    return sum(int(words[11]) + int(words[12]) for words in fields) / os.sysconf("SC_CLK_TCK")


def peak_rss_bytes(pid: int) -> int:
    """Return the largest resident memory that a process has had since its start."""
    found = _PEAK_RSS.search((PROC / str(pid) / "status").read_text())
    return int(found[1]) * 1024 if found else 0


def _tcp_rows() -> Iterator[list[str]]:
    """Give the kernel's TCP sockets: 1 is the local address, 2 the other, 3 the state, 9 the inode."""
    return (line.split() for line in (PROC / "net" / "tcp").read_text().splitlines()[1:])


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def _socket_inodes(pid: int) -> Iterator[str]:
    # A process may end, and a descriptor close, while they are looked at.
    with contextlib.suppress(FileNotFoundError):
        for descriptor in (PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                target = str(descriptor.readlink())
                if target.startswith("socket:["):
                    yield target[8:-1]


def _wait_until_open(name: str, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.1)
    raise start_failure(name, log)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
