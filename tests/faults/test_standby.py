"""A real standby takes over: first it takes no changes (SQLSTATE 25006), then it is promoted."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask

from database.cluster import ENVIRONMENT, programs
from database.embedded import EmbeddedServer
from tests.faults.clients import Clients
from tests.faults.conftest import RECORDS, SETTINGS, Server, stored
from tests.faults.proxy import FaultyNetwork
from tests.faults.test_matrix import ANSWER_S
from tests.plugins.api import Api

pytestmark = pytest.mark.machine
READ_ONLY_S = 1.5


@pytest.fixture
def standby(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Give a standby for which every commit waits."""
    folder = tmp_path_factory.mktemp("standby")
    command = [str(programs() / "pg_basebackup"), "--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
    host = parse_qs(urlsplit(server.url).query)["host"][0]
    subprocess.run(
        [*command, f"--pgdata={folder / 'postgres'}", f"--dbname=user=postgres host={host}"],
        check=True,
        capture_output=True,
        env=ENVIRONMENT,
    )
    made = Server(EmbeddedServer(folder, settings=SETTINGS), folder)
    made.start()
    server.execute(
        "ALTER SYSTEM SET synchronous_standby_names = '*'",
        "ALTER SYSTEM SET synchronous_commit = remote_apply",
        "SELECT pg_reload_conf()",
    )
    yield made
    made.stop_immediately()
    server.start()
    server.execute(
        "ALTER SYSTEM RESET synchronous_standby_names",
        "ALTER SYSTEM RESET synchronous_commit",
        "SELECT pg_reload_conf()",
    )


@pytest.mark.timeout(60)
def test_a_standby_that_takes_over_reads_at_once_and_writes_when_promoted(
    faulty_app: Flask, server: Server, standby: Server, network: FaultyNetwork
):
    clients = Clients(lambda token: Api(faulty_app.test_client(), token), RECORDS)

    with clients.at_work({"read": 3, "write": 3, "stream": 1}) as history:
        time.sleep(0.4)
        began_s = time.monotonic()
        network.server_socket = standby.socket
        server.stop_immediately()
        time.sleep(READ_ONLY_S)
        standby.execute("SELECT pg_promote()")
        healed_s = time.monotonic()
        clients.go_on_from(healed_s)

    assert (
        history.violations(stored(standby), healed_s=healed_s, within_s=ANSWER_S, slack_s=history.slowest_s(began_s))
        == []
    )
    refused = [event for event in history.events if event.code == "database_busy"]
    assert {event.activity for event in refused} == {"write"}
    first_refusal_s = min(event.ended_s for event in refused)
    assert any(
        e.activity == "read" and e.status == 200 and first_refusal_s < e.ended_s < healed_s for e in history.events
    )
