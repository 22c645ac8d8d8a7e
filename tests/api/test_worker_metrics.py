"""What the workers count: requests by route, statements by name, pools, the breaker; of all workers together."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import requests
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families
from psycopg_pool import PoolTimeout
from structlog.testing import LogCapture

from api.common.traffic import Traffic
from api.system import measures, workers
from api.system.workers import Workers
from app.breaker import Rules, State
from app.domain.callers import ANON, SERVICE
from database.measures import Histogram
from database.repositories.maintenance import LIST_TASKS_SQL
from database.session import Database
from tests.api.problems import problem
from tests.plugins.api import Api

HTTP = "cryoprotect_http_request_duration_seconds"
STATEMENT = "cryoprotect_database_statement_duration_seconds"
REQUEST_POOL = "cryoprotect request"


def scrape(caller: Api, name: str, **labels: str) -> float:
    """Return the sum of the samples with that name and those labels."""
    families = text_string_to_metric_families(caller.get("//metrics").text)
    samples = [sample for family in families for sample in family.samples]
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


@pytest.fixture
def fresh(make_app: Callable[..., Flask], emptied: None) -> Api:
    """Give a caller of an app that has counted nothing yet."""
    return Api(make_app().test_client())


def test_requests_are_counted_by_route_method_and_class_of_status(fresh: Api):
    for _ in range(3):
        fresh.get(f"/molecules/{uuid4()}")
    fresh.get("/molecules")
    fresh.request("HEAD", "/molecules")
    fresh.get("/no/such/thing")
    fresh.request("SECRETWORD", "/molecules")

    def count(route: str, method: str, status: str) -> float:
        return scrape(fresh, f"{HTTP}_count", route=route, method=method, status=status)

    assert count("/api/v1/molecules/<uuid:molecule_id>", "GET", "4xx") == 3
    assert count("/api/v1/molecules", "GET", "2xx") == count("/api/v1/molecules", "HEAD", "2xx") == 1
    assert count("none", "GET", "4xx") == 1
    assert count("none", "other", "4xx") == 1
    assert "SECRETWORD" not in fresh.get("//metrics").text


def test_statements_are_counted_by_name(fresh: Api, service: Api):
    project = Api(fresh.client, service.token).post
    fresh.get(f"/molecules/{uuid4()}")
    fresh.get("/molecules?count=exact")
    fresh.get("/molecules?name=secretname&count=estimated")
    fresh.get(f"/molecules/{uuid4()}/mixtures")
    assert project("/molecules", {"name": "water", "smiles": "O"}).status_code == 201

    assert scrape(fresh, f"{STATEMENT}_count", pool=REQUEST_POOL, statement="molecules.one") == 1
    assert scrape(fresh, f"{STATEMENT}_count", statement="molecules.page + molecules.count") == 1
    assert scrape(fresh, f"{STATEMENT}_count", statement="molecules.page + molecules.estimate") == 1
    assert scrape(fresh, f"{STATEMENT}_count", statement="mixtures.page + molecule.find") == 1
    assert scrape(fresh, f"{STATEMENT}_count", pool="cryoprotect service", statement="COMMIT") == 1
    assert scrape(fresh, f"{STATEMENT}_count", statement="unnamed") == 0
    assert "secretname" not in fresh.get("//metrics").text


def test_a_slow_statement_is_named_in_the_log_without_its_parameters(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    told: list[dict[str, object]] = []
    monkeypatch.setattr("database.measures._log.warning", lambda event, **said: told.append({"event": event, **said}))
    with database.transaction(SERVICE) as session:
        session.rows("SELECT pg_sleep(%(secret)s)", {"secret": 0.15})
        session.rows("SELECT pg_sleep(%(secret)s)", {"secret": 0.01})
        session.rows(LIST_TASKS_SQL, {})

    assert [sorted(line) for line in told] == [["event", "statement", "took_ms"]]
    assert (told[0]["event"], told[0]["statement"]) == ("slow_statement", "unnamed")
    assert 150 <= int(str(told[0]["took_ms"])) < 5000


def test_the_pools_say_what_they_went_through(fresh: Api, make_app: Callable[..., Flask]):
    small = make_app(pool_max=1, pool_timeout_s=0.05)
    database = small.extensions["cryoprotect"].database
    caller = Api(small.test_client())
    with database.transaction(ANON):
        problem(caller.get("/molecules"), 503)
        assert scrape(caller, "cryoprotect_pool_in_use", pool=REQUEST_POOL) == 1
        assert scrape(caller, "cryoprotect_pool_max_size", pool=REQUEST_POOL) == 1

    assert scrape(caller, "cryoprotect_pool_in_use", pool=REQUEST_POOL) == 0
    assert scrape(caller, "cryoprotect_pool_timeouts_total", pool=REQUEST_POOL) >= 1
    assert scrape(caller, "cryoprotect_pool_saturations_total", pool=REQUEST_POOL) >= 1
    # As many as at most 50 ms would have taken; the one that was not had took longer.
    late = scrape(caller, "cryoprotect_pool_acquisition_seconds_bucket", pool=REQUEST_POOL, le="+Inf")
    assert late > scrape(caller, "cryoprotect_pool_acquisition_seconds_bucket", pool=REQUEST_POOL, le="0.025")


def test_the_breaker_says_its_state_and_how_often_it_changed(fresh: Api):
    breaker = fresh.client.application.extensions["cryoprotect"].database.breaker
    assert scrape(fresh, "cryoprotect_breaker_state", state="closed") == 1

    breaker.rules = Rules(pause_s=60.0)
    while breaker.state is State.CLOSED:
        breaker.settle(breaker.admit(), PoolTimeout())
    problem(fresh.get("/molecules"), 503)

    assert scrape(fresh, "cryoprotect_breaker_state", dependency="database", state="open") == 1
    assert scrape(fresh, "cryoprotect_breaker_state", state="closed") == 0
    assert scrape(fresh, "cryoprotect_breaker_transitions_total", state="open") == 1
    assert scrape(fresh, "cryoprotect_breaker_refusals_total") >= 1


def test_imports_are_counted_by_state_and_the_longest_stillness_is_told(fresh: Api, admin: psycopg.Connection):
    assert scrape(fresh, "cryoprotect_import_still_seconds") == 0
    admin.execute("INSERT INTO data_sources (id, name) VALUES (%s, 'a')", (source := uuid4(),))
    admin.execute(
        "INSERT INTO import_runs (data_source_id, state) VALUES (%s, 'running'), (%s, 'failed')", [source] * 2
    )
    admin.execute("ALTER TABLE import_runs DISABLE TRIGGER import_runs_touch")
    admin.execute("UPDATE import_runs SET updated_at = now() - interval '100 s' WHERE state = 'running'")
    admin.execute("UPDATE import_runs SET updated_at = now() - interval '900 s' WHERE state = 'failed'")
    admin.execute("ALTER TABLE import_runs ENABLE TRIGGER import_runs_touch")

    assert scrape(fresh, "cryoprotect_import_runs", state="running") == 1
    assert scrape(fresh, "cryoprotect_import_runs", state="failed") == 1
    assert scrape(fresh, "cryoprotect_import_still_seconds") == pytest.approx(100, abs=10)


def sharing(folder: Path, answered: int, database: Database) -> tuple[Workers, Traffic]:
    """Return a worker that has answered so many requests, and writes into the folder."""
    traffic = Traffic()
    for _ in range(answered):
        traffic.durations["/r", "GET", "2xx"].observe(0.003)
    worker = Workers(lambda: measures.counted(traffic, database), lambda: measures.standing(database))
    worker.share(folder)
    return worker, traffic


def test_workers_add_up_and_what_one_counted_outlives_it(tmp_path: Path, database: Database):
    one, traffic = sharing(tmp_path, 2, database)
    other, _ = sharing(tmp_path, 5, database)
    key = (measures.HTTP.name, ("/r", "GET", "2xx"))
    deadline = time.monotonic() + 10
    while len(list(tmp_path.glob("*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)

    assert sum(one.numbers()[key][:-1]) == sum(other.numbers()[key][:-1]) == 7
    assert one.numbers()[measures.WORKERS.name, ()] == [2]
    traffic.durations["/r", "GET", "2xx"].observe(99.0)
    assert one.numbers()[key][-2] == 1
    other.stop()
    assert sum(one.numbers()[key][:-1]) == 8
    assert one.numbers()[measures.WORKERS.name, ()] == [1]
    one.stop()


def test_a_worker_that_was_killed_no_longer_stands_anywhere(tmp_path: Path, database: Database):
    one, _ = sharing(tmp_path, 0, database)
    dead = tmp_path / "123-dead.json"
    dead.write_text('[[["cryoprotect_pool_leaks", ["p"], [4]]], [["cryoprotect_pool_in_use", ["p"], [3]]]]')
    assert one.numbers()["cryoprotect_pool_in_use", ("p",)] == [3]

    long_ago = time.time() - workers.STALE_S - 1
    os.utime(dead, (long_ago, long_ago))

    assert ("cryoprotect_pool_in_use", ("p",)) not in one.numbers()
    assert one.numbers()["cryoprotect_pool_leaks", ("p",)] == [4]
    one.stop()


def test_of_what_all_workers_look_at_the_greatest_counts(tmp_path: Path):
    lag = (measures.LAG.name, ("r",))
    worker = Workers(dict, lambda: {lag: [3.0]}, measures.GREATEST)
    worker.share(tmp_path)
    for number, lag_s in enumerate((70, 1)):
        written = f'[[], [["{measures.LAG.name}", ["r"], [{lag_s}]]]]'
        (tmp_path / f"{number}-other.json").write_text(written)

    assert worker.numbers()[lag] == [70]
    worker.stop()


def test_gunicorns_workers_share_what_they_count(gunicorn: str):
    requests.get(f"{gunicorn}/api/v1/version", timeout=10)
    said = requests.get(f"{gunicorn}/metrics", timeout=10).text

    assert 'route="/api/v1/version"' in said
    assert "cryoprotect_workers 1.0" in said


def test_quantiles_are_the_bounds_that_hold_them():
    histogram = Histogram()
    assert histogram.quantile_s(0.5) is None
    for seconds in [0.002] * 98 + [0.2, 60.0]:
        histogram.observe(seconds)

    assert (histogram.quantile_s(0.5), histogram.quantile_s(0.99), histogram.quantile_s(1.0)) == (0.0025, 0.25, None)


def test_the_pools_are_shown_to_the_service_role_alone(anon: Api, alice: Api, service: Api):
    service.get("/molecules")
    said = service.get("/system/pool")

    assert (said.status_code, said.headers["Cache-Control"]) == (200, "private, no-store")
    pools = {pool["name"]: pool for pool in said.get_json()["pools"]}
    assert pools.keys() == {REQUEST_POOL, "cryoprotect service"}
    assert pools["cryoprotect service"]["statements"]["molecules.page"]["count"] >= 1
    assert pools["cryoprotect service"]["acquisition"]["p99_at_most_ms"] > 0
    assert said.get_json()["breaker"]["state"] == State.CLOSED.value
    assert said.get_json()["configuration"]["breaker"]["min_volume"] == 5
    problem(anon.get("/system/pool"), 401)
    problem(alice.get("/system/pool"), 403)


def test_the_log_is_not_told_where_a_request_for_nothing_went(visitor: Api, logs: LogCapture):
    visitor.get("/molecules/marie@example.org")
    visitor.get("/version")

    assert [line["path"] for line in logs.entries if line["event"] == "request"] == [None, "/api/v1/version"]
