"""Clients that read, write and stream until they are told to stop, and note what they saw."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Protocol
from uuid import uuid4

import requests
from werkzeug.wrappers import Response

from app.errors import UnavailableError
from app.services.minting import issue_token
from tests.faults.history import Activity, Event, History
from tests.plugins.database import SECRET

JOIN_TIMEOUT_S: Final = 30.0
TIMEOUT_S: Final = 20.0
PAUSE_S: Final = 0.01
PROBLEM: Final = "application/problem+json"


class Caller(Protocol):
    """Whoever sends requests, within this process or over HTTP."""

    def request(self, method: str, path: str, **kwargs: Any) -> Response:
        """Send a request below /api/v1 and return the whole answer."""
        ...


@dataclass
class HttpCaller:
    """A caller with connections of its own to a web server."""

    url: str
    token: str | None = None
    session: requests.Session = field(default_factory=requests.Session)

    def request(self, method: str, path: str, **kwargs: Any) -> Response:
        """Send a request below /api/v1 and return the whole answer.

        Raises:
            UnavailableError: It ended before it was whole.
        """
        headers = kwargs.pop("headers", {}) | ({"Authorization": f"Bearer {self.token}"} if self.token else {})
        try:
            with self.session.request(
                method, f"{self.url}/api/v1{path}", headers=headers, timeout=TIMEOUT_S, **kwargs
            ) as answer:
                return Response(answer.content, answer.status_code, dict(answer.headers))
        except requests.exceptions.ChunkedEncodingError as error:
            raise UnavailableError("the answer is not whole") from error


@dataclass
class Clients:
    """Some clients of each activity on one service."""

    caller: Callable[[str | None], Caller]
    """Makes one with a token, or without."""
    streamed: int
    """How many lines a whole stream has."""
    history: History = field(default_factory=History)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def at_work(self, activities: dict[Activity, int]) -> Iterator[History]:
        """Let so many clients of each activity work for as long as the block."""
        work: dict[Activity, Callable[[], None]] = {"read": self._read, "write": self._write, "stream": self._stream}
        threads = [
            threading.Thread(target=work[activity], name=f"{activity} {number}")
            for activity, count in activities.items()
            for number in range(count)
        ]
        for thread in threads:
            thread.start()
        try:
            yield self.history
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(JOIN_TIMEOUT_S)

    def once(self) -> None:
        """Let one client of each activity ask once."""
        self._stop.set()
        for work in (self._read, self._write, self._stream):
            work()

    def _turns(self) -> Iterator[int]:
        for number in itertools.count():
            yield number
            if self._stop.wait(PAUSE_S):
                return

    def _read(self) -> None:
        api = self.caller(None)
        for _ in self._turns():
            response, event = self._ask("read", lambda: api.request("GET", "/molecules?limit=5"))
            right = event.status != 200 or len(response.get_json()["data"]) == 5
            fault = "" if right else response.get_data(as_text=True)
            self._note(event, fault=fault)

    def _write(self) -> None:
        api = self.caller(issue_token(SECRET, role="authenticated", ttl_s=3600, sub=uuid4()))
        for number in self._turns():
            name = str(uuid4())
            key = str(uuid4()) if number % 2 else None
            headers = {"Idempotency-Key": key} if key else {}
            send = partial(api.request, "POST", "/teams", json={"name": name}, headers=headers)
            for _ in range(2 if key else 1):
                response, event = self._ask("write", send)
                right = event.status != 201 or response.get_json()["name"] == name
                self._note(event, name=name, key=key, fault="" if right else "it names another team")
                if event.status == 201:
                    break

    def _stream(self) -> None:
        api = self.caller(None)
        for _ in self._turns():
            try:
                response, event = self._ask("stream", lambda: api.request("GET", "/molecules?format=ndjson"))
            except UnavailableError:
                # The real server ends the answer without its final chunk.
                now_s = time.monotonic()
                self.history.events.append(Event("stream", 0, now_s, now_s))
                continue
            ids = {json.loads(line)["id"] for line in response.data.splitlines()} if event.status == 200 else set()
            right = event.status != 200 or len(ids) == self.streamed
            self._note(event, fault="" if right else f"{len(ids)} of {self.streamed} lines")

    def _ask(self, activity: Activity, ask: Callable[[], Response]) -> tuple[Response, Event]:
        started_s = time.monotonic()
        response = ask()
        # The whole body, so that a stream is read to its end.
        _ = response.data
        body = response.get_json() if response.status_code >= 400 else None
        return response, Event(
            activity,
            response.status_code,
            started_s,
            time.monotonic(),
            code=body["code"] if body else "",
            is_problem=response.content_type == PROBLEM,
            retry_after=response.headers.get("Retry-After"),
        )

    def _note(self, event: Event, **more: Any) -> None:
        self.history.events.append(replace(event, **more))
