"""One pooled connection, many callers: nothing of one is left for the next, however its turn ended."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from app.domain.callers import ANON, SERVICE, Caller
from app.errors import CryoProtectError, InvalidError, UnavailableError
from database.listing import ListRequest
from database.pool import Timing
from database.repositories.molecules import MoleculeReader, MoleculeRepository
from database.session import Database, WriteSession
from database.urls import DatabaseUrls
from tests import factories
from tests.database.worlds import World, add_public_molecule, add_world
from tests.plugins.database import open_database

TURNS = 1000
WHO_SQL = """
SELECT current_user::text, current_setting('role'), current_setting('request.jwt.claims'), auth.uid(),
    array(SELECT id FROM public.molecules ORDER BY id)
"""
TRACES_SQL = """
SELECT session_user = current_user, current_setting('role'),
    coalesce(current_setting('request.jwt.claims', true), ''), current_setting('transaction_read_only'),
    current_setting('statement_timeout')
"""
SET_TIMEOUT_SQL = "SELECT set_config('statement_timeout', '1ms', true)"
BUSY_SQL = """
SELECT application_name, state
FROM pg_stat_activity
WHERE datname = current_database() AND usename LIKE 'cryoprotect%' AND state <> 'idle'
"""


class TurnAbandoned(Exception):  # noqa: N818 - a client that goes away is no error
    """Raised where a client would be gone."""


@pytest.fixture
def single(urls: DatabaseUrls, emptied: None) -> Iterator[Database]:
    """Give the database layer with one connection for each login."""
    database = open_database(urls, max_size=1)
    yield database
    database.close()


def _read(database: Database, caller: Caller, **_: Any) -> None:
    database.reading(caller).rows("SELECT 1", {})


def _read_with_error(database: Database, caller: Caller, **_: Any) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        database.reading(caller).rows_of_each([("SELECT 1", {}), ("SELECT 1 / 0", {}), ("SELECT 2", {})])


def _read_that_takes_too_long(database: Database, caller: Caller, **_: Any) -> None:
    with pytest.raises(UnavailableError):
        database.reading(caller).rows_of_each([(SET_TIMEOUT_SQL, {}), ("SELECT pg_sleep(5)", {})])


def _read_that_cannot_be_sent(database: Database, caller: Caller, **_: Any) -> None:
    with pytest.raises(psycopg.Error):
        database.reading(caller).rows("SELECT %(text)s", {"text": "a\0b"})


def _read_that_sets_what_it_should_not(database: Database, caller: Caller, **_: Any) -> None:
    database.reading(caller).rows("SELECT set_config('request.jwt.claims', '{\"sub\":\"somebody else\"}', true)", {})


def _stream_that_is_abandoned(database: Database, caller: Caller, **_: Any) -> None:
    # What a web server does with an answer's body when its client has gone.
    stream = MoleculeReader(database.reading(caller)).stream(ListRequest())
    next(stream)
    stream.close()  # type: ignore[attr-defined] # a generator


def _write(database: Database, caller: Caller, session_work: Callable[[WriteSession], object]) -> None:
    with database.transaction(caller) as session:
        session_work(session)


def _dry_run(database: Database, caller: Caller, session_work: Callable[[WriteSession], object]) -> None:
    with database.transaction(caller, rollback=True) as session:
        session_work(session)


def _run(database: Database, caller: Caller, *statements: str, rollback: bool = False) -> None:
    with database.transaction(caller, rollback=rollback) as session:
        for statement in statements:
            session.rows(statement, {})


def _write_with_error(database: Database, caller: Caller, **_: Any) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        _run(database, caller, "SELECT 1", "SELECT 1 / 0")


def _write_that_takes_too_long(database: Database, caller: Caller, **_: Any) -> None:
    with pytest.raises(UnavailableError):
        _run(database, caller, SET_TIMEOUT_SQL, "SELECT pg_sleep(5)")


def _write_that_is_abandoned(
    database: Database, caller: Caller, session_work: Callable[[WriteSession], object]
) -> None:
    def abandon(session: WriteSession) -> None:
        session_work(session)
        raise TurnAbandoned

    with pytest.raises(TurnAbandoned):
        _write(database, caller, abandon)


def _write_with_a_mended_error(database: Database, caller: Caller, **_: Any) -> None:
    with database.transaction(caller) as session:
        with pytest.raises(psycopg.errors.DivisionByZero), session.savepoint():
            session.rows("SELECT 1 / 0", {})
        session.rows("SELECT 1", {})


KINDS_OF_TURN: tuple[Callable[..., None], ...] = (
    _read,
    _read_with_error,
    _read_that_takes_too_long,
    _read_that_cannot_be_sent,
    _read_that_sets_what_it_should_not,
    _stream_that_is_abandoned,
    _write,
    _dry_run,
    _write_with_error,
    _write_that_takes_too_long,
    _write_that_is_abandoned,
    _write_with_a_mended_error,
)


def _traces(database: Database) -> list[Any]:
    """Return what the pool's only connection keeps between turns."""
    return database._request.run(lambda connection: connection.execute(TRACES_SQL.encode()).fetchall(), Timing())


def _check(database: Database, caller: Caller, visible: set[Any]) -> None:
    ((user, role, claims, uid, molecules),) = database.reading(caller).rows(WHO_SQL, {})
    assert (user, role, claims) == (caller.role, caller.role, caller.claims_json)
    assert uid == caller.user_id
    assert set(molecules) == visible


def test_interleaved_callers_on_one_connection_are_always_themselves(
    single: Database, admin: psycopg.Connection
) -> None:
    public = add_public_molecule(admin, "dimethyl sulfoxide")
    alice, bob = add_world(admin), add_world(admin)
    visible: dict[Caller, set[Any]] = {ANON: {public}}
    visible |= {world.caller: {public} | world.molecules for world in (alice, bob)}
    stored = admin.execute("SELECT count(*) FROM molecules").fetchall()
    worlds: dict[Caller, World] = {alice.caller: alice, bob.caller: bob}
    dice = random.Random(5)  # noqa: S311 - the same turns in every run

    for turn in range(TURNS):
        caller = dice.choice(list(visible))
        take = KINDS_OF_TURN[turn % len(KINDS_OF_TURN)]

        def rename(session: WriteSession, caller: Caller = caller) -> None:
            if caller in worlds:
                MoleculeRepository(session).change(worlds[caller].own, {"name": f"renamed {caller.user_id}"}, None)

        take(single, caller, session_work=rename)

        assert _traces(single) == [(True, "none", "", "off", "30s")], take.__name__
        assert admin.execute(BUSY_SQL).fetchall() == [], take.__name__
        asked = dice.choice(list(visible))
        _check(single, asked, visible[asked])

    assert admin.execute("SELECT count(*) FROM molecules").fetchall() == stored


def test_request_and_service_never_share_a_connection(single: Database, admin: psycopg.Connection) -> None:
    who = "SELECT pg_backend_pid(), session_user::text, current_user::text"

    service, user, anon = (single.reading(caller).rows(who, {})[0] for caller in (SERVICE, factories.user(), ANON))

    assert service[0] != user[0] == anon[0]
    assert (service[1:], user[1:], anon[1:]) == (
        ("cryoprotect_service", "service_role"),
        ("cryoprotect_request", "authenticated"),
        ("cryoprotect_request", "anon"),
    )


@pytest.mark.parametrize(
    "claims",
    [
        {"role": "service_role", "sub": "00000000-0000-0000-0000-000000000001"},
        {"role": "authenticated", "sub": "x'; SET ROLE service_role; --"},
        {"role": "authenticated", "sub": '"}'},
    ],
)
def test_claims_are_values_and_never_sql(single: Database, admin: psycopg.Connection, claims: dict[str, str]) -> None:
    add_world(admin)
    caller = Caller(role="authenticated", claims_json=json.dumps(claims))

    ((role, kept),) = single.reading(caller).rows(
        "SELECT current_user::text, current_setting('request.jwt.claims')", {}
    )

    assert (role, kept) == ("authenticated", json.dumps(claims))


def test_claims_that_name_nobody_see_nothing_private(single: Database, admin: psycopg.Connection) -> None:
    add_world(admin)
    public = add_public_molecule(admin, "dimethyl sulfoxide")
    nobody = Caller(role="authenticated", claims_json='{"role":"authenticated"}')

    rows = single.reading(nobody).rows("SELECT id FROM public.molecules", {})

    assert rows == [(public,)]


def test_a_role_that_the_login_may_not_take_is_refused(single: Database, admin: psycopg.Connection) -> None:
    impostor = Caller(role="postgres")  # type: ignore[arg-type]

    with pytest.raises(CryoProtectError), single.transaction(impostor):
        pass
    with pytest.raises(CryoProtectError):
        single.reading(impostor).rows("SELECT 1", {})


def test_the_first_write_makes_the_profile_and_a_read_does_not(single: Database, admin: psycopg.Connection) -> None:
    reader, writer, undecided = factories.user(), factories.user(), factories.user()

    MoleculeReader(single.reading(reader)).property_types()
    with single.transaction(writer):
        pass
    with single.transaction(undecided, rollback=True):
        pass

    assert admin.execute("SELECT id FROM user_profiles").fetchall() == [(writer.user_id,)]


def test_a_dry_run_checks_deferred_constraints(single: Database, admin: psycopg.Connection) -> None:
    orphan = "INSERT INTO public.molecules (name, kind, project_id) VALUES ('orphan', 'polymer', gen_random_uuid())"
    admin.execute("ALTER TABLE molecules ALTER CONSTRAINT molecules_project_id_fkey DEFERRABLE INITIALLY DEFERRED")
    try:
        for rollback in (True, False):
            with pytest.raises(InvalidError, match="no such project"):
                _run(single, SERVICE, orphan, "SELECT 1", rollback=rollback)
    finally:
        admin.execute("ALTER TABLE molecules ALTER CONSTRAINT molecules_project_id_fkey NOT DEFERRABLE")


def test_a_dry_run_answers_as_if_done_and_keeps_nothing(single: Database, admin: psycopg.Connection) -> None:
    with single.transaction(SERVICE, rollback=True) as session:
        seen = session.rows("INSERT INTO public.teams (name) VALUES ('kept?') RETURNING name", {})

    assert seen == [("kept?",)]
    assert admin.execute("SELECT FROM teams").fetchall() == []


def test_a_transaction_whose_failure_was_swallowed_is_not_reported_as_done(
    single: Database, admin: psycopg.Connection
) -> None:
    def swallow(session: WriteSession) -> None:
        session.rows("INSERT INTO public.teams (name) VALUES ('lost')", {})
        with pytest.raises(psycopg.errors.DivisionByZero):
            session.rows("SELECT 1 / 0", {})

    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        _write(single, SERVICE, swallow)

    assert admin.execute("SELECT FROM teams").fetchall() == []
