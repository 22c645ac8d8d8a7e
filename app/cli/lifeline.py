"""Processes that `serve` starts end with it, even when it is killed."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from typing import Final

PR_SET_PDEATHSIG: Final = 1
SERVE_PID: Final = "CRYOPROTECT_SERVE_PID"


def tied(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process that is to end with this one."""
    return {**environment, SERVE_PID: str(os.getpid())}


def end_with_serve() -> None:
    """Stop this process with the `serve` that started it; nothing happens where none did."""
    parent_pid = int(os.environ.get(SERVE_PID, "0"))
    if not parent_pid or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_pid:
        sys.exit(1)
