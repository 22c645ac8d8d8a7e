"""Where standbys answer reads: whoever has changed something finds it, whichever process is asked next.

The answer to a change bears `X-Read-After`, the place in the database's log up to which a reader must see.
A client that sends it back with a read is answered by a standby that has come as far, or by the primary.
The process that made the change needs no reminder.
"""

from __future__ import annotations

import re
from typing import Final

from flask import Flask, Response, g, request

from api.common.context import services
from app.errors import MalformedError

HEADER: Final = "X-Read-After"
_FORM: Final = re.compile(r"[0-9a-f]{1,16}")
_LARGEST: Final = 2**63 - 1


def register(app: Flask) -> None:
    """Make the app take and give the header."""
    app.before_request(_take)
    app.after_request(_give)


def _take() -> None:
    if request.method not in {"GET", "HEAD"}:
        # What is read for a change is read where the change is made.
        return
    text = request.headers.get(HEADER, "0")
    if not _FORM.fullmatch(text) or int(text, 16) > _LARGEST:
        msg = f"{HEADER} is sent back as it was given"
        raise MalformedError(msg, code="invalid_read_after")
    g.read_after = int(text, 16)


def _give(response: Response) -> Response:
    who = g.get("caller")
    if who is not None and "read_after" not in g:
        position = services().database.changed_at(who)
        if position is not None:
            response.headers[HEADER] = f"{position:x}"
    return response
