"""Tokens in the database: families, revoking against minting, and what may be forgotten when."""

from __future__ import annotations

import datetime as dt
import random
import threading
import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import psycopg
import pytest

from app.domain.callers import SERVICE
from app.domain.tokens import MAX_TTL_S, ServiceToken
from app.errors import CryoProtectError, RevokedError
from database.listing import Filter, ListRequest, Sort
from database.repositories.tokens import TokenReader, TokenRepository
from database.session import Database
from database.urls import DatabaseUrls
from tests.plugins.database import open_database

WAITING_SQL = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
AGE_SQL = """
UPDATE private.service_tokens
SET issued_at = issued_at - %(age)s::interval, expires_at = expires_at - %(age)s::interval
WHERE jti = %(jti)s
"""


def token(
    parent: str | None = None, *, scopes: list[str] | None = None, ttl_s: int = 3600, age_s: float = 0
) -> ServiceToken:
    issued_at = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=age_s)
    return ServiceToken(str(uuid4()), scopes, issued_at, issued_at + dt.timedelta(seconds=ttl_s), parent)


def add(database: Database, *tokens: ServiceToken) -> None:
    for item in tokens:
        with database.transaction(SERVICE) as session:
            TokenRepository(session).add(item)


def revoke(database: Database, jti: str, revoked_by: str | None = None) -> set[str]:
    with database.transaction(SERVICE) as session:
        return set(TokenRepository(session).revoke(jti, revoked_by))


def prune(database: Database) -> int:
    with database.transaction(SERVICE) as session:
        return TokenRepository(session).prune()


def kept(admin: psycopg.Connection) -> set[str]:
    return {row[0] for row in admin.execute("SELECT jti FROM private.service_tokens")}


def revoked(database: Database) -> frozenset[str]:
    return TokenReader(database.reading(SERVICE)).revoked_jtis()


def family(database: Database) -> list[ServiceToken]:
    """Store a token, its child, and the child's child."""
    first = token()
    second = token(first.jti)
    third = token(second.jti)
    add(database, first, second, third)
    return [first, second, third]


def test_revoking_a_token_takes_all_that_came_from_it_and_nothing_else(database: Database) -> None:
    first, second, third = family(database)
    sibling, stranger = token(first.jti), token()
    add(database, sibling, stranger)

    assert revoke(database, second.jti) == {second.jti, third.jti}
    assert revoked(database) == {second.jti, third.jti}
    assert revoke(database, first.jti) == {first.jti, sibling.jti}
    assert stranger.jti not in revoked(database)


def test_a_revocation_lasts_as_long_as_its_token_and_says_who_made_it(
    database: Database, admin: psycopg.Connection
) -> None:
    first, *_ = family(database)

    revoke(database, first.jti, "somebody")

    row = admin.execute("SELECT expires_at, revoked_by FROM private.token_revocations WHERE jti = %s", (first.jti,))
    assert row.fetchall() == [(first.expires_at, "somebody")]


def test_revoking_again_changes_nothing(database: Database, admin: psycopg.Connection) -> None:
    first, *_ = family(database)
    revoke(database, first.jti, "first")
    before = admin.execute("SELECT * FROM private.token_revocations ORDER BY jti").fetchall()

    assert revoke(database, first.jti, "second") == set()
    assert admin.execute("SELECT * FROM private.token_revocations ORDER BY jti").fetchall() == before


def test_a_token_that_is_not_known_is_revoked_for_as_long_as_any_can_live_and_its_children_too(
    database: Database, admin: psycopg.Connection
) -> None:
    child = token("minted-without-a-database")
    add(database, child)

    assert revoke(database, "minted-without-a-database") == {"minted-without-a-database", child.jti}

    statement = "SELECT expires_at - revoked_at FROM private.token_revocations WHERE jti = 'minted-without-a-database'"
    ((lasts,),) = admin.execute(statement).fetchall()
    assert abs(lasts.total_seconds() - MAX_TTL_S) < 60


def test_a_revoked_token_mints_nothing(database: Database, admin: psycopg.Connection) -> None:
    first, second, third = family(database)
    revoke(database, second.jti)

    for parent in (second, third):
        with pytest.raises(RevokedError):
            add(database, token(parent.jti))
    add(database, token(first.jti))
    assert len(kept(admin)) == 4


@pytest.fixture
def other(urls: DatabaseUrls) -> Iterator[Database]:
    """Give another worker's way to the same database."""
    made = open_database(urls, max_size=2)
    yield made
    made.close()


def until_somebody_waits(admin: psycopg.Connection) -> None:
    deadline = time.monotonic() + 10
    while admin.execute(WAITING_SQL.encode()).fetchall() == [(0,)]:
        assert time.monotonic() < deadline, "nobody waits for the lock"


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(work())
        except CryoProtectError as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcome


def test_a_revocation_waits_for_a_mint_under_way_and_takes_its_token_too(
    database: Database, other: Database, admin: psycopg.Connection
) -> None:
    leaked = token()
    child = token(leaked.jti)
    add(database, leaked)

    with database.transaction(SERVICE) as session:
        TokenRepository(session).add(child)
        thread, outcome = in_thread(lambda: revoke(other, leaked.jti))
        until_somebody_waits(admin)
        assert outcome == []
    thread.join()

    assert outcome == [{leaked.jti, child.jti}]


def test_a_mint_waits_for_a_revocation_under_way_and_is_refused(
    database: Database, other: Database, admin: psycopg.Connection
) -> None:
    leaked = token()
    child = token(leaked.jti)
    add(database, leaked)

    with database.transaction(SERVICE) as session:
        TokenRepository(session).revoke(leaked.jti, None)
        thread, outcome = in_thread(lambda: add(other, child))
        until_somebody_waits(admin)
        assert outcome == []
    thread.join()

    assert [type(item) for item in outcome] == [RevokedError]
    assert child.jti not in kept(admin)


def test_two_mints_do_not_wait_for_each_other(database: Database, other: Database) -> None:
    with database.transaction(SERVICE) as session:
        TokenRepository(session).add(token())
        add(other, token())


def test_whoever_is_first_no_child_of_a_revoked_token_is_left_unrevoked(database: Database, other: Database) -> None:
    minted = refused = 0
    for _ in range(30):
        leaked = token()
        child = token(leaked.jti)
        add(database, leaked)
        start = threading.Barrier(2)

        def mint(child: ServiceToken = child, start: threading.Barrier = start) -> None:
            start.wait()
            time.sleep(random.uniform(0, 0.004))  # noqa: S311 - any order will do
            add(other, child)

        thread, outcome = in_thread(mint)
        start.wait()
        time.sleep(random.uniform(0, 0.004))  # noqa: S311 - likewise
        taken = revoke(database, leaked.jti)
        thread.join()

        if outcome == [None]:
            minted += 1
            assert child.jti in taken
        else:
            refused += 1
            assert isinstance(outcome[0], RevokedError)
    assert minted + refused == 30


def test_what_expired_an_hour_ago_is_pruned_and_what_did_not_stays(
    database: Database, admin: psycopg.Connection
) -> None:
    old, fresh = token(age_s=7300), token(age_s=7100)
    add(database, old, fresh)
    revoke(database, old.jti)
    revoke(database, fresh.jti)

    assert prune(database) == 2
    assert kept(admin) == {fresh.jti}
    assert revoked(database) == {fresh.jti}
    assert prune(database) == 0


def test_an_expired_token_stays_while_something_that_came_from_it_lives(
    database: Database, admin: psycopg.Connection
) -> None:
    first, second, third = family(database)
    for item in (first, second):
        admin.execute(AGE_SQL.encode(), {"age": "1 day", "jti": item.jti})

    assert prune(database) == 0
    assert revoke(database, first.jti) == {first.jti, second.jti, third.jti}


def test_a_chain_of_renewals_is_pruned_whole_when_its_last_token_has_expired(
    database: Database, admin: psycopg.Connection
) -> None:
    for item in family(database):
        admin.execute(AGE_SQL.encode(), {"age": "1 day", "jti": item.jti})

    assert prune(database) == 3
    assert kept(admin) == set()


def test_the_list_shows_what_has_not_expired_with_its_revocation_and_pages_by_every_sort(database: Database) -> None:
    tokens = [token(scopes=[["molecules:write"], [], None][n % 3], age_s=60 * n) for n in range(7)]
    add(database, *tokens, token(age_s=7100))
    revoke(database, tokens[3].jti)
    reader = TokenReader(database.reading(SERVICE))

    assert reader.page(ListRequest(), "exact").count == 7
    assert reader.page(ListRequest(filters=(Filter("revoked_at", "isnull", value=False),)), "exact").count == 1
    for name in reader.listing.sortable:
        for descending in (False, True):
            pages, after = [], None
            for _ in range(10):
                page = reader.page(ListRequest(order=(Sort(name, descending),), limit=2, after=after))
                pages += page.documents
                after = page.next_after
                if after is None:
                    break
            assert len(pages) == len(set(pages)) == 7, name


@pytest.mark.parametrize(
    "change",
    [
        {"expires_at": dt.timedelta(hours=24, seconds=1)},
        {"expires_at": dt.timedelta(0)},
    ],
    ids=["more than a day", "no time at all"],
)
def test_the_database_keeps_no_token_of_an_impossible_length(
    database: Database, change: dict[str, dt.timedelta]
) -> None:
    issued_at = dt.datetime.now(dt.UTC)
    impossible = ServiceToken("jti", None, issued_at, issued_at + change["expires_at"])

    with pytest.raises(CryoProtectError):
        add(database, impossible)


def test_a_token_is_never_its_own_parent(database: Database) -> None:
    made = token()

    with pytest.raises(CryoProtectError):
        add(database, ServiceToken(made.jti, None, made.issued_at, made.expires_at, made.jti))
