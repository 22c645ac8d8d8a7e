"""What the service says of itself: version, caller, health, documentation."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from flask import Flask

import app as package
from app.domain.callers import ANON
from app.seed import RELEASE
from app.services.minting import issue_token
from database import migrate
from tests.api.problems import pointers, problem
from tests.plugins.api import Api
from tests.plugins.clock import Clock
from tests.plugins.database import SECRET

NOWHERE = "postgresql://postgres@127.0.0.1:9/nothing?connect_timeout=1"


def test_version_names_the_service_and_its_data(visitor: Api):
    assert visitor.get("/version").get_json() == {"version": package.VERSION, "api": "v1", "data_release": RELEASE}


def test_me_is_anon_without_a_token(visitor: Api):
    response = visitor.get("/me")

    assert response.get_json() == {"role": "anon", "user_id": None, "display_name": None, "scopes": None}
    assert response.headers["Cache-Control"] == "private, no-store"


def test_me_is_the_user_of_the_token(member: Api):
    assert member.get("/me").get_json() == {
        "role": "authenticated",
        "user_id": str(member.user_id),
        "display_name": None,
        "scopes": None,
    }


def test_me_names_the_scopes_that_bind_a_token(visitor: Api):
    token = issue_token(SECRET, role="service_role", ttl_s=60, scopes=["molecules:write", "imports:write"])

    body = Api(visitor.client, token).get("/me").get_json()

    assert body == {
        "role": "service_role",
        "user_id": None,
        "display_name": None,
        "scopes": ["imports:write", "molecules:write"],
    }


def test_users_say_how_they_are_called(alice: Api, bob: Api):
    before = alice.get("/me")

    changed = alice.patch("/me", {"display_name": " Ada "}, headers={"If-Match": before.headers["ETag"]})
    stale = alice.patch("/me", {"display_name": "Eve"}, headers={"If-Match": before.headers["ETag"]})

    assert (changed.status_code, changed.get_json()["display_name"]) == (200, "Ada")
    problem(stale, 412)
    again = alice.get("/me", headers={"If-None-Match": changed.headers["ETag"]})
    assert again.status_code == 304
    assert bob.get("/me").get_json()["display_name"] is None
    assert alice.patch("/me", {"display_name": None}, headers={"If-Match": "*"}).get_json()["display_name"] is None


@pytest.mark.parametrize("body", [{}, {"display_name": ""}, {"display_name": "x" * 201}, {"display_name": 1}])
def test_a_display_name_is_a_short_text(alice: Api, body: dict[str, Any]):
    assert pointers(alice.patch("/me", body, headers={"If-Match": "*"})) == ["/display_name"]


def test_a_profile_changes_for_its_user_only(anon: Api, service: Api, alice: Api):
    problem(anon.patch("/me", {"display_name": "Ada"}, headers={"If-Match": "*"}), 401, "token_required")
    problem(service.patch("/me", {"display_name": "Ada"}, headers={"If-Match": "*"}), 403, "not_permitted")
    problem(alice.patch("/me", {"display_name": "Ada"}), 428)
    dry = alice.patch("/me", {"display_name": "Ada"}, headers={"If-Match": "*", "Prefer": "tx=rollback"})
    assert dry.get_json()["display_name"] == "Ada"
    assert alice.get("/me").get_json()["display_name"] is None


def test_live_says_that_the_process_answers_even_without_a_database(make_app: Callable[..., Flask]):
    response = Api(make_app(database_url=NOWHERE, pool_timeout_s=0.1).test_client()).get("//health/live")

    assert (response.status_code, response.get_json()) == (200, {"status": "ok"})


def test_ready_names_the_revision_that_the_database_is_at(visitor: Api):
    response = visitor.get("//health/ready")

    body = response.get_json()
    assert response.status_code == 200
    pools = body.pop("pools")
    assert body == {
        "status": "ok",
        "database": "ok",
        "revision": migrate.head(),
        "breaker": "closed",
        "reasons": [],
        "replicas": [],
        "queue": {"workers": 0, "waiting": 0, "oldest_waiting_s": 0},
    }
    assert [pool["name"] for pool in pools] == ["cryoprotect request", "cryoprotect service"]
    assert all(set(pool) == {"name", "min_size", "max_size", "size", "in_use", "waiting"} for pool in pools)


def test_a_service_whose_pool_is_full_is_degraded_and_still_ready(make_app: Callable[..., Flask]):
    app = make_app(pool_max=1)
    database = app.extensions["cryoprotect"].database

    with database.transaction(ANON):
        full = Api(app.test_client()).get("//health/ready")
    free = Api(app.test_client()).get("//health/ready")

    assert (full.status_code, full.get_json()["status"]) == (200, "degraded")
    assert full.get_json()["reasons"] == ["pool_saturated: cryoprotect request"]
    assert (free.status_code, free.get_json()["status"]) == (200, "ok")


def test_jobs_that_nobody_works_at_make_the_service_degraded(visitor: Api, admin: psycopg.Connection):
    admin.execute(
        "INSERT INTO jobs.procrastinate_jobs (queue_name, task_name, args) VALUES ('imports', 'nothing', '{}')"
    )
    admin.execute("UPDATE jobs.procrastinate_events SET at = at - interval '5 minutes'")

    try:
        body = visitor.get("//health/ready").get_json()
    finally:
        admin.execute("TRUNCATE jobs.procrastinate_jobs CASCADE")

    assert body["status"] == "degraded"
    assert body["reasons"] == ["no_worker: jobs wait, and no worker was heard of within a minute"]
    assert (body["queue"]["workers"], body["queue"]["waiting"]) == (0, 1)
    assert body["queue"]["oldest_waiting_s"] >= 300


@pytest.mark.parametrize(("probes", "state"), [(0, "open"), (1, "half_open")])
def test_a_service_whose_breaker_is_not_closed_asks_the_database_and_is_degraded(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch, probes: int, state: str
):
    app = make_app()
    breaker = app.extensions["cryoprotect"].database.breaker
    clock = Clock()
    monkeypatch.setattr(breaker, "_clock", clock)
    for _ in range(5):
        breaker.settle(breaker.admit(), psycopg.OperationalError())
    for _ in range(probes):
        clock.now_s += 1.0
        breaker.admit()

    response = Api(app.test_client()).get("//health/ready")

    assert (response.status_code, response.get_json()["status"]) == (200, "degraded")
    assert response.get_json()["reasons"] == [f"breaker_{state}"]
    assert response.get_json()["breaker"] == breaker.state.value == state


def test_without_a_database_the_service_is_not_ready(make_app: Callable[..., Flask]):
    response = Api(make_app(database_url=NOWHERE, pool_timeout_s=0.1).test_client()).get("//health/ready")

    problem(response, 503, "database_unavailable")
    assert int(response.headers["Retry-After"]) >= 1
    assert "127.0.0.1" not in response.text


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_a_database_every_read_and_write_is_503_with_retry_after(make_app: Callable[..., Flask], method: str):
    token = issue_token(SECRET, role="service_role", ttl_s=60)
    caller = Api(make_app(database_url=NOWHERE, pool_timeout_s=0.1).test_client(), token)

    response = caller.request(
        method, "/molecules", **({"json": {"name": "x", "smiles": "C"}} if method == "POST" else {})
    )

    problem(response, 503, "database_unavailable")
    assert int(response.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("revision", ["0001_platform", "9999_from_the_future"])
def test_at_another_revision_the_service_is_not_ready(visitor: Api, admin: psycopg.Connection, revision: str):
    admin.execute("UPDATE private.alembic_version SET version_num = %s", (revision,))
    try:
        response = visitor.get("//health/ready")
    finally:
        admin.execute("UPDATE private.alembic_version SET version_num = %s", (migrate.head(),))

    body = problem(response, 503, "schema_not_at_head")
    assert revision in body["detail"]
    assert migrate.head() in body["detail"]
    assert int(response.headers["Retry-After"]) >= 1


def test_on_a_database_that_was_never_migrated_the_service_is_not_ready(visitor: Api, admin: psycopg.Connection):
    admin.execute("ALTER TABLE private.alembic_version RENAME TO elsewhere")
    try:
        response = visitor.get("//health/ready")
    finally:
        admin.execute("ALTER TABLE private.elsewhere RENAME TO alembic_version")

    problem(response, 503, "schema_not_at_head")
    assert int(response.headers["Retry-After"]) >= 1


def test_the_openapi_document_names_every_path_of_the_api(visitor: Api, app: Flask):
    document = visitor.get("//openapi.json").get_json()

    paths = {re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule) for rule in app.url_map.iter_rules()}
    assert set(document["paths"]) == {path for path in paths if path.startswith("/api/")}
    assert document["openapi"].startswith("3.1")


def test_the_documentation_page_loads_nothing_from_elsewhere(visitor: Api):
    response = visitor.get("//docs")

    assert response.content_type.startswith("text/html")
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", response.text)
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
