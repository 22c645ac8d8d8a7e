"""The queue as its keepers see it: how much waits, what a dead worker left, what is too old to keep.

Putting jobs in and running them is procrastinate's; its own functions do both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from database.session import WriteSession

QUEUES: Final = ("imports", "predictions")

# What waits for its next attempt is not due yet and makes no queue look old.
LIST_QUEUES_SQL: Final = """
SELECT q.name, count(*) FILTER (WHERE j.status = 'todo'), count(*) FILTER (WHERE j.status = 'doing'),
    count(*) FILTER (WHERE j.status = 'failed'),
    coalesce(extract(epoch FROM clock_timestamp() - min(due.at)), 0)::float8
FROM unnest(%(queues)s::text[]) AS q (name)
LEFT JOIN jobs.procrastinate_jobs AS j ON j.queue_name = q.name
LEFT JOIN LATERAL (
    SELECT coalesce(j.scheduled_at, min(e.at)) AS at
    FROM jobs.procrastinate_events AS e
    WHERE e.job_id = j.id
) AS due ON j.status = 'todo' AND due.at <= clock_timestamp()
GROUP BY q.name
ORDER BY q.name
"""
COUNT_WORKERS_SQL: Final = """
SELECT count(*) FROM jobs.procrastinate_workers WHERE last_heartbeat > clock_timestamp() - interval '1 minute'
"""
# A job is its worker's as long as the row says so: of several that look at once, one finds it still lost. A job that
# somebody wanted stopped is not begun again.
RECOVER_JOBS_SQL: Final = """
WITH lost AS MATERIALIZED (
    SELECT j.id, j.worker_id
    FROM jobs.procrastinate_jobs AS j
    LEFT JOIN jobs.procrastinate_workers AS w ON w.id = j.worker_id
    WHERE j.status = 'doing'
        AND (w.id IS NULL OR w.last_heartbeat < clock_timestamp() - %(silent_s)s * interval '1 second')
)
UPDATE jobs.procrastinate_jobs AS j
SET status = CASE
        WHEN j.abort_requested THEN 'aborted'
        WHEN j.attempts + 1 >= %(max_attempts)s THEN 'failed'
        ELSE 'todo'
    END::jobs.procrastinate_job_status,
    attempts = j.attempts + 1, priority = -(j.attempts + 1), abort_requested = false, worker_id = NULL,
    scheduled_at = clock_timestamp() + least(power(2, j.attempts) - 1, %(max_wait_s)s) * interval '1 second'
FROM lost AS l
WHERE j.id = l.id AND j.status = 'doing' AND j.worker_id IS NOT DISTINCT FROM l.worker_id
RETURNING j.id, j.task_name, j.status::text
"""
FORGET_WORKERS_SQL: Final = """
DELETE FROM jobs.procrastinate_workers
WHERE last_heartbeat < clock_timestamp() - %(silent_s)s * interval '1 second'
"""
# The queue's own functions ask only for the job. A worker that was thought dead may find it another's.
COUNT_ATTEMPTS_SQL: Final = """
UPDATE jobs.procrastinate_jobs SET attempts = %(attempts)s
WHERE id = %(job_id)s AND status = 'doing' AND coalesce(worker_id, %(worker_id)s) = %(worker_id)s
"""
RETRY_OWN_JOB_SQL: Final = """
SELECT jobs.procrastinate_retry_job_v2(j.id, %(retry_at)s::timestamptz, %(new_priority)s::integer, NULL, NULL)
FROM (
    SELECT id FROM jobs.procrastinate_jobs
    WHERE id = %(job_id)s AND status = 'doing' AND coalesce(worker_id, %(worker_id)s) = %(worker_id)s
    FOR UPDATE
) AS j
"""
# What has been put back and waits is nobody's, and done is done.
FINISH_OWN_JOB_SQL: Final = """
SELECT jobs.procrastinate_finish_job_v1(j.id, %(end_status)s::jobs.procrastinate_job_status, false)
FROM (
    SELECT id FROM jobs.procrastinate_jobs
    WHERE id = %(job_id)s
        AND (status = 'todo' OR status = 'doing' AND coalesce(worker_id, %(worker_id)s) = %(worker_id)s)
    FOR UPDATE
) AS j
"""
PRUNE_JOBS_SQL: Final = """
DELETE FROM jobs.procrastinate_jobs AS j
WHERE j.status IN ('succeeded', 'failed', 'cancelled', 'aborted')
    AND NOT EXISTS (
        SELECT FROM jobs.procrastinate_events AS e
        WHERE e.job_id = j.id
            AND e.at > clock_timestamp() - interval '1 day' * CASE j.status WHEN 'failed' THEN 90 ELSE 7 END
    )
RETURNING j.id
"""


@dataclass(frozen=True, slots=True)
class QueueState:
    """How one queue stands."""

    queue: str
    waiting: int
    running: int
    failed: int
    """Given up after too many attempts: the dead letters."""
    oldest_s: float
    """For how long the oldest job that could be run has waited; 0 where none does."""


@dataclass(frozen=True, slots=True)
class RecoveredJob:
    """A job whose worker has died, and what it is now: todo, failed or aborted."""

    job_id: int
    task: str
    status: str


class JobRepository:
    """Looks after the queue inside a transaction of the service role."""

    def __init__(self, session: WriteSession) -> None:
        self._session = session

    def recover(self, *, silent_s: float, max_attempts: int, max_wait_s: float) -> list[RecoveredJob]:
        """Put back what workers had that have been silent for so long, or give it up after so many attempts."""
        limits = {"silent_s": silent_s, "max_attempts": max_attempts, "max_wait_s": max_wait_s}
        recovered = [RecoveredJob(*row) for row in self._session.rows(RECOVER_JOBS_SQL, limits)]
        self._session.rows(FORGET_WORKERS_SQL, {"silent_s": silent_s})
        return recovered

    def count_attempts(self, job_id: int, worker_id: int, attempts: int) -> None:
        """Say how often a job that this worker runs still was tried before."""
        self._session.rows(COUNT_ATTEMPTS_SQL, {"job_id": job_id, "worker_id": worker_id, "attempts": attempts})

    def prune(self) -> int:
        """Remove jobs that ended a week ago, failed ones after 90 days, and return how many."""
        return len(self._session.rows(PRUNE_JOBS_SQL, {}))
