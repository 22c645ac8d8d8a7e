"""Answers kept under a key: each caller's own, for a day, and held by one transaction at a time."""

from __future__ import annotations

import psycopg
import pytest

from app.domain.callers import SERVICE, Caller
from app.errors import ConflictError, CryoProtectError, ForbiddenError
from database.repositories.idempotency import IdempotencyRepository, KeptAnswer, KeptRequest
from database.session import Database
from tests import factories

ANSWER = KeptAnswer(201, {"Location": "/api/v1/molecules/1", "ETag": '"1-☃"'}, b'{"id": 1}\x00\xff')
AGE_SQL = "UPDATE private.idempotency_keys SET created_at = created_at - %s::interval WHERE key = %s"


@pytest.fixture(params=[factories.user(), SERVICE], ids=["user", "service"])
def caller(request: pytest.FixtureRequest) -> Caller:
    """Give each kind of caller that keeps answers."""
    return request.param  # type: ignore[no-any-return]


def _keep(database: Database, caller: Caller, key: str, request_hash: bytes = b"hash") -> None:
    with database.transaction(caller) as session:
        IdempotencyRepository(session).add(key, request_hash, ANSWER)


def _made(database: Database, *callers: Caller) -> None:
    """Make the callers' profiles: of a user's first writes the second waits for the first."""
    for caller in callers:
        with database.transaction(caller):
            pass


def _find(database: Database, caller: Caller, key: str) -> KeptRequest | None:
    with database.transaction(caller) as session:
        return IdempotencyRepository(session).find(key)


def test_an_answer_is_found_as_it_was_first_given(database: Database, caller: Caller) -> None:
    _keep(database, caller, "key", b"hash \x00\xff")

    assert _find(database, caller, "key") == KeptRequest(b"hash \x00\xff", ANSWER)
    assert _find(database, caller, "another key") is None


def test_an_answer_is_kept_with_its_effect_or_not_at_all(database: Database, caller: Caller) -> None:
    with database.transaction(caller, rollback=True) as session:
        IdempotencyRepository(session).add("key", b"hash", ANSWER)

    assert _find(database, caller, "key") is None


def test_the_same_key_of_two_callers_is_two_keys(database: Database) -> None:
    one, other = factories.user(), factories.user()

    _keep(database, one, "key", b"one")
    _keep(database, other, "key", b"other")
    _keep(database, SERVICE, "key", b"service")

    for caller, request_hash in ((one, b"one"), (other, b"other"), (SERVICE, b"service")):
        kept = _find(database, caller, "key")
        assert kept is not None
        assert kept.request_hash == request_hash


def test_a_key_is_held_by_one_transaction_at_a_time(database: Database, caller: Caller) -> None:
    _made(database, caller)

    with database.transaction(caller) as first, database.transaction(caller) as second:
        held, refused, other = (
            IdempotencyRepository(first).lock("key"),
            IdempotencyRepository(second).lock("key"),
            IdempotencyRepository(second).lock("another key"),
        )

    assert (held, refused, other) == (True, False, True)


@pytest.mark.parametrize("rollback", [True, False], ids=["undone", "kept"])
def test_a_key_is_free_when_its_transaction_has_ended(
    database: Database,
    caller: Caller,
    rollback: bool,  # noqa: FBT001 - one of two
) -> None:
    with database.transaction(caller, rollback=rollback) as session:
        IdempotencyRepository(session).lock("key")

    with database.transaction(caller) as session:
        assert IdempotencyRepository(session).lock("key")


def test_the_same_key_of_another_caller_is_free(database: Database) -> None:
    one, other = factories.user(), factories.user()
    _made(database, one, other)

    with database.transaction(one) as first, database.transaction(other) as second:
        assert IdempotencyRepository(first).lock("key")
        assert IdempotencyRepository(second).lock("key")


def test_an_answer_is_kept_for_a_day(database: Database, admin: psycopg.Connection, caller: Caller) -> None:
    _keep(database, caller, "young")
    _keep(database, caller, "old")
    admin.execute(AGE_SQL, ("23:59:00", "young"))
    admin.execute(AGE_SQL, ("24:00:01", "old"))

    assert _find(database, caller, "young") is not None
    assert _find(database, caller, "old") is None


def test_after_a_day_the_key_can_be_used_again(database: Database, admin: psycopg.Connection, caller: Caller) -> None:
    _keep(database, caller, "key", b"first")
    admin.execute(AGE_SQL, ("25:00:00", "key"))

    _keep(database, caller, "key", b"second")

    kept = _find(database, caller, "key")
    assert kept is not None
    assert kept.request_hash == b"second"


def test_with_each_new_answer_the_callers_old_ones_go(
    database: Database, admin: psycopg.Connection, caller: Caller
) -> None:
    for key in ("old", "older", "young"):
        _keep(database, caller, key)
    admin.execute(AGE_SQL, ("24:00:01", "old"))
    admin.execute(AGE_SQL, ("72:00:00", "older"))

    _keep(database, caller, "new")

    kept = admin.execute("SELECT key FROM private.idempotency_keys ORDER BY key").fetchall()
    assert kept == [("new",), ("young",)]


def test_a_key_that_is_kept_is_not_overwritten(database: Database, caller: Caller) -> None:
    _keep(database, caller, "key", b"first")

    with pytest.raises(ConflictError):
        _keep(database, caller, "key", b"second")

    kept = _find(database, caller, "key")
    assert kept is not None
    assert kept.request_hash == b"first"


@pytest.mark.parametrize(("key", "status"), [("", 201), ("x" * 256, 201), ("key", 404), ("key", 500)])
def test_no_answer_is_kept_under_no_key_or_of_a_failure(
    database: Database, caller: Caller, key: str, status: int
) -> None:
    with pytest.raises(CryoProtectError), database.transaction(caller) as session:
        IdempotencyRepository(session).add(key, b"hash", KeptAnswer(status, {}, b""))

    assert _find(database, caller, key) is None


def test_nobody_keeps_an_answer_in_anothers_name(database: Database) -> None:
    victim = factories.user()
    statement = """
        INSERT INTO private.idempotency_keys (caller, key, request_hash, status, headers, body)
        VALUES (%(caller)s, 'key', 'hash', 201, '{}', 'forged')
    """

    with pytest.raises(ForbiddenError), database.transaction(factories.user()) as session:
        session.rows(statement, {"caller": str(victim.user_id)})

    assert _find(database, victim, "key") is None
