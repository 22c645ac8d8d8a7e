"""What the queue's library logs, as lines of our own: how each job ended, and what is wrong with the worker."""

from __future__ import annotations

import logging
from typing import Final

import structlog

from app.errors import CryoProtectError

_ENDED: Final = frozenset({"job_success", "job_error", "job_error_retry", "job_aborted", "job_aborted_retry"})
_log = structlog.get_logger(__name__)


class QueueLog(logging.Handler):
    """Passes on what matters of the library's records."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line for the end of a job, or for a fault of the worker itself."""
        action = str(getattr(record, "action", ""))
        if action in _ENDED:
            self._say_end(record, action)
        elif record.levelno >= logging.WARNING:
            _log.log(record.levelno, "queue", action=action, said=record.getMessage(), exc_info=record.exc_info)

    def _say_end(self, record: logging.LogRecord, action: str) -> None:
        job = getattr(record, "job", {})
        error = record.exc_info[1] if record.exc_info else None
        # What we raise ourselves says all in its sentence.
        is_ours = error is None or isinstance(error, CryoProtectError)
        _log.log(
            record.levelno,
            "job",
            job=job.get("id"),
            task=job.get("task_name"),
            ended=action.removeprefix("job_"),
            took_s=round(getattr(record, "duration", 0.0), 3),
            error=None if error is None else f"{type(error).__name__}: {error}",
            **({} if is_ours or action != "job_error" else {"exc_info": error}),
        )


def configure_queue_log() -> None:
    """Take the library's log over."""
    logger = logging.getLogger("procrastinate")
    logger.handlers = [QueueLog()]
    logger.propagate = False
    logger.setLevel(logging.INFO)
