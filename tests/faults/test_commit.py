"""The moment between a COMMIT and its answer: only who has an Idempotency-Key is spared it."""

from __future__ import annotations

from uuid import uuid4

import pytest
from flask import Flask

from app.services.minting import issue_token
from tests.faults.conftest import Server
from tests.faults.proxy import FaultyNetwork
from tests.plugins.api import Api
from tests.plugins.database import SECRET

pytestmark = pytest.mark.machine


@pytest.fixture
def user(faulty_app: Flask) -> Api:
    """Give a user who has written before."""
    user_id = uuid4()
    api = Api(faulty_app.test_client(), issue_token(SECRET, role="authenticated", ttl_s=3600, sub=user_id), user_id)
    assert api.post("/teams", {"name": "before"}).status_code == 201
    return api


def _stored(server: Server) -> list[tuple[object, ...]]:
    return server.execute("SELECT name FROM public.teams WHERE name <> 'before'")


def test_with_a_key_the_answer_is_found(user: Api, server: Server, network: FaultyNetwork):
    network.loses_commits = 1

    response = user.post("/teams", {"name": "kept"}, headers={"Idempotency-Key": "a key"})

    assert (response.status_code, response.headers["Idempotent-Replayed"]) == (201, "true")
    assert network.lost_commits == 1
    assert _stored(server) == [("kept",)]


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_without_a_key_the_client_is_told_that_nobody_knows(
    user: Api, server: Server, network: FaultyNetwork, method: str
):
    path = "/teams" if method == "POST" else user.get("/teams").get_json()["data"][0]["id"]
    network.loses_commits = 1

    response = user.request(
        method,
        path if method == "POST" else f"/teams/{path}",
        json={"name": "perhaps"},
        headers={} if method == "POST" else {"If-Match": "*"},
    )

    assert (response.status_code, response.get_json()["code"]) == (503, "outcome_unknown")
    assert response.headers["Retry-After"] == "1"
    assert network.lost_commits == 1
    assert _stored(server) == [("perhaps",)]
