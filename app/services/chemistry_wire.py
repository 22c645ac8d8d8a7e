"""What travels between the web process and its chemistry children: JSON messages, each behind its length.

JSON and not pickle: the child parses what strangers send, and nothing that comes from it may run here.
"""

from __future__ import annotations

import socket
import struct
import time
from typing import Any, Final

import orjson

_LENGTH: Final = struct.Struct("!I")
# A batch's turn of molfiles of the greatest length is 6.4 MB; a longer message is no message of ours.
_MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024

READY: Final = "ready"
VALUE: Final = "value"
REFUSED: Final = "refused"
"""The value is the reason, a sentence for the caller."""
OUT_OF_MEMORY: Final = "out of memory"


class BrokenWireError(Exception):
    """The other end is gone, or sends what is no message."""


def send(connection: socket.socket, message: object) -> None:
    """Send one message, waiting no longer than the socket's own timeout."""
    body = orjson.dumps(message)
    connection.sendall(_LENGTH.pack(len(body)) + body)


def receive(connection: socket.socket, deadline_s: float | None = None) -> Any:  # noqa: ANN401 - any JSON
    """Return the next message.

    Args:
        connection: The socket.
        deadline_s: A reading of `time.monotonic`; None waits for ever.

    Raises:
        TimeoutError: The message was not complete in time.
        BrokenWireError: There is no next message.
    """
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size, deadline_s))
    if length > _MAX_MESSAGE_BYTES:
        msg = f"a message of {length} bytes"
        raise BrokenWireError(msg)
    try:
        return orjson.loads(_exactly(connection, length, deadline_s))
    except orjson.JSONDecodeError as error:
        raise BrokenWireError(str(error)) from error


def _exactly(connection: socket.socket, length: int, deadline_s: float | None) -> bytearray:
    received = bytearray()
    while len(received) < length:
        # A timeout of zero would mean: do not wait at all, and not raise TimeoutError.
        connection.settimeout(None if deadline_s is None else max(0.001, deadline_s - time.monotonic()))
        part = connection.recv(length - len(received))
        if not part:
            raise BrokenWireError("the other end is gone")
        received += part
    return received
