"""A calibration plot, drawn in a process of its own: matplotlib would hold a worker's event loop for a second."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from app.errors import UnavailableError
from app.science.comparison import Point
from app.services.chemistry_process import child_environment
from app.services.compare_predictions import Series

_CHILD_MODULE: Final = "app.services.drawing_child"
_TIME_LIMIT_S: Final = 20.0
_LONGEST_WAIT_S: Final = 30.0
_BUSY_RETRY_S: Final = 10
# One drawing at a time in each worker: more would only take the processor from its requests.
_TURN: Final = threading.BoundedSemaphore()


def draw_calibration(points: Mapping[Series, Sequence[Point]], empty: str) -> str:
    """Return an SVG of predicted against measured values, and of the intervals' coverage.

    `empty` is what it says where there are no points.

    Raises:
        UnavailableError: Too many drawings are asked for at once, or one takes too long.
    """
    series = [
        [property_type, unit, f"{model}@{version}", [[p.predicted, p.standard_uncertainty, p.measured] for p in found]]
        for (property_type, unit, model, version), found in sorted(points.items())
    ]
    return _drawn(json.dumps({"series": series, "empty": empty}))


@lru_cache(maxsize=8)
def _drawn(asked: str) -> str:
    if not _TURN.acquire(timeout=_LONGEST_WAIT_S):
        raise UnavailableError("too many plots are being drawn", retry_after_s=_BUSY_RETRY_S)
    try:
        # Named in full: under gunicorn's gevent worker it is gevent's own, and other requests go on.
        run = subprocess.run(
            [sys.executable, "-P", "-m", _CHILD_MODULE],
            input=asked,
            capture_output=True,
            text=True,
            check=True,
            timeout=_TIME_LIMIT_S,
            env=child_environment() | _matplotlib_folders(),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UnavailableError("the plot could not be drawn", retry_after_s=_BUSY_RETRY_S) from error
    finally:
        _TURN.release()
    return run.stdout


def _matplotlib_folders() -> dict[str, str]:
    # Where it keeps its list of fonts; without one it makes the list anew each time.
    return {name: os.environ[name] for name in ("HOME", "MPLCONFIGDIR") if name in os.environ}
