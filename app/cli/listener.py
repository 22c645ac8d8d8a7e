"""The address that the service answers at, taken before the heavy work begins.

A port that is in use is found out in the first second, not after migrations, and nobody can take it in
between: the socket made here is handed on to the web server. It listens from the start, because only a
listening socket keeps others off; who calls early waits for the first worker.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import psutil

from app.errors import UnavailableError

BACKLOG: Final = 2048
# A service that is just stopping lets go of its port within seconds.
PATIENCE_S: Final = 5.0
POLL_INTERVAL_S: Final = 0.2
LONGEST_COMMAND: Final = 100


def listen(host: str, port: int, log: Callable[[str], None]) -> socket.socket:
    """Return a socket that listens at the address.

    Raises:
        UnavailableError: The port is taken, or the address is not this machine's.
    """
    family, address = _resolve(host, port)
    deadline = time.monotonic() + PATIENCE_S
    waiting = False
    while True:
        try:
            return _bound(family, address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise UnavailableError(_reason(error, host, port)) from error
        if not waiting:
            waiting = True
            log(f"Port {port} is in use; waiting {PATIENCE_S:.0f} s for it")
        time.sleep(POLL_INTERVAL_S)


def url_of(listener: socket.socket) -> str:
    """Return the URL under which a client on this machine reaches the socket."""
    host, port = listener.getsockname()[:2]
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{local}]:{port}" if ":" in local else f"http://{local}:{port}"


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[object, ...]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        msg = f"HOST={host} is no address: {error.strerror or error}"
        raise UnavailableError(msg) from error
    return found[0][0], found[0][4]


def _bound(family: socket.AddressFamily, address: tuple[object, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _reason(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} is in use{_holder(port)}: stop that, or choose another port, as in PORT={port + 1} make serve"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"HOST={host} is no address of this machine"
    if error.errno == errno.EACCES:
        return f"port {port} is kept for root: choose one from 1024 on, as in PORT=8000 make serve"
    return f"cannot listen on {host} port {port}: {os.strerror(error.errno or 0)}"


def _holder(port: int) -> str:
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections(kind="tcp"):
            taken = connection.laddr.port if connection.laddr else None
            if connection.status == psutil.CONN_LISTEN and taken == port and connection.pid:
                command = " ".join(psutil.Process(connection.pid).cmdline())[:LONGEST_COMMAND]
                return f" by process {connection.pid} ({command})"
    return ""
