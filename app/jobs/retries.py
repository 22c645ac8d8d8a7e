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


class HeldElsewhereError(Exception):
    """Another worker, or a command, has what the job is about; the job looks again later."""


class Backoff(BaseRetryStrategy):
    """Twice the wait after each attempt, with jitter; what trying again cannot mend is given up at once."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        """Return when to try again, None for never."""
        if isinstance(exception, JobAborted):
            # Handed back by a worker that stops: for the next one that is free.
            return RetryDecision(retry_at=_in(0))
        if isinstance(exception, HeldElsewhereError):
            return RetryDecision(retry_at=_in(HELD_WAIT_S))
        is_final = isinstance(exception, CryoProtectError) and not isinstance(exception, UnavailableError)
        if is_final or job.attempts + 1 >= MAX_ATTEMPTS:
            return None
        return RetryDecision(retry_at=_in(min(2**job.attempts, MAX_WAIT_S) * random.uniform(0.75, 1.25)))  # noqa: S311


def _in(seconds: float) -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
