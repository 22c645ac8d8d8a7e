"""Headers that every answer bears: ids, timing, caching, security; and CORS for those on the list."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

import pytest
import structlog
from flask import Flask
from structlog.testing import LogCapture

from api.common import headers as headers_module
from tests.api.bodies import DMSO
from tests.api.problems import problem
from tests.plugins.api import Api

LAB = "https://lab.example"
PATHS = [
    "/molecules",
    "/molecules?format=csv",
    "/molecules?limit=x",
    "/nothing",
    "/me",
    "/version",
    "//health/live",
    "//docs",
]
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@pytest.fixture
def listed(make_app: Callable[..., Flask]) -> Api:
    """Give a visitor of an app that lets two origins in."""
    return Api(make_app(cors_origins=(LAB, "http://localhost:3000")).test_client())


@pytest.mark.parametrize("path", PATHS)
def test_security_headers_are_on_every_answer(visitor: Api, path: str):
    said = visitor.get(path).headers

    assert {name: said.get(name) for name in SECURITY} == SECURITY
    assert "default-src 'none'" in said["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in said["Content-Security-Policy"]


@pytest.mark.parametrize(("method", "path"), [("POST", "/molecules"), ("PUT", "/molecules"), ("DELETE", "/version")])
def test_security_headers_are_on_refused_writes(visitor: Api, method: str, path: str):
    said = visitor.request(method, path).headers

    assert {name: said.get(name) for name in SECURITY} == SECURITY


def test_no_answer_names_the_software(visitor: Api):
    said = visitor.get("/molecules").headers

    assert "X-Powered-By" not in said
    assert "Server" not in said


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_says_how_long_each_part_took(visitor: Api, path: str):
    said = visitor.get(path).headers["Server-Timing"]

    assert re.fullmatch(r"pool;dur=\d+\.\d\d, db;dur=\d+\.\d\d, render;dur=\d+\.\d\d", said)


def test_the_database_takes_time_only_where_it_is_asked(visitor: Api):
    assert "db;dur=0.00" in visitor.get("/version").headers["Server-Timing"]
    assert "db;dur=0.00" not in visitor.get("/molecules").headers["Server-Timing"]


@pytest.mark.parametrize("given", ["x", "abc-DEF_1.2", "0" * 64])
def test_a_request_id_comes_back_as_it_was_given(visitor: Api, given: str):
    assert visitor.get("/molecules", headers={"X-Request-ID": given}).headers["X-Request-ID"] == given


@pytest.mark.parametrize(
    "given", ["", "x" * 65, "a b", "a\tb", "ü", "<script>", "a;b", "../../etc", '"', "%0d%0a", "{}", "a\x7f"]
)
def test_a_bad_request_id_is_replaced(visitor: Api, given: str):
    said = visitor.get("/molecules", headers={"X-Request-ID": given}).headers["X-Request-ID"]

    assert re.fullmatch(r"[0-9a-f]{24}", said)


def test_a_request_without_an_id_gets_one_of_its_own(visitor: Api):
    first, second = (visitor.get("/molecules").headers["X-Request-ID"] for _ in range(2))

    assert first != second


def test_a_problem_bears_the_request_id_that_was_given(visitor: Api):
    body = problem(visitor.get("/nothing", headers={"X-Request-ID": "mine"}), 404)

    assert body["request_id"] == "mine"


@pytest.mark.parametrize("path", [*PATHS, "/limits"])
def test_every_answer_varies_by_who_asks_and_for_what(visitor: Api, path: str):
    said = {name.strip() for name in visitor.get(path).headers["Vary"].split(",")}

    assert said >= {"Authorization", "Accept", "Origin"}


@pytest.mark.parametrize("path", ["/molecules", "/molecules?format=ndjson", "/version", "/limits"])
def test_what_anybody_may_see_may_be_kept_but_must_be_asked_for_anew(visitor: Api, path: str):
    assert visitor.get(path).headers["Cache-Control"] == "public, no-cache"


@pytest.mark.parametrize("path", ["/molecules", "/molecules?format=ndjson", "/version", "/limits", "/me"])
def test_what_is_for_one_caller_is_never_kept(member: Api, operator: Api, path: str):
    for caller in (member, operator):
        assert caller.get(path).headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize("path", ["/nothing", "/molecules?limit=x", "/molecules/00000000-0000-0000-0000-000000000000"])
def test_refusals_are_never_kept(visitor: Api, path: str):
    assert visitor.get(path).headers["Cache-Control"] == "private, no-store"


def test_a_304_to_a_user_is_not_for_shared_caches_either(alice: Api):
    created = alice.post("/molecules", DMSO)

    response = alice.get(
        created.headers["Location"].removeprefix("/api/v1"), headers={"If-None-Match": created.headers["ETag"]}
    )

    assert response.status_code == 304
    assert response.headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize("path", ["//health/live", "//health/ready"])
def test_health_is_never_kept(visitor: Api, path: str):
    assert visitor.get(path).headers["Cache-Control"] == "no-store"


def test_a_lookup_of_anybodys_is_not_kept(visitor: Api):
    assert visitor.post("/molecules/lookup", {"cids": [1]}).headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize("origin", [LAB, "https://evil.example", "null", "*"])
def test_no_origin_is_let_in_by_default(visitor: Api, origin: str):
    for method in ("GET", "OPTIONS"):
        said = visitor.request(method, "/molecules", headers={"Origin": origin}).headers
        assert not [name for name, _ in said if name.startswith("Access-Control-")]


@pytest.mark.parametrize("origin", [LAB, "http://localhost:3000"])
def test_an_origin_on_the_list_may_read_answers_and_their_headers(listed: Api, origin: str):
    said = listed.get("/molecules", headers={"Origin": origin}).headers

    assert said["Access-Control-Allow-Origin"] == origin
    assert said["Cross-Origin-Resource-Policy"] == "cross-origin"
    exposed = {name.strip() for name in said["Access-Control-Expose-Headers"].split(",")}
    assert exposed >= {"ETag", "Link", "Location", "Retry-After", "X-Request-ID", "Idempotent-Replayed"}


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://lab.example",
        "https://lab.example.evil.example",
        "https://lab.example:8443",
        "https://LAB.example",
        "https://lab.example/",
        "https://sub.lab.example",
        "null",
        "*",
        "",
    ],
)
def test_no_other_origin_is_let_in(listed: Api, origin: str):
    said = listed.get("/molecules", headers={"Origin": origin}).headers

    assert "Access-Control-Allow-Origin" not in said
    assert said["Cross-Origin-Resource-Policy"] == "same-origin"


def test_no_answer_lets_credentials_be_sent_across_origins(listed: Api):
    assert "Access-Control-Allow-Credentials" not in listed.get("/molecules", headers={"Origin": LAB}).headers


@pytest.mark.parametrize("path", ["/molecules", "/molecules/00000000-0000-0000-0000-000000000000", "/me"])
def test_a_preflight_says_what_may_be_sent(listed: Api, path: str):
    response = listed.request(
        "OPTIONS",
        path,
        headers={
            "Origin": LAB,
            "Access-Control-Request-Method": "PATCH",
            "Access-Control-Request-Headers": "authorization,if-match,content-type,idempotency-key,prefer",
        },
    )

    assert response.status_code in {200, 204}
    assert response.headers["Access-Control-Allow-Origin"] == LAB
    assert "PATCH" in response.headers["Access-Control-Allow-Methods"]
    allowed = {name.strip().lower() for name in response.headers["Access-Control-Allow-Headers"].split(",")}
    assert allowed >= {"authorization", "if-match", "if-none-match", "content-type", "idempotency-key", "prefer"}
    assert int(response.headers["Access-Control-Max-Age"]) > 0


def test_a_preflight_of_another_origin_is_told_nothing(listed: Api):
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "DELETE"}

    said = listed.request("OPTIONS", "/molecules", headers=headers).headers

    assert not [name for name, _ in said if name.startswith("Access-Control-")]


def test_refusals_can_be_read_by_an_origin_on_the_list(listed: Api):
    response = listed.post("/molecules", DMSO, headers={"Origin": LAB})

    problem(response, 401)
    assert response.headers["Access-Control-Allow-Origin"] == LAB


def test_the_access_log_has_no_token_no_body_and_no_query(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch, alice: Api
):
    logs = LogCapture()
    monkeypatch.setattr(
        headers_module, "LOG", structlog.wrap_logger(None, [logs], structlog.make_filtering_bound_logger(logging.INFO))
    )
    caller = Api(make_app().test_client(), alice.token, alice.user_id)

    caller.post("/molecules", {**DMSO, "name": "hush"})
    caller.get("/molecules?q=hush")
    caller.get("/molecules", headers={"Authorization": "Bearer hush"})

    said = list(logs.entries)
    assert [(entry["method"], entry["path"], entry["status"], entry["role"]) for entry in said] == [
        ("POST", "/api/v1/molecules", 201, "authenticated"),
        ("GET", "/api/v1/molecules", 200, "authenticated"),
        ("GET", "/api/v1/molecules", 401, None),
    ]
    assert all(entry["request_id"] and entry["duration_ms"] >= 0 for entry in said)
    assert "hush" not in str(said)
    assert str(alice.token) not in str(said)
