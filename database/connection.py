"""A connection that notices when the other end has fallen silent.

A network that freezes resets nothing and refuses nothing: a wait for an answer looks just like a wait for
a slow statement. So after a while without a word the server is asked, on a connection of its own, whether
it still speaks: the first message of Postgres' protocol, which asks for TLS, is answered with a single
byte before anybody has to log in, by poolers too. A server that answers is busy, and the wait goes on.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen

SILENCE_S: Final = 2.5
"""How long nothing may come before the server is asked whether it still speaks."""
WORD_S: Final = 1.5
"""What it may take to say so; with `SILENCE_S`, a frozen network is noticed in four seconds."""
ANSWER_TIMEOUT_S: Final = 35.0
"""A little more than the server itself gives a statement of a request."""
_SSL_REQUEST: Final = (8).to_bytes(4, "big") + (80877103).to_bytes(4, "big")
_READY_NONE: Final = 0
_R = TypeVar("_R")


class SilenceError(psycopg.OperationalError):
    """The server says nothing any more; whether it got what was sent is not known."""


class WatchedConnection(psycopg.Connection):
    """Ends a wait for a server that has fallen silent."""

    def wait(self, gen: PQGen[_R], *args: Any, **kwargs: Any) -> _R:  # noqa: ANN401 - psycopg's own
        """Return what the operation returns.

        Raises:
            SilenceError: The server has fallen silent. The connection is closed.
        """
        try:
            return super().wait(_watched(self, gen), *args, **kwargs)
        except SilenceError:
            self.close()
            raise


def require_speaking(connection: psycopg.Connection) -> None:
    """Go on if the server still speaks.

    Raises:
        SilenceError: It does not.
    """
    if not _speaks(connection):
        msg = f"the server has said nothing for {SILENCE_S + WORD_S:.0f} s"
        raise SilenceError(msg)


def _watched(connection: psycopg.Connection, gen: PQGen[_R]) -> Generator[Any, Any, _R]:
    heard_s = time.monotonic()
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if ready != _READY_NONE:
                heard_s = time.monotonic()
            elif time.monotonic() - heard_s >= SILENCE_S:
                require_speaking(connection)
                heard_s = time.monotonic()
            wanted = gen.send(ready)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]


def _speaks(connection: psycopg.Connection) -> bool:
    with suppress(OSError), _dial(connection) as line:
        line.sendall(_SSL_REQUEST)
        return bool(line.recv(1))
    return False


def _dial(connection: psycopg.Connection) -> socket.socket:
    info = connection.info
    if info.host.startswith("/"):
        line = socket.socket(socket.AF_UNIX)
        line.settimeout(WORD_S)
        line.connect(str(PurePosixPath(info.host, f".s.PGSQL.{info.port}")))
        return line
    line = socket.create_connection((info.hostaddr or info.host, info.port), timeout=WORD_S)
    line.settimeout(WORD_S)
    return line
