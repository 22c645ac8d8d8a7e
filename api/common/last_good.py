"""What visitors read while the database does not answer: the last good answer to the same question.

Only what was answered to nobody in particular is kept, so a copy holds what was public when it was made; and
not for long, because a record may have been withdrawn since. Signed-in users are given no copies: they
would miss what is theirs.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from flask import Response, request

from api.common.body import JSON_TYPE
from app.errors import UnavailableError

MAX_AGE_S: Final = 600.0
MAX_BYTES: Final = 16 * 1024 * 1024
"""Of one worker's copies together."""
OVERHEAD_BYTES: Final = 2048
"""About what a copy takes beside its body and its address: headers, objects."""
MAX_COPY_BYTES: Final = 256 * 1024
KEPT_HEADERS: Final = ("ETag", "Link")
WARNING: Final = '110 - "Response is Stale"'


@dataclass(frozen=True, slots=True)
class _Copy:
    body: bytes
    headers: dict[str, str]
    made_at_s: float


class LastGood:
    """The copies of one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._copies: OrderedDict[str, _Copy] = OrderedDict()
        self._bytes = 0

    def keep(self, response: Response) -> None:
        """Keep a visitor's answer, where it is one to keep."""
        parts = response.response
        if response.status_code != HTTPStatus.OK or not isinstance(parts, list) or len(parts) != 1:
            return
        # Each look-up of a header goes through all of them.
        headers = dict(response.headers)
        body = parts[0]
        if not isinstance(body, bytes) or len(body) > MAX_COPY_BYTES:
            return
        if headers.get("Content-Type") != JSON_TYPE or "Cache-Control" in headers:
            return
        key = _key()
        with self._lock:
            self._forget(key)
            self._copies[key] = _Copy(body, headers, self._clock())
            self._bytes += _size(key, body)
            while self._bytes > MAX_BYTES:
                self._forget(next(iter(self._copies)))

    def forget(self) -> None:
        """Forget the copy of what was asked for: it is not there, or not for visitors."""
        with self._lock:
            self._forget(_key())

    def instead_of(self, error: UnavailableError) -> Response | None:
        """Return the copy, where the database did not answer and one is young enough."""
        copy = self._copies.get(_key()) if error.code == "database_unavailable" else None
        age_s = self._clock() - copy.made_at_s if copy else 0.0
        if copy is None or age_s > MAX_AGE_S:
            return None
        headers: dict[str, str] = {name: copy.headers[name] for name in KEPT_HEADERS if name in copy.headers}
        response = Response(copy.body, headers=headers, content_type=JSON_TYPE)
        response.headers["Age"] = str(int(age_s))
        response.headers["Warning"] = WARNING
        response.headers["X-Degraded"] = "copy"
        # No cache in between keeps what is old already.
        response.headers["Cache-Control"] = "no-store"
        return response

    def _forget(self, key: str) -> None:
        old = self._copies.pop(key, None)
        if old is not None:
            self._bytes -= _size(key, old.body)


def _size(key: str, body: bytes) -> int:
    return len(key) + len(body) + OVERHEAD_BYTES


def _key() -> str:
    environ = request.environ
    return "\n".join((environ.get("HTTP_ACCEPT", ""), environ["PATH_INFO"], environ.get("QUERY_STRING", "")))
