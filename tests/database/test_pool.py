"""The pool when connections die, run out, are refused or say something else than before."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from app.domain.callers import ANON, SERVICE, Caller
from app.errors import CryoProtectError, LostError, OutcomeUnknownError, UnavailableError
from database import migrate
from database.embedded import EmbeddedServer
from database.pool import Timing
from database.session import Database, WriteSession
from database.urls import DatabaseUrls, database_urls
from tests import factories
from tests.database.clones import migrated_database
from tests.plugins.database import SECRET, open_database
from tests.plugins.round_trips import Proxy, proxy

__all__ = ["proxy"]

USER = factories.user()
OUT_OF_TIME_S = 0.3
KILL_SQL = """
SELECT pid, pg_terminate_backend(pid)
FROM pg_stat_activity
WHERE datname = current_database() AND usename LIKE 'cryoprotect%'
"""
ALIVE_SQL = "SELECT FROM pg_stat_activity WHERE pid = ANY (%s)"
WAITING_SQL = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 99"
BACKENDS_SQL = """
SELECT count(*) FILTER (WHERE state LIKE 'idle in transaction%'), count(*)
FROM pg_stat_activity
WHERE datname = current_database() AND usename LIKE 'cryoprotect%'
"""
ADD_TEAM_SQL = "INSERT INTO public.teams (name) VALUES ('stored')"


def _read(database: Database) -> None:
    assert database.reading(ANON).rows("SELECT current_user::text", {}) == [("anon",)]


def _write(database: Database) -> None:
    with database.transaction(USER) as session:
        assert session.rows("SELECT current_user::text", {}) == [("authenticated",)]


def _serve(database: Database) -> None:
    with database.transaction(SERVICE) as session:
        session.rows(ADD_TEAM_SQL, {})


ACTS = pytest.mark.parametrize("act", [_read, _write, _serve])


def _fill(database: Database) -> None:
    """Open as many connections as the pools may have."""
    with ExitStack() as held:
        for caller in (ANON, SERVICE):
            for _ in range(4):
                held.enter_context(database.transaction(caller))


def _kill(admin: psycopg.Connection) -> int:
    """End every backend of the logins and return how many there were."""
    killed = [pid for pid, done in admin.execute(KILL_SQL) if done]
    _wait_until(lambda: not admin.execute(ALIVE_SQL, (killed,)).fetchall())
    return len(killed)


def _wait_until(question: Callable[[], object]) -> None:
    patience = threading.Event()
    for _ in range(1000):
        if question():
            return
        patience.wait(0.01)
    pytest.fail("it did not come to pass")


@pytest.fixture
def pooled(urls: DatabaseUrls, emptied: None) -> Iterator[Database]:
    """Give the database layer with four open connections for each login."""
    # Other tests of this worker leave pools of their own behind; only what is opened here is counted.
    with psycopg.connect(urls.admin, autocommit=True) as admin:
        _kill(admin)
    database = open_database(urls)
    _fill(database)
    yield database
    database.close()


@ACTS
def test_when_all_backends_were_killed_the_next_call_succeeds(
    pooled: Database, admin: psycopg.Connection, act: Callable[[Database], None]
) -> None:
    killed = _kill(admin)

    act(pooled)

    assert killed >= 8


@ACTS
def test_when_the_network_was_cut_the_next_call_succeeds(
    urls: DatabaseUrls, proxy: Proxy, emptied: None, act: Callable[[Database], None]
) -> None:
    database = open_database(proxy.through(urls))
    _fill(database)

    proxy.cut()
    act(database)

    database.close()


def test_when_backends_die_again_and_again_no_call_fails(pooled: Database, admin: psycopg.Connection) -> None:
    for _ in range(10):
        _kill(admin)
        _read(pooled)
        _kill(admin)
        _serve(pooled)

    assert admin.execute("SELECT count(*) FROM teams").fetchall() == [(10,)]


@pytest.mark.parametrize("goes_on", [True, False], ids=["at a statement", "at the commit"])
def test_a_write_that_loses_its_connection_is_refused_and_keeps_nothing(
    pooled: Database,
    admin: psycopg.Connection,
    goes_on: bool,  # noqa: FBT001 - one of two
) -> None:
    def lose(session: WriteSession) -> None:
        session.rows(ADD_TEAM_SQL, {})
        _kill(admin)
        if goes_on:
            session.rows(ADD_TEAM_SQL, {})

    with pytest.raises(UnavailableError) as refused, pooled.transaction(SERVICE) as session:
        lose(session)

    # Nobody hears whether a COMMIT that was sent has come through; here it has not.
    assert type(refused.value) is (LostError if goes_on else OutcomeUnknownError)
    assert refused.value.code == ("database_unavailable" if goes_on else "outcome_unknown")
    assert admin.execute("SELECT FROM teams").fetchall() == []
    _serve(pooled)
    assert admin.execute("SELECT name FROM teams").fetchall() == [("stored",)]


@contextmanager
def _blocked(admin: psycopg.Connection) -> Iterator[str]:
    """Give a statement that waits until the block ends."""
    admin.execute("SELECT pg_advisory_lock(99)")
    try:
        yield "SELECT 'answered' FROM pg_advisory_xact_lock_shared(99)"
    finally:
        admin.execute("SELECT pg_advisory_unlock_all()")


def test_a_read_that_is_killed_while_it_runs_is_made_again(pooled: Database, admin: psycopg.Connection) -> None:
    with ThreadPoolExecutor(1) as threads:
        with _blocked(admin) as statement:
            answer = threads.submit(pooled.reading(ANON).rows, statement, {})
            _wait_until(lambda: admin.execute(WAITING_SQL).fetchone() == (1,))
            _kill(admin)
            _wait_until(lambda: admin.execute(WAITING_SQL).fetchone() == (1,))

        assert answer.result(30) == [("answered",)]


def test_a_read_that_is_killed_twice_is_refused(pooled: Database, admin: psycopg.Connection) -> None:
    with ThreadPoolExecutor(1) as threads, _blocked(admin) as statement:
        answer = threads.submit(pooled.reading(ANON).rows, statement, {})
        for _ in range(2):
            _wait_until(lambda: admin.execute(WAITING_SQL).fetchone() == (1,))
            _kill(admin)

        with pytest.raises(UnavailableError):
            answer.result(30)


@pytest.mark.parametrize("act", [_read, _write])
def test_when_every_connection_is_taken_a_call_waits_once_and_takes_none_away(
    urls: DatabaseUrls, act: Callable[[Database], None]
) -> None:
    database = open_database(urls, max_size=1, timeout_s=OUT_OF_TIME_S)
    which: tuple[str, dict[str, object]] = ("SELECT pg_backend_pid()", {})

    with database.transaction(ANON) as holder:
        held = holder.rows(*which)
        with pytest.raises(UnavailableError) as refused:
            act(database)
        stats = database._request._pool.get_stats()

    assert refused.value.code == "database_busy"
    assert refused.value.retry_after_s > 0
    assert stats["requests_errors"] == 1
    assert database.reading(ANON).rows(*which) == held
    database.close()


def test_when_too_many_wait_a_call_is_refused_without_waiting(urls: DatabaseUrls, admin: psycopg.Connection) -> None:
    database = open_database(urls, max_size=1)
    database._request._pool.max_waiting = 1
    which: tuple[str, dict[str, object]] = ("SELECT pg_backend_pid()", {})

    with ThreadPoolExecutor(1) as threads:
        with database.transaction(ANON) as holder:
            held = holder.rows(*which)
            waiting = threads.submit(database.reading(ANON).rows, *which)
            _wait_until(lambda: database._request._pool.get_stats()["requests_waiting"] == 1)
            with pytest.raises(UnavailableError):
                _read(database)

        assert waiting.result(30) == held
    database.close()


@ACTS
def test_a_database_that_refuses_connections_is_unavailable(
    urls: DatabaseUrls, tmp_path: Path, act: Callable[[Database], None]
) -> None:
    nowhere = database_urls(f"postgresql://postgres@localhost/nothing?host={tmp_path}", None, SECRET)
    database = open_database(nowhere, timeout_s=OUT_OF_TIME_S)

    with pytest.raises(UnavailableError):
        act(database)

    database.close()


@ACTS
def test_a_closed_pool_is_unavailable(urls: DatabaseUrls, act: Callable[[Database], None]) -> None:
    database = open_database(urls)
    database.close()

    with pytest.raises(UnavailableError):
        act(database)


@pytest.mark.machine
def test_a_server_that_stops_is_unavailable_until_it_is_back(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path, settings={"fsync": "off", "shared_buffers": "16MB"})
    urls = database_urls(server.start(), None, SECRET)
    migrate.upgrade(urls, secret=SECRET)
    database = open_database(urls, timeout_s=OUT_OF_TIME_S)
    _fill(database)

    server.stop()
    for act in (_read, _write, _serve):
        with pytest.raises(UnavailableError):
            act(database)
    server.start()
    again = open_database(urls, timeout_s=30.0)
    for act in (_read, _write, _serve):
        act(again)
    _wait_until(lambda: _succeeds(database))

    database.close()
    again.close()
    server.stop()


def _succeeds(database: Database) -> bool:
    try:
        _read(database)
    except UnavailableError:
        return False
    return True


def test_a_transaction_that_idled_for_too_long_is_unavailable_and_keeps_nothing(
    pooled: Database, admin: psycopg.Connection
) -> None:
    def idle(session: WriteSession) -> None:
        session.rows(ADD_TEAM_SQL, {})
        ((pid,),) = session.rows(
            "SELECT pg_backend_pid() FROM set_config('idle_in_transaction_session_timeout', '10ms', true)", {}
        )
        gone = "SELECT FROM pg_stat_activity WHERE pid = %s"
        _wait_until(lambda: not admin.execute(gone, (pid,)).fetchall())
        session.rows("SELECT 1", {})

    with pytest.raises(UnavailableError), pooled.transaction(SERVICE) as session:
        idle(session)

    assert admin.execute("SELECT FROM teams").fetchall() == []
    _serve(pooled)


def test_a_server_that_takes_no_changes_still_answers_reads(server_url: str, urls: DatabaseUrls) -> None:
    with migrated_database(server_url, urls, "read_only") as frozen:
        with psycopg.connect(frozen.admin, autocommit=True) as admin:
            admin.execute(
                sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(
                    sql.Identifier(admin.info.dbname)
                )
            )
        database = open_database(frozen)

        _read(database)
        for act in (_write, _serve):
            with pytest.raises(UnavailableError):
                act(database)

        database.close()


def test_after_every_kind_of_failure_no_transaction_stays_open(pooled: Database, admin: psycopg.Connection) -> None:
    def seen() -> tuple[int, int]:
        return admin.execute(BACKENDS_SQL).fetchall()[0]

    before = seen()[1]
    for statement in ("SELECT 1 / 0", "SELECT nothing", "SELECT pg_terminate_backend(pg_backend_pid())"):
        for caller in (ANON, USER, SERVICE):
            _fail(pooled, caller, statement)

    assert seen()[0] == 0
    # A backend ends a moment after its connection; those of other tests' pools stay.
    _wait_until(lambda: seen()[1] <= max(8, before))


def _fail(database: Database, caller: Caller, statement: str) -> None:
    with pytest.raises((psycopg.Error, CryoProtectError)), database.transaction(caller) as session:
        session.rows(statement, {})
    with pytest.raises((psycopg.Error, CryoProtectError)):
        database.reading(caller).rows(statement, {})


class TestPreparedStatements:
    """What a read has prepared may be gone, or mean something else by now."""

    @pytest.fixture
    def single(self, urls: DatabaseUrls) -> Iterator[Database]:
        """Give the database layer with one connection."""
        database = open_database(urls, max_size=1)
        yield database
        database.close()

    @staticmethod
    def _prepared(database: Database) -> list[Any]:
        statement = b"SELECT name FROM pg_prepared_statements"
        return database._request.run(lambda connection: connection.execute(statement).fetchall(), Timing())

    def test_a_read_is_prepared_at_its_second_use(self, single: Database) -> None:
        counts = []
        for _ in range(4):
            single.reading(ANON).rows("SELECT %(value)s::int", {"value": 1})
            counts.append(len(self._prepared(single)))

        assert counts == [0, 2, 2, 2]

    def test_nothing_is_prepared_behind_a_transaction_pooler(self, urls: DatabaseUrls) -> None:
        database = Database(urls, min_size=0, max_size=1, timeout_s=5.0, transaction_pooler=True)
        database.open()

        for _ in range(10):
            _read(database)
            _write(database)

        assert self._prepared(database) == []
        database.close()

    def test_a_transaction_leaves_what_is_prepared(self, single: Database) -> None:
        for _ in range(3):
            _read(single)
        before = self._prepared(single)

        _write(single)
        _fail(single, USER, "SELECT 1 / 0")

        assert set(before) <= set(self._prepared(single))
        assert before

    def test_a_read_survives_that_its_prepared_statement_is_gone(self, single: Database) -> None:
        for _ in range(3):
            _read(single)
        single._request.run(lambda connection: connection.execute("DEALLOCATE ALL"), Timing())

        _read(single)
        _read(single)

    def test_a_read_survives_that_its_result_has_another_type_now(
        self, single: Database, admin: psycopg.Connection
    ) -> None:
        admin.execute("CREATE TABLE public.changing AS SELECT 1 AS value")
        admin.execute("GRANT SELECT ON public.changing TO anon")
        try:
            before = [single.reading(ANON).rows("SELECT value FROM public.changing", {}) for _ in range(3)]
            admin.execute("ALTER TABLE public.changing ALTER value TYPE text")
            after = [single.reading(ANON).rows("SELECT value FROM public.changing", {}) for _ in range(3)]
        finally:
            admin.execute("DROP TABLE public.changing")

        assert before == [[(1,)]] * 3
        assert after == [[("1",)]] * 3

    def test_an_error_in_the_first_statement_forgets_nothing_of_the_second(self, single: Database) -> None:
        session = single.reading(ANON)
        for divisor in (1, 0, 1, 0, 1, 1):
            statements = [("SELECT 1 / %(divisor)s::int", {"divisor": divisor}), ("SELECT 'second'", {})]
            if divisor:
                assert session.rows_of_each(statements)[1] == [("second",)]
            else:
                with pytest.raises(psycopg.errors.DivisionByZero):
                    session.rows_of_each(statements)

    def test_of_many_different_reads_only_so_many_stay_prepared(self, single: Database) -> None:
        session = single.reading(ANON)
        for _ in range(2):
            for number in range(300):
                column = f"SELECT %(value)s::int AS number_{number}"
                for value in (1, 2):
                    assert session.rows(column, {"value": value}) == [(value,)]

        assert 150 <= len(self._prepared(single)) <= 200
