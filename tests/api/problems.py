"""Reading a problem answer: what must hold of every one of them is checked each time."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from werkzeug.test import TestResponse

LEAKS = re.compile(
    r"select |insert |update |delete from|psycopg|sqlstate|traceback|\.py\b"
    r"|pg_catalog|public\.|private\.|relation |constraint \"",
    re.IGNORECASE,
)


def problem(response: TestResponse, status: int, code: str | None = None) -> dict[str, Any]:
    """Return the body of a problem answer, after checking that it is a whole one and tells nothing of the inside."""
    assert response.status_code == status, response.text
    assert response.content_type == "application/problem+json"
    body: dict[str, Any] = response.get_json(force=True)
    assert body.keys() >= {"type", "title", "status", "detail", "instance", "code", "request_id"}
    assert body["status"] == status
    assert body["request_id"] == response.headers["X-Request-ID"]
    assert body["instance"] == quote(response.request.path)
    assert not LEAKS.search(response.text), response.text
    if code is not None:
        assert body["code"] == code, body
    return body


def pointers(response: TestResponse) -> list[str]:
    """Return what a 422 points to, in order."""
    return [fault["pointer"] for fault in problem(response, 422)["errors"]]
