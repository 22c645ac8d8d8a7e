"""What is done about a pool while nobody looks: its size, what died, what is held, and who is told."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import structlog
from psycopg import sql
from structlog.testing import LogCapture

from app.breaker import State
from app.domain.callers import ANON, SERVICE
from app.errors import CryoProtectError, UnavailableError
from database import pool as pool_module
from database.connection import SilenceError, WatchedConnection, require_speaking
from database.session import Database, WriteSession
from database.sizing import LOW_FOR_S
from database.urls import DatabaseUrls
from tests.database.clones import migrated_database
from tests.database.test_pool import KILL_SQL, OUT_OF_TIME_S
from tests.plugins.database import open_database

PID_SQL: Final = "SELECT pg_backend_pid()"


def _until(question: object, patience_s: float = 5.0) -> bool:
    deadline_s = time.monotonic() + patience_s
    while time.monotonic() < deadline_s:
        if callable(question) and question():
            return True
        time.sleep(0.01)
    return False


def _is_whole(pool: pool_module.Pool) -> bool:
    stats = pool._pool.get_stats()
    return stats["pool_available"] == stats["pool_size"]


@pytest.fixture
def database(urls: DatabaseUrls) -> Iterator[Database]:
    """Give a database layer of its own with few connections, which only the test looks after."""
    looking = set(threading.enumerate())
    made = open_database(urls, max_size=3, timeout_s=OUT_OF_TIME_S)
    made._closed.set()
    for thread in set(threading.enumerate()) - looking:
        if thread.name == "pools":
            thread.join(5)
    yield made
    made.close()


def test_without_a_number_the_pools_take_their_share_of_the_servers_connections(
    urls: DatabaseUrls, admin: psycopg.Connection
):
    ((most, reserved, further),) = admin.execute(
        """
        SELECT current_setting('max_connections')::int, current_setting('superuser_reserved_connections')::int,
            current_setting('reserved_connections', true)::int
        """
    ).fetchall()
    made = Database(urls, min_size=0, max_size=None, timeout_s=5.0, transaction_pooler=False, share=0.5, workers=4)
    made.open()

    of_worker = (most - reserved - (further or 0)) // 2 // 4
    assert _until(lambda: sum(state.max_size for state in made.pool_states) == of_worker)
    assert [state.max_size for state in made.pool_states] == [of_worker - of_worker // 4, of_worker // 4]
    made.close()


def test_the_floor_follows_what_was_held_at_once_and_is_never_above_the_most(database: Database):
    pool = database.pools[0]

    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(database.transaction(ANON))
        pool.look_after(0.0)
        assert pool.state.min_size == 3
    pool.look_after(1.0)
    pool.look_after(2.0)
    pool.look_after(2.0 + LOW_FOR_S)

    assert pool.state.min_size == 0
    assert pool.state.size <= 3


def test_raising_the_floor_opens_no_more_than_the_most(database: Database):
    """The library's own resize would open as many again as are open already."""
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(database.transaction(ANON))
        database.pools[0]._pool.resize(3, 3)

    assert database.pools[0].state.size == 3


def test_an_idle_connection_that_died_is_replaced_without_being_asked_for(
    database: Database, admin: psycopg.Connection
):
    (before,) = database.reading(ANON).rows(PID_SQL, {})
    admin.execute(KILL_SQL)
    pool = database.pools[0]

    def replaced() -> bool:
        pool.look_after(0.0)
        return pool.measures.losses == 1

    assert _until(replaced)
    assert database.reading(ANON).rows(PID_SQL, {}) != [before]
    assert (pool.measures.losses, pool.measures.drains) == (1, 0)


def test_a_transaction_that_is_held_for_too_long_is_logged_once_with_the_place_where_it_began(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pool_module, "LEAK_S", 0.05)

    # Not `capture_logs`: an app made in this process before may have set a level above this message's.
    logs = LogCapture()
    every_level = structlog.make_filtering_bound_logger(logging.NOTSET)
    monkeypatch.setattr(pool_module, "_log", structlog.wrap_logger(None, [logs], every_level))

    with database.transaction(ANON):
        for _ in range(3):
            time.sleep(0.06)
            database.pools[0].look_after(0.0)

    (line,) = [entry for entry in logs.entries if entry["event"] == "connection_held"]
    assert "test_a_transaction_that_is_held_for_too_long" in line["taken_at"][0]
    assert "test_pool_care.py" in line["taken_at"][0]
    assert database.pools[0].measures.leaks == 1


def test_what_is_measured_of_reads_and_of_a_full_pool(database: Database):
    measures = database.pools[0].measures
    for _ in range(5):
        database.reading(ANON).rows("SELECT 1", {})
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(database.transaction(ANON))
        state = database.pools[0].state
        with pytest.raises(UnavailableError):
            database.reading(ANON).rows("SELECT 1", {})

    assert (state.in_use, state.max_size, state.saturated) == (3, 3, True)
    assert not database.pools[0].state.saturated
    assert (measures.saturations, measures.timeouts) == (1, 1)
    assert sum(measures.acquisition.counts) == 9
    assert sum(measures.use.counts) == 8
    assert measures.acquisition.sum_s >= OUT_OF_TIME_S


def test_while_every_connection_is_taken_calls_are_refused_one_by_one_and_the_breaker_stays_closed(
    urls: DatabaseUrls,
):
    database = open_database(urls, max_size=1, timeout_s=OUT_OF_TIME_S)
    with database.transaction(ANON) as holder, ThreadPoolExecutor(8) as threads:
        refusals = [threads.submit(_fails, database) for _ in range(8)]
        assert all(refusal.result(30) for refusal in refusals)
        state = database.breaker.state
        assert holder.rows("SELECT 1", {}) == [(1,)]

    assert state is State.CLOSED
    assert database.breaker.refused == 0
    assert database.pools[0].measures.timeouts == 8
    assert database.reading(ANON).rows("SELECT 1", {}) == [(1,)]
    database.close()


def test_while_the_database_is_away_the_breaker_refuses_at_once(database: Database, urls: DatabaseUrls):
    nowhere = _port_without_listener(urls)
    away = open_database(nowhere, timeout_s=OUT_OF_TIME_S)
    with ThreadPoolExecutor(6) as threads:
        for answer in [threads.submit(_fails, away) for _ in range(6)]:
            assert answer.result(30)
    started_s = time.monotonic()

    with pytest.raises(UnavailableError) as refused:
        away.reading(ANON).rows("SELECT 1", {})

    assert away.breaker.state is State.OPEN
    assert time.monotonic() - started_s < OUT_OF_TIME_S / 2
    assert refused.value.retry_after_s == 1
    assert refused.value.code == "database_unavailable"
    assert database.breaker.state is State.CLOSED
    away.close()


@contextmanager
def _hurried(database: Database) -> Iterator[WriteSession]:
    with database.transaction(SERVICE) as session:
        session.rows("SELECT set_config('statement_timeout', '20ms', true)", {})
        yield session


def test_clients_mistakes_and_slow_statements_do_not_open_the_breaker(database: Database):
    states = set()
    for statement in ("SELECT 1 / 0", "SELECT nothing", "DELETE FROM private.api_tokens", "SELECT pg_sleep(10)") * 5:
        with pytest.raises((psycopg.Error, CryoProtectError)) as failed, _hurried(database) as session:
            session.rows(statement, {})
        cause = failed.value.__cause__ or failed.value
        assert isinstance(cause, psycopg.Error)
        states.add(cause.sqlstate)

    assert {"22012", "42703", "57014"} < states

    assert database.breaker.state is State.CLOSED


def _fails(database: Database) -> bool:
    try:
        database.reading(ANON).rows("SELECT 1", {})
    except UnavailableError:
        return True
    return False


def _port_without_listener(urls: DatabaseUrls) -> DatabaseUrls:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    def moved(url: str) -> str:
        parts = urlsplit(url)
        login = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{port}", query=""))

    return replace(urls, request=moved(urls.request), service=moved(urls.service))


def test_those_who_wait_are_told_when_the_server_refuses_connections(urls: DatabaseUrls):
    away = open_database(_port_without_listener(urls), timeout_s=20.0)
    started_s = time.monotonic()

    assert _fails(away)

    assert time.monotonic() - started_s < 4
    away.close()


def test_a_server_that_became_read_only_is_left_for_another_connection_once(server_url: str, urls: DatabaseUrls):
    with migrated_database(server_url, urls, "failed_over") as standby:
        database = open_database(standby)
        with psycopg.connect(standby.admin, autocommit=True) as admin:
            name = sql.Identifier(admin.info.dbname)
            admin.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
            with pytest.raises(UnavailableError), database.transaction(SERVICE):
                pytest.fail("nothing runs on a server that takes no changes")
            # The pooled connections still go to what was the old primary, and somewhere else there is a new one. One
            # that is being opened meanwhile would go to either.
            assert _until(lambda: _is_whole(database.pools[1]))
            admin.execute(sql.SQL("ALTER DATABASE {} RESET default_transaction_read_only").format(name))
        database.pools[1]._drained_at_s = 0.0

        with database.transaction(SERVICE) as session:
            assert session.rows("SELECT current_setting('transaction_read_only')", {}) == [("off",)]

        assert database.pools[1].measures.drains == 2
        assert database.breaker.state is State.CLOSED
        database.close()


class TestSilence:
    """A server that takes what is sent and says nothing."""

    @pytest.fixture
    def mute_port(self) -> Iterator[int]:
        """Give a port that accepts connections and answers nothing."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            yield listener.getsockname()[1]

    @pytest.mark.parametrize("act", ["read", "write"])
    def test_a_slow_statement_on_a_server_that_speaks_is_waited_for(self, urls: DatabaseUrls, act: str):
        database = open_database(urls)
        statement = "SELECT 'answered' FROM pg_sleep(3.2)"

        if act == "read":
            answer = database.reading(ANON).rows(statement, {})
        else:
            with database.transaction(ANON) as session:
                answer = session.rows(statement, {})

        assert answer == [("answered",)]
        assert database.pools[0].measures.losses == 0
        database.close()

    def test_whoever_says_nothing_does_not_speak(
        self, urls: DatabaseUrls, mute_port: int, monkeypatch: pytest.MonkeyPatch
    ):
        with WatchedConnection.connect(urls.request) as connection:
            require_speaking(connection)
            monkeypatch.setattr("database.connection._dial", lambda _: _dial_mute(mute_port))
            with pytest.raises(SilenceError):
                require_speaking(connection)


def _dial_mute(port: int) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port))
    line.settimeout(0.1)
    return line


def test_closing_ends_the_thread_that_looks_after_the_pools(urls: DatabaseUrls):
    before = {thread for thread in threading.enumerate() if thread.name == "pools"}
    database = open_database(urls)
    (own,) = {thread for thread in threading.enumerate() if thread.name == "pools"} - before

    database.close()

    own.join(5)
    assert not own.is_alive()
