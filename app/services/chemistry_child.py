"""One chemistry process: answers its parent's requests item by item, and is lost alone.

RDKit and the InChI library are C++ and C code that strangers feed. A structure that makes them loop, swell or
crash takes this process with it and nothing else. It knows no secret and answers in JSON, so that even one that
was taken over could give wrong chemistry at worst.

It may never outlive its parent. The end of the socket ends an idle child. For one that is deep in C++ code,
where no Python runs, the kernel sends SIGIO as soon as the pipe on stdin has no writer any more, and SIGIO kills.
"""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import resource
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from traceback import format_tb
from typing import Final

from app.errors import StructureError
from app.science.drawing import empty_molblock, molblock, render_svg
from app.science.reading import rdkit_log
from app.science.structures import standardize
from app.services import chemistry_wire as wire

_BYTES_PER_MIB: Final = 1024 * 1024
_STDIN_FD: Final = 0
_OPERATIONS: Final[dict[str, Callable[..., object]]] = {
    "standardize": standardize,
    "render_svg": render_svg,
    "molblock": molblock,
    "empty_molblock": empty_molblock,
}
_log = logging.getLogger(__name__)


def main(socket_fd: int, memory_limit_mib: int) -> None:
    """Serve the parent at the other end of the socket until it goes away."""
    _die_with_parent()
    _limit_memory(memory_limit_mib)
    with socket.socket(fileno=socket_fd) as connection:
        # A cooperative parent makes its sockets non-blocking, and both ends come from one call.
        connection.settimeout(None)
        # What is loaded by now stays, and the collector need not look through it again.
        gc.freeze()
        wire.send(connection, [wire.READY, None])
        try:
            _serve(connection)
        except (wire.BrokenWireError, ConnectionError):
            return


def _serve(connection: socket.socket) -> None:
    # Turning RDKit's log to Python and back for each structure would cost as much as parsing one.
    with rdkit_log() as lines:
        _serve_each(connection, lines)


def _serve_each(connection: socket.socket, lines: list[str]) -> None:
    while True:
        lines.clear()
        operation, items = wire.receive(connection)
        for arguments in items:
            answer = _answer(operation, arguments)
            wire.send(connection, answer)
            if answer[0] == wire.OUT_OF_MEMORY:
                # What the allocator has left behind is not worth going on with.
                return


def _answer(operation: str, arguments: list[object]) -> tuple[str, object]:
    try:
        return wire.VALUE, _OPERATIONS[operation](*arguments)
    except StructureError as error:
        return wire.REFUSED, error.detail
    except MemoryError:
        return wire.OUT_OF_MEMORY, None
    except Exception as error:  # noqa: BLE001 - RDKit raises whatever its authors liked
        # Without the error's words, which may quote the structure.
        _log.error("%s failed: %s\n%s", operation, type(error).__name__, "".join(format_tb(error.__traceback__)))
        return wire.REFUSED, "RDKit fails on this structure."


def _die_with_parent() -> None:
    fcntl.fcntl(_STDIN_FD, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(_STDIN_FD, fcntl.F_GETFL)
    fcntl.fcntl(_STDIN_FD, fcntl.F_SETFL, flags | os.O_ASYNC)


def _limit_memory(limit_mib: int) -> None:
    """Let the process grow by so much from here on; there is no core to write for a structure that kills it."""
    limit_bytes = _address_space_bytes() + limit_mib * _BYTES_PER_MIB
    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _address_space_bytes() -> int:
    statm = Path("/proc/self/statm")
    # Without /proc (macOS) the libraries count towards the limit.
    return int(statm.read_text(encoding="ascii").split()[0]) * resource.getpagesize() if statm.exists() else 0


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
