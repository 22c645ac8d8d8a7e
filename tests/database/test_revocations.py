"""What one process knows of revoked tokens: how soon, at what cost, and what holds while nobody can tell."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from app.domain.callers import SERVICE, Caller
from app.errors import RevokedError, UnavailableError
from app.services.revocations import MAX_AGE_S, PAUSE_S, REFRESH_AFTER_S, Revocations
from database.pool import Timing
from database.repositories.tokens import TokenRepository
from database.session import Database, ReadSession
from database.urls import DatabaseUrls, database_urls
from tests.plugins.clock import Clock
from tests.plugins.database import open_database
from tests.plugins.round_trips import Proxy, proxy

__all__ = ["proxy"]

NOWHERE = "postgresql://postgres@127.0.0.1:9/nothing?connect_timeout=1"


@pytest.fixture
def unreachable() -> Iterator[Database]:
    """Give a database that does not answer."""
    made = open_database(database_urls(NOWHERE, None, "secret"), max_size=1, timeout_s=0.1)
    yield made
    made.close()


def revoke(database: Database, jti: str) -> None:
    with database.transaction(SERVICE) as session:
        TokenRepository(session).revoke(jti, None)


def test_the_promise_leaves_room_for_one_failed_attempt() -> None:
    assert REFRESH_AFTER_S + PAUSE_S < MAX_AGE_S <= 10


def test_a_revocation_takes_effect_five_seconds_after_the_last_look_and_at_once_when_told(
    database: Database, clock: Clock
) -> None:
    told, other = Revocations(database, clock=clock), Revocations(database, clock=clock)
    for process in (told, other):
        process.check("leaked")

    revoke(database, "leaked")
    told.look_again()

    with pytest.raises(RevokedError):
        told.check("leaked")
    clock.now_s += REFRESH_AFTER_S - 0.1
    other.check("leaked")
    clock.now_s += 0.1
    with pytest.raises(RevokedError) as refusal:
        other.check("leaked")
    assert refusal.value.code == "token_revoked"
    other.check("another")


def test_a_token_without_a_jti_costs_nothing_even_without_a_database(unreachable: Database, clock: Clock) -> None:
    Revocations(unreachable, clock=clock).check(None)


def test_the_set_is_fetched_in_one_round_trip_every_five_seconds_however_many_ask(
    urls: DatabaseUrls, proxy: Proxy, clock: Clock, emptied: None
) -> None:
    database = open_database(proxy.through(urls), max_size=4)
    revocations = Revocations(database, clock=clock)
    revocations.check("jti")

    with proxy.counting() as traffic:
        for _ in range(50):
            revocations.check("jti")
        young = traffic.exchanges
        clock.now_s += REFRESH_AFTER_S
        threads = [threading.Thread(target=revocations.check, args=("jti",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    database.close()

    assert (young, traffic.exchanges) == (0, 1)


def test_while_the_database_is_down_the_last_set_counts_for_ten_seconds_and_then_nobody_passes(
    database: Database, unreachable: Database, clock: Clock
) -> None:
    revoke(database, "leaked")
    revocations = Revocations(database, clock=clock)
    revocations.check("good")
    revocations._database = unreachable

    clock.now_s += MAX_AGE_S - 0.1
    revocations.check("good")
    with pytest.raises(RevokedError):
        revocations.check("leaked")

    clock.now_s += 0.1
    for jti in ("good", "leaked"):
        with pytest.raises(UnavailableError) as refusal:
            revocations.check(jti)
        assert refusal.value.retry_after_s >= 1
    revocations.check(None)


def test_a_process_that_never_saw_the_set_lets_nobody_pass(unreachable: Database, clock: Clock) -> None:
    with pytest.raises(UnavailableError):
        Revocations(unreachable, clock=clock).check("good")


def test_a_database_that_is_back_is_asked_after_a_pause_of_a_second_and_not_before(
    database: Database, unreachable: Database, clock: Clock
) -> None:
    revocations = Revocations(unreachable, clock=clock)
    with pytest.raises(UnavailableError):
        revocations.check("good")
    revocations._database = database

    clock.now_s += PAUSE_S - 0.1
    with pytest.raises(UnavailableError):
        revocations.check("good")
    clock.now_s += 0.1
    revocations.check("good")


def test_a_fetch_counts_from_its_beginning(database: Database, clock: Clock) -> None:
    class Slow(Database):
        """Takes so long that its answer is old when it comes."""

        def reading(
            self,
            caller: Caller,
            timing: Timing | None = None,
            *,
            after: int | None = None,
            wait_s: float | None = None,
            anyway: bool = False,
        ) -> ReadSession:
            clock.now_s += MAX_AGE_S
            return database.reading(caller, timing, after=after, wait_s=wait_s, anyway=anyway)

    revocations = Revocations(Slow.__new__(Slow), clock=clock)

    with pytest.raises(UnavailableError):
        revocations.check("good")
