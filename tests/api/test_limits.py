"""Request limits: by address for anon, by user for users, none for the service; and what the service publishes."""

from __future__ import annotations

import re
from collections.abc import Callable
from uuid import uuid4

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app.services.minting import issue_token
from tests.api.problems import problem
from tests.plugins.api import Api
from tests.plugins.database import SECRET

ALICE, BOB = uuid4(), uuid4()


@pytest.fixture
def limited(make_app: Callable[..., Flask]) -> Flask:
    """Give an app with three requests a minute for an address and five for a user."""
    return make_app(rate_limits=True, rate_limit_anon_per_min=3, rate_limit_user_per_min=5, workers=1)


def user(app: Flask, user_id: object = ALICE) -> Api:
    return Api(app.test_client(), issue_token(SECRET, role="authenticated", ttl_s=60, sub=str(user_id)))


def get(caller: Api, path: str = "/version", address: str = "192.0.2.1", **headers: str) -> TestResponse:
    said = {name.replace("_", "-"): value for name, value in headers.items()}
    return caller.get(path, environ_overrides={"REMOTE_ADDR": address}, headers=said)


def statuses(caller: Api, count: int, address: str = "192.0.2.1") -> list[int]:
    return [get(caller, address=address).status_code for _ in range(count)]


def test_one_request_too_many_is_a_429_problem_that_says_when_to_come_back(limited: Flask):
    caller = Api(limited.test_client())
    assert statuses(caller, 3) == [200, 200, 200]

    response = get(caller)

    problem(response, 429, "too_many_requests")
    assert 1 <= int(response.headers["Retry-After"]) <= 61


def test_every_answer_says_what_is_left(limited: Flask):
    caller = Api(limited.test_client())

    answers = [get(caller) for _ in range(4)]

    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"anon";q=3;w=60'}
    left = [re.fullmatch(r'"anon";r=(\d+);t=(\d+)', answer.headers["RateLimit"]) for answer in answers]
    assert [int(match[1]) for match in left if match] == [2, 1, 0, 0]
    assert all(1 <= int(match[2]) <= 61 for match in left if match)


def test_addresses_are_counted_apart(limited: Flask):
    caller = Api(limited.test_client())

    assert statuses(caller, 4, "192.0.2.1")[-1] == 429
    assert statuses(caller, 3, "192.0.2.2") == [200, 200, 200]


def test_a_user_is_counted_by_id_and_not_by_address(limited: Flask):
    alice, bob = user(limited, ALICE), user(limited, BOB)

    assert [get(alice, address=f"192.0.2.{n}").status_code for n in range(6)] == [200] * 5 + [429]
    assert statuses(bob, 5, "192.0.2.0") == [200] * 5


def test_a_user_does_not_use_up_what_the_address_has(limited: Flask):
    assert statuses(user(limited), 5) == [200] * 5
    assert statuses(Api(limited.test_client()), 3) == [200] * 3


def test_the_answer_to_a_user_names_the_users_limit(limited: Flask):
    assert get(user(limited)).headers["RateLimit-Policy"] == '"authenticated";q=5;w=60'


def test_the_service_role_has_no_limit(limited: Flask):
    service = Api(limited.test_client(), issue_token(SECRET, role="service_role", ttl_s=60))

    answers = [get(service) for _ in range(20)]

    assert {answer.status_code for answer in answers} == {200}
    assert "RateLimit" not in answers[-1].headers


def test_refused_tokens_are_counted_at_their_address(limited: Flask):
    guesser = Api(limited.test_client(), "not-a-token")

    assert statuses(guesser, 5) == [401, 401, 401, 429, 429]


def test_refused_tokens_do_not_keep_a_user_at_the_same_address_out(limited: Flask):
    statuses(Api(limited.test_client(), "not-a-token"), 9)

    assert statuses(user(limited), 5) == [200] * 5


@pytest.mark.parametrize("path", ["/nothing", "/molecules/x", "/molecules?limit=0"])
def test_refused_requests_count_too(limited: Flask, path: str):
    caller = Api(limited.test_client())
    for _ in range(3):
        get(caller, path)

    problem(get(caller, path), 429)


def test_health_is_never_limited(limited: Flask):
    caller = Api(limited.test_client())

    assert {get(caller, "//health/live").status_code for _ in range(10)} == {200}
    assert statuses(caller, 3) == [200] * 3


def test_a_preflight_costs_nothing(limited: Flask):
    caller = Api(limited.test_client())
    for _ in range(5):
        caller.request("OPTIONS", "/molecules", environ_overrides={"REMOTE_ADDR": "192.0.2.1"})

    assert statuses(caller, 3) == [200] * 3


def test_a_write_over_the_limit_is_refused_before_its_body_is_read(limited: Flask):
    caller = user(limited)
    statuses(caller, 5)

    problem(caller.post("/molecules", data=b"{not json", content_type="application/json"), 429)


def test_without_trusted_proxies_a_forwarded_address_is_nobodys_word(limited: Flask):
    caller = Api(limited.test_client())

    answers = [get(caller, X_Forwarded_For=f"198.51.100.{n}").status_code for n in range(4)]

    assert answers == [200, 200, 200, 429]


def test_behind_one_trusted_proxy_the_address_is_the_one_that_it_names(make_app: Callable[..., Flask]):
    app = make_app(rate_limits=True, rate_limit_anon_per_min=1, workers=1, trusted_proxies=1)
    caller = Api(app.test_client())

    def through(forwarded: str) -> int:
        return get(caller, address="10.0.0.1", X_Forwarded_For=forwarded).status_code

    assert [through("198.51.100.1"), through("198.51.100.2")] == [200, 200]
    assert through("198.51.100.1") == 429
    assert through("203.0.113.9, 198.51.100.1") == 429, "what a client wrote before the proxy must not count"


def test_behind_two_trusted_proxies_the_address_is_two_from_the_end(make_app: Callable[..., Flask]):
    app = make_app(rate_limits=True, rate_limit_anon_per_min=1, workers=1, trusted_proxies=2)
    caller = Api(app.test_client())

    answers = [
        get(caller, address="10.0.0.1", X_Forwarded_For=forwarded).status_code
        for forwarded in ("192.0.2.7, 10.0.0.2", "192.0.2.8, 10.0.0.2", "1.1.1.1, 192.0.2.7, 10.0.0.3")
    ]

    assert answers == [200, 200, 429]


def test_each_worker_takes_its_share_and_says_the_whole(make_app: Callable[..., Flask]):
    app = make_app(rate_limits=True, rate_limit_anon_per_min=8, workers=4)
    caller = Api(app.test_client())

    answers = [get(caller) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[0].headers["RateLimit-Policy"] == '"anon";q=8;w=60'


def test_a_counter_that_is_down_lets_requests_pass(make_app: Callable[..., Flask]):
    app = make_app(rate_limits=True, rate_limit_anon_per_min=1, ratelimit_storage_uri="redis://127.0.0.1:9/0")

    assert statuses(Api(app.test_client()), 3) == [200, 200, 200]


def test_limits_can_be_switched_off(make_app: Callable[..., Flask]):
    caller = Api(make_app(rate_limits=False, rate_limit_anon_per_min=1).test_client())

    answers = [get(caller) for _ in range(5)]

    assert {answer.status_code for answer in answers} == {200}
    assert "RateLimit" not in answers[0].headers


def test_the_limits_are_published(limited: Flask):
    body = get(Api(limited.test_client()), "/limits").get_json()

    assert body["requests_per_min"] == {"anon": 3, "authenticated": 5, "service_role": None}
    assert body["body_bytes"] == 10 * 1024 * 1024
    assert body["import_bytes"] == 200 * 1024 * 1024
    assert body["page"] == {"default": 50, "max": 1000}
    assert body["batch_records"] == 10_000


def test_limits_that_are_off_are_published_as_none(visitor: Api):
    said = visitor.get("/limits").get_json()["requests_per_min"]

    assert said == {"anon": None, "authenticated": None, "service_role": None}
