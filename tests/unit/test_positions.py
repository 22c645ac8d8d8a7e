"""Positions in the log: what a reader must find, from callers' changes and from what was there a while ago."""

from __future__ import annotations

import pytest

from database.positions import MAX_CALLERS, MAX_SEEN, UNKNOWN, Course, Positions


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


class TestCourse:
    """The age of a standby's state, from where the primary was seen."""

    @pytest.fixture
    def course(self) -> Course:
        """Give the course of a primary that wrote, was idle for a minute and wrote again."""
        made = Course()
        for position, now_s in [(100, 1.0), (200, 2.0), (200, 62.0), (300, 63.0)]:
            made.sample(position, now_s)
        return made

    @pytest.mark.parametrize(
        ("replayed", "state_s"),
        [(99, None), (100, 1.0), (199, 1.0), (200, 62.0), (299, 62.0), (300, 63.5), (400, 63.5), (-1, None)],
    )
    def test_is_that_of_the_last_moment_of_which_all_is_there(
        self, course: Course, replayed: int, state_s: float | None
    ):
        assert course.state_s(replayed, 63.5) == state_s

    def test_is_no_younger_than_the_last_look_at_the_standby(self, course: Course):
        assert course.state_s(200, 30.0) == course.state_s(300, 30.0) == 30.0

    def test_is_nothing_to_worry_about_before_the_primary_was_seen(self):
        assert Course().state_s(100, 5.0) == 5.0
        assert Course().state_s(-1, 5.0) is None

    def test_starts_anew_with_another_log(self, course: Course):
        course.sample(150, 64.0)

        assert course.state_s(150, 64.5) == 64.5
        assert course.state_s(120, 64.5) is None

    def test_is_known_for_long_and_less_exactly_the_longer_ago(self):
        course = Course()
        for second in range(3 * MAX_SEEN):
            course.sample(1000 + second, float(second))

        last = 3 * MAX_SEEN - 1
        assert len(course._seen) <= MAX_SEEN
        assert course.state_s(1000 + last - 100, last) == last - 100
        assert course.state_s(1000 + 50, last) == pytest.approx(50, abs=8)
