"""One log line for each read by the service role, which sees every row: which token, what, and when.

It is written whatever LOG_LEVEL says: who looks for what a leaked token has read must find all of it.
"""

from __future__ import annotations

import logging
from typing import Final

import structlog
from flask import Flask, Response, current_app, g, request

LOG: Final = structlog.wrap_logger(
    None, wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET), logger_factory_args=("service_reads",)
)


def register(app: Flask) -> None:
    """Make the app log the service role's reads."""
    app.after_request(_log)


def _log(response: Response) -> Response:
    who = g.get("caller")
    if who is not None and who.role == "service_role" and request.url_rule is not None and _is_read():
        LOG.info(
            "service_read",
            jti=who.jti,
            method=request.method,
            route=request.url_rule.rule,
            status=response.status_code,
            request_id=g.request_id,
        )
    return response


def _is_read() -> bool:
    """Return whether the request changes nothing: a look-up that needs a body is a read, too."""
    if request.method in {"GET", "HEAD"}:
        return True
    resource = getattr(current_app.view_functions.get(request.endpoint or ""), "view_class", None)
    said = getattr(getattr(resource, request.method.lower(), None), "description", None)
    return said is not None and not said.effect
