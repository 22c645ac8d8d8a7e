"""Reads on streaming standbys: nobody misses a change of their own, and no standby's fault is the reader's."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from uuid import uuid4

import psycopg
import pytest
import yaml
from flask import Flask

from app.factory import create_app
from app.services.minting import issue_token
from config import Settings
from database.replicas import ReplicaState
from database.urls import database_urls
from tests.faults.conftest import RECORDS, Server
from tests.faults.proxy import FaultyNetwork
from tests.faults.standby import MARK_SQL, Standby, make_standby
from tests.plugins.api import Api, close
from tests.plugins.database import SECRET
from tests.plugins.round_trips import Proxy

pytestmark = [pytest.mark.machine, pytest.mark.timeout(90)]
WAIT_S: Final = 8.0
HEADER: Final = "X-Read-After"
ALERTS: Final = Path(__file__).parents[2] / "deploy" / "prometheus" / "alerts.yml"
CONFLICTS: Final = 5
CONFLICTS_SQL: Final = "SELECT confl_lock FROM pg_stat_database_conflicts WHERE datname = current_database()"
OWN_LAG_SQL: Final = """
SELECT CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
    ELSE extract(epoch FROM now() - pg_last_xact_replay_timestamp())::int END
"""


@pytest.fixture
def cleaned(server: Server) -> Iterator[None]:
    """Leave the server as it was."""
    yield
    server.execute("DELETE FROM public.teams", "DELETE FROM public.molecules WHERE name LIKE 'late%'")


@pytest.fixture
def another(server: Server, tmp_path: Path, cleaned: None) -> Iterator[Standby]:
    """Give a standby of one test's own."""
    made = make_standby(server, tmp_path / "standby")
    made.catch_up(server)
    yield made
    made.stop_immediately()


@pytest.fixture(scope="module")
def lasting(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standby]:
    """Give the standby of all tests that leave it one."""
    made = make_standby(server, tmp_path_factory.mktemp("replicas") / "standby")
    yield made
    made.stop_immediately()


@pytest.fixture
def standby(server: Server, lasting: Standby, cleaned: None) -> Iterator[Standby]:
    """Give one standby that has caught up."""
    lasting.catch_up(server)
    yield lasting
    lasting.resume()


@pytest.fixture
def new_worker(server: Server, tmp_path: Path) -> Iterator[Callable[..., Flask]]:
    """Give a maker of apps, as the workers of one service have them, in front of a server and its standbys."""
    made: list[Flask] = []

    def make(*urls: str, primary: str | None = None, max_lag_s: float = 600.0) -> Flask:
        settings = Settings(
            data_dir=tmp_path,
            database_url=primary or server.url,
            database_replica_urls=urls,
            replica_max_lag_s=max_lag_s,
            jwt_secret=SECRET,
            pool_min=1,
            pool_max=4,
            rate_limits=False,
            log_level="ERROR",
        )
        made.append(create_app(settings))
        until(lambda: all(state.reason is None for state in states(made[-1])))
        return made[-1]

    yield make
    for application in made:
        close(application)


def until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def states(application: Flask) -> list[ReplicaState]:
    found: list[ReplicaState] = application.extensions["cryoprotect"].database.replica_states
    return found


def reason(application: Flask) -> str | None:
    return states(application)[0].reason


def answered(application: Flask) -> list[int]:
    return [state.answered for state in states(application)]


def user_of(*workers: Flask) -> list[Api]:
    """Return one user, as a caller of each worker."""
    user_id = uuid4()
    token = issue_token(SECRET, role="authenticated", ttl_s=3600, sub=user_id)
    return [Api(worker.test_client(), token, user_id) for worker in workers]


def add_molecule(server: Server, name: str) -> None:
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute("INSERT INTO public.molecules (name, kind, is_public) VALUES (%s, 'polymer', true)", (name,))


def names(api: Api, name: str) -> list[str]:
    response = api.get(f"/molecules?name={name}")
    assert response.status_code == 200
    return [record["name"] for record in response.get_json()["data"]]


def test_standbys_answer_reads_in_turn(standby: Standby, another: Standby, new_worker: Callable[..., Flask]):
    worker = new_worker(standby.url, another.url)
    api = Api(worker.test_client())

    pages = [api.get("/molecules?limit=5").get_json() for _ in range(10)]
    stream = api.get("/molecules?format=ndjson").data.splitlines()

    assert all(page["data"] == pages[0]["data"] for page in pages)
    assert len(stream) == RECORDS.public
    # A stream of three pages stays where it began.
    assert sorted(answered(worker)) == [5, 5 + RECORDS.public // 1000 + 1]
    assert [state.passed_on for state in states(worker)] == [0, 0]


def test_a_read_on_a_standby_takes_one_round_trip(standby: Standby, new_worker: Callable[..., Flask]):
    with Proxy(standby.url) as proxy:
        worker = new_worker(proxy.through(database_urls(standby.url, None, SECRET)).admin)
        api = Api(worker.test_client())
        api.get("/molecules?limit=5")
        # The look that comes every second would be counted, too.
        worker.extensions["cryoprotect"].database._replicas.close()
        time.sleep(1.5)

        with proxy.counting() as traffic:
            assert api.get("/molecules?limit=5").status_code == 200

        assert traffic.exchanges == 1
        assert answered(worker) == [2]


class TestOwnChanges:
    """What a caller has changed, and what a change was refused for."""

    def test_are_read_by_whoever_made_them(self, standby: Standby, server: Server, new_worker: Callable[..., Flask]):
        writer, reader = new_worker(standby.url), new_worker(standby.url)
        mine, elsewhere = user_of(writer, reader)
        standby.pause()

        made = mine.post("/teams", {"name": "new"})

        address = f"/teams/{made.get_json()['id']}"
        position = {HEADER: made.headers[HEADER]}
        # Another process does not know, and gives what the standby has: so it is stale indeed.
        assert elsewhere.get(address).status_code == 404
        assert elsewhere.get(address, headers=position).status_code == 200
        assert mine.get(address).status_code == 200
        assert reader.extensions["cryoprotect"].database.replica_states[0].reason is None

        standby.resume()
        standby.catch_up(server)
        time.sleep(0.3)
        before = answered(writer), answered(reader)
        assert mine.get(address).status_code == 200
        assert elsewhere.get(address, headers=position).status_code == 200
        assert (answered(writer), answered(reader)) == ([before[0][0] + 1], [before[1][0] + 1])

    def test_are_told_by_every_kind_of_change_and_by_no_read(self, standby: Standby, new_worker: Callable[..., Flask]):
        (mine,) = user_of(new_worker(standby.url))
        made = mine.post("/teams", {"name": "one"}, headers={"Idempotency-Key": "k"})
        address = f"/teams/{made.get_json()['id']}"
        answers = [
            made,
            mine.post("/teams", {"name": "one"}, headers={"Idempotency-Key": "k"}),
            mine.patch(address, {"name": "two"}, headers={"If-Match": "*"}),
            mine.delete(address, headers={"If-Match": "*"}),
        ]

        positions = [int(answer.headers[HEADER], 16) for answer in answers]

        assert [answer.status_code for answer in answers] == [201, 201, 200, 204]
        assert positions == sorted(positions)
        assert positions[0] < positions[2] < positions[3]
        assert HEADER not in mine.get("/teams").headers

    def test_of_others_are_found_by_whom_they_refuse(self, standby: Standby, new_worker: Callable[..., Flask]):
        first, second = user_of(new_worker(standby.url), new_worker(standby.url))
        made = first.post("/teams", {"name": "one"})
        address, old = f"/teams/{made.get_json()['id']}", {"If-Match": made.headers["ETag"]}
        standby.pause()
        assert first.patch(address, {"name": "two"}, headers=old).status_code == 200

        refused = second.patch(address, {"name": "three"}, headers=old)

        assert refused.status_code == 412
        assert int(refused.headers[HEADER], 16) > int(made.headers[HEADER], 16)
        assert second.get(address).get_json()["name"] == "two"

    def test_a_rule_that_is_checked_at_commit_still_refuses(self, standby: Standby, new_worker: Callable[..., Flask]):
        (mine,) = user_of(new_worker(standby.url))
        team_id = mine.post("/teams", {"name": "one"}).get_json()["id"]

        refused = mine.delete(f"/teams/{team_id}/members/{mine.user_id}", headers={"If-Match": "*"})

        assert (refused.status_code, refused.get_json()["code"]) == (409, "constraint")
        assert mine.get(f"/teams/{team_id}").status_code == 200

    def test_that_may_be_stored_or_not_are_looked_for_at_the_primary(
        self, standby: Standby, server: Server, network: FaultyNetwork, new_worker: Callable[..., Flask]
    ):
        (mine,) = user_of(new_worker(standby.url, primary=network.through(server.url)))
        mine.post("/teams", {"name": "before"})
        standby.pause()
        network.loses_commits = 1

        lost = mine.post("/teams", {"name": "perhaps"})

        assert (lost.status_code, lost.get_json()["code"]) == (503, "outcome_unknown")
        assert network.lost_commits == 1
        for _ in range(3):
            assert {team["name"] for team in mine.get("/teams").get_json()["data"]} == {"before", "perhaps"}
            time.sleep(1.0)

    @pytest.mark.parametrize("text", ["", "x", "-1", "0x10", "8000000000000000", "1" * 17, "1 OR 1=1"])
    def test_a_position_that_nobody_gave_is_refused(self, replicated: Api, text: str):
        response = replicated.get("/molecules", headers={HEADER: text})

        assert (response.status_code, response.get_json()["code"]) == (400, "invalid_read_after")

    def test_a_position_that_is_still_to_come_is_the_primary_s_to_answer(self, replicated: Api):
        application = replicated.client.application
        before = answered(application)

        assert replicated.get("/molecules?limit=1", headers={HEADER: "7fffffffffffffff"}).status_code == 200

        assert answered(application) == before


@pytest.fixture
def replicated(standby: Standby, new_worker: Callable[..., Flask]) -> Api:
    """Give a visitor of a service with one standby."""
    return Api(new_worker(standby.url).test_client())


class TestFaults:
    """Standbys that lag, die, freeze, become primaries, or are all that is left."""

    def test_a_standby_that_is_too_far_behind_is_not_used(
        self, standby: Standby, server: Server, new_worker: Callable[..., Flask]
    ):
        worker = new_worker(standby.url, max_lag_s=1.0)
        api = Api(worker.test_client())
        standby.pause()
        add_molecule(server, "late 1")
        assert names(api, "late 1") == []

        until(lambda: reason(worker) == "is behind")

        assert names(api, "late 1") == ["late 1"]
        ready = api.get("//health/ready").get_json()
        assert ready["status"] == "degraded"
        assert ready["reasons"] == ["replica_not_used: cryoprotect replica 1 is behind"]
        standby.resume()
        until(lambda: reason(worker) is None)
        before = answered(worker)[0]
        assert names(api, "late 1") == ["late 1"]
        assert answered(worker)[0] == before + 1

    def test_a_standby_that_crashes_costs_no_reader_an_answer(self, standby: Standby, new_worker: Callable[..., Flask]):
        worker = new_worker(standby.url)
        seen: list[tuple[int, float]] = []
        stop = threading.Event()

        def read() -> None:
            api = Api(worker.test_client())
            while not stop.is_set():
                started_s = time.monotonic()
                status = api.get("/molecules?limit=5").status_code
                seen.append((status, time.monotonic() - started_s))

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        standby.stop_immediately()
        until(lambda: reason(worker) == "does not answer")
        time.sleep(1.5)
        stop.set()
        for thread in threads:
            thread.join()

        assert {status for status, _ in seen} == {200}
        assert max(duration_s for _, duration_s in seen) < 1.5
        assert answered(worker)[0] > 0
        standby.start()
        until(lambda: reason(worker) is None)
        before = answered(worker)[0]
        assert Api(worker.test_client()).get("/molecules?limit=5").status_code == 200
        assert answered(worker)[0] == before + 1

    def test_the_end_of_a_segment_puts_no_standby_behind(
        self, standby: Standby, server: Server, new_worker: Callable[..., Flask]
    ):
        server.execute(MARK_SQL, "SELECT pg_switch_wal()")

        worker = new_worker(standby.url)

        assert Api(worker.test_client()).get("/molecules?limit=5").status_code == 200
        assert answered(worker) == [1]

    def test_a_read_that_conflicts_with_what_is_replayed_is_answered_by_the_primary(
        self, another: Standby, server: Server, new_worker: Callable[..., Flask]
    ):
        """SQLSTATE 40001, "canceling statement due to conflict with recovery": here as soon as there is one."""
        another.execute("ALTER SYSTEM SET max_standby_streaming_delay = 0", "SELECT pg_reload_conf()")
        worker = new_worker(another.url)
        seen: list[tuple[int, int]] = []
        stop = threading.Event()

        def read() -> None:
            api = Api(worker.test_client())
            while not stop.is_set():
                answer = api.get("/molecules?format=ndjson")
                seen.append((answer.status_code, len(set(answer.data.splitlines()))))

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            until(lambda: conflicts_after_another_lock(server, another) >= CONFLICTS)
        finally:
            stop.set()
            for thread in threads:
                thread.join()

        assert set(seen) == {(200, RECORDS.public)}
        assert states(worker)[0].passed_on >= CONFLICTS
        # Such an end says nothing against the standby.
        until(lambda: reason(worker) is None)
        assert answered(worker)[0] > 0

    def test_one_of_two_standbys_takes_over_from_the_other(
        self, standby: Standby, another: Standby, new_worker: Callable[..., Flask]
    ):
        worker = new_worker(another.url, standby.url)
        api = Api(worker.test_client())

        another.stop_immediately()
        until(lambda: states(worker)[0].reason == "does not answer")
        before = answered(worker)
        assert {api.get("/molecules?limit=5").status_code for _ in range(6)} == {200}

        assert answered(worker) == [before[0], before[1] + 6]
        another.start()

    def test_a_standby_that_was_promoted_is_no_standby(
        self, another: Standby, server: Server, new_worker: Callable[..., Flask]
    ):
        worker = new_worker(another.url)
        api = Api(worker.test_client())
        another.promote()
        add_molecule(another, "late of another history")
        add_molecule(server, "late of ours")

        found = [names(api, name) for name in ("late of another history", "late of ours")]

        assert found == [[], ["late of ours"]]
        until(lambda: reason(worker) == "is no standby")

    def test_a_network_that_freezes_is_noticed_once(self, standby: Standby, new_worker: Callable[..., Flask]):
        with FaultyNetwork(standby.socket) as network:
            worker = new_worker(network.through(standby.url))
            api = Api(worker.test_client())
            network.freeze()

            durations_s = []
            for _ in range(3):
                started_s = time.monotonic()
                assert api.get("/molecules?limit=5").status_code == 200
                durations_s.append(time.monotonic() - started_s)

            assert durations_s[0] < 5.5
            assert max(durations_s[1:]) < 0.5
            network.thaw()
            until(lambda: reason(worker) is None)

    def test_reads_outlive_the_primary(
        self, standby: Standby, server: Server, network: FaultyNetwork, new_worker: Callable[..., Flask]
    ):
        worker = new_worker(standby.url, primary=network.through(server.url))
        (mine,) = user_of(worker)
        assert mine.post("/teams", {"name": "one"}).status_code == 201
        standby.catch_up(server)
        until(lambda: answered_by_standby(worker, mine))
        network.refuses = True
        network.reset_all()

        reads = [mine.get("/teams") for _ in range(20)]
        writes = [mine.post("/teams", {"name": "two"}) for _ in range(3)]

        assert {read.status_code for read in reads} == {200}
        assert [team["name"] for team in reads[-1].get_json()["data"]] == ["one"]
        assert {write.status_code for write in writes} == {503}
        assert all("Retry-After" in write.headers for write in writes)
        network.heal()


def conflicts_after_another_lock(primary: Server, standby: Server) -> int:
    """Lock the molecules on the primary, and return how many reads of the standby that and the like has ended."""
    primary.execute("BEGIN", "LOCK TABLE public.molecules IN ACCESS EXCLUSIVE MODE", "COMMIT")
    ((count,),) = standby.execute(CONFLICTS_SQL)
    return int(str(count))


def answered_by_standby(worker: Flask, api: Api) -> bool:
    before = answered(worker)[0]
    return api.get("/teams").status_code == 200 and answered(worker)[0] > before


def test_many_changes_by_many_users_are_all_read_at_once(standby: Standby, new_worker: Callable[..., Flask]):
    """Each change is looked for as soon as it is answered, in the process that made it and in another."""
    writer, reader = new_worker(standby.url), new_worker(standby.url)
    missed: list[str] = []
    count = itertools.count()

    def work() -> None:
        mine, elsewhere = user_of(writer, reader)
        for _ in range(25):
            made = mine.post("/teams", {"name": f"team {next(count)}"})
            address = f"/teams/{made.get_json()['id']}"
            seen = mine.get(address), elsewhere.get(address, headers={HEADER: made.headers[HEADER]})
            missed.extend(answer.get_data(as_text=True) for answer in seen if answer.status_code != 200)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert missed == []
    assert next(count) == 75
    assert answered(writer)[0] + answered(reader)[0] > 0


class TestLag:
    """The figure that a monitor is given, in seconds."""

    def test_grows_while_a_standby_does_not_replay_and_falls_when_it_has(
        self, standby: Standby, server: Server, new_worker: Callable[..., Flask]
    ):
        worker = new_worker(standby.url)
        add_molecule(server, "late 1")
        time.sleep(3.0)
        # What is idle is not behind, however long it is.
        until(lambda: 0 <= lag_s(worker) < 2)
        assert standby.execute("SELECT now() - pg_last_xact_replay_timestamp() > '2.5 s'") == [(True,)]
        standby.pause()
        add_molecule(server, "late 2")

        until(lambda: lag_s(worker) > 3)

        standby.resume()
        until(lambda: lag_s(worker) < 2)

    def test_grows_where_a_standby_is_cut_off_and_says_itself_that_it_has_replayed_all(
        self, another: Standby, server: Server, new_worker: Callable[..., Flask]
    ):
        worker = new_worker(another.url)
        another.execute("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
        until(lambda: another.execute("SELECT count(*) FROM pg_stat_wal_receiver") == [(0,)])
        add_molecule(server, "late")

        until(lambda: lag_s(worker) > 4)

        assert another.execute(OWN_LAG_SQL) == [(0,)]

    def test_grows_while_a_standby_does_not_answer_and_holds_no_scrape_up(
        self, standby: Standby, new_worker: Callable[..., Flask]
    ):
        with FaultyNetwork(standby.socket) as network:
            worker = new_worker(network.through(standby.url))
            network.freeze()

            until(lambda: lag_s(worker) > 3)

            started_s = time.monotonic()
            said = Api(worker.test_client()).get("//metrics").text
            assert time.monotonic() - started_s < 0.5
            assert 'cryoprotect_replica_lag_seconds{replica="cryoprotect replica 1"}' in said
            assert not any(word in said for word in ("127.0.0.1", "postgresql://", "password"))
            network.thaw()
            until(lambda: lag_s(worker) < 2)

    def test_is_asked_for_by_the_alert(self, standby: Standby, new_worker: Callable[..., Flask]):
        rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
        (asked,) = [rule["expr"] for rule in rules if rule["alert"] == "ReplicaBehind"]
        said = Api(new_worker(standby.url).test_client()).get("//metrics").text

        (name,) = [line.partition("{")[0] for line in said.splitlines() if 'replica="' in line]

        assert re.search(rf"by \(instance, replica\) \({name}\) > 30$", asked.strip())


def lag_s(application: Flask) -> float:
    """Return what a monitor is told of the only standby."""
    said = Api(application.test_client()).get("//metrics").text
    found = re.findall(
        r'^cryoprotect_replica_lag_seconds\{replica="cryoprotect replica 1"\} (\S+)$', said, re.MULTILINE
    )
    return float(found[0])
