"""How requests were answered: by route, method and class of status.

A route is the rule that the address matched, never the address: there are as many of them as there are views.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from flask import Request

from database.measures import Histogram

NO_ROUTE: Final = "none"
"""Of addresses, and methods, that no view serves."""
OTHER_METHOD: Final = "other"
"""A client may call one as it likes."""
_CLASSES: Final = ("0xx", "1xx", "2xx", "3xx", "4xx", "5xx")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def known_method(request: Request) -> str:
    """Return the request's method, where it is one that any view could have."""
    return request.method if request.method in _METHODS else OTHER_METHOD


class Traffic:
    """The requests that one process has answered."""

    def __init__(self) -> None:
        self.durations: defaultdict[tuple[str, str, str], Histogram] = defaultdict(Histogram)
        """By route, method and class of status: seconds until the answer's head was ready."""

    def count(self, request: Request, status: int, seconds: float) -> None:
        """Count an answer."""
        rule = request.url_rule
        self.durations[
            NO_ROUTE if rule is None else rule.rule,
            known_method(request),
            _CLASSES[status // 100],
        ].observe(seconds)
