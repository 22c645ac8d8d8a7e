"""Headers that every answer bears: request id, timing, caching, security, CORS."""

from __future__ import annotations

import logging
import time
from http import HTTPStatus
from typing import Final

import structlog
from flask import Flask, Response, g, request

from api.common.context import request_id
from api.common.traffic import Traffic, known_method

LOG: Final = structlog.get_logger("access")

_CONSTANT: Final = (
    ("Vary", "Authorization, Accept, Origin"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Strict-Transport-Security", "max-age=63072000; includeSubDomains"),
)
_API_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
_CORS_METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
_CORS_HEADERS: Final = (
    "Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, Prefer, X-Read-After, X-Request-ID, Accept"
)
_CORS_EXPOSED: Final = (
    "ETag, Link, Location, Retry-After, RateLimit, RateLimit-Policy, X-Read-After, X-Request-ID, Idempotent-Replayed, "
    "Age, Warning, X-Degraded, Preference-Applied, Server-Timing, Content-Disposition"
)


def register(app: Flask, cors_origins: tuple[str, ...], traffic: Traffic) -> None:
    """Put the headers on every answer of the app, and count it."""
    allowed = frozenset(cors_origins)

    @app.after_request
    def finish(response: Response) -> Response:
        headers = response.headers
        # Added, not set: each is new here, and looking for an old one costs more than all the rest.
        headers.extend(_CONSTANT)
        headers.add("X-Request-ID", g.get("request_id", ""))
        if response.status_code in {204, 304}:
            # There is no content to have a type.
            headers.pop("Content-Type", None)
        _cache(response)
        headers.setdefault("Content-Security-Policy", _API_POLICY)
        if allowed:
            _cors(response, allowed)
        _timing(response, traffic)
        return response


def _cache(response: Response) -> None:
    headers = response.headers
    if "Cache-Control" not in headers:
        who = g.get("caller")
        public = who is not None and who.role == "anon" and request.method in {"GET", "HEAD"}
        shared = public and response.status_code < HTTPStatus.BAD_REQUEST
        headers.add("Cache-Control", "public, no-cache" if shared else "private, no-store")


def _cors(response: Response, allowed: frozenset[str]) -> None:
    origin = request.headers.get("Origin")
    if origin not in allowed:
        return
    headers = response.headers
    headers["Access-Control-Allow-Origin"] = origin
    headers["Access-Control-Expose-Headers"] = _CORS_EXPOSED
    headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    if request.method == "OPTIONS":
        headers["Access-Control-Allow-Methods"] = _CORS_METHODS
        headers["Access-Control-Allow-Headers"] = _CORS_HEADERS
        headers["Access-Control-Max-Age"] = "600"


def _timing(response: Response, traffic: Traffic) -> None:
    started = g.get("started")
    if started is None:
        return
    spent, timing = time.perf_counter() - started, g.timing
    render = max(0.0, spent - timing.pool_s - timing.database_s)
    response.headers.add(
        "Server-Timing",
        f"pool;dur={timing.pool_s * 1e3:.2f}, db;dur={timing.database_s * 1e3:.2f}, render;dur={render * 1e3:.2f}",
    )
    # Each look through Flask's proxy costs a microsecond.
    asked = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001
    traffic.count(asked, response.status_code, spent)
    # Probes ask every few seconds and say nothing new.
    level = logging.DEBUG if asked.path.startswith("/health") else logging.INFO
    if not LOG.is_enabled_for(level):
        return
    who = g.get("caller")
    LOG.log(
        level,
        "request",
        method=known_method(asked),
        # What is nowhere may be anything: a structure, an address, a token.
        path=asked.path if asked.url_rule is not None else None,
        status=response.status_code,
        duration_ms=round(spent * 1e3, 2),
        role=who.role if who else None,
        jti=who.jti if who else None,
        request_id=request_id(),
    )
