"""The real app for gunicorn, with one fault built in: a stream breaks after its first chunk where a header says so.

The fault cannot be brought about from outside at a moment that a test can rely on.
"""

from __future__ import annotations

from collections.abc import Iterator

from flask import request

from app.factory import create_app
from config import Settings
from database.listing import ListRequest
from database.repositories.base import ReadRepository

_stream = ReadRepository.stream


def _breaking(self: ReadRepository, wanted: ListRequest) -> Iterator[list[bytes]]:
    chunks = _stream(self, wanted)
    breaks = "X-Break-Stream" in request.headers
    yield next(chunks)
    if breaks:
        msg = "the database went away"
        raise RuntimeError(msg)
    yield from chunks


ReadRepository.stream = _breaking  # type: ignore[method-assign,assignment]
app = create_app(Settings.from_environment())
