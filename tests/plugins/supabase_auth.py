"""A little server on this machine that answers as Supabase Auth does.

Shapes as the supabase_auth package reads them: sessions with their user; errors with `code` and `message` under
API version 2024-01-01, with `error_code` and `msg` before it, with `error` and `error_description` in the oldest.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

USER_ID: Final = "5b6a7c1e-90ab-4cde-8f01-23456789abcd"
EMAIL: Final = "somebody@lab.example"
PASSWORD: Final = "correct horse battery staple"
REFUSED: Final = {"code": "invalid_credentials", "message": "Invalid login credentials"}
UNKNOWN_REFRESH: Final = {
    "code": "refresh_token_not_found",
    "message": "Invalid Refresh Token: Refresh Token Not Found",
}


@dataclass
class Answer:
    """One answer: a status, a body of JSON or raw bytes, headers, and how long it takes."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


@dataclass
class Supabase:
    """The server: what it was asked, and what it answers instead of the usual."""

    url: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    instead: Answer | None = None

    def answer(self, request: dict[str, Any]) -> Answer:
        """Return the answer to a request, as the real one would give it."""
        self.requests.append(request)
        if self.instead is not None:
            return self.instead
        body = request["body"]
        if request["grant_type"] == "password" and (body["email"], body["password"]) == (EMAIL, PASSWORD):
            return Answer(body=session(EMAIL))
        if request["grant_type"] == "refresh_token" and body["refresh_token"].startswith("good-"):
            return Answer(body=session(EMAIL))
        refusal = REFUSED if request["grant_type"] == "password" else UNKNOWN_REFRESH
        return Answer(400, refusal, {"x-supabase-api-version": "2024-01-01"})


def session(email: str) -> dict[str, Any]:
    """Return a new session as Supabase Auth answers with it."""
    moment = "2026-01-31T12:00:00.000000Z"
    user = {
        "id": USER_ID,
        "aud": "authenticated",
        "role": "authenticated",
        "email": email,
        "email_confirmed_at": moment,
        "phone": "",
        "confirmed_at": moment,
        "last_sign_in_at": moment,
        "app_metadata": {"provider": "email", "providers": ["email"]},
        "user_metadata": {"email_verified": True},
        "identities": [],
        "created_at": moment,
        "updated_at": moment,
        "is_anonymous": False,
    }
    return {
        "access_token": f"access.{uuid4()}",
        "token_type": "bearer",
        "expires_in": 3600,
        "expires_at": int(time.time()) + 3600,
        "refresh_token": f"good-{uuid4()}",
        "user": user,
        "weak_password": None,
    }


@contextmanager
def serving() -> Iterator[Supabase]:
    """Give the server, which listens for as long as the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            parts = urlsplit(self.path)
            grant_type = parse_qs(parts.query).get("grant_type", [""])[0]
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = made.answer({"path": parts.path, "grant_type": grant_type, "headers": headers, "body": body})
            time.sleep(answer.delay_s)
            content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made = Supabase(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
