"""Faults of the database and of the network to it, while clients read, write and stream, and while nobody does."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pytest
from flask import Flask

from tests.faults.clients import Clients
from tests.faults.conftest import RECORDS, Server, stored
from tests.faults.proxy import FaultyNetwork
from tests.plugins.api import Api

pytestmark = pytest.mark.machine
BEFORE_S: Final = 0.4
ANSWER_S: Final = 5.5
OPEN_SQL: Final = """
SELECT count(*) FILTER (WHERE state LIKE 'idle in transaction%'), count(*) FROM pg_stat_activity
WHERE usename LIKE 'cryoprotect%'
"""


@dataclass(frozen=True)
class World:
    """What a fault can be done to."""

    server: Server
    network: FaultyNetwork
    long_s: float
    """How long what has to be noticed lasts; less than that where nobody is there to notice."""


def kill_all(world: World) -> None:
    """End every backend, again and again."""
    killed = 0
    for _ in range(5):
        killed += world.server.kill()
        time.sleep(0.2)
    assert killed >= 2


def kill_one_in_a_transaction(world: World) -> None:
    """End backends that are within a transaction, as many times as there is one to be met."""
    patience_s = time.monotonic() + 3
    killed = 0
    while killed < 3 and time.monotonic() < patience_s:
        killed += world.server.kill(in_transaction=True)
    assert killed


def lose_the_answers_to_commits(world: World) -> None:
    """Cut the wire between a COMMIT and its answer."""
    world.network.loses_commits = 10
    time.sleep(0.7)
    world.network.loses_commits = 0


def stop_fast(world: World) -> None:
    """Stop and start the server."""
    world.server.stop_fast()
    time.sleep(0.5)
    world.server.start()


def stop_immediately(world: World) -> None:
    """Let the server crash, and recover."""
    world.server.stop_immediately()
    time.sleep(0.5)
    world.server.start()


def refuse_connections(world: World) -> None:
    """Reset what there is and what comes."""
    world.network.refuses = True
    world.network.reset_all()
    time.sleep(2.5)
    world.network.heal()


def be_read_only(world: World) -> None:
    """Take no changes, as a standby does: SQLSTATE 25006."""
    world.server.execute("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    time.sleep(1.0)
    world.server.execute("ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")


def freeze(world: World) -> None:
    """Pass nothing on, refuse nothing, say nothing."""
    world.network.freeze()
    time.sleep(world.long_s)
    world.network.thaw()


def be_slow(world: World) -> None:
    """Pass everything on after five seconds."""
    world.network.slow_down(5.0)
    time.sleep(world.long_s)
    world.network.heal()


def break_answers_in_half(world: World) -> None:
    """Break off in the middle of each answer."""
    world.network.halves_answers = True
    time.sleep(0.7)
    world.network.halves_answers = False


def reset(world: World) -> None:
    """Reset every connection, again and again."""
    for _ in range(5):
        world.network.reset_all()
        time.sleep(0.1)


FAULTS: Final = (
    kill_all,
    kill_one_in_a_transaction,
    lose_the_answers_to_commits,
    stop_fast,
    stop_immediately,
    refuse_connections,
    be_read_only,
    freeze,
    be_slow,
    break_answers_in_half,
    reset,
)
every_fault = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)


def _unsettled(application: Flask, server: Server) -> list[str]:
    """Return what is not as it was: the pools are whole again, and nothing is left open at the server."""
    ((idle_in_transaction, backends),) = server.execute(OPEN_SQL)
    states = application.extensions["cryoprotect"].database.pool_states
    found = [str(state) for state in states if state.in_use or not state.min_size <= state.size <= state.max_size]
    found += [f"{idle_in_transaction} transactions are left open"] if idle_in_transaction else []
    size = sum(state.size for state in states)
    return found + ([f"{backends} backends for {size} connections"] if backends != size else [])


def _settle(application: Flask, server: Server) -> list[str]:
    """Return what is not as it was after a while."""
    for _ in range(40):
        if not _unsettled(application, server):
            break
        time.sleep(0.1)
    return _unsettled(application, server)


@pytest.mark.timeout(60)
@every_fault
def test_at_work_nothing_is_lost_done_twice_or_answered_500(
    faulty_app: Flask, server: Server, network: FaultyNetwork, fault: Callable[[World], None]
) -> None:
    clients = Clients(lambda token: Api(faulty_app.test_client(), token), RECORDS)

    with clients.at_work({"read": 3, "write": 3, "stream": 1}) as history:
        time.sleep(BEFORE_S)
        began_s = time.monotonic()
        fault(World(server, network, long_s=5.0))
        healed_s = time.monotonic()
        clients.go_on_from(healed_s)

    assert history.counts()["write", 201] >= 3
    assert (
        history.violations(stored(server), healed_s=healed_s, within_s=ANSWER_S, slack_s=history.slowest_s(began_s))
        == []
    )
    assert _settle(faulty_app, server) == []


@pytest.mark.timeout(60)
@every_fault
def test_when_idle_the_first_calls_afterwards_succeed(
    faulty_app: Flask, server: Server, network: FaultyNetwork, fault: Callable[[World], None]
) -> None:
    if fault is kill_one_in_a_transaction:
        pytest.skip("nobody is within a transaction")
    clients = Clients(lambda token: Api(faulty_app.test_client(), token), RECORDS)

    fault(World(server, network, long_s=1.5))
    healed_s = time.monotonic()
    clients.once()

    assert Counter(event.status for event in clients.history.events) == {200: 3, 201: 1}
    assert clients.history.violations(stored(server), healed_s=healed_s) == []
    assert time.monotonic() - healed_s < 2.0
    assert _settle(faulty_app, server) == []
