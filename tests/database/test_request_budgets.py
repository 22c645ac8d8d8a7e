"""One budget for all processes: however many ask, no window of time sees more than the two rates allow."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from app.domain.callers import ANON, SERVICE
from app.errors import CryoProtectError
from app.importers.budget import SharedBudget
from database.repositories.budgets import BudgetRepository
from database.session import Database
from database.urls import DatabaseUrls
from tests.plugins.database import SECRET

ROOT = Path(__file__).parents[2]
NEXT_AT_SQL = "SELECT extract(epoch FROM next_at)::float8 FROM private.request_budgets WHERE name = %(name)s"
Rates = Callable[[float, float], str]


@pytest.fixture
def rates(database: Database, admin: psycopg.Connection) -> Rates:
    """Give budgets of any rates."""

    def put(per_second: float, per_minute: float) -> str:
        admin.execute("DELETE FROM private.request_budgets WHERE name = 'tried'")
        admin.execute(
            "INSERT INTO private.request_budgets (name, per_second, per_minute) VALUES ('tried', %s, %s)",
            (per_second, per_minute),
        )
        return "tried"

    return put


@pytest.fixture(autouse=True)
def _tidy(admin: psycopg.Connection) -> Iterator[None]:
    yield
    admin.execute("DELETE FROM private.request_budgets WHERE name = 'tried'")


def most_within(moments: list[float], window_s: float) -> int:
    """Return how many of the moments a half-open window of that length holds at most."""
    ordered = sorted(moments)
    return max(sum(1 for other in ordered if moment <= other < moment + window_s) for moment in ordered)


def taken(database: Database, name: str, seconds: float, threads: int) -> list[float]:
    """Return until when each request that so many threads took puts off the next, by the database's clock."""
    moments: list[float] = []
    until_s = time.monotonic() + seconds

    def work() -> None:
        while time.monotonic() < until_s:
            with database.transaction(SERVICE) as session:
                wait_s = BudgetRepository(session, name).take()
                # The row is still ours: this is what was written a moment ago.
                next_at_s = session.rows(NEXT_AT_SQL, {"name": name})[0][0]
            if wait_s == 0:
                moments.append(next_at_s)
            else:
                time.sleep(min(wait_s, 0.01))

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return moments


def test_pubchem_and_chembl_have_their_rates(admin: psycopg.Connection) -> None:
    found = admin.execute("SELECT name, per_second, per_minute FROM private.request_budgets ORDER BY name").fetchall()

    assert found == [("chembl", 5.0, 300.0), ("pubchem", 5.0, 400.0)]


def test_the_check_finds_a_window_with_too_many() -> None:
    assert most_within([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], 1.0) == 5
    assert most_within([0.0, 0.2, 0.4, 0.6, 0.8, 0.99], 1.0) == 6


def test_threads_never_take_more_than_the_rate_of_a_second(database: Database, rates: Rates) -> None:
    moments = taken(database, rates(20, 10_000), seconds=2.0, threads=6)

    assert most_within(moments, 0.499) <= 10
    assert len(moments) >= 25


def test_threads_never_take_more_than_the_rate_of_a_minute(database: Database, rates: Rates) -> None:
    # 600 a minute is one in 0.1 s, however many a second might hold.
    moments = taken(database, rates(1000, 600), seconds=2.0, threads=4)

    assert most_within(moments, 0.999) <= 10
    assert len(moments) >= 12


def test_processes_share_one_budget(urls: DatabaseUrls, rates: Rates) -> None:
    name = rates(20, 10_000)
    command = [sys.executable, "-m", "tests.database.request_taker", urls.admin, SECRET, name, "2"]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]

    said = [process.communicate()[0].split() for process in processes]

    assert all(process.returncode == 0 for process in processes)
    assert all(said)
    moments = [float(word) for words in said for word in words]
    assert len(moments) >= 25
    # What is said is a moment later than what is taken, by what the machine has to do.
    spread_s = max(moments) - min(moments)
    assert len(moments) <= spread_s * 20 + 3


def test_a_request_that_nobody_may_make_yet_is_waited_for(database: Database, rates: Rates) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        time.sleep(seconds)

    budget = SharedBudget(database, rates(10, 10_000), sleep)
    began_s = time.monotonic()
    for _ in range(4):
        budget.take()

    assert time.monotonic() - began_s >= 0.3
    assert all(0 < wait <= 0.1 for wait in slept)


def test_a_pause_stops_all_processes_and_a_shorter_one_shortens_none(database: Database, rates: Rates) -> None:
    name = rates(1000, 60_000)
    one, other = (SharedBudget(database, name, time.sleep) for _ in range(2))
    one.pause(60.0)
    other.pause(1.0)

    with database.transaction(SERVICE) as session:
        assert 55 < BudgetRepository(session, name).take() <= 60


def test_slowness_stretches_the_distance_for_everybody_and_ends_by_itself(
    database: Database, rates: Rates, admin: psycopg.Connection
) -> None:
    name = rates(10, 10_000)
    one, other = (SharedBudget(database, name, time.sleep) for _ in range(2))
    one.slow_down(20.0)
    other.take()

    def wait_s() -> float:
        with database.transaction(SERVICE) as session:
            return BudgetRepository(session, name).take()

    assert 1.5 < wait_s() <= 2.0

    admin.execute("UPDATE private.request_budgets SET next_at = '-infinity', slow_until = clock_timestamp()")
    assert wait_s() == 0
    assert 0 < wait_s() <= 0.1

    one.slow_down(20.0)
    one.slow_down(1.0)
    admin.execute("UPDATE private.request_budgets SET next_at = '-infinity'")
    assert wait_s() == 0
    assert 0 < wait_s() <= 0.1


def test_green_after_green_is_not_written(database: Database, rates: Rates) -> None:
    name = rates(10, 10_000)
    budget = SharedBudget(database, name, time.sleep)
    budget._do = lambda _: pytest.fail("it was written")  # type: ignore[method-assign, assignment]

    budget.slow_down(1.0)


def test_a_request_in_the_making_holds_no_lock(database: Database, rates: Rates) -> None:
    name = rates(1000, 60_000)
    budget = SharedBudget(database, name, time.sleep)
    budget.take()
    ended = threading.Event()

    def take() -> None:
        SharedBudget(database, name, time.sleep).take()
        ended.set()

    thread = threading.Thread(target=take)
    thread.start()

    assert ended.wait(5)
    thread.join()


def test_clients_have_no_part_in_budgets(database: Database) -> None:
    with pytest.raises(CryoProtectError), database.transaction(ANON) as session:
        BudgetRepository(session, "pubchem").take()
