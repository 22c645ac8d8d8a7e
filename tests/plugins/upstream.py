"""Services on the web, played: what they answer is the test's, time passes only when somebody waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import requests_mock

from app.importers.upstream import Upstream, breaker
from tests.plugins.clock import Clock

ADDRESS = "https://service.test"


@dataclass
class Budget:
    """A budget that grants everything, and keeps what it was told."""

    taken: int = 0
    pauses: list[float] = field(default_factory=list)
    slowness: list[float] = field(default_factory=list)

    def take(self) -> None:
        self.taken += 1

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def slow_down(self, slowness: float) -> None:
        self.slowness.append(slowness)


@dataclass
class Played:
    """A service as its client meets it."""

    upstream: Upstream
    answers: requests_mock.Mocker
    budget: Budget
    clock: Clock
    slept: list[float]

    def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        self.slept.append(seconds)
        self.clock.now_s += seconds


@pytest.fixture
def answers() -> Iterator[requests_mock.Mocker]:
    """Give the web; what is not in it is an error."""
    with requests_mock.Mocker() as web:
        yield web


@pytest.fixture
def played(answers: requests_mock.Mocker, clock: Clock) -> Played:
    """Give a service that nobody has asked anything yet."""
    slept: list[float] = []
    budget = Budget()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.now_s += seconds

    upstream = Upstream(ADDRESS, breaker("pubchem", clock), budget, sleep, max_bytes=100_000)
    return Played(upstream, answers, budget, clock, slept)
