"""A worker: takes jobs from the queue until it is asked to stop.

It keeps nothing that its database does not know. Whatever goes wrong between the two ends the worker inside, which is
then made anew with another number: jobs that the old one had are found by the number that is silent.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import structlog
from procrastinate import App, PsycopgConnector

from app.domain.callers import SERVICE
from app.jobs.retries import MAX_ATTEMPTS, MAX_WAIT_S
from app.jobs.tasks import PARTS, Parts, queue_app
from app.jobs.worker_log import configure_queue_log
from database.repositories.jobs import JobRepository, RecoveredJob
from database.session import Database

GRACE_S: Final = 20.0
HEARTBEATS_MISSED: Final = 3
MAX_PAUSE_S: Final = 30.0
_LARGEST_POLL_S: Final = 5.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Duties:
    """What one worker process takes upon itself."""

    queues: Sequence[str]
    concurrency: int = 1
    """Jobs at once."""
    heartbeat_s: float = 10.0
    """A worker that has been silent for three times as long is dead, and its jobs are put back."""
    grace_s: float = GRACE_S
    """How long jobs may go on when the worker is asked to stop, before they are asked to hand themselves back."""
    until_empty: bool = False
    """Whether it stops when nothing is left that could be run now."""


def work(queue_url: str, parts: Parts, duties: Duties) -> None:
    """Take jobs until SIGTERM or SIGINT, or until the queue is empty; jobs under way then may end, or are handed back.

    `queue_url` leads past any pooler, with the service's login: the queue needs a session of its own.
    """
    configure_queue_log()
    asyncio.run(_work(queue_url, parts, duties))


def recover(database: Database, *, silent_s: float) -> list[RecoveredJob]:
    """Put back, or give up, the jobs of workers that have been silent for so long, and return them."""
    with database.transaction(SERVICE) as session:
        return JobRepository(session).recover(silent_s=silent_s, max_attempts=MAX_ATTEMPTS, max_wait_s=MAX_WAIT_S)


def queue_connector(queue_url: str, duties: Duties) -> PsycopgConnector:
    """Return the queue's way to the database, as the service role."""
    return PsycopgConnector(
        conninfo=queue_url,
        min_size=1,
        # Fetching, heartbeat and looks at what is to be aborted, besides the jobs' ends.
        max_size=duties.concurrency + 3,
        timeout=10.0,
        kwargs={
            "options": "-c role=service_role -c search_path=jobs,pg_temp",
            "application_name": "cryoprotect worker",
            "connect_timeout": 5,
            "tcp_user_timeout": 30_000,
            "keepalives_idle": 30,
        },
    )


async def _work(queue_url: str, parts: Parts, duties: Duties) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    recovering = asyncio.create_task(_recover_now_and_then(parts.database, duties))
    pause_s = 1.0
    while not stop.is_set():
        started = loop.time()
        try:
            await _run(queue_app(queue_connector(queue_url, duties)), parts, duties, stop)
        except Exception as error:
            if duties.until_empty:
                raise
            _log.warning("the worker starts anew", cause=type(error).__name__, detail=str(error.__cause__ or error))
        if duties.until_empty:
            break
        if not stop.is_set():
            pause_s = 1.0 if loop.time() - started > MAX_PAUSE_S else min(pause_s * 2, MAX_PAUSE_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause_s)
    recovering.cancel()


async def _run(app: App, parts: Parts, duties: Duties, stop: asyncio.Event) -> None:
    async with app.open_async():
        working = asyncio.create_task(
            app.run_worker_async(
                queues=list(duties.queues),
                concurrency=duties.concurrency,
                fetch_job_polling_interval=min(duties.heartbeat_s, _LARGEST_POLL_S),
                abort_job_polling_interval=min(duties.heartbeat_s, _LARGEST_POLL_S),
                shutdown_graceful_timeout=duties.grace_s,
                wait=not duties.until_empty,
                additional_context={PARTS: parts},
                # Ours outlives the worker inside.
                install_signal_handlers=False,
                update_heartbeat_interval=duties.heartbeat_s,
                stalled_worker_timeout=duties.heartbeat_s * HEARTBEATS_MISSED,
            )
        )
        asyncio.get_running_loop().set_exception_handler(_starting_anew(working))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not working.done():
            # It takes this for the wish to stop, and waits for its jobs.
            working.cancel()
        with suppress(asyncio.CancelledError):
            await working


def _starting_anew(working: asyncio.Task[None]) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """Return what ends the worker inside when the end of a job could not be told to the queue.

    The job would be this worker's for as long as it lives; with its end the job is one that was lost.
    """

    def end(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        cause = getattr(error, "__cause__", None) or error
        _log.warning("the worker starts anew", cause=type(error).__name__, detail=str(cause or context["message"]))
        working.cancel()

    return end


async def _recover_now_and_then(database: Database, duties: Duties) -> None:
    while True:
        try:
            silent_s = duties.heartbeat_s * HEARTBEATS_MISSED
            for job in await asyncio.to_thread(recover, database, silent_s=silent_s):
                _log.warning("a job was lost with its worker", job=job.job_id, task=job.task, status=job.status)
        except Exception as error:  # noqa: BLE001 - it looks again
            _log.warning("lost jobs are looked for later", cause=type(error).__name__)
        await asyncio.sleep(duties.heartbeat_s)
