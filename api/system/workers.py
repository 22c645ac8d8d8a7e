"""What the workers of one web server have counted, together.

Each counts in plain numbers, because it does so with every request, and writes them into a folder of the
web server's now and then. Whichever is asked adds what the others wrote to what it knows itself. What a
worker had counted before it ended stays counted, or else the sums would fall; how it stood is forgotten.
"""

from __future__ import annotations

import operator
import os
import secrets
import threading
import time
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path
from typing import Final

import orjson
import structlog

Key = tuple[str, tuple[str, ...]]
"""A metric's name and the values of its labels."""
Numbers = Mapping[Key, list[float]]
"""What adds up by its places: one number, or a histogram's counts and, last, its sum."""

PUBLISH_INTERVAL_S: Final = 5.0
STALE_S: Final = 3 * PUBLISH_INTERVAL_S
"""Who has written nothing for so long has ended."""
_log = structlog.get_logger(__name__)


class Workers:
    """The workers of one web server, seen from one of them; alone until it is told where the others write."""

    def __init__(
        self,
        counted: Callable[[], Numbers],
        standing: Callable[[], Numbers],
        greatest: Container[str] = frozenset(),
    ) -> None:
        """Give this worker's numbers: what it has `counted` since it began, and how things are `standing` now.

        Of the metrics in `greatest` the largest number counts, of the others the sum.
        """
        self._counted = counted
        self._standing = standing
        self._greatest = greatest
        self._file: Path | None = None
        self._stopped = threading.Event()

    def share(self, folder: Path) -> None:
        """Write this worker's numbers into `folder` from now on; in gunicorn's workers the thread is a greenlet."""
        # Process ids come round again.
        self._file = folder / f"{os.getpid()}-{secrets.token_hex(4)}.json"
        threading.Thread(target=self._publish_now_and_then, name="metrics", daemon=True).start()

    def stop(self) -> None:
        """Leave behind what was counted."""
        self._stopped.set()
        if self._file is not None:
            self._publish(self._file, standing={})

    def numbers(self) -> Numbers:
        """Return the sums over all workers, or the greatest."""
        together: dict[Key, list[float]] = {}
        for numbers in (self._counted(), self._standing(), *self._published()):
            for key, values in numbers.items():
                known = together.get(key)
                add = max if key[0] in self._greatest else operator.add
                together[key] = [*values] if known is None else [*map(add, known, values)]
        return together

    def _published(self) -> Iterator[Numbers]:
        if self._file is None:
            return
        for file in self._file.parent.glob("*.json"):
            if file != self._file:
                counted, standing = orjson.loads(file.read_bytes())
                yield _read(counted)
                if time.time() - file.stat().st_mtime < STALE_S:
                    yield _read(standing)

    def _publish_now_and_then(self) -> None:
        while self._file is not None and not self._stopped.is_set():
            try:
                self._publish(self._file, self._standing())
            except OSError as error:
                _log.warning("metrics_not_shared", cause=type(error).__name__)
            self._stopped.wait(PUBLISH_INTERVAL_S)

    def _publish(self, file: Path, standing: Numbers) -> None:
        new = file.with_suffix(".new")
        new.write_bytes(orjson.dumps([_written(self._counted()), _written(standing)]))
        # Whoever reads finds the old numbers or the new ones, whole.
        new.replace(file)


def _written(numbers: Numbers) -> list[tuple[str, tuple[str, ...], list[float]]]:
    return [(name, labels, values) for (name, labels), values in numbers.items()]


def _read(written: list[tuple[str, list[str], list[float]]]) -> Numbers:
    return {(name, tuple(labels)): values for name, labels, values in written}
