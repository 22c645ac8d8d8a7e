"""When a job that failed is tried again."""

from __future__ import annotations

import datetime as dt

import pytest
from procrastinate.exceptions import JobAborted
from procrastinate.jobs import Job

from app.errors import InvalidError, NotFoundError, UnavailableError
from app.jobs.retries import MAX_ATTEMPTS, MAX_WAIT_S, Backoff, BrokenOffError, HeldElsewhereError


def job(attempts: int = 0) -> Job:
    return Job(
        id=1, queue="imports", lock=None, queueing_lock=None, task_name="run_import", priority=0, attempts=attempts
    )


def priority(exception: BaseException, attempts: int) -> int | None:
    decision = Backoff().get_retry_decision(exception=exception, job=job(attempts))
    assert decision is not None
    return decision.priority


def wait_s(exception: BaseException, attempts: int = 0) -> float | None:
    decision = Backoff().get_retry_decision(exception=exception, job=job(attempts))
    if decision is None:
        return None
    assert decision.retry_at is not None
    return (decision.retry_at - dt.datetime.now(dt.UTC)).total_seconds()


@pytest.mark.parametrize("attempts", [0, 3, 6, 12])
@pytest.mark.parametrize("exception", [UnavailableError("away"), ValueError("a fault of ours")])
def test_each_wait_is_twice_the_one_before_until_the_longest(exception: Exception, attempts: int):
    wanted = min(2**attempts, MAX_WAIT_S)

    assert wait_s(exception, attempts) == pytest.approx(wanted, rel=0.3)


def test_attempts_come_to_an_end():
    assert wait_s(UnavailableError("away"), MAX_ATTEMPTS - 2) is not None
    assert wait_s(UnavailableError("away"), MAX_ATTEMPTS - 1) is None


@pytest.mark.parametrize("exception", [InvalidError("no such column"), NotFoundError("no such run")])
def test_what_trying_again_cannot_mend_is_given_up_at_once(exception: Exception):
    assert wait_s(exception) is None


def test_what_a_stopping_worker_hands_back_is_due_at_once_however_often():
    assert wait_s(JobAborted(), 100) == pytest.approx(0, abs=1)


def test_what_somebody_else_has_is_looked_at_again_however_often():
    assert wait_s(HeldElsewhereError(), 100) == pytest.approx(30, abs=1)


def test_what_broke_off_after_it_came_further_is_gone_on_with_soon():
    assert wait_s(BrokenOffError(), 100) == pytest.approx(10, abs=1)


@pytest.mark.parametrize(
    ("exception", "attempts", "wanted"),
    [
        (UnavailableError("away"), 0, -1),
        (UnavailableError("away"), 4, -5),
        (HeldElsewhereError(), 0, -1),
        (HeldElsewhereError(), 4, -5),
        (BrokenOffError(), 4, -1),
        (JobAborted(), 0, 0),
        (JobAborted(), 4, -4),
    ],
)
def test_what_waits_stands_behind_what_does_not_and_behind_what_failed_less_often(
    exception: BaseException, attempts: int, wanted: int
):
    assert priority(exception, attempts) == wanted
