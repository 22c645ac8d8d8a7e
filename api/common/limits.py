"""Request limits by address or user, counted per worker or in Redis, never in the database."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import structlog
from flask import Flask, Response, g, request
from limits import RateLimitItemPerMinute
from limits.storage import storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter

from api.common.context import caller
from api.common.errors import HttpError
from app.domain.callers import ANON, Caller
from app.errors import TokenError

LOG: Final = structlog.get_logger("limits")
_EXEMPT_PREFIXES: Final = ("/health",)


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many requests a minute an anonymous address and a user have, and where they are counted."""

    anon_per_min: int
    user_per_min: int
    workers: int
    storage_uri: str | None


class RequestLimits:
    """Counts requests per minute; each worker takes its share where nothing is shared."""

    def __init__(self, allowance: Allowance) -> None:
        self._share = 1 if allowance.storage_uri else allowance.workers
        stated = {"anon": allowance.anon_per_min, "authenticated": allowance.user_per_min}
        self._limiter = SlidingWindowCounterRateLimiter(storage_from_string(allowance.storage_uri or "memory://"))
        self._items = {role: RateLimitItemPerMinute(max(1, count // self._share)) for role, count in stated.items()}

    def count(self) -> None:
        """Count this request.

        Raises:
            HttpError: 429 with Retry-After.
        """
        # A browser sends its preflights without the token, so they would use up the address's share.
        if request.method == "OPTIONS" or request.path.startswith(_EXEMPT_PREFIXES):
            return
        try:
            who = caller()
        except TokenError:
            # Guessing at tokens costs as much as asking without one.
            self._hit(ANON)
            raise
        self._hit(who)

    def _hit(self, who: Caller) -> None:
        item = self._items.get(who.role)
        if item is None:
            return
        key = (who.name,) if who.role == "authenticated" else ("anon", request.remote_addr or "")
        try:
            allowed = self._limiter.hit(item, *key)
            window = self._limiter.get_window_stats(item, *key)
        except Exception as error:  # noqa: BLE001 - a limiter that is down must not take the service with it
            LOG.warning("rate limits are not counted", cause=type(error).__name__)
            return
        reset_s = max(1, int(window.reset_time - time.time()) + 1)
        g.rate_limit = (item.amount * self._share, window.remaining * self._share, reset_s, who.role)
        if not allowed:
            raise HttpError(
                429, "too many requests; wait before the next", code="too_many_requests", Retry_After=str(reset_s)
            )


def register(app: Flask, allowance: Allowance) -> None:
    """Count the app's requests."""
    app.before_request(RequestLimits(allowance).count)
    app.after_request(_headers)


def _headers(response: Response) -> Response:
    known = g.get("rate_limit")
    if known is not None:
        amount, remaining, reset_s, role = known
        response.headers["RateLimit-Policy"] = f'"{role}";q={amount};w=60'
        response.headers["RateLimit"] = f'"{role}";r={remaining};t={reset_s}'
    return response
