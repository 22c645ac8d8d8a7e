"""Request budgets: how often all processes together may ask a service on the web."""

from __future__ import annotations

from typing import Final

from database.session import WriteSession

TAKE_REQUEST_SQL: Final = "SELECT private.take_request(%(name)s)"
PAUSE_REQUESTS_SQL: Final = """
UPDATE private.request_budgets
SET next_at = greatest(next_at, clock_timestamp() + %(pause_s)s * interval '1 second')
WHERE name = %(name)s
"""
SLOW_REQUESTS_SQL: Final = """
UPDATE private.request_budgets
SET slowness = %(slowness)s, slow_until = clock_timestamp() + %(slow_s)s * interval '1 second'
WHERE name = %(name)s
"""


class BudgetRepository:
    """Takes requests from a service's budget, in a short transaction of the service role."""

    def __init__(self, session: WriteSession, name: str) -> None:
        self._session = session
        self._name = name

    def take(self) -> float:
        """Take a request and return 0; or take none, and return the seconds until there may be one."""
        return float(self._session.rows(TAKE_REQUEST_SQL, {"name": self._name})[0][0])

    def pause(self, pause_s: float) -> None:
        """Let nobody take a request for so long."""
        self._session.rows(PAUSE_REQUESTS_SQL, {"name": self._name, "pause_s": pause_s})

    def slow_down(self, slowness: float, slow_s: float) -> None:
        """Put requests `slowness` times as far apart as usual, for so long; 1 is the usual distance."""
        self._session.rows(SLOW_REQUESTS_SQL, {"name": self._name, "slowness": slowness, "slow_s": slow_s})
