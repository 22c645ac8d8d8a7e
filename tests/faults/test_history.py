"""The checker finds each kind of thing that must not happen; otherwise its silence would mean nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from tests.faults.history import Event, History

HEALED_S: Final = 10.0
READ: Final = Event("read", 200, 9.0, 9.1)
LATER: Final = Event("read", 200, 11.0, 11.1)
WRITE: Final = Event("write", 201, 9.0, 9.1, name="a")
LATER_WRITE: Final = Event("write", 201, 11.0, 11.1, name="b")
REFUSAL: Final = Event("write", 503, 9.0, 9.1, code="database_unavailable", is_problem=True, retry_after="1", name="c")
GOOD: Final = (READ, LATER, WRITE, LATER_WRITE, REFUSAL)
STORED: Final = {"a": 1, "b": 1}


def _violations(events: list[Event], stored: dict[str, int]) -> list[str]:
    return History(events).violations(stored, healed_s=HEALED_S, within_s=5.0)


def test_a_good_history_has_nothing_to_say():
    unknown = replace(REFUSAL, code="outcome_unknown")

    assert _violations([*GOOD], STORED) == []
    assert _violations([*GOOD, replace(unknown, name="d")], STORED | {"d": 1}) == []
    assert _violations([*GOOD, replace(unknown, name="d")], STORED) == []
    assert _violations([*GOOD, Event("stream", 0, 9.0, 9.0), Event("stream", 200, 11.0, 11.2)], STORED) == []


@pytest.mark.parametrize(
    ("stored", "sentence"),
    [
        ({"b": 1}, "a was acknowledged and is lost"),
        ({"a": 2, "b": 1}, "a was stored 2 times"),
        (STORED | {"c": 1}, "c was refused, and is stored"),
        (STORED | {"z": 1}, "z was stored, and nobody sent it"),
    ],
)
def test_it_finds_writes_that_are_lost_doubled_or_wrongly_refused(stored: dict[str, int], sentence: str):
    assert _violations([*GOOD], stored) == [sentence]


@pytest.mark.parametrize(
    ("event", "change", "sentence"),
    [
        (READ, {"status": 500, "code": "internal_error"}, "a read was answered 500 internal_error"),
        (READ, {"status": 404, "code": "not_found"}, "a read was answered 404 not_found"),
        (READ, {"status": 0}, "a read was not answered: "),
        (READ, {"fault": "4 rows"}, "a read was answered wrongly: 4 rows"),
        (REFUSAL, {"retry_after": None}, "a write's 503 had Retry-After None"),
        (REFUSAL, {"is_problem": False}, "a write's 503 was no problem+json"),
        (READ, {"ended_s": 14.5}, "a read took 5.5 s"),
        (
            LATER,
            {"status": 503, "started_s": 12.5, "is_problem": True, "retry_after": "1"},
            "1 reads failed later than",
        ),
    ],
)
def test_it_finds_answers_that_are_wrong_late_or_too_long(event: Event, change: dict[str, Any], sentence: str):
    found = _violations([*GOOD, replace(event, **change)], STORED)

    assert len(found) == 1
    assert found[0].startswith(sentence)


def test_a_stream_may_break_off_but_not_go_unanswered():
    streams = [Event("stream", 200, 11.0, 11.2), Event("stream", 0, 9.0, 9.0, code="reset")]

    assert _violations([*GOOD, *streams], STORED) == ["a stream was not answered: reset"]


def test_a_key_may_still_be_held_by_its_own_first_attempt_and_by_nobody_else():
    first = replace(REFUSAL, key="k")
    again = replace(WRITE, status=409, code="request_in_progress", name="c", key="k", started_s=9.2, ended_s=9.3)

    assert _violations([*GOOD, first, again], STORED) == []
    for events in ([again], [replace(first, key="other"), again], [first, replace(again, started_s=9.0)]):
        assert _violations([*GOOD, *events], STORED) == ["a write was answered 409 request_in_progress"]


def test_slack_is_for_time_only_and_as_long_as_answers_took_in_health():
    long = replace(READ, ended_s=14.5)
    late = replace(REFUSAL, activity="read", started_s=12.5, ended_s=12.6)

    assert History([READ, WRITE, long]).slowest_s(9.5) == pytest.approx(0.1)
    assert History([*GOOD, long, late]).violations(STORED, healed_s=HEALED_S, within_s=5.0, slack_s=0.6) == []
    assert len(History([*GOOD, long, late]).violations(STORED, healed_s=HEALED_S, within_s=5.0, slack_s=0.4)) == 2
    assert History([*GOOD]).violations({}, healed_s=HEALED_S, within_s=5.0, slack_s=9.0) != []


def test_it_finds_that_nothing_succeeded_afterwards():
    assert _violations([READ, WRITE], {"a": 1}) == [
        "no read succeeded after all was well",
        "no write succeeded after all was well",
    ]


def test_it_finds_rows_of_others():
    own = replace(READ, user="ann", seen=frozenset({"ann's", "a"}))
    events = [replace(event, user="ann") if event.name == "a" else event for event in GOOD]

    def found(event: Event) -> list[str]:
        history = History([*events, event], owners={"ann's": "ann", "bob's": "bob"})
        return history.violations(STORED, healed_s=HEALED_S)

    assert found(own) == []
    assert found(replace(own, seen=frozenset({"bob's"}))) == ["ann saw bob's, which is bob's"]
    assert found(replace(own, user="bob", seen=frozenset({"a"}))) == ["bob saw a, which is ann's"]
    assert found(replace(own, user="", seen=frozenset({"ann's"}))) == ["anon saw ann's, which is ann's"]
    assert found(replace(own, seen=frozenset({"c"}))) == ["ann saw c, which is nobody's"]
    assert found(replace(own, seen=frozenset({"d"}))) == ["ann saw d, which is nobody's"]


def test_all_is_steady_when_everything_has_worked_for_a_while():
    late = replace(LATER_WRITE, started_s=11.5, ended_s=11.8)

    assert History([READ, WRITE, LATER, LATER_WRITE]).is_steady(HEALED_S, 0.6)
    assert not History([READ, WRITE, LATER, LATER_WRITE]).is_steady(HEALED_S, 1.5)
    assert not History([READ, WRITE, LATER]).is_steady(HEALED_S, 0.6)
    assert not History([LATER, LATER_WRITE, replace(late, status=503)]).is_steady(HEALED_S, 0.6)
    assert not History([LATER, late, replace(REFUSAL, started_s=11.1, ended_s=11.4)]).is_steady(HEALED_S, 0.3)
    assert History(
        [replace(LATER, started_s=11.5, ended_s=11.9), late, replace(REFUSAL, started_s=11.1, ended_s=11.4)]
    ).is_steady(HEALED_S, 0.3)
