"""Where the embedded server's socket lies: in the data folder, or elsewhere when its path is too long.

The kernel takes 107 bytes for a socket's path. A deeper data folder gets a folder of its own below the
folder for temporary files, closed to others; one that another user made first is never used.
"""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

from database.errors import DatabaseRefusal

SOCKET_NAME: Final = ".s.PGSQL.5432"
LONGEST_SOCKET_PATH_BYTES: Final = 107
PRIVATE: Final = 0o700
CONNECT_TIMEOUT_S: Final = 5.0


def socket_folder(data_dir: Path) -> Path:
    """Return the folder for the socket of the server in a data folder, made where it is not there.

    Raises:
        DatabaseRefusal: No folder with a path short enough can be had.
    """
    if _fits(data_dir):
        return data_dir
    name = f"cryoprotect-{sha256(os.fsencode(data_dir)).hexdigest()[:16]}"
    for place in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - what is made there is checked to be ours and closed
        folder = Path(place) / name
        if _fits(folder) and _is_private(folder):
            return folder
    msg = f"no socket can lie in {data_dir} (its path is too long, or has a comma), nor below {place}"
    raise DatabaseRefusal(msg)


def accepts(folder: Path) -> bool:
    """Return whether a server listens on the folder's socket, ready to answer or still recovering."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(CONNECT_TIMEOUT_S)
        try:
            client.connect(str(folder / SOCKET_NAME))
        except OSError:
            return False
    return True


def clear_socket(data_dir: Path) -> None:
    """Remove what a server that was killed left behind."""
    for name in (SOCKET_NAME, f"{SOCKET_NAME}.lock"):
        (socket_folder(data_dir) / name).unlink(missing_ok=True)


def remove_socket_folder(data_dir: Path) -> None:
    """Remove the folder for temporary use; do nothing where the socket lies in the data folder."""
    if not _fits(data_dir):
        with suppress(OSError):
            socket_folder(data_dir).rmdir()


def _fits(folder: Path) -> bool:
    # A comma parts one host from the next in every client that is built on libpq.
    return len(os.fsencode(folder / SOCKET_NAME)) <= LONGEST_SOCKET_PATH_BYTES and "," not in str(folder)


def _is_private(folder: Path) -> bool:
    try:
        with suppress(FileExistsError):
            folder.mkdir(mode=PRIVATE)
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) == PRIVATE
