"""Views are carried out again where the database gave them up and kept nothing: the client need not know.

Each view is whole in one transaction, so what is repeated is the view: its body was read and is kept, and
what it had done is undone. After a COMMIT whose answer was lost only an Idempotency-Key can tell whether
it was done: the repetition then finds the first answer, or does the work.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import stamina
from flask import Response, g, request

from api.common.effects import is_keyed
from app.errors import CryoProtectError, LostError, OutcomeUnknownError

REPETITIONS: Final = 2
"""With the first time, three."""
PATIENCE_S: Final = 10.0
"""A view that took longer is not begun anew: its client has waited long enough for an answer."""


def repeating(view: Callable[[], Response]) -> Response:
    """Return what the view answers, the first time or again."""
    try:
        return view()
    except (LostError, OutcomeUnknownError) as error:
        if not _may_repeat(error):
            raise
        first = error
    try:
        for attempt in stamina.retry_context(
            on=lambda error: _may_repeat(error) or _is_own_shadow(error),
            attempts=REPETITIONS,
            timeout=PATIENCE_S,
            wait_initial=0.05,
            wait_max=0.2,
            wait_jitter=0.1,
        ):
            with attempt:
                return view()
    except CryoProtectError as error:
        if _is_own_shadow(error):
            raise first from error
        raise
    raise first


def _may_repeat(error: Exception) -> bool:
    if "stream_was_read" in g or time.perf_counter() - g.started > PATIENCE_S:
        return False
    return isinstance(error, LostError) or (isinstance(error, OutcomeUnknownError) and is_keyed())


def _is_own_shadow(error: Exception) -> bool:
    """Return whether it is this request's own lost transaction that still holds its key."""
    return isinstance(error, CryoProtectError) and error.code == "request_in_progress" and request.method == "POST"
