"""Opaque cursors: the last record's sort values, sealed so that nobody can write one by hand.

A cursor belongs to one query: parent, filters, order and search text are part of what the seal covers, so
it cannot be carried to another list.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from typing import Final

from app.errors import MalformedError
from database.listing import Listing, ListRequest

_SEAL_BYTES: Final = 16
MAX_CURSOR_LENGTH: Final = 6000
"""An address line has room for 8,190 characters."""


def seal(key: bytes, listing: Listing, request: ListRequest, after: tuple[str | None, ...]) -> str:
    """Return the cursor of the page that starts behind these sort values."""
    payload = json.dumps(after, ensure_ascii=False, separators=(",", ":")).encode()
    mac = _mac(key, listing, request, payload)
    return base64.urlsafe_b64encode(mac + payload).decode().rstrip("=")


def unseal(key: bytes, listing: Listing, request: ListRequest, cursor: str) -> tuple[str | None, ...]:
    """Return the sort values behind which the page starts.

    Raises:
        MalformedError: The cursor was not made here, or for another query.
    """
    try:
        if len(cursor) > MAX_CURSOR_LENGTH:
            cursor = ""
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    mac, payload = raw[:_SEAL_BYTES], raw[_SEAL_BYTES:]
    if not hmac.compare_digest(mac, _mac(key, listing, request, payload)):
        msg = "the cursor is not one of this query; leave it out to start again"
        raise MalformedError(msg, code="invalid_cursor")
    return tuple(json.loads(payload))


def _mac(key: bytes, listing: Listing, request: ListRequest, payload: bytes) -> bytes:
    order = ",".join(str(sort) for sort in listing.complete_order(request.order))
    parent = (request.within[0].parent, str(request.within[1])) if request.within else None
    query = repr((listing.name, parent, order, request.filters, request.query)).encode()
    return hmac.digest(key, query + b"\x00" + payload, "sha256")[:_SEAL_BYTES]
