"""When a service on the web may be asked: its budget, shared by all processes, and what it says of its load.

PubChem says with each answer how much of three budgets is used, in words and percent: the caller's requests, the
time that they took, and the service as a whole. Black means that the caller is, or will be, shut out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

from app.domain.callers import SERVICE
from database.repositories.budgets import BudgetRepository
from database.session import Database

SHUT_OUT_S: Final = 60.0
"""How long nobody asks when the service says that we have used up our share."""
SLOW_S: Final = 60.0
"""How long what a service said of its load is believed, when it says nothing new."""
_SLOWNESS: Final = {"yellow": 2.0, "red": 5.0, "black": 20.0}
_STATUS: Final = re.compile(
    r"(Request Count|Request Time|Service) status:\s*(\w+)\s*(?:\((\d{1,6})%\))?", re.IGNORECASE
)
_USED_UP: Final = 100
_R = TypeVar("_R")


class Budget(Protocol):
    """Leave to ask a service."""

    def take(self) -> None:
        """Return when one request may be sent."""
        ...

    def pause(self, seconds: float) -> None:
        """Let nobody ask for so long."""
        ...

    def slow_down(self, slowness: float) -> None:
        """Ask so many times as slowly as usual for a while."""
        ...


class SharedBudget:
    """The budget of a service, in the database."""

    def __init__(self, database: Database, name: str, sleep: Callable[[float], None]) -> None:
        self._database = database
        self._name = name
        self._sleep = sleep
        self._slowness = 1.0

    def take(self) -> None:
        """Return when one request may be sent.

        Raises:
            UnavailableError: The database does not answer.
        """
        while (wait_s := self._do(lambda budget: budget.take())) > 0:
            self._sleep(wait_s)

    def pause(self, seconds: float) -> None:
        """Let nobody ask for so long."""
        self._do(lambda budget: budget.pause(seconds))

    def slow_down(self, slowness: float) -> None:
        """Ask so many times as slowly as usual for a while; what was usual already is not said again."""
        if max(slowness, self._slowness) > 1:
            self._do(lambda budget: budget.slow_down(slowness, SLOW_S))
        self._slowness = slowness

    def _do(self, work: Callable[[BudgetRepository], _R]) -> _R:
        with self._database.transaction(SERVICE) as session:
            return work(BudgetRepository(session, self._name))


def heed(budget: Budget, throttling: str | None) -> None:
    """Do as `X-Throttling-Control` says; where it is absent or says nothing known, nothing changes."""
    stated = [(kind, colour, int(percent or 0)) for kind, colour, percent in _STATUS.findall(throttling or "")]
    if not stated:
        return
    # Which words there are besides the colours is not written down, so the percentage speaks, too.
    colours = [(kind, "black" if percent > _USED_UP else colour.casefold()) for kind, colour, percent in stated]
    budget.slow_down(max(_SLOWNESS.get(colour, 1.0) for _, colour in colours))
    if any(colour == "black" and kind.casefold() != "service" for kind, colour in colours):
        budget.pause(SHUT_OUT_S)
