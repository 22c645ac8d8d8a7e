"""Every error as `application/problem+json` (RFC 9457), on every path and from every layer."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

import structlog
from flask import Flask, Response, g, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import HTTPException

from api.common.json import dumps
from app.errors import (
    ConflictError,
    CredentialsError,
    CryoProtectError,
    Fault,
    ForbiddenError,
    InvalidError,
    MalformedError,
    NotFoundError,
    StaleError,
    TokenError,
    TooManyAttemptsError,
    UnavailableError,
)

PROBLEM_JSON: Final = "application/problem+json"
LOG: Final = structlog.get_logger("api")

_STATUSES: Final[dict[type[CryoProtectError], int]] = {
    MalformedError: 400,
    TokenError: 401,
    CredentialsError: 401,
    ForbiddenError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    StaleError: 412,
    InvalidError: 422,
    TooManyAttemptsError: 429,
    UnavailableError: 503,
}
_TITLES: Final = {
    400: "Malformed request",
    401: "Token not accepted",
    403: "Not permitted",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    408: "Request timeout",
    409: "Conflict",
    411: "Length required",
    412: "Precondition failed",
    413: "Body too large",
    414: "URI too long",
    415: "Unsupported media type",
    422: "Invalid values",
    428: "Precondition required",
    429: "Too many requests",
    431: "Headers too large",
    500: "Internal error",
    503: "Service unavailable",
}
_DETAILS: Final = {
    404: "there is nothing at this address",
    500: "an error of our own; it has been logged under this request_id",
}


class HttpError(CryoProtectError):
    """A refusal that only HTTP knows: a precondition, a media type, a rate limit."""

    def __init__(
        self, status: int, detail: str, *, code: str | None = None, faults: tuple[Fault, ...] = (), **headers: str
    ) -> None:
        super().__init__(detail, code=code, faults=faults)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def problem(  # noqa: PLR0913 - by name
    status: int,
    detail: str,
    *,
    code: str | None = None,
    faults: tuple[Fault, ...] = (),
    extra: dict[str, object] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """Return a problem answer."""
    title = _TITLES.get(status, "Error")
    body: dict[str, object] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": quote(request.path),
        "code": code or title.lower().replace(" ", "_"),
        "request_id": g.get("request_id"),
        **(extra or {}),
    }
    if faults:
        body["errors"] = [{"pointer": fault.pointer, "detail": fault.detail} for fault in faults]
    return Response(dumps(body), status, headers, content_type=PROBLEM_JSON)


def status_of(error: CryoProtectError) -> int:
    """Return the HTTP status of an error of ours."""
    if isinstance(error, HttpError):
        return error.status
    return next((status for kind, status in _STATUSES.items() if isinstance(error, kind)), 500)


def register(app: Flask) -> None:
    """Make the app answer all errors as problems."""
    app.register_error_handler(CryoProtectError, _ours)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(ParseException, _unreadable)
    app.register_error_handler(Exception, _unexpected)


def _ours(error: CryoProtectError) -> Response:
    status = status_of(error)
    headers = dict(error.headers) if isinstance(error, HttpError) else {}
    if isinstance(error, UnavailableError):
        headers["Retry-After"] = str(max(1, error.retry_after_s))
        LOG.warning("unavailable", code=error.code, cause=type(error.__cause__).__name__ if error.__cause__ else None)
    if isinstance(error, TokenError):
        headers["WWW-Authenticate"] = 'Bearer realm="cryoprotect", error="invalid_token"'
    if isinstance(error, CredentialsError):
        headers["WWW-Authenticate"] = 'Bearer realm="cryoprotect"'
    return problem(status, error.detail, code=error.code, faults=error.faults, extra=dict(error.extra), headers=headers)


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    if error.response is not None:
        return error.response  # type: ignore[return-value]
    headers = {name: value for name, value in error.get_headers() if name.lower() in {"allow", "retry-after"}}
    detail = _DETAILS.get(status) or (error.description or _TITLES.get(status, "error")).rstrip(".")
    return problem(status, detail, headers=headers)


def _unreadable(_error: ParseException) -> Response:
    """Answer a body whose chunks are no chunks: the web server notices while the view reads it."""
    return problem(400, "the body's transfer coding cannot be read", headers={"Connection": "close"})


def _unexpected(error: Exception) -> Response:
    LOG.error(
        "unexpected error", exc_info=error, request_id=g.get("request_id"), path=request.path, method=request.method
    )
    return problem(500, _DETAILS[500])
