"""What a monitor scrapes, with a database, without one, and with one that is not as it should be."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg
import pytest
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

import app as package
from app.seed import RELEASE
from app.services.maintenance import run_due
from database import migrate
from database.session import Database
from database.urls import DatabaseUrls
from tests.api.problems import problem
from tests.plugins.api import Api

NOWHERE = "postgresql://postgres@127.0.0.1:9/nothing?connect_timeout=1"
Samples = dict[tuple[str, str], float]


def scrape(caller: Api) -> Samples:
    """Return the values by name and task."""
    response = caller.get("//metrics")
    assert response.status_code == 200
    assert response.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    families = text_string_to_metric_families(response.text)
    return {(s.name, s.labels.get("task", "")): s.value for family in families for s in family.samples}


def of_the_database(samples: Samples) -> set[str]:
    """Return the names of what does not come from the workers, which is there in any case."""
    workers = ("http", "database_statement", "pool", "breaker", "workers")
    return {name for name, _ in samples if not name.startswith(tuple(f"cryoprotect_{part}" for part in workers))}


def test_the_build_is_named(anon: Api):
    families = {family.name: family for family in text_string_to_metric_families(anon.get("//metrics").text)}

    (sample,) = families["cryoprotect_build_info"].samples
    assert sample.labels == {"version": package.VERSION, "data_release": RELEASE, "migration_head": migrate.head()}


def test_before_any_maintenance_there_are_no_times(anon: Api):
    samples = scrape(anon)

    assert of_the_database(samples) == {
        "cryoprotect_build_info",
        "cryoprotect_database_up",
        "cryoprotect_database_at_head",
        "cryoprotect_jobs_waiting",
        "cryoprotect_jobs_running",
        "cryoprotect_jobs_failed",
        "cryoprotect_jobs_oldest_waiting_seconds",
        "cryoprotect_job_workers",
        "cryoprotect_import_still_seconds",
    }
    assert samples["cryoprotect_database_up", ""] == samples["cryoprotect_database_at_head", ""] == 1


def test_after_maintenance_its_times_and_the_summarys_age_are_given(
    anon: Api, database: Database, admin: psycopg.Connection
):
    run_due(database)
    admin.execute(
        "UPDATE private.maintenance_runs SET finished_at = finished_at - interval '100 s', took_ms = 4000 "
        "WHERE task = 'molecule_summary'"
    )
    admin.execute("UPDATE private.maintenance_runs SET error = 'why' WHERE task = 'idempotency_keys'")

    samples = scrape(anon)

    assert samples["cryoprotect_maintenance_since_run_seconds", "molecule_summary"] == pytest.approx(100, abs=5)
    assert samples["cryoprotect_molecule_summary_age_seconds", ""] == pytest.approx(104, abs=5)
    assert samples["cryoprotect_maintenance_run_duration_seconds", "molecule_summary"] == 4
    assert samples["cryoprotect_maintenance_since_run_seconds", "idempotency_keys"] < 5
    assert samples["cryoprotect_maintenance_last_run_failed", "molecule_summary"] == 0
    assert samples["cryoprotect_maintenance_last_run_failed", "idempotency_keys"] == 1


def test_without_a_database_it_answers_soon_and_says_so(make_app: Callable[..., Flask]):
    started = time.monotonic()

    samples = scrape(Api(make_app(database_url=NOWHERE, pool_timeout_s=60.0).test_client()))

    assert time.monotonic() - started < 5
    assert of_the_database(samples) == {"cryoprotect_build_info", "cryoprotect_database_up"}
    assert samples["cryoprotect_database_up", ""] == 0


def test_a_database_that_is_busy_for_long_counts_as_down(anon: Api, urls: DatabaseUrls):
    with psycopg.connect(urls.admin) as other:
        other.execute("LOCK TABLE private.maintenance_runs")
        started = time.monotonic()

        samples = scrape(anon)

    assert 1.5 < time.monotonic() - started < 6
    assert samples["cryoprotect_database_up", ""] == 0
    assert ("cryoprotect_database_at_head", "") not in samples


def test_at_another_revision_it_is_not_at_head(anon: Api, admin: psycopg.Connection):
    admin.execute("UPDATE private.alembic_version SET version_num = '0001_platform'")
    try:
        samples = scrape(anon)
    finally:
        admin.execute("UPDATE private.alembic_version SET version_num = %s", (migrate.head(),))

    assert samples["cryoprotect_database_up", ""] == 1
    assert samples["cryoprotect_database_at_head", ""] == 0


@pytest.mark.parametrize("table", ["alembic_version", "maintenance_runs"])
def test_without_this_versions_tables_it_is_up_and_not_at_head(anon: Api, admin: psycopg.Connection, table: str):
    admin.execute(f"ALTER TABLE private.{table} RENAME TO elsewhere".encode())
    try:
        samples = scrape(anon)
    finally:
        admin.execute(f"ALTER TABLE private.elsewhere RENAME TO {table}".encode())

    assert samples["cryoprotect_database_up", ""] == 1
    assert samples["cryoprotect_database_at_head", ""] == 0


def test_a_bad_token_is_refused_here_too(anon: Api):
    problem(Api(anon.client, "not.a.token").get("//metrics"), 401)


def test_a_flood_of_scrapes_is_held_off_before_it_takes_the_services_connections(make_app: Callable[..., Flask]):
    client = Api(make_app(rate_limits=True, rate_limit_anon_per_min=2, workers=1).test_client())

    assert [client.get("//metrics").status_code for _ in range(4)] == [200, 200, 429, 429]
