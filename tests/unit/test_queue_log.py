"""What the queue's library logs is told in lines of our own."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from app.errors import InvalidError
from app.jobs import worker_log
from app.jobs.worker_log import QueueLog


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Give the lines that are written."""
    capture = LogCapture()
    every_level = structlog.make_filtering_bound_logger(logging.NOTSET)
    monkeypatch.setattr(worker_log, "_log", structlog.wrap_logger(None, [capture], every_level))
    return capture.entries


def tell(level: int, action: str, error: Exception | None = None) -> None:
    record = logging.LogRecord("procrastinate.worker", level, __file__, 1, "words of the library", None, None)
    record.__dict__.update(action=action, job={"id": 7, "task_name": "run_import"}, duration=1.23456)
    if error is not None:
        try:
            raise error
        except type(error):
            record.exc_info = sys.exc_info()
    QueueLog().emit(record)


def test_the_end_of_a_job_is_a_line_with_its_task_and_time(lines: list[Any]):
    tell(logging.INFO, "job_success")

    assert lines == [
        {
            "event": "job",
            "log_level": "info",
            "job": 7,
            "task": "run_import",
            "ended": "success",
            "took_s": 1.235,
            "error": None,
        }
    ]


def test_a_refusal_is_a_sentence_and_a_fault_of_ours_has_its_trace(lines: list[Any]):
    tell(logging.ERROR, "job_error", InvalidError("no such column"))
    tell(logging.ERROR, "job_error", KeyError("x"))

    refusal, fault = lines
    assert (refusal["error"], "exc_info" in refusal) == ("InvalidError: no such column", False)
    assert isinstance(fault["exc_info"], KeyError)


@pytest.mark.parametrize(("level", "count"), [(logging.INFO, 0), (logging.ERROR, 1)])
def test_of_the_rest_only_faults_are_told(lines: list[Any], level: int, count: int):
    tell(level, "side_task_failed")

    assert len(lines) == count
