"""The same faults before gunicorn's workers, where waiting is gevent's and one blocked call would block all."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from uuid import uuid4

import pytest
import requests
from werkzeug.wrappers import Response

from app.services.minting import issue_token
from tests.faults.clients import Clients, HttpCaller
from tests.faults.conftest import RECORDS, Server, stored
from tests.faults.history import OK
from tests.faults.proxy import FaultyNetwork
from tests.faults.test_matrix import ANSWER_S
from tests.faults.web_server import Gunicorn
from tests.plugins.database import SECRET

pytestmark = pytest.mark.machine
KILL_EVERY_S: Final = 1.0


@pytest.fixture(scope="module")
def network(server: Server) -> Iterator[FaultyNetwork]:
    """Give one network for all tests here: to start the workers takes longer than what is done to them."""
    with FaultyNetwork(server.socket) as running:
        yield running


@pytest.fixture(scope="module")
def started() -> Iterator[list[Gunicorn]]:
    """Give the web servers started so far, to stop them at the end."""
    servers: list[Gunicorn] = []
    yield servers
    for running in servers:
        running.stop()


@pytest.fixture
def gunicorn(
    server: Server, network: FaultyNetwork, started: list[Gunicorn], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gunicorn]:
    """Give a web server, ready."""
    if not started or started[-1].process.poll() is not None:
        started.append(Gunicorn(network.through(server.url), tmp_path_factory.mktemp("gunicorn")))
    started[-1].wait()
    yield started[-1]
    network.heal()
    server.execute("DELETE FROM public.teams")


def _clients(gunicorn: Gunicorn) -> Clients:
    return Clients(lambda token: HttpCaller(gunicorn.url, token), RECORDS)


@pytest.mark.timeout(90)
def test_backends_killed_again_and_again_are_hardly_noticed(gunicorn: Gunicorn, server: Server):
    killed = 0
    clients = _clients(gunicorn)

    with clients.at_work({"read": 8, "write": 7, "stream": 1}) as history:
        time.sleep(KILL_EVERY_S)
        began_s = time.monotonic()
        for _ in range(3):
            time.sleep(KILL_EVERY_S)
            killed += server.kill()
        healed_s = time.monotonic()
        clients.go_on_from(healed_s)

    assert killed >= 3
    assert (
        history.violations(stored(server), healed_s=healed_s, within_s=ANSWER_S, slack_s=history.slowest_s(began_s))
        == []
    )
    # Nobody can do a COMMIT again whose answer was lost, where there is no key; all else is done again, unseen.
    assert {event.code for event in history.events if event.status not in OK} <= {"outcome_unknown"}


@pytest.mark.timeout(90)
def test_a_frozen_network_is_noticed_and_blocks_no_worker(gunicorn: Gunicorn, server: Server, network: FaultyNetwork):
    alive_s: list[float] = []
    clients = _clients(gunicorn)

    with clients.at_work({"read": 4, "write": 3, "stream": 1}) as history:
        time.sleep(0.5)
        network.freeze()
        frozen_s = began_s = time.monotonic()
        while time.monotonic() < frozen_s + 6:
            started_s = time.monotonic()
            requests.get(f"{gunicorn.url}/health/live", timeout=5).raise_for_status()
            alive_s.append(time.monotonic() - started_s)
            time.sleep(0.1)
        network.thaw()
        healed_s = time.monotonic()
        clients.go_on_from(healed_s)

    assert max(alive_s) < 1.0
    assert (
        history.violations(stored(server), healed_s=healed_s, within_s=ANSWER_S, slack_s=history.slowest_s(began_s))
        == []
    )
    first_refusal_s = min(event.ended_s for event in history.events if event.status == 503)
    assert first_refusal_s - frozen_s < 5


@pytest.mark.timeout(90)
def test_writes_killed_within_their_transaction_leave_nothing_and_are_done_again(gunicorn: Gunicorn, server: Server):
    clients = _clients(gunicorn)

    with clients.at_work({"read": 3, "write": 6}) as history:
        time.sleep(KILL_EVERY_S)
        began_s = time.monotonic()
        patience_s = began_s + 5
        killed = 0
        while killed < 4 and time.monotonic() < patience_s:
            met = server.kill(in_transaction=True)
            killed += met
            # One request is done again twice at most, so none should be met three times.
            time.sleep(0.3 if met else 0.0)
        healed_s = time.monotonic()
        clients.go_on_from(healed_s)

    assert killed
    assert (
        history.violations(stored(server), healed_s=healed_s, within_s=ANSWER_S, slack_s=history.slowest_s(began_s))
        == []
    )
    assert {event.code for event in history.events if event.status not in OK} <= {"outcome_unknown"}


@pytest.mark.timeout(60)
def test_a_stream_whose_connections_are_killed_is_whole_all_the_same(
    gunicorn: Gunicorn, server: Server, network: FaultyNetwork
):
    killed = []
    network.slow_down(0.1)

    with requests.get(f"{gunicorn.url}/api/v1/molecules?format=ndjson", stream=True, timeout=20) as answer:
        lines = answer.iter_lines()
        ids = [json.loads(next(lines))["id"]]
        killed.append(server.kill())
        ids += [json.loads(line)["id"] for line in lines]

    assert killed != [0]
    assert len(ids) == len(set(ids)) == RECORDS.public


@pytest.mark.timeout(60)
def test_fifty_posts_with_one_key_store_one_row(gunicorn: Gunicorn, server: Server):
    api = HttpCaller(gunicorn.url, issue_token(SECRET, role="authenticated", ttl_s=3600, sub=uuid4()))

    def post(_: int) -> Response:
        # A connection of its own, so that both workers are asked.
        return HttpCaller(api.url, api.token).request(
            "POST", "/teams", json={"name": "one"}, headers={"Idempotency-Key": "the key"}
        )

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(post, range(50)))

    assert stored(server) == {"one": 1}
    first = [answer for answer in answers if answer.status_code == 201 and "Idempotent-Replayed" not in answer.headers]
    assert len(first) == 1
    others = [answer for answer in answers if answer not in first]
    assert {(a.status_code, a.get_json().get("code")) for a in others} <= {(201, None), (409, "request_in_progress")}
    assert {a.get_json()["id"] for a in answers if a.status_code == 201} == {first[0].get_json()["id"]}


@pytest.mark.timeout(60)
def test_requests_that_wait_for_the_database_are_answered_before_the_workers_stop(
    gunicorn: Gunicorn, network: FaultyNetwork
):
    answers: list[int] = []

    def ask() -> None:
        answers.append(HttpCaller(gunicorn.url).request("GET", "/molecules?limit=5").status_code)

    asking = [threading.Thread(target=ask) for _ in range(4)]
    network.slow_down(0.6)
    for thread in asking:
        thread.start()
    time.sleep(0.4)
    gunicorn.process.send_signal(signal.SIGTERM)
    for thread in asking:
        thread.join(30)

    assert answers == [200] * 4
    assert gunicorn.process.wait(30) == 0
