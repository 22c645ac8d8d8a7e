"""The end of an attempt, told to the queue only where the job is this worker's still."""

from __future__ import annotations

import datetime as dt

from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager
from procrastinate.utils import utcnow

from database.repositories.jobs import FINISH_OWN_JOB_SQL, RETRY_OWN_JOB_SQL


class OwnJobs(JobManager):
    """The queue's manager, but for two ends that ask whose the job is: the library's would move another's."""

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:  # noqa: FBT001 - the library's
        """End a job; nothing happens where another worker has it, or it has ended."""
        assert not delete_job  # noqa: S101 - jobs that ended are kept for a while
        await self.connector.execute_query_async(
            FINISH_OWN_JOB_SQL, job_id=job.id, worker_id=job.worker_id, end_status=status.value
        )

    async def retry_job(
        self,
        job: Job,
        retry_at: dt.datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        """Put a job back; nothing happens where another worker has it, or it has been put back or ended."""
        assert queue is None  # noqa: S101 - no retry of ours moves a job
        assert lock is None  # noqa: S101
        await self.connector.execute_query_async(
            RETRY_OWN_JOB_SQL,
            job_id=job.id,
            worker_id=job.worker_id,
            retry_at=retry_at or utcnow(),
            new_priority=priority,
        )
