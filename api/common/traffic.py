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
_CLASSES: Final = ("0xx", "1xx", "2xx", "3xx", "4xx", "5xx")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Traffic:
    """The requests that one process has answered."""

    def __init__(self) -> None:
        self.durations: defaultdict[tuple[str, str, str], Histogram] = defaultdict(Histogram)
        """By route, method and class of status: seconds until the answer's head was ready."""

    def count(self, request: Request, status: int, seconds: float) -> None:
        """Count an answer."""
        rule, method = request.url_rule, request.method
        self.durations[
            # A client may call a method as it likes; where a view was found, it is one of ours.
            NO_ROUTE if rule is None else rule.rule,
            method if rule is not None or method in _METHODS else "other",
            _CLASSES[status // 100],
        ].observe(seconds)
