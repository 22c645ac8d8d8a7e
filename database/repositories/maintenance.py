"""The record of the work that comes round by itself: when each task is due, who has it, how it went.

Only the database's clock counts, for hosts have clocks of their own.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

from database.repositories.jobs import COUNT_WORKERS_SQL, LIST_QUEUES_SQL, QUEUES, QueueState
from database.repositories.system import GET_REVISION_SQL
from database.session import ReadSession, WriteSession

MAX_ERROR_LENGTH: Final = 1000

# One statement, so that of any number of workers one gets the task. A new task is due at once.
CLAIM_TASK_SQL: Final = """
INSERT INTO private.maintenance_runs AS r (task, due_at, started_at, leased_until)
VALUES (
    %(task)s, clock_timestamp() + %(every_s)s * interval '1 second', clock_timestamp(),
    clock_timestamp() + %(lease_s)s * interval '1 second'
)
ON CONFLICT (task) DO UPDATE
SET due_at = excluded.due_at, started_at = excluded.started_at, leased_until = excluded.leased_until
WHERE CASE WHEN r.leased_until IS NULL THEN %(anyway)s OR r.due_at <= excluded.started_at
    ELSE r.leased_until <= excluded.started_at END
RETURNING started_at
"""
# A worker that was overtaken meanwhile meets no row: its start is no longer the task's.
FINISH_TASK_SQL: Final = """
UPDATE private.maintenance_runs
SET finished_at = clock_timestamp(), took_ms = extract(epoch FROM clock_timestamp() - started_at) * 1000,
    error = NULL, leased_until = NULL
WHERE task = %(task)s AND started_at = %(started_at)s
"""
FAIL_TASK_SQL: Final = """
UPDATE private.maintenance_runs
SET error = %(error)s, leased_until = NULL,
    due_at = least(due_at, clock_timestamp() + %(retry_s)s * interval '1 second')
WHERE task = %(task)s AND started_at = %(started_at)s
"""
HASTEN_TASK_SQL: Final = """
INSERT INTO private.maintenance_runs AS r (task, due_at)
VALUES (%(task)s, clock_timestamp() + %(within_s)s * interval '1 second')
ON CONFLICT (task) DO UPDATE SET due_at = least(r.due_at, excluded.due_at)
"""
LIMIT_TIME_SQL: Final = "SELECT set_config('statement_timeout', %(limit_ms)s, true)"
REFRESH_MOLECULE_SUMMARY_SQL: Final = "SELECT private.refresh_molecule_summary(if_changed => true)"
LIST_TASKS_SQL: Final = """
SELECT task, extract(epoch FROM clock_timestamp() - finished_at)::float8, took_ms / 1000.0::float8,
    error IS NOT NULL
FROM private.maintenance_runs
ORDER BY task
"""
LIST_IMPORT_STATES_SQL: Final = """
SELECT state, count(*), extract(epoch FROM clock_timestamp() - min(updated_at))::float8
FROM public.import_runs
GROUP BY state
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A task that this process has for now."""

    task: str
    started_at: dt.datetime


@dataclass(frozen=True, slots=True)
class TaskState:
    """How a task went; None where it has not ended well yet."""

    task: str
    age_s: float | None
    """Since the end of the last run that ended well."""
    took_s: float | None
    failed: bool
    """Whether the last run failed."""


@dataclass(frozen=True, slots=True)
class ImportState:
    """How many import runs are in a state."""

    state: str
    count: int
    still_s: float
    """Since the one of them that has changed least lately changed last."""


@dataclass(frozen=True, slots=True)
class ServiceState:
    """How the service's background stands."""

    revision: str | None
    """That the schema is at."""
    tasks: list[TaskState]
    queues: list[QueueState]
    workers: int
    """Of the queue, that have been heard of lately."""
    imports: list[ImportState]


class MaintenanceRepository:
    """Claims tasks and keeps how they went, inside a transaction of the service role."""

    def __init__(self, session: WriteSession) -> None:
        self._session = session

    def claim(self, task: str, *, every_s: float, lease_s: float, anyway: bool = False) -> Claim | None:
        """Return the claim to a task that is due, or whose worker's lease has lapsed; None where it is neither.

        With `anyway` a task need not be due. Others see the claim when the transaction is committed.
        """
        given = {"task": task, "every_s": every_s, "lease_s": lease_s, "anyway": anyway}
        rows = self._session.rows(CLAIM_TASK_SQL, given)
        return Claim(task, rows[0][0]) if rows else None

    def finish(self, claim: Claim) -> None:
        """Record that a task ended well."""
        self._session.rows(FINISH_TASK_SQL, {"task": claim.task, "started_at": claim.started_at})

    def fail(self, claim: Claim, error: str, *, retry_s: float) -> None:
        """Record why a task failed; it is due again no later than in `retry_s`."""
        given = {"task": claim.task, "started_at": claim.started_at, "retry_s": retry_s}
        self._session.rows(FAIL_TASK_SQL, {**given, "error": error[:MAX_ERROR_LENGTH]})

    def hasten(self, task: str, *, within_s: float) -> None:
        """Make a task due no later than in `within_s`."""
        self._session.rows(HASTEN_TASK_SQL, {"task": task, "within_s": within_s})

    def limit_time(self, limit_s: float) -> None:
        """Give the transaction's further statements this long."""
        self._session.rows(LIMIT_TIME_SQL, {"limit_ms": str(round(limit_s * 1000))})

    def refresh_molecule_summary(self) -> bool:
        """Bring the summary of public molecules up to date and return whether anything had changed."""
        return bool(self._session.rows(REFRESH_MOLECULE_SUMMARY_SQL, {})[0][0])


class MaintenanceReader:
    """Shows how the work goes."""

    def __init__(self, session: ReadSession) -> None:
        self._session = session

    def state(self, *, limit_s: float) -> ServiceState:
        """Return how the schema, the tasks, the queue and the imports stand, in one round trip.

        Raises:
            UnavailableError: The database did not answer in time.
        """
        limit = {"limit_ms": str(round(limit_s * 1000))}
        _, revisions, tasks, queues, workers, imports = self._session.rows_of_each(
            [
                (LIMIT_TIME_SQL, limit),
                (GET_REVISION_SQL, {}),
                (LIST_TASKS_SQL, {}),
                (LIST_QUEUES_SQL, {"queues": list(QUEUES)}),
                (COUNT_WORKERS_SQL, {}),
                (LIST_IMPORT_STATES_SQL, {}),
            ]
        )
        return ServiceState(
            revisions[0][0] if revisions else None,
            [TaskState(*row) for row in tasks],
            [QueueState(*row) for row in queues],
            workers[0][0],
            [ImportState(*row) for row in imports],
        )
