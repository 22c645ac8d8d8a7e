"""What services on the web may answer, and what is made of it: nothing is believed, lost, or asked for without end."""

from __future__ import annotations

import datetime as dt
import gzip
import threading
import time
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from app.breaker import State
from app.errors import InvalidError, NotFoundError, UnavailableError
from app.importers.budget import SHUT_OUT_S, heed
from app.importers.upstream import (
    ANSWERS,
    ATTEMPTS,
    BrokenAnswerError,
    BusyError,
    Request,
    Waiting,
    check_alive,
    halved,
)
from tests.plugins.upstream import ADDRESS, Budget, Played

THING = Request("/thing.json")
URL = f"{ADDRESS}/thing.json"
GOOD: dict[str, Any] = {"json": {"good": True}}
HTML: dict[str, Any] = {
    "text": "<html><body>Down for maintenance</body></html>",
    "headers": {"Content-Type": "text/html"},
}
BUSY: dict[str, Any] = {
    "status_code": 503,
    "json": {"Fault": {"Code": "PUGREST.ServerBusy", "Message": "Too many requests or server too busy"}},
}
SHARED = Path(__file__).parents[2] / ".." / "shared" / "data" / "pubchem" / "fault_and_throttle"


def asked(played: Played) -> object:
    return played.upstream.ask(THING, lambda payload: payload)


def is_open(played: Played) -> bool:
    return played.upstream._breaker.state is not State.CLOSED


def test_an_answer_costs_one_request_of_the_budget(played: Played) -> None:
    played.answers.get(URL, **GOOD)

    assert asked(played) == {"good": True}
    assert (played.budget.taken, played.slept) == (1, [])


def test_a_form_is_posted_and_a_query_is_sent(played: Played) -> None:
    played.answers.post(URL, **GOOD)
    played.answers.get(f"{URL}?heading=Melting+Point", **GOOD)

    played.upstream.ask(Request("/thing.json", form={"cid": "1,2"}), lambda _: None)
    played.upstream.ask(Request("/thing.json", {"heading": "Melting Point"}), lambda _: None)

    assert [request.text for request in played.answers.request_history] == ["cid=1%2C2", None]


# --- busy


def test_503_server_busy_is_asked_again_later_and_later(played: Played) -> None:
    played.answers.get(URL, [BUSY, BUSY, BUSY, GOOD])

    assert asked(played) == {"good": True}
    assert played.budget.pauses == []
    assert [round(wait) for wait in played.slept] == pytest.approx([1, 2, 4], abs=1)
    assert played.slept == sorted(played.slept)


def test_503_with_retry_after_stops_all_processes_for_that_long(played: Played) -> None:
    played.answers.get(URL, [{**BUSY, "headers": {"Retry-After": "30"}}, GOOD])

    assert asked(played) == {"good": True}
    assert played.budget.pauses == [30.0]
    assert played.slept == [30]


def test_a_retry_after_may_be_a_date(played: Played) -> None:
    at = format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=40), usegmt=True)
    played.answers.get(URL, [{**BUSY, "headers": {"Retry-After": at}}, GOOD])

    asked(played)

    assert played.budget.pauses == [pytest.approx(40, abs=3)]


@pytest.mark.parametrize("stated", ["soon", "-5", "", "Mon, 99 Foo 2026", "999999999999"])
def test_a_senseless_retry_after_stops_nobody_for_ever(played: Played, stated: str) -> None:
    played.answers.get(URL, [{**BUSY, "headers": {"Retry-After": stated}}, GOOD])

    asked(played)

    assert all(pause <= 600 for pause in played.budget.pauses)
    assert sum(played.slept) <= 600


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_html_with_a_status_of_busy_servers_is_busy(played: Played, status: int) -> None:
    played.answers.get(URL, [{**HTML, "status_code": status}, GOOD])

    assert asked(played) == {"good": True}


def test_server_busy_with_200_is_busy(played: Played) -> None:
    played.answers.get(URL, [{**BUSY, "status_code": 200}, GOOD])

    assert asked(played) == {"good": True}


@pytest.mark.parametrize("error", [requests.ConnectionError, requests.ReadTimeout, requests.exceptions.SSLError])
def test_a_connection_that_fails_is_made_again_and_stops_no_other_process(
    played: Played, error: type[Exception]
) -> None:
    played.answers.get(URL, [{"exc": error}, GOOD])

    assert asked(played) == {"good": True}
    assert played.budget.pauses == []


def test_who_never_answers_is_given_up_for_now(played: Played) -> None:
    played.answers.get(URL, exc=requests.ConnectionError)

    with pytest.raises(UnavailableError):
        asked(played)

    # The breaker spares the service most of it, and no wait is after the last attempt.
    assert played.answers.call_count < ATTEMPTS
    assert len(played.slept) == ATTEMPTS - 1


def test_the_breaker_opens_and_its_probe_finds_the_service_again(played: Played) -> None:
    played.answers.get(URL, exc=requests.ConnectionError)
    with pytest.raises(UnavailableError):
        asked(played)
    assert is_open(played)
    played.answers.get(URL, **GOOD)

    assert asked(played) == {"good": True}
    assert not is_open(played)


def test_broken_answers_do_not_open_the_breaker(played: Played) -> None:
    played.answers.get(URL, **HTML)
    for _ in range(5):
        with pytest.raises(BrokenAnswerError):
            asked(played)

    assert not is_open(played)


# --- broken


@pytest.mark.parametrize(
    "answer",
    [
        HTML,
        {"content": b'{"PropertyTable": {"Properties": [{"CID": 2244, "SMI'},
        {"content": b""},
        {"content": b"[" * 100_000},
        {"content": b'{"a": NaN}'},
        {"content": b"\xff\xfe\x00"},
        {**HTML, "status_code": 500},
        {"status_code": 400, "json": {"Fault": {"Code": "PUGREST.BadRequest", "Message": "Missing value"}}},
        {"status_code": 302, "headers": {"Location": "http://169.254.169.254/latest"}},
    ],
    ids=["html", "truncated", "empty", "deep", "nan", "no utf-8", "html 500", "bad request", "redirect"],
)
def test_an_answer_that_cannot_be_used_is_asked_for_three_times(played: Played, answer: dict[str, Any]) -> None:
    played.answers.get(URL, [answer] * (ANSWERS - 1) + [GOOD])
    assert asked(played) == {"good": True}

    played.answers.get(URL, [answer] * ANSWERS + [GOOD])
    with pytest.raises(BrokenAnswerError):
        asked(played)

    assert played.answers.call_count == 2 * ANSWERS


def test_a_truncated_body_is_asked_for_again(played: Played) -> None:
    played.answers.get(URL, [{"exc": requests.exceptions.ChunkedEncodingError}, GOOD])

    assert asked(played) == {"good": True}


def test_what_the_reader_refuses_counts_as_broken(played: Played) -> None:
    played.answers.get(URL, **GOOD)

    def read(_: object) -> None:
        raise InvalidError("no compounds")

    with pytest.raises(BrokenAnswerError, match="no compounds"):
        played.upstream.ask(THING, read)
    assert played.answers.call_count == ANSWERS


def test_a_body_that_is_too_large_is_not_read_to_its_end(played: Played) -> None:
    played.answers.get(URL, content=b'"' + b"a" * 200_000 + b'"')

    with pytest.raises(BrokenAnswerError, match="more than 100,000 bytes"):
        asked(played)


def test_a_small_body_that_unpacks_to_a_large_one_is_not_read_to_its_end(played: Played) -> None:
    bomb = gzip.compress(b'"' + b"a" * 10_000_000 + b'"')
    assert len(bomb) < 100_000
    played.answers.get(URL, content=bomb, headers={"Content-Encoding": "gzip"})

    with pytest.raises(BrokenAnswerError, match="more than 100,000 bytes"):
        asked(played)


def test_404_is_an_answer(played: Played) -> None:
    played.answers.get(URL, status_code=404, json={"Fault": {"Message": "No CID found", "Details": ["none matches"]}})

    with pytest.raises(NotFoundError, match="No CID found: none matches") as error:
        asked(played)

    assert error.value.extra["has_json"]
    assert played.answers.call_count == 1


def test_404_with_an_empty_body_and_text_html_is_an_answer(played: Played) -> None:
    played.answers.get(URL, status_code=404, headers={"Content-Type": "text/html; charset=utf-8"})

    with pytest.raises(NotFoundError) as error:
        asked(played)

    assert not error.value.extra["has_json"]


def test_who_ends_the_import_ends_its_waits() -> None:
    waiting = Waiting()
    threading.Timer(0.05, waiting.end).start()
    began_s = time.monotonic()

    with pytest.raises(UnavailableError, match="stopped"):
        waiting.sleep(60)
    assert time.monotonic() - began_s < 10


# --- halves


def test_a_broken_page_shrinks_to_the_record_that_breaks_it() -> None:
    asked_for: list[list[int]] = []

    def ask(part: Any) -> list[int]:
        asked_for.append(list(part))
        if 13 in part:
            raise BrokenAnswerError("HTML")
        return list(part)

    found = list(halved(range(100), ask, lambda: None))

    good = [number for _, answer in found if not isinstance(answer, BrokenAnswerError) for number in answer]
    assert good == [*range(13), *range(14, 100)]
    assert [list(part) for part, answer in found if isinstance(answer, BrokenAnswerError)] == [[13]]
    assert len(asked_for) < 20


def test_no_record_is_given_up_while_the_service_answers_nothing_well(played: Played) -> None:
    played.answers.get(URL, **HTML)

    def ask(_: Any) -> None:
        raise BrokenAnswerError("HTML")

    with pytest.raises(UnavailableError):
        list(halved(range(100), ask, lambda: check_alive(played.upstream, THING)))


# --- X-Throttling-Control


def status(count: str, time: str = "Green (0%)", service: str = "Green (20%)") -> str:
    return f"Request Count status: {count}, Request Time status: {time}, Service status: {service}"


@pytest.mark.parametrize(
    ("header", "slowness", "pauses"),
    [
        (None, [], []),
        ("", [], []),
        ("nonsense", [], []),
        ("x" * 10_000, [], []),
        (status("Green (0%)"), [1.0], []),
        (status("Green (0%)", service="Idle (20%)"), [1.0], []),
        (status("Yellow (60%)"), [2.0], []),
        (status("Green (0%)", "Red (80%)"), [5.0], []),
        (status("Yellow (60%)", "Red (80%)"), [5.0], []),
        (status("Green (5%)", service="Black (303%)"), [20.0], []),
        (status("Black (100%)"), [20.0], [SHUT_OUT_S]),
        (status("Overloaded (107%)"), [20.0], [SHUT_OUT_S]),
        (status("green", "GREEN", "Green"), [1.0], []),
    ],
    ids=[
        *("absent", "empty", "nonsense", "long", "green", "idle", "yellow", "red", "worst", "service black", "black"),
        *("unknown word", "no percent"),
    ],
)
def test_throttling_control_slows_down_or_stops_everybody(
    header: str | None, slowness: list[float], pauses: list[float]
) -> None:
    budget = Budget()

    heed(budget, header)

    assert (budget.slowness, budget.pauses) == (slowness, pauses)


def test_throttling_control_is_heeded_whatever_the_status(played: Played) -> None:
    black = {"X-Throttling-Control": status("Black (100%)")}
    played.answers.get(URL, [{**BUSY, "headers": black}, GOOD])

    asked(played)

    assert (played.budget.slowness, played.budget.pauses) == ([20.0], [SHUT_OUT_S])


@pytest.mark.skipif(not SHARED.is_dir(), reason="the collected real files are not beside this checkout")
def test_the_headers_that_were_seen_are_understood() -> None:
    told = []
    for header in (SHARED / "x_throttling_control_headers.txt").read_text().splitlines():
        budget = Budget()
        heed(budget, header)
        told.append((budget.slowness[0], bool(budget.pauses)))

    assert told == [(1, False), (1, False), (1, False), (2, False), (5, False), (20, False), (20, False), (20, True)]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the collected real files are not beside this checkout")
def test_the_fault_of_a_busy_server_that_was_seen_is_busy(played: Played) -> None:
    played.answers.get(URL, content=(SHARED / "fault_503_ServerBusy.json").read_bytes())

    with pytest.raises(BusyError):
        played.upstream._payload(THING)
