"""Structured logs: one JSON object a line on standard error, without tokens, bodies or query strings.

An error's own words are left out, too: Postgres, RDKit and Python quote the value that they do not like.
"""

from __future__ import annotations

import logging
import sys
import traceback

import structlog
from structlog.typing import ExcInfo, Processor


def configure_logging(level: str, *processors: Processor) -> None:
    """Make structlog write JSON lines from `level` on; other libraries speak up from WARNING on.

    `processors` are asked first, for what they know about a line.
    """
    logging.basicConfig(
        level=max(logging.WARNING, logging.getLevelName(level)), stream=sys.stderr, format="%(message)s"
    )
    structlog.configure(
        processors=[
            *processors,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(_wordless),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )


def _wordless(exc_info: ExcInfo) -> str:
    """Return where an error arose and what kind it is, after the one that led to it."""
    error: BaseException | None = exc_info[1]
    told: list[str] = []
    while error is not None:
        # What an error of the database says in place of words.
        said = [error.__class__.__qualname__, getattr(error, "sqlstate", None)]
        said.append(getattr(getattr(error, "diag", None), "constraint_name", None))
        told.insert(0, "".join([*traceback.format_tb(error.__traceback__), " ".join(filter(None, said))]))
        error = error.__cause__ or error.__context__
    return "\n".join(told)
