"""Service tokens over HTTP: minted within limits, listed, renewed, revoked in every worker, and never written down."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import jwt
import psycopg
import pytest
from flask import Flask
from psycopg import sql
from structlog.testing import LogCapture

from api.common.access import METHODS, Mark, mark_of
from app.services.minting import issue_token
from app.services.revocations import REFRESH_AFTER_S, Revocations
from app.services.tokens import SCOPES
from tests.api.bodies import DMSO
from tests.api.problems import pointers, problem
from tests.plugins.api import Api
from tests.plugins.clock import Clock
from tests.plugins.database import SECRET

ROUTES = [("GET", "/tokens"), ("POST", "/tokens"), ("POST", "/tokens/renew"), ("DELETE", "/tokens/some-jti")]
MINTS = ["/tokens", "/tokens/renew"]
TABLES_SQL = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 'private')"


@pytest.fixture
def worker(make_app: Callable[..., Flask], clock: Clock) -> Flask:
    """Give another process of the service, as far as it shares nothing but the database; it has its own clock."""
    app = make_app()
    parts = app.extensions["cryoprotect"]
    app.extensions["cryoprotect"] = replace(parts, revocations=Revocations(parts.database, clock=clock))
    return app


def said(token: str) -> dict[str, Any]:
    """Return a token's claims, verified."""
    claims: dict[str, Any] = jwt.decode(token, SECRET, algorithms=["HS256"], audience="authenticated")
    return claims


def mint(caller: Api, **body: Any) -> dict[str, Any]:
    response = caller.post("/tokens", {"ttl": 3600, **body})
    assert response.status_code == 201, response.text
    minted: dict[str, Any] = response.get_json()
    return minted


def renew(caller: Api) -> dict[str, Any]:
    response = caller.post("/tokens/renew", {"ttl": 600})
    assert response.status_code == 201, response.text
    renewed: dict[str, Any] = response.get_json()
    return renewed


def bearer(app: Flask, minted: dict[str, Any]) -> Api:
    return Api(app.test_client(), minted["token"])


def scoped(app: Flask, *scopes: str) -> Api:
    return Api(app.test_client(), issue_token(SECRET, role="service_role", ttl_s=600, scopes=scopes))


# --- minting ---------------------------------------------------------------------------------------


def test_a_minted_token_works_within_its_scopes_and_says_when_it_ends(app: Flask, service: Api):
    before = int(time.time())

    minted = mint(service, scopes=["molecules:write"], ttl=600)

    claims = said(minted["token"])
    assert minted.keys() == {"token", "jti", "role", "scopes", "expires_at"}
    assert (minted["role"], minted["scopes"]) == ("service_role", ["molecules:write"])
    assert (claims["jti"], claims["role"], claims["scope"]) == (minted["jti"], "service_role", "molecules:write")
    assert claims["exp"] - claims["iat"] == 600
    assert before <= claims["iat"] <= time.time()
    assert dt.datetime.fromisoformat(minted["expires_at"]).timestamp() == claims["exp"]
    holder = bearer(app, minted)
    assert holder.post("/molecules", DMSO).status_code == 201
    problem(holder.post("/imports/records?source=chembl", {"molecules": []}), 403, "scope_missing")


def test_a_token_minted_without_scopes_is_as_unlimited_as_the_one_that_minted_it(app: Flask, service: Api):
    minted = mint(service)

    assert minted["scopes"] is None
    assert "scope" not in said(minted["token"])
    assert mint(bearer(app, minted), scopes=["imports:write"])["scopes"] == ["imports:write"]


@pytest.mark.parametrize("path", MINTS)
def test_the_answer_with_a_token_is_kept_by_nobody(service: Api, path: str):
    assert "no-store" in service.post(path, {"ttl": 60}).headers["Cache-Control"]


HELD = [("tokens:write",), ("tokens:write", "molecules:write"), ("imports:write", "molecules:write", "tokens:write")]
ASKED = [None, [], ["tokens:write"], ["molecules:write"], ["imports:write", "molecules:write"], sorted(SCOPES)]


@pytest.mark.parametrize("held", HELD)
@pytest.mark.parametrize("asked", ASKED)
def test_a_scoped_token_mints_a_part_of_its_own_scopes_and_never_more(
    app: Flask, admin: psycopg.Connection, emptied: None, held: tuple[str, ...], asked: list[str] | None
):
    body = {"ttl": 60} if asked is None else {"ttl": 60, "scopes": asked}

    response = scoped(app, *held).post("/tokens", body)

    if asked is not None and set(asked) <= set(held):
        assert response.status_code == 201
        assert response.get_json()["scopes"] == sorted(asked)
    else:
        problem(response, 403, "scope_missing")
        assert admin.execute("SELECT count(*) FROM private.service_tokens").fetchall() == [(0,)]


@pytest.mark.parametrize("path", MINTS)
@pytest.mark.parametrize("ttl", [0, -1, 86_401, 10**12, "3600", 1.5, True, None])
def test_a_token_lives_for_one_second_to_a_day(service: Api, path: str, ttl: Any):
    assert pointers(service.post(path, {"ttl": ttl})) == ["/ttl"]


@pytest.mark.parametrize("path", MINTS)
def test_no_token_is_minted_without_an_end(service: Api, path: str):
    assert pointers(service.post(path, {})) == ["/ttl"]
    assert service.post(path, {"ttl": 86_400}).status_code == 201


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"scopes": ["everything:write"]}, "/scopes/0"),
        ({"scopes": "molecules:write"}, "/scopes"),
        ({"scopes": [None]}, "/scopes/0"),
        ({"jti": "mine"}, "/jti"),
        ({"role": "postgres"}, "/role"),
        ({"expires_at": "2099-01-01T00:00:00Z"}, "/expires_at"),
    ],
)
def test_what_a_token_cannot_say_is_422(service: Api, body: dict[str, Any], pointer: str):
    assert pointers(service.post("/tokens", {"ttl": 60, **body})) == [pointer]


def test_a_renewed_token_has_the_callers_scopes_and_the_old_one_stays_good(app: Flask, service: Api):
    held = ["molecules:write", "tokens:write"]
    old = bearer(app, mint(service, scopes=held))

    renewed = renew(old)

    assert renewed["scopes"] == held
    assert said(renewed["token"])["scope"] == " ".join(held)
    for holder in (old, bearer(app, renewed)):
        assert holder.get("/tokens").status_code == 200
    assert pointers(old.post("/tokens/renew", {"ttl": 60, "scopes": ["imports:write"]})) == ["/scopes"]


def test_an_expired_service_token_is_401(app: Flask):
    expired = issue_token(SECRET, role="service_role", ttl_s=60, now=time.time() - 3600)

    problem(Api(app.test_client(), expired).get("/molecules"), 401, "token_expired")


# --- who may ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_tokens_are_for_service_tokens_with_their_scope_only(
    app: Flask, visitor: Api, member: Api, method: str, path: str
):
    others = scoped(app, *(SCOPES - {"tokens:write"}))

    problem(visitor.request(method, path, json={"ttl": 60}), 401, "token_required")
    problem(member.request(method, path, json={"ttl": 60}), 403, "role_not_permitted")
    problem(others.request(method, path, json={"ttl": 60}), 403, "scope_missing")


def marks(app: Flask) -> Iterator[tuple[str, str, Mark, bool]]:
    """Give method, path and mark of every view of the API, and whether the view changes anything."""
    for rule in app.url_map.iter_rules():
        resource = getattr(app.view_functions[rule.endpoint], "view_class", None)
        path = re.sub(r"<(?:uuid:)\w+>", str(uuid4()), rule.rule)
        path = re.sub(r"<(?:\w+:)?\w+>", "name", path).removeprefix("/api/v1")
        for name in METHODS if resource else ():
            view = getattr(resource, name, None)
            if view is not None and (mark := mark_of(view)):
                yield name.upper(), path, mark, name != "get" and view.description.effect


def test_every_view_that_writes_asks_for_a_scope(app: Flask):
    writes = {(method, path): mark for method, path, mark, changes in marks(app) if changes}

    public = {path for (_, path), mark in writes.items() if mark.scope is None}
    assert public == {"/auth/sign-in", "/auth/refresh"}
    assert len(writes) >= 10


def test_every_scope_that_a_mark_asks_for_exists_and_opens_its_views_alone(app: Flask, emptied: None):
    tried = set()
    for method, path, mark, _ in marks(app):
        if mark.scope is None:
            continue
        without = scoped(app, *(SCOPES - {mark.scope})).request(method, path, json={})
        with_it = scoped(app, mark.scope).request(method, path, json={})

        problem(without, 403, "scope_missing")
        assert with_it.status_code not in {401, 403, 500}, (method, path)
        tried.add(mark.scope)
    assert tried <= SCOPES
    assert tried >= {"molecules:write", "imports:write", "tokens:write"}


# --- nothing is kept -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", MINTS)
@pytest.mark.parametrize(
    ("headers", "code"),
    [({"Idempotency-Key": "key"}, "idempotency_key_refused"), ({"Prefer": "tx=rollback"}, "dry_run_refused")],
)
def test_minting_takes_no_key_and_makes_no_dry_run(
    service: Api, admin: psycopg.Connection, path: str, headers: dict[str, str], code: str
):
    problem(service.post(path, {"ttl": 60}, headers=headers), 400, code)

    kept = "SELECT FROM private.service_tokens UNION ALL SELECT FROM private.idempotency_keys"
    assert admin.execute(kept).rowcount == 0


def test_no_token_is_in_any_table_or_log_line(app: Flask, service: Api, admin: psycopg.Connection, logs: LogCapture):
    minted = mint(service, scopes=["tokens:write", "molecules:write"])
    holder = bearer(app, minted)
    renewed = renew(holder)
    holder.post("/molecules", DMSO, headers={"Idempotency-Key": "key"})
    listed = holder.get("/tokens")
    holder.get("/molecules?format=csv")
    service.delete(f"/tokens/{minted['jti']}")
    problem(holder.get("/molecules"), 401)

    names = admin.execute(TABLES_SQL.encode()).fetchall()
    read = sql.SQL("SELECT t::text FROM {} AS t")
    rows = [admin.execute(read.format(sql.Identifier(*name))).fetchall() for name in names]
    assert minted["jti"] in str(rows)
    assert minted["jti"] in str(logs.entries)
    for text in (minted["token"], renewed["token"], service.token or ""):
        for part in text.split(".")[1:]:
            assert part not in str(rows)
            assert part not in str(logs.entries)
            assert part not in listed.text
    assert len(logs.entries) > 7


# --- revoking --------------------------------------------------------------------------------------


def test_a_revoked_token_is_401_at_once_in_the_process_that_revoked_it(app: Flask, service: Api):
    minted = mint(service)
    holder = bearer(app, minted)
    assert holder.get("/molecules").status_code == 200

    gone = service.delete(f"/tokens/{minted['jti']}")

    assert (gone.status_code, gone.data) == (204, b"")
    response = holder.get("/molecules")
    problem(response, 401, "token_revoked")
    assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
    assert minted["token"] not in response.text + str(response.headers)
    problem(holder.post("/molecules", DMSO), 401, "token_revoked")
    assert service.get("/molecules").status_code == 200


def test_a_revoked_token_is_401_in_another_worker_within_ten_seconds(
    app: Flask, worker: Flask, clock: Clock, service: Api
):
    minted = mint(service)
    elsewhere = bearer(worker, minted)
    assert elsewhere.get("/molecules").status_code == 200

    service.delete(f"/tokens/{minted['jti']}")

    clock.now_s += REFRESH_AFTER_S - 0.1
    assert elsewhere.get("/molecules").status_code == 200
    clock.now_s += 0.1
    problem(elsewhere.get("/molecules"), 401, "token_revoked")


def test_a_token_mints_nothing_after_its_revocation_even_where_nobody_has_looked_yet(
    worker: Flask, service: Api, admin: psycopg.Connection
):
    minted = mint(service)
    elsewhere = bearer(worker, minted)
    assert elsewhere.get("/tokens").status_code == 200

    service.delete(f"/tokens/{minted['jti']}")

    assert elsewhere.get("/molecules").status_code == 200
    for path in MINTS:
        problem(elsewhere.post(path, {"ttl": 60}), 401, "token_revoked")
    assert admin.execute("SELECT count(*) FROM private.service_tokens").fetchall() == [(1,)]


def test_what_a_leaked_token_minted_and_renewed_goes_with_it(app: Flask, service: Api):
    leaked = mint(service)
    child = mint(bearer(app, leaked), scopes=["tokens:write"])
    grandchild = renew(bearer(app, child))
    innocent = mint(service)

    service.delete(f"/tokens/{leaked['jti']}")

    for minted in (leaked, child, grandchild):
        problem(bearer(app, minted).get("/molecules"), 401, "token_revoked")
    assert bearer(app, innocent).get("/molecules").status_code == 200


def test_a_token_of_the_command_and_what_it_minted_can_be_revoked_though_it_was_never_recorded(
    app: Flask, service: Api
):
    unknown = Api(app.test_client(), issue_token(SECRET, role="service_role", ttl_s=600))
    child = bearer(app, mint(unknown))

    service.delete(f"/tokens/{said(unknown.token or '')['jti']}")

    problem(unknown.get("/molecules"), 401, "token_revoked")
    problem(child.get("/molecules"), 401, "token_revoked")


def test_a_users_minted_token_can_be_revoked_too(alice: Api, bob: Api, service: Api):
    assert alice.get("/me").status_code == 200

    service.delete(f"/tokens/{said(alice.token or '')['jti']}")

    problem(alice.get("/me"), 401, "token_revoked")
    assert bob.get("/me").status_code == 200


def test_a_token_may_revoke_itself(app: Flask, service: Api):
    minted = mint(service)
    holder = bearer(app, minted)

    assert holder.delete(f"/tokens/{minted['jti']}").status_code == 204
    problem(holder.get("/tokens"), 401, "token_revoked")


def test_revoking_again_is_204_and_needs_no_if_match(service: Api, admin: psycopg.Connection):
    statement = "SELECT revoked_at FROM private.token_revocations"
    jti = mint(service)["jti"]

    assert service.delete(f"/tokens/{jti}").status_code == 204
    first = admin.execute(statement).fetchall()
    assert service.delete(f"/tokens/{jti}").status_code == 204

    assert admin.execute(statement).fetchall() == first


def test_renewing_is_no_jti(service: Api):
    problem(service.delete("/tokens/renew"), 405)


@pytest.mark.parametrize("jti", ["a/b", "a:b", "+=~._-", "j" * 128])
def test_a_jti_of_any_letters_that_the_verifier_takes_can_be_revoked(service: Api, admin: psycopg.Connection, jti: str):
    assert service.delete(f"/tokens/{jti}").status_code == 204

    assert admin.execute("SELECT jti FROM private.token_revocations").fetchall() == [(jti,)]


@pytest.mark.parametrize("jti", ["a%20b", "%00", "j" * 129, "%F0%9F%98%80", "'", "a%0Ab"])
def test_what_is_no_jti_is_404(service: Api, admin: psycopg.Connection, jti: str):
    problem(service.delete(f"/tokens/{jti}"), 404)

    assert admin.execute("SELECT count(*) FROM private.token_revocations").fetchall() == [(0,)]


def test_a_dry_run_revokes_nothing(app: Flask, service: Api):
    minted = mint(service)

    dry = service.delete(f"/tokens/{minted['jti']}", headers={"Prefer": "tx=rollback"})

    assert (dry.status_code, dry.headers["Preference-Applied"]) == (204, "tx=rollback")
    assert bearer(app, minted).get("/molecules").status_code == 200


def test_while_nobody_can_tell_what_is_revoked_tokens_are_503_and_visitors_are_not_asked(
    make_app: Callable[..., Flask],
):
    app = make_app(database_url="postgresql://postgres@127.0.0.1:9/nothing?connect_timeout=1", pool_timeout_s=0.2)

    response = scoped(app, "molecules:write").get("/version")

    problem(response, 503, "database_unavailable")
    assert int(response.headers["Retry-After"]) >= 1
    assert Api(app.test_client()).get("/version").status_code == 200
    without_jti = jwt.encode(
        {"role": "authenticated", "sub": str(uuid4()), "aud": "authenticated", "exp": int(time.time()) + 60},
        SECRET,
        algorithm="HS256",
    )
    assert Api(app.test_client(), without_jti).get("/version").status_code == 200


# --- listing ---------------------------------------------------------------------------------------


def test_the_list_shows_each_unexpired_token_and_where_it_comes_from(app: Flask, service: Api):
    first = mint(service, scopes=["tokens:write"])
    second = renew(bearer(app, first))
    third = mint(service)
    service.delete(f"/tokens/{third['jti']}")

    listed = service.get("/tokens?order_by=issued_at&count=exact").get_json()

    assert listed["page"]["count"] == 3
    by_jti = {item["jti"]: item for item in listed["data"]}
    names = {"jti", "scopes", "issued_at", "expires_at", "revoked_at", "parent_jti", "updated_at"}
    assert all(item.keys() == names for item in listed["data"])
    assert by_jti[first["jti"]]["parent_jti"] == said(service.token or "")["jti"]
    assert by_jti[second["jti"]]["parent_jti"] == first["jti"]
    assert by_jti[first["jti"]]["scopes"] == ["tokens:write"]
    assert by_jti[third["jti"]]["scopes"] is None
    assert by_jti[first["jti"]]["expires_at"] == first["expires_at"]
    assert [jti for jti, item in by_jti.items() if item["revoked_at"]] == [third["jti"]]


def test_the_list_is_filtered_paged_and_exported_like_all_others(app: Flask, service: Api):
    made = [mint(service)["jti"] for _ in range(5)]
    service.delete(f"/tokens/{made[0]}")
    start = service.get(f"/tokens?jti={made[0]}&only=updated_at").get_json()["data"][0]["updated_at"]

    seen, path = [], "/tokens?limit=2&order_by=jti"
    while path:
        page = service.get(path).get_json()
        seen += [item["jti"] for item in page["data"]]
        path = page["page"]["next"] and f"/tokens?limit=2&order_by=jti&cursor={page['page']['next']}"

    assert seen == sorted(made)
    assert len(service.get("/tokens?revoked_at__isnull=true").get_json()["data"]) == 4
    assert service.get(f"/tokens?modified_after={start}").get_json()["data"] == []
    assert len(service.get("/tokens?format=ndjson").text.splitlines()) == 5
    assert len(service.get("/tokens?format=csv").text.splitlines()) == 6
    problem(service.get("/tokens?token=x"), 400, "unknown_parameter")


def test_an_expired_token_is_listed_no_more(service: Api, admin: psycopg.Connection):
    mint(service)
    admin.execute("UPDATE private.service_tokens SET issued_at = now() - interval '2 h', expires_at = now()")

    assert service.get("/tokens").get_json()["data"] == []


# --- what reads leave behind -----------------------------------------------------------------------


def reads(logs: LogCapture) -> list[dict[str, Any]]:
    return [dict(entry) for entry in logs.entries if entry["event"] == "service_read"]


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("GET", "/molecules?name=secret", "/api/v1/molecules", 200),
        ("HEAD", "/molecules", "/api/v1/molecules", 200),
        ("GET", "/molecules?format=ndjson", "/api/v1/molecules", 200),
        ("GET", "/molecules/00000000-0000-0000-0000-000000000001", "/api/v1/molecules/<uuid:molecule_id>", 404),
        ("GET", "/molecules?limit=x", "/api/v1/molecules", 422),
        ("GET", "/tokens", "/api/v1/tokens", 200),
        ("POST", "/molecules/lookup", "/api/v1/molecules/lookup", 200),
    ],
)
def test_a_read_by_the_service_role_leaves_one_line(  # noqa: PLR0913, PLR0917 - one of many
    service: Api, logs: LogCapture, method: str, path: str, route: str, status: int
):
    body = {"json": {"cids": [679]}} if method == "POST" else {}

    response = service.request(method, path, headers={"X-Request-ID": "the-request"}, **body)

    assert response.status_code == status
    (entry,) = reads(logs)
    assert entry["jti"] == said(service.token or "")["jti"]
    assert (entry["route"], entry["status"], entry["request_id"]) == (route, status, "the-request")
    assert entry["method"] == method
    assert "secret" not in str(entry)


def test_writes_and_other_callers_leave_no_such_line(service: Api, alice: Api, anon: Api, logs: LogCapture):
    service.post("/molecules", DMSO)
    service.post("/molecules", {"name": "x"})
    alice.get("/molecules")
    anon.get("/molecules")
    anon.get("//health/ready")
    service.get("/nothing")

    assert reads(logs) == []
    writes = [entry for entry in logs.entries if entry["event"] == "request" and entry["method"] == "POST"]
    assert [(entry["jti"], entry["status"]) for entry in writes] == [
        (said(service.token or "")["jti"], 201),
        (said(service.token or "")["jti"], 422),
    ]


LOGGING = """
from app.logging import configure_logging
from api.common import headers, service_reads
configure_logging("ERROR")
headers.LOG.warning("request")
service_reads.LOG.info("service_read", jti="the-jti")
"""


def test_the_line_is_written_whatever_the_level_of_the_log():
    run = subprocess.run([sys.executable, "-c", LOGGING], capture_output=True, text=True, check=True)

    (line,) = [json.loads(line) for line in run.stderr.splitlines()]
    assert (line["event"], line["jti"]) == ("service_read", "the-jti")
