"""Positions in the log: what a reader must find, from callers' changes and from what was there a while ago."""

from __future__ import annotations

import pytest

from database.positions import MAX_CALLERS, UNKNOWN, Positions


@pytest.fixture
def positions() -> Positions:
    """Give positions with a lag of ten seconds, at a primary that is at 100."""
    made = Positions(max_lag_s=10.0)
    made.sample(100, 0.0)
    return made


def test_what_was_there_at_the_start_is_asked_of_everybody(positions: Positions):
    assert positions.floor == 100
    assert Positions(10.0).floor == 0


def test_what_was_there_a_while_ago_is_asked_of_everybody(positions: Positions):
    for second in range(1, 15):
        positions.sample(100 + second, float(second))

    # At 14 s that is the state of 3 s: the next, of 4 s, is just not too old.
    assert positions.floor == 103


def test_while_the_primary_is_silent_nothing_more_is_asked(positions: Positions):
    positions.sample(200, 1.0)

    assert positions.floor == 100


def test_a_clock_that_jumps_asks_for_nothing_that_was_not_there(positions: Positions):
    positions.sample(200, 1.0)
    positions.sample(300, 100.0)

    assert positions.floor == 200


def test_a_caller_s_last_change_is_remembered_and_no_one_else_s(positions: Positions):
    positions.note("alice", 150)
    positions.note("alice", 140)

    assert (positions.of("alice"), positions.of("bob")) == (150, 0)


def test_a_change_that_everybody_finds_is_forgotten(positions: Positions):
    positions.note("alice", 150)
    positions.sample(150, 1.0)
    positions.sample(160, 11.5)

    assert (positions.floor, positions.of("alice")) == (150, 0)


def test_the_first_of_too_many_callers_is_forgotten_and_finds_the_change_all_the_same(positions: Positions):
    for number in range(MAX_CALLERS + 1):
        positions.note(str(number), 1000 + number)

    assert positions.of("0") == 0
    assert positions.floor == 1000
    assert positions.of("1") == 1001


def test_a_change_that_nobody_placed_is_after_all_until_two_samples_say_where_it_was_at_most(positions: Positions):
    positions.note("alice", None)
    assert positions.of("alice") == UNKNOWN
    # This one may have been on its way before the change was made.
    positions.sample(110, 1.0)
    assert positions.of("alice") == UNKNOWN

    positions.sample(120, 2.0)

    assert positions.of("alice") == 120
    assert positions.floor == 100
