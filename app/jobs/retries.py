"""When a job that failed is tried again, and when it is given up."""

from __future__ import annotations

import datetime as dt
import random
from typing import Final

from procrastinate import BaseRetryStrategy, RetryDecision
from procrastinate.exceptions import JobAborted
from procrastinate.jobs import Job

from app.errors import CryoProtectError, UnavailableError

MAX_ATTEMPTS: Final = 20
"""With the waits between them some three hours: an outage of a night's part, but no fault for ever."""
MAX_WAIT_S: Final = 600
HELD_WAIT_S: Final = 30
PROGRESS_WAIT_S: Final = 10


class UncountedError(Exception):
    """The job is not done, and that is no failed attempt: it is run again after `wait_s`, however often."""

    wait_s: float


class HeldElsewhereError(UncountedError):
    """Another worker, or a command, has what the job is about."""

    wait_s = HELD_WAIT_S


class BrokenOffError(UncountedError):
    """Something went wrong after the job had come further than it was."""

    wait_s = PROGRESS_WAIT_S


class Backoff(BaseRetryStrategy):
    """Twice the wait after each attempt, with jitter; what trying again cannot mend is given up at once.

    Whatever waits has a lower priority, the lower the oftener it has failed: under one lock the queue lets nothing pass
    a job of the same or a higher one, not even while that waits for its next attempt. What came further has not failed.
    """

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        """Return when to try again, None for never."""
        if isinstance(exception, JobAborted):
            # Handed back by a worker that stops: for the next one that is free.
            return RetryDecision(retry_at=_in(0), priority=-job.attempts)
        if isinstance(exception, UncountedError):
            failed = 0 if isinstance(exception, BrokenOffError) else job.attempts
            return RetryDecision(retry_at=_in(exception.wait_s), priority=-(failed + 1))
        if is_final(exception) or job.attempts + 1 >= MAX_ATTEMPTS:
            return None
        wait_s = min(2**job.attempts, MAX_WAIT_S) * random.uniform(0.75, 1.25)  # noqa: S311
        return RetryDecision(retry_at=_in(wait_s), priority=-(job.attempts + 1))


def is_final(exception: BaseException) -> bool:
    """Return whether trying again cannot mend it."""
    return isinstance(exception, CryoProtectError) and not isinstance(exception, UnavailableError)


def _in(seconds: float) -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
