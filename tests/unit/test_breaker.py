"""The breaker as a state machine, under a storm of threads, and when whoever holds the probe dies."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest
from gevent import GreenletExit
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, multiple, rule

from app.breaker import Breaker, Rules, State
from app.errors import UnavailableError
from tests.plugins.clock import Clock

RULES: Final = Rules(window_s=3.0, min_volume=4, failed_share=0.5, pause_s=1.0, probe_s=5.0)


class DownError(Exception):
    """The dependency does not answer."""


class RefusalError(Exception):
    """The dependency answered, with a refusal."""


OUTCOMES: Final[dict[str, BaseException | None]] = {
    "success": None,
    "refusal": RefusalError(),
    "failure": DownError(),
    "death": GreenletExit(),
}


def _breaker(clock: Callable[[], float]) -> Breaker:
    return Breaker("database", counts=lambda error: isinstance(error, DownError), rules=RULES, clock=clock)


def _fail(breaker: Breaker, times: int = RULES.min_volume) -> None:
    for _ in range(times):
        breaker.settle(breaker.admit(), DownError())


class BreakerMachine(RuleBasedStateMachine):
    """Calls that begin and end in any order, and time that passes, beside a model that says what must hold."""

    permits = Bundle("permits")

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = _breaker(self.clock)
        self.probe: int | None = None
        self.probe_until_s = 0.0
        self.retry_at_s = 0.0

    @rule(seconds=st.floats(0.01, 8.0))
    def pass_time(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.now_s += seconds

    @rule(target=permits)
    def begin(self):
        """Ask for a permit: refusals say when to come again, and of probes there is one at a time."""
        before = self.breaker.state
        try:
            permit = self.breaker.admit()
        except UnavailableError as refused:
            refusal = refused
        else:
            self._note(before, permit)
            return permit
        assert before is not State.CLOSED
        assert refusal.code == "database_unavailable"
        due_s = self.probe_until_s if before is State.HALF_OPEN else self.retry_at_s
        assert self.clock.now_s < due_s <= self.clock.now_s + refusal.retry_after_s
        return multiple()

    def _note(self, before: State, permit: int) -> None:
        if before is not State.CLOSED:
            # Another was let through only if the pause is over, or the last probe is overdue.
            due_s = self.probe_until_s if before is State.HALF_OPEN else self.retry_at_s
            assert self.clock.now_s >= due_s
            assert self.breaker.state is State.HALF_OPEN
            self.probe, self.probe_until_s = permit, self.clock.now_s + RULES.probe_s

    @rule(permit=consumes(permits), outcome=st.sampled_from(sorted(OUTCOMES)))
    def end(self, permit: int, outcome: str) -> None:
        """End a call: only the probe moves a breaker that is not closed."""
        before = self.breaker.state
        self.breaker.settle(permit, OUTCOMES[outcome])
        after = self.breaker.state
        if before is State.OPEN:
            assert after is State.OPEN
        elif before is State.HALF_OPEN:
            self._end_beside_a_probe(permit, outcome, after)
        elif after is not before:
            assert (after, outcome) == (State.OPEN, "failure")
            self.retry_at_s = self.clock.now_s + RULES.pause_s

    def _end_beside_a_probe(self, permit: int, outcome: str, after: State) -> None:
        if permit != self.probe:
            assert after is State.HALF_OPEN
            return
        self.probe = None
        assert after is (State.CLOSED if outcome in {"success", "refusal"} else State.OPEN)
        self.retry_at_s = self.clock.now_s + (RULES.pause_s if outcome == "failure" else 0.0)

    def teardown(self) -> None:
        """Whatever happened and whoever never reported, a call is let through in the end and can close it."""
        self.clock.now_s += RULES.pause_s + RULES.probe_s
        self.breaker.call(lambda: None)
        assert self.breaker.state is State.CLOSED


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_it_opens_when_half_of_enough_calls_failed(clock: Clock):
    breaker = _breaker(clock)
    for outcome in (None, None, DownError(), DownError()):
        assert breaker.state is State.CLOSED
        breaker.settle(breaker.admit(), outcome)

    assert (breaker.state, breaker.transitions[State.OPEN]) == (State.OPEN, 1)
    with pytest.raises(UnavailableError):
        breaker.call(lambda: None)


def test_it_stays_closed_below_the_volume_and_below_the_share(clock: Clock):
    breaker = _breaker(clock)

    _fail(breaker, RULES.min_volume - 1)
    assert breaker.state is State.CLOSED
    for _ in range(10):
        breaker.call(lambda: None)
    _fail(breaker, 6)

    assert breaker.state is State.CLOSED


def test_what_is_older_than_the_window_does_not_count(clock: Clock):
    breaker = _breaker(clock)

    _fail(breaker, RULES.min_volume - 1)
    clock.now_s += RULES.window_s + 0.1
    _fail(breaker, RULES.min_volume - 1)

    assert breaker.state is State.CLOSED


@pytest.mark.parametrize("error", [RefusalError(), GreenletExit(), KeyboardInterrupt()])
def test_answers_that_are_refusals_and_calls_broken_off_open_nothing(clock: Clock, error: BaseException):
    breaker = _breaker(clock)
    for _ in range(20):
        breaker.settle(breaker.admit(), error)

    assert breaker.state is State.CLOSED


def test_the_refusal_says_when_the_next_probe_is_due(clock: Clock):
    rules = Rules(min_volume=1, pause_s=30.0)
    breaker = Breaker("chembl", counts=lambda _: True, rules=rules, clock=clock)
    _fail(breaker, 1)
    clock.now_s += 17.5

    with pytest.raises(UnavailableError) as refused:
        breaker.admit()

    assert (refused.value.retry_after_s, refused.value.code) == (13, "chembl_unavailable")


def test_a_late_answer_of_an_older_generation_changes_nothing(clock: Clock):
    breaker = _breaker(clock)
    late_success, late_failure = breaker.admit(), breaker.admit()
    _fail(breaker)
    clock.now_s += RULES.pause_s
    lost_probe = breaker.admit()

    breaker.settle(late_success)
    breaker.settle(late_failure, DownError())
    assert breaker.state is State.HALF_OPEN
    clock.now_s += RULES.probe_s
    probe = breaker.admit()
    breaker.settle(lost_probe)
    assert breaker.transitions[State.OPEN] == 1
    with pytest.raises(UnavailableError):
        breaker.admit()
    breaker.settle(probe)

    breaker.settle(breaker.admit())
    assert breaker.admit() == breaker.admit()


def test_a_probe_whose_holder_dies_makes_room_for_the_next_at_once(clock: Clock):
    breaker = _breaker(clock)
    _fail(breaker)
    clock.now_s += RULES.pause_s

    def die() -> None:
        raise GreenletExit

    with pytest.raises(GreenletExit):
        breaker.call(die)

    breaker.call(lambda: None)
    assert breaker.state is State.CLOSED


def test_in_a_storm_of_threads_one_probe_goes_through_and_no_permit_is_lost():
    clock = Clock()
    breaker = _breaker(clock)
    threads, rounds = 16, 200
    probes = [0] * rounds
    barrier = threading.Barrier(threads)
    counting = threading.Lock()

    def storm(number: int) -> None:
        for turn in range(rounds):
            if barrier.wait(30) == 0:
                _fail(breaker)
                clock.now_s += RULES.pause_s
            barrier.wait(30)
            try:
                permit = breaker.admit()
            except UnavailableError:
                permit = None
            if permit is not None:
                with counting:
                    probes[turn] += 1
            barrier.wait(30)
            if permit is not None:
                # Some succeed, some fail, some die: the next round opens it again whatever comes of it.
                breaker.settle(permit, (None, DownError(), GreenletExit())[turn % 3])
            if barrier.wait(30) == 0 and breaker.state is not State.CLOSED:
                clock.now_s += RULES.pause_s + RULES.probe_s
                breaker.call(lambda: None)
            barrier.wait(30)

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(storm, number) for number in range(threads)]:
            done.result(60)

    assert probes == [1] * rounds
    assert breaker.state is State.CLOSED
