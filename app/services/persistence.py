"""Work that is worth waiting for a database that is away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import stamina

from app.domain.callers import SERVICE
from app.errors import UnavailableError
from database.session import Database, WriteSession

_LONGEST_RETRY_WAIT_S: Final = 5.0
_R = TypeVar("_R")


def persistently(database: Database, work: Callable[[WriteSession], _R], patience_s: float) -> _R:
    """Return what the work gives in a transaction of its own; it is done again while the database is away.

    Whatever is done here may be done twice: an answer to COMMIT can be lost on its way.

    Raises:
        UnavailableError: The database was away for `patience_s`.
    """
    for attempt in stamina.retry_context(
        on=_is_away, attempts=None, timeout=patience_s, wait_initial=0.2, wait_max=_LONGEST_RETRY_WAIT_S
    ):
        with attempt, database.transaction(SERVICE) as session:
            return work(session)
    raise AssertionError("a retry ends with a result or an error")


def _is_away(error: Exception) -> bool:
    return isinstance(error, UnavailableError) and error.code in {"database_unavailable", "outcome_unknown"}
