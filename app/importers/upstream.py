"""Services on the web, asked with patience: nothing that they answer is trusted, and nothing is asked too often.

What does not answer is asked again, later and later; what answers nonsense, three times. Both have a limit, behind
which the one means that the import goes on another time, and the other that what was asked for cannot be had.
"""

from __future__ import annotations

import datetime as dt
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from itertools import count
from typing import Any, Final, TypeVar

import orjson
import requests
import stamina

from app.breaker import Breaker, Rules
from app.errors import CryoProtectError, InvalidError, NotFoundError, UnavailableError
from app.importers.budget import Budget, heed
from app.importers.records import items, mapping, text

ATTEMPTS: Final = 15
"""With the waits between them some nine minutes."""
ANSWERS: Final = 3
"""How often an answer that cannot be used is asked for."""
MAX_BYTES: Final = 64 * 1024 * 1024
LONGEST_WAIT_S: Final = 60.0
LONGEST_RETRY_AFTER_S: Final = 600.0
TIME_LIMIT_S: Final = 120.0
"""For one answer as a whole; a server that says nothing for 30 s is given up before."""
_CONNECT_TIMEOUT_S: Final = 10.0
_SILENCE_S: Final = 30.0
_READ_BYTES: Final = 64 * 1024
_AGENT: Final = "CryoProtect (imports)"
_BUSY: Final = frozenset({408, 425, 429, 502, 503, 504})
_FOUND: Final = frozenset({HTTPStatus.OK, HTTPStatus.ACCEPTED})
RULES: Final = Rules(window_s=60.0, min_volume=5, failed_share=0.8, pause_s=30.0, probe_s=TIME_LIMIT_S)
_R = TypeVar("_R")
_T = TypeVar("_T")


class Waiting:
    """Sleep that ends when nobody wants what comes after it."""

    def __init__(self) -> None:
        self._ended = threading.Event()

    def end(self) -> None:
        """End all sleep, now and later."""
        self._ended.set()

    def sleep(self, seconds: float) -> None:
        """Sleep.

        Raises:
            UnavailableError: It was ended.
        """
        if self._ended.wait(seconds):
            raise UnavailableError("the import was stopped")


class BusyError(UnavailableError):
    """The service does not answer, or says that it cannot now."""


class BrokenAnswerError(CryoProtectError):
    """The service answered, but not with what was asked for: another format, half of it, or something else."""


def breaker(name: str, clock: Callable[[], float] = time.monotonic) -> Breaker:
    """Return the breaker of a service, shared by all that this process asks of it."""
    return Breaker(name, counts=lambda error: isinstance(error, BusyError), rules=RULES, clock=clock)


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: a path below the service's address, and a query or a form."""

    path: str
    query: Mapping[str, str] | None = None
    form: Mapping[str, str] | None = None


class Upstream:
    """One service on the web."""

    def __init__(  # noqa: PLR0913 - its parts
        self,
        address: str,
        breaker: Breaker,
        budget: Budget,
        sleep: Callable[[float], None],
        *,
        max_bytes: int = MAX_BYTES,
        session: requests.Session | None = None,
    ) -> None:
        self._address = address
        self._breaker = breaker
        self._budget = budget
        self._sleep = sleep
        self._max_bytes = max_bytes
        self._session = session or requests.Session()
        self._session.headers.update({"User-Agent": _AGENT, "Accept": "application/json"})

    def ask(self, request: Request, read: Callable[[object], _R]) -> _R:
        """Return what `read` makes of the answer's JSON; what it refuses counts as a broken answer.

        Raises:
            NotFoundError: There is no such thing.
            BrokenAnswerError: The answer can be used at no time.
            UnavailableError: The service does not answer, however often it is asked.
        """
        failures, broken = count(), count(1)

        def may_be_tried_again(error: Exception) -> bool | float:
            if isinstance(error, BrokenAnswerError) and next(broken) >= ANSWERS:
                return False
            failed = next(failures)
            if not isinstance(error, BrokenAnswerError | UnavailableError) or failed + 1 == ATTEMPTS:
                return False
            backoff_s = min(2.0**failed, LONGEST_WAIT_S) * random.uniform(0.75, 1.25)  # noqa: S311
            self._sleep(max(backoff_s, getattr(error, "retry_after_s", 0)))
            # It has been waited already, and could have been ended.
            return 0.0

        for attempt in stamina.retry_context(on=may_be_tried_again, attempts=ATTEMPTS, timeout=None):
            with attempt:
                self._budget.take()
                return self._breaker.call(lambda: self._read(request, read))
        raise AssertionError("a retry ends with a result or an error")

    def _read(self, request: Request, read: Callable[[object], _R]) -> _R:
        payload = self._payload(request)
        try:
            return read(payload)
        except InvalidError as error:
            raise BrokenAnswerError(error.detail) from error

    def _payload(self, request: Request) -> object:
        name = self._breaker.name
        status, headers, body = self._exchanged(request)
        payload = _json(body)
        if status in _BUSY or _is_busy(payload):
            retry_after_s = _retry_after_s(headers.get("Retry-After"))
            if retry_after_s:
                self._budget.pause(retry_after_s)
            msg = f"{name} is busy ({status})"
            raise BusyError(msg, retry_after_s=round(retry_after_s) or 1, code=f"{name}_unavailable")
        if status == HTTPStatus.NOT_FOUND:
            raise NotFoundError(_fault(payload) or f"{name} knows no such thing", has_json=payload is not None)
        if status not in _FOUND:
            msg = f"{name} answered {status}{_stated(_fault(payload))}"
            raise BrokenAnswerError(msg)
        if payload is None:
            kind = text(headers.get("Content-Type"), 100) or "unknown"
            msg = f"{name} answered with what is no JSON (it calls it {kind})"
            raise BrokenAnswerError(msg)
        return payload

    def _exchanged(self, request: Request) -> tuple[int, Mapping[str, str], bytes]:
        name = self._breaker.name
        try:
            response = self._session.request(
                "GET" if request.form is None else "POST",
                self._address + request.path,
                params=request.query,
                data=request.form,
                timeout=(_CONNECT_TIMEOUT_S, _SILENCE_S),
                # Neither service leads elsewhere, and where it might lead nobody has looked at.
                allow_redirects=False,
                stream=True,
            )
            with closing(response):
                heed(self._budget, response.headers.get("X-Throttling-Control"))
                return response.status_code, response.headers, self._body(response)
        except (requests.RequestException, OSError) as error:
            msg = f"{name} does not answer ({type(error).__name__})"
            raise BusyError(msg, code=f"{name}_unavailable") from error

    def _body(self, response: requests.Response) -> bytes:
        """Return the body unpacked; a small one may unpack to any size, so that is what is counted."""
        deadline_s, found = time.monotonic() + TIME_LIMIT_S, bytearray()
        for chunk in response.iter_content(_READ_BYTES):
            found += chunk
            if len(found) > self._max_bytes:
                msg = f"{self._breaker.name} answered with more than {self._max_bytes:,} bytes"
                raise BrokenAnswerError(msg)
            if time.monotonic() > deadline_s:
                raise requests.Timeout
        return bytes(found)


def halved(
    wanted: Sequence[_T], ask: Callable[[Sequence[_T]], _R], check: Callable[[], None]
) -> Iterator[tuple[Sequence[_T], _R | BrokenAnswerError]]:
    """Yield answers on parts of what is wanted, smaller ones where a larger one is broken; and what stays broken.

    `check` raises UnavailableError where the service answers nothing at all well: then it is not this record.
    """
    try:
        answer = ask(wanted)
    except BrokenAnswerError as error:
        check()
        if len(wanted) == 1:
            yield wanted, error
            return
    else:
        yield wanted, answer
        return
    middle = len(wanted) // 2
    yield from halved(wanted[:middle], ask, check)
    yield from halved(wanted[middle:], ask, check)


def check_alive(upstream: Upstream, request: Request) -> None:
    """Ask for what every service of its kind can answer.

    Raises:
        UnavailableError: It cannot.
    """
    try:
        upstream.ask(request, lambda _: None)
    except (BrokenAnswerError, NotFoundError) as error:
        raise UnavailableError(error.detail, retry_after_s=60) from error


def _json(body: bytes) -> Any:  # noqa: ANN401 - any JSON
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _is_busy(payload: object) -> bool:
    return mapping(mapping(payload).get("Fault")).get("Code") in {"PUGREST.ServerBusy", "PUGVIEW.ServerBusy"}


def _fault(payload: object) -> str:
    """Return what a service says went wrong: PubChem's faults, ChEMBL's messages."""
    fault = mapping(mapping(payload).get("Fault"))
    said = [fault.get("Message"), *items(fault.get("Details"))[:3], mapping(payload).get("error_message")]
    return ": ".join(words for value in said if (words := text(value, 300)))


def _stated(words: str) -> str:
    return f": {words}" if words else ""


def _retry_after_s(stated: str | None) -> float:
    """Return the seconds that a Retry-After asks for, as a number or a date; 0 where it says neither."""
    if stated is None:
        return 0.0
    if stated.strip().isdigit():
        seconds = float(stated.strip()[:9])
    else:
        try:
            seconds = (parsedate_to_datetime(stated) - dt.datetime.now(dt.UTC)).total_seconds()
        except (ValueError, TypeError):
            return 0.0
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S)
