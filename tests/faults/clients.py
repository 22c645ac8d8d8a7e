"""Clients that read, write and stream until they are told to stop, and note what they saw."""

from __future__ import annotations

import itertools
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Protocol
from uuid import UUID, uuid4

import requests
from requests.exceptions import ChunkedEncodingError
from werkzeug.wrappers import Response

from app.errors import UnavailableError
from app.services.minting import issue_token
from tests.faults.history import Activity, Event, History
from tests.plugins.database import SECRET

JOIN_TIMEOUT_S: Final = 30.0
TIMEOUT_S: Final = 20.0
PAUSE_S: Final = 0.01
STEADY_S: Final = 0.6
"""How long all has to go well before it is said to."""
PATIENCE_S: Final = 12.0
OWN_EVERY: Final = 4
"""Whoever writes looks at what is theirs after so many writes."""
_POOL_TIME: Final = re.compile(r"pool;dur=([0-9.]+)")
PROBLEM: Final = "application/problem+json"


_OF_THREAD: Final = threading.local()


class Caller(Protocol):
    """Whoever sends requests, within this process or over HTTP."""

    def request(self, method: str, path: str, **kwargs: Any) -> Response:
        """Send a request below /api/v1 and return the whole answer."""
        ...


def _session() -> requests.Session:
    """Return this thread's session: a connection that rests is closed by the server, perhaps just when it is used."""
    if not hasattr(_OF_THREAD, "session"):
        _OF_THREAD.session = requests.Session()
    session: requests.Session = _OF_THREAD.session
    return session


@dataclass(frozen=True)
class HttpCaller:
    """A caller of a web server, with a connection for each thread."""

    url: str
    token: str | None = None

    def request(self, method: str, path: str, **kwargs: Any) -> Response:
        """Send a request below /api/v1 and return the whole answer.

        Raises:
            ChunkedEncodingError: It ended before it was whole.
            OSError: None came.
        """
        headers = kwargs.pop("headers", {}) | ({"Authorization": f"Bearer {self.token}"} if self.token else {})
        url = f"{self.url}/api/v1{path}"
        with _session().request(method, url, headers=headers, timeout=TIMEOUT_S, **kwargs) as answer:
            return Response(answer.content, answer.status_code, dict(answer.headers))


@dataclass(frozen=True)
class Records:
    """The molecules that there are, and stay."""

    public: int
    private: Mapping[str, str]
    """Owner by name; they are the newest, and stand on the first page."""

    @property
    def users(self) -> tuple[str, ...]:
        """Who reads: nobody with a name, and each owner."""
        return ("", *sorted(set(self.private.values())))

    def of(self, user: str) -> frozenset[str]:
        """Return the names of a user's private records."""
        return frozenset(name for name, owner in self.private.items() if owner == user)


@dataclass
class Clients:
    """Some clients of each activity on one service."""

    caller: Callable[[str | None], Caller]
    """Makes one with a token, or without."""
    world: Records
    obeys: bool = False
    """Whether a client does as it is told: comes later, and has a key for every write."""
    pause_s: float = PAUSE_S
    """Between two questions of one client."""
    history: History = field(init=False)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Begin a history."""
        self.history = History(owners=self.world.private)

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

    def go_on_from(self, healed_s: float) -> None:
        """Wait until all has gone well for a while since then; give up after a time in which it must have."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not self.history.is_steady(healed_s, STEADY_S) and time.monotonic() < deadline_s:
            time.sleep(PAUSE_S)

    def once(self) -> None:
        """Let one client of each activity ask once."""
        self._stop.set()
        for work in (self._read, self._write, self._stream):
            work()

    def _turns(self) -> Iterator[int]:
        for number in itertools.count():
            yield number
            if self._stop.wait(self.pause_s):
                return

    def _read(self) -> None:
        # Users take turns on the same few connections.
        callers = [(user, self._caller(user)) for user in self.world.users]
        for (user, api), _ in zip(itertools.cycle(callers), self._turns(), strict=False):
            response, event = self._ask("read", user, partial(api.request, "GET", "/molecules?limit=5"))
            self._note_rows(event, response.get_json()["data"] if event.status == 200 else [], 5)

    def _write(self) -> None:
        user = str(uuid4())
        api = self._caller(user)
        for number in self._turns():
            name = str(uuid4())
            key = str(uuid4()) if self.obeys or number % 2 else None
            headers = {"Idempotency-Key": key} if key else {}
            send = partial(api.request, "POST", "/teams", json={"name": name}, headers=headers)
            for _ in range(2 if key else 1):
                response, event = self._ask("write", user, send)
                right = event.status != 201 or response.get_json()["name"] == name
                self._note(event, name=name, key=key, fault="" if right else "it names another team")
                if event.status == 201:
                    break
            if number % OWN_EVERY == 0:
                response, event = self._ask("read", user, partial(api.request, "GET", "/teams"))
                rows = response.get_json()["data"] if event.status == 200 else []
                self._note(event, seen=frozenset(row["name"] for row in rows))

    def _stream(self) -> None:
        callers = [(user, self._caller(user)) for user in self.world.users]
        for (user, api), _ in zip(itertools.cycle(callers), self._turns(), strict=False):
            response, event = self._ask("stream", user, partial(api.request, "GET", "/molecules?format=ndjson"))
            rows = [json.loads(line) for line in response.data.splitlines()] if event.status == 200 else []
            self._note_rows(event, rows, self.world.public + len(self.world.of(user)))

    def _caller(self, user: str) -> Caller:
        return self.caller(issue_token(SECRET, role="authenticated", ttl_s=3600, sub=UUID(user)) if user else None)

    def _ask(self, activity: Activity, user: str, ask: Callable[[], Response]) -> tuple[Response, Event]:
        started_s = time.monotonic()
        try:
            response = ask()
            # The whole body, so that a stream is read to its end.
            _ = response.data
        except (UnavailableError, ChunkedEncodingError):
            # Broken off: the real server ends such an answer without its final chunk.
            response = Response(status=0)
        except OSError as error:
            # Not even a refusal: the checker says so.
            response = Response(status=0, headers={"X-Cause": repr(error)})
        ended_s = time.monotonic()
        body = response.get_json() if response.status_code >= 400 else {"code": response.headers.get("X-Cause", "")}
        if self.obeys and "Retry-After" in response.headers:
            self._stop.wait(int(response.headers["Retry-After"]))
        timing = _POOL_TIME.search(response.headers.get("Server-Timing", ""))
        return response, Event(
            activity,
            response.status_code,
            started_s,
            ended_s,
            code=body["code"],
            is_problem=response.content_type == PROBLEM,
            retry_after=response.headers.get("Retry-After"),
            user=user,
            client=threading.current_thread().name,
            pool_s=float(timing[1]) / 1000 if timing else 0.0,
        )

    def _note_rows(self, event: Event, rows: Sequence[Mapping[str, Any]], wanted: int) -> None:
        """Note molecules: as many as there should be, with all that are the user's own."""
        count = len({row["id"] for row in rows})
        seen = frozenset(row["name"] for row in rows if not row["is_public"])
        right = event.status != 200 or (count == wanted and seen >= self.world.of(event.user))
        fault = "" if right else f"{count} of {wanted} rows, of the user's own {sorted(seen)}"
        self._note(event, seen=seen, fault=fault)

    def _note(self, event: Event, **more: Any) -> None:
        self.history.events.append(replace(event, **more))
