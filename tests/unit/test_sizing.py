"""How many connections a process keeps, as the server's number and the demand change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from database.sizing import LOW_FOR_S, Floor, shares


@pytest.mark.parametrize(
    ("usable", "share", "workers", "expected"),
    [(97, 0.75, 2, (27, 9)), (57, 0.8, 1, (34, 11)), (12, 0.75, 4, (1, 1)), (3, 0.75, 8, (1, 1))],
)
def test_the_workers_share_what_is_the_services(usable: int, share: float, workers: int, expected: tuple[int, int]):
    assert shares(usable, share, workers) == expected


@given(st.integers(8, 5000), st.floats(0.1, 1.0), st.integers(1, 16))
def test_together_the_workers_stay_within_the_share(usable: int, share: float, workers: int):
    request, service = shares(usable, share, workers)

    assert request >= 1
    assert service >= 1
    # Where the share is not enough for two connections a worker, each still has those.
    assert (request + service) * workers <= max(usable * share, 2 * workers)


def test_the_floor_rises_at_once_and_falls_only_after_a_quiet_while():
    floor = Floor(least=2)

    assert floor.after(0, 20, now_s=0.0) == 2
    assert floor.after(8, 20, now_s=1.0) == 10
    assert floor.after(1, 20, now_s=2.0) == 10
    assert floor.after(1, 20, now_s=1.9 + LOW_FOR_S) == 10
    assert floor.after(1, 20, now_s=2.0 + LOW_FOR_S) == 2


def test_a_demand_that_swings_moves_the_floor_once():
    floor = Floor(least=2)

    seen = [floor.after(8 if second % 20 == 0 else 1, 20, now_s=float(second)) for second in range(200)]

    assert set(seen) == {10}


def test_the_floor_keeps_within_the_pool():
    floor = Floor(least=2)

    assert floor.after(50, 12, now_s=0.0) == 12
    assert floor.after(50, 5, now_s=1.0) == 5
