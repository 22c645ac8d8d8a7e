"""Conditional requests: strong ETags of single resources, 304, and the version that a change expects."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from flask import Response, request

from api.common.body import JSON_TYPE
from api.common.errors import HttpError
from database.repositories.base import Document

SVG_TYPE: Final = "image/svg+xml"
NO_VERSION: Final = 0
"""Versions begin with 1, so this one is never current."""
_ETAG: Final = re.compile(r'\s*(?:W/)?"(\d{1,9})-[0-9a-f]{16}"\s*')


def etag(document: Document) -> str:
    """Return `"<version>-<hash of the representation>"`."""
    return f'"{document.version}-{hashlib.blake2b(document.json, digest_size=8).hexdigest()}"'


def answer(document: Document, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a single resource with its ETag; 304 where the client has just this representation."""
    tag = etag(document)
    given = request.headers.get("If-None-Match")
    if status == 200 and given is not None and _matches(given, tag):  # noqa: PLR2004
        return Response(status=304, headers={"ETag": tag})
    return Response(document.json, status, {"ETag": tag, **(headers or {})}, content_type=JSON_TYPE)


def answer_drawing(svg: str, version: int) -> Response:
    """Return an SVG as a single resource; whoever opens it runs nothing that is in it."""
    response = answer(Document(svg.encode(), version))
    if response.status_code == 200:  # noqa: PLR2004
        response.content_type = f"{SVG_TYPE}; charset=utf-8"
        response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
    return response


def _matches(header: str, tag: str) -> bool:
    return header.strip() == "*" or tag in {part.strip().removeprefix("W/") for part in header.split(",")}


def expected_version() -> int | None:
    """Return the version that a change builds on; None for `*`, `NO_VERSION` for what is no ETag of ours.

    Raises:
        HttpError: 428 where the client says none.
    """
    if request.headers.get("If-Match") is None:
        raise HttpError(
            428, "send If-Match with the record's ETag, or * to change it whatever it is now", code="if_match_required"
        )
    return stated_version()


def stated_version() -> int | None:
    """Return the version that a change builds on, where a client need say none; None for none and for `*`."""
    header = request.headers.get("If-Match", "*")
    if header.strip() == "*":
        return None
    match = _ETAG.fullmatch(header)
    # Not refused here: whether the caller may see and change the record at all is answered first.
    return NO_VERSION if match is None else int(match[1])
