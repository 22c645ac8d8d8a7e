"""Structured logs: one JSON object a line on standard error, without tokens, bodies or query strings."""

from __future__ import annotations

import logging
import sys

import structlog


def configure_logging(level: str) -> None:
    """Make structlog write JSON lines from `level` on; other libraries speak up from WARNING on."""
    logging.basicConfig(
        level=max(logging.WARNING, logging.getLevelName(level)), stream=sys.stderr, format="%(message)s"
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
