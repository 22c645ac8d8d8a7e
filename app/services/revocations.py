"""Which tokens are revoked: the set of one process, fresh enough that a revocation takes effect in ten seconds.

The set is fetched when somebody asks who has a `jti`, at most every five seconds and by one request for
all. While the database does not answer, the last set counts until it is ten seconds old; after that
nobody can tell whether a token still counts, and every token with a `jti` is turned away.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import structlog

from app.domain.callers import SERVICE
from app.errors import RevokedError, UnavailableError
from database.repositories.tokens import TokenReader
from database.session import Database

REFRESH_AFTER_S: Final = 5.0
MAX_AGE_S: Final = 10.0
PAUSE_S: Final = 1.0
"""Between two attempts while the database does not answer."""
MAX_WAIT_S: Final = 10.0
"""For another request's fetch."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _State:
    """What is known, replaced as a whole so that readers need no lock."""

    jtis: frozenset[str] = frozenset()
    seen_at_s: float = -math.inf
    """When the fetch began: what was revoked before is in the set."""
    due_at_s: float = -math.inf

    def counts(self, now_s: float) -> bool:
        return now_s - self.seen_at_s < MAX_AGE_S


class Revocations:
    """The revoked tokens as one process knows them, shared by its threads or greenlets."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Fetch from `database`; `clock` counts seconds."""
        self._database = database
        self._clock = clock
        self._state = _State()
        self._fetching = threading.Lock()

    def check(self, jti: str | None) -> None:
        """Let a token pass that is not revoked; one without a `jti` cannot be.

        Raises:
            RevokedError: It is revoked.
            UnavailableError: The database that would tell does not answer.
        """
        if jti is None:
            return
        state = self._state
        if self._clock() >= state.due_at_s:
            state = self._refreshed()
        if not state.counts(self._clock()):
            msg = "the database does not answer right now, so nobody can tell whether the token was revoked"
            raise UnavailableError(msg, retry_after_s=math.ceil(PAUSE_S), code="database_unavailable")
        if jti in state.jtis:
            raise RevokedError

    def look_again(self) -> None:
        """Let the next check in this process fetch the set, however young it is."""
        self._state = replace(self._state, due_at_s=-math.inf)

    def _refreshed(self) -> _State:
        # Whoever has a set that still counts does not wait for another request's fetch.
        waits = not self._state.counts(self._clock())
        if not self._fetching.acquire(timeout=MAX_WAIT_S if waits else 0):
            return self._state
        try:
            if self._clock() >= self._state.due_at_s:
                self._state = self._fetched()
            return self._state
        finally:
            self._fetching.release()

    def _fetched(self) -> _State:
        began_at_s = self._clock()
        try:
            jtis = TokenReader(self._database.reading(SERVICE)).revoked_jtis()
        except UnavailableError as error:
            _log.warning("revocations_not_fetched", code=error.code)
            return replace(self._state, due_at_s=self._clock() + PAUSE_S)
        return _State(jtis, seen_at_s=began_at_s, due_at_s=began_at_s + REFRESH_AFTER_S)
