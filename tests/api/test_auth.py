"""Signing in by way of Supabase Auth, played by a real server on this machine."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from structlog.testing import LogCapture

from app.services.supabase_auth import SupabaseAuth
from tests.api.problems import pointers, problem
from tests.plugins.api import Api
from tests.plugins.supabase_auth import EMAIL, PASSWORD, REFUSED, USER_ID, Answer, Supabase, serving, session

KEY = "sb_publishable_key-of-the-project"
CREDENTIALS = {"email": EMAIL, "password": PASSWORD}
VERSIONED = {"x-supabase-api-version": "2024-01-01"}
BOTH: dict[str, dict[str, str]] = {
    "/auth/sign-in": CREDENTIALS,
    "/auth/refresh": {"refresh_token": "good-one"},
}
SECRETS = (EMAIL, PASSWORD, "good-", "access.", KEY)


@pytest.fixture
def supabase() -> Iterator[Supabase]:
    """Give Supabase Auth."""
    with serving() as made:
        yield made


@pytest.fixture
def configured(make_app: Callable[..., Flask], supabase: Supabase) -> Flask:
    """Give an app of a Supabase project; its database does not answer, because signing in needs none."""
    nowhere = "postgresql://postgres@127.0.0.1:9/nothing?connect_timeout=1"
    return make_app(supabase_url=supabase.url, supabase_key=KEY, database_url=nowhere, pool_timeout_s=0.2)


@pytest.fixture
def caller(configured: Flask) -> Api:
    """Give somebody who is not signed in yet."""
    return Api(configured.test_client())


def impatient(app: Flask, url: str, timeout_s: float) -> None:
    """Give the app a shorter patience with Supabase."""
    parts = app.extensions["cryoprotect"]
    parts.supabase_auth.close()
    app.extensions["cryoprotect"] = replace(parts, supabase_auth=SupabaseAuth(url, KEY, timeout_s=timeout_s))


@pytest.mark.parametrize(("path", "body"), BOTH.items(), ids=BOTH)
def test_the_session_is_supabases_own(caller: Api, path: str, body: dict[str, str]):
    response = caller.post(path, body)

    said = response.get_json()
    assert response.status_code == 200
    assert "no-store" in response.headers["Cache-Control"]
    assert said.keys() == {"access_token", "refresh_token", "expires_in", "token_type", "user"}
    assert said["access_token"].startswith("access.")
    assert said["refresh_token"].startswith("good-")
    assert (said["expires_in"], said["token_type"]) == (3600, "bearer")
    assert said["user"] == {"id": USER_ID, "email": EMAIL}


def test_supabase_is_asked_as_its_own_clients_ask_it(caller: Api, supabase: Supabase):
    caller.post("/auth/sign-in", CREDENTIALS)
    caller.post("/auth/refresh", {"refresh_token": "good-one"})

    first, second = supabase.requests
    assert (first["path"], first["grant_type"]) == ("/auth/v1/token", "password")
    assert first["body"].items() >= CREDENTIALS.items()
    assert (second["path"], second["grant_type"]) == ("/auth/v1/token", "refresh_token")
    assert second["body"] == {"refresh_token": "good-one"}
    assert {request["headers"]["apikey"] for request in supabase.requests} == {KEY}


def test_one_users_session_never_goes_along_with_anothers_request(caller: Api, supabase: Supabase):
    for _ in range(3):
        caller.post("/auth/sign-in", CREDENTIALS)
        caller.post("/auth/refresh", {"refresh_token": "good-one"})

    assert {request["headers"]["authorization"] for request in supabase.requests} == {f"Bearer {KEY}"}


def test_no_thread_and_no_timer_stays_behind(caller: Api):
    before = set(threading.enumerate())

    caller.post("/auth/sign-in", CREDENTIALS)

    mine = [thread for thread in set(threading.enumerate()) - before if isinstance(thread, threading.Timer)]
    assert mine == []


@pytest.mark.parametrize("body", [{"email": EMAIL, "password": "wrong"}, {"email": "nobody@x.y", "password": PASSWORD}])
def test_wrong_credentials_are_401_without_a_hint_which(caller: Api, body: dict[str, str]):
    response = caller.post("/auth/sign-in", body)

    said = problem(response, 401, "credentials_refused")
    assert said["detail"] == "These credentials are not accepted."
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="cryoprotect"'


def test_a_refresh_token_that_is_unknown_is_401(caller: Api):
    problem(caller.post("/auth/refresh", {"refresh_token": "bad"}), 401, "credentials_refused")


@pytest.mark.parametrize(
    "answer",
    [
        Answer(400, {"code": 400, "error_code": "invalid_credentials", "msg": "Invalid login credentials"}),
        Answer(400, {"error": "invalid_grant", "error_description": "Invalid login credentials"}),
        Answer(400, {"code": "email_not_confirmed", "message": "Email not confirmed"}, VERSIONED),
        Answer(403, {"code": "user_banned", "message": "User is banned"}, VERSIONED),
        Answer(422, {"code": "validation_failed", "message": f"{EMAIL} is invalid"}, VERSIONED),
    ],
    ids=["before 2024", "the oldest", "not confirmed", "banned", "invalid"],
)
def test_every_refusal_of_supabase_looks_the_same(caller: Api, supabase: Supabase, answer: Answer):
    supabase.instead = Answer(400, REFUSED, VERSIONED)
    usual = problem(caller.post("/auth/sign-in", CREDENTIALS), 401, "credentials_refused")

    supabase.instead = answer
    refused = problem(caller.post("/auth/sign-in", CREDENTIALS), 401, "credentials_refused")

    assert {**refused, "request_id": None} == {**usual, "request_id": None}


BROKEN = {
    "500": Answer(500, {"code": "unexpected_failure", "message": "Unexpected failure"}, VERSIONED),
    "502": Answer(502, b"<html>Bad gateway</html>"),
    "503": Answer(503, {"message": "no available server"}),
    "522 without a reason": Answer(522, b""),
    "another key": Answer(401, {"message": "Invalid API key", "hint": "Double check your API key."}),
    "no such project": Answer(404, b"not found"),
    "HTML for 400": Answer(400, b"<html>"),
    "redirect": Answer(302, b"", {"Location": "http://127.0.0.1:9/elsewhere"}),
    "HTML": Answer(200, b"<html>welcome</html>"),
    "half an answer": Answer(200, b'{"access_token": "access.'),
    "an array": Answer(200, []),
    "a user without a session": Answer(200, session(EMAIL)["user"]),
    "no refresh token": Answer(200, {**session(EMAIL), "refresh_token": None}),
}


@pytest.mark.parametrize(("path", "body"), BOTH.items(), ids=BOTH)
@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_what_is_no_answer_to_the_question_is_503(  # noqa: PLR0913, PLR0917 - one of many
    caller: Api, supabase: Supabase, answer: Answer, path: str, body: dict[str, str], logs: LogCapture
):
    supabase.instead = answer

    response = caller.post(path, body)

    problem(response, 503, "auth_unavailable")
    assert int(response.headers["Retry-After"]) >= 1
    assert not [secret for secret in SECRETS if secret in response.text + str(logs.entries)]


@pytest.mark.parametrize(("given", "sent"), [("17", "17"), (None, "5"), ("tomorrow", "5"), ("999999", "3600")])
def test_too_many_attempts_are_429_with_supabases_pause(caller: Api, supabase: Supabase, given: str | None, sent: str):
    headers = VERSIONED | ({"Retry-After": given} if given else {})
    supabase.instead = Answer(
        429, {"code": "over_request_rate_limit", "message": "Request rate limit reached"}, headers
    )

    response = caller.post("/auth/sign-in", CREDENTIALS)

    problem(response, 429, "too_many_requests")
    assert response.headers["Retry-After"] == sent


def test_a_supabase_that_takes_too_long_is_503(caller: Api, configured: Flask, supabase: Supabase):
    impatient(configured, supabase.url, 0.2)
    supabase.instead = Answer(200, session(EMAIL), delay_s=1.0)

    problem(caller.post("/auth/sign-in", CREDENTIALS), 503, "auth_unavailable")


def test_a_supabase_that_is_down_is_503(caller: Api, configured: Flask):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    impatient(configured, f"http://127.0.0.1:{port}", 1.0)

    problem(caller.post("/auth/sign-in", CREDENTIALS), 503, "auth_unavailable")


@pytest.mark.parametrize(("path", "body"), BOTH.items(), ids=BOTH)
def test_without_a_project_there_is_nobody_to_sign_in_with(visitor: Api, path: str, body: dict[str, str]):
    said = problem(visitor.post(path, body), 404, "auth_not_configured")

    assert "no Supabase project is configured" in said["detail"]


@pytest.mark.parametrize("changes", [{"supabase_url": "https://project.example"}, {"supabase_key": KEY}])
def test_an_address_without_a_key_is_not_a_project(make_app: Callable[..., Flask], changes: dict[str, str]):
    response = Api(make_app(**changes).test_client()).post("/auth/sign-in", CREDENTIALS)

    problem(response, 404, "auth_not_configured")


@pytest.mark.parametrize(("path", "body"), BOTH.items(), ids=BOTH)
@pytest.mark.parametrize(
    ("headers", "code"),
    [({"Idempotency-Key": "key"}, "idempotency_key_refused"), ({"Prefer": "tx=rollback"}, "dry_run_refused")],
)
def test_a_session_is_never_kept_for_a_repeated_call(  # noqa: PLR0913, PLR0917 - one of many
    caller: Api, supabase: Supabase, path: str, body: dict[str, str], headers: dict[str, str], code: str
):
    problem(caller.post(path, body, headers=headers), 400, code)

    assert supabase.requests == []


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("/auth/sign-in", {"email": EMAIL}, "/password"),
        ("/auth/sign-in", {"password": PASSWORD}, "/email"),
        ("/auth/sign-in", {"email": "", "password": PASSWORD}, "/email"),
        ("/auth/sign-in", {"email": EMAIL, "password": ""}, "/password"),
        ("/auth/sign-in", {"email": EMAIL, "password": 12345}, "/password"),
        ("/auth/sign-in", {"email": EMAIL, "password": "x" * 1001}, "/password"),
        ("/auth/sign-in", {**CREDENTIALS, "phone": "123"}, "/phone"),
        ("/auth/refresh", {}, "/refresh_token"),
        ("/auth/refresh", {"refresh_token": ""}, "/refresh_token"),
        ("/auth/refresh", {"refresh_token": ["good-one"]}, "/refresh_token"),
    ],
)
def test_what_cannot_be_credentials_never_reaches_supabase(
    caller: Api, supabase: Supabase, path: str, body: dict[str, Any], pointer: str
):
    assert pointers(caller.post(path, body)) == [pointer]
    assert supabase.requests == []


def test_no_password_token_or_email_is_in_any_log_line(
    caller: Api, supabase: Supabase, logs: LogCapture, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    caller.post("/auth/sign-in", CREDENTIALS)
    caller.post("/auth/refresh", {"refresh_token": "good-one"})
    caller.post("/auth/sign-in", {**CREDENTIALS, "password": "another secret"})
    supabase.instead = Answer(422, {"code": "validation_failed", "message": f"{EMAIL} is invalid"}, VERSIONED)
    caller.post("/auth/sign-in", CREDENTIALS)
    supabase.instead = Answer(500, {"code": "unexpected_failure", "message": f"{EMAIL} broke it"}, VERSIONED)
    caller.post("/auth/sign-in", CREDENTIALS)

    said = str(logs.entries) + caplog.text
    assert [secret for secret in (*SECRETS, "another secret", "lab.example") if secret in said] == []
    assert {entry["event"] for entry in logs.entries} >= {"request", "sign_in_refused", "supabase_auth_failed"}
