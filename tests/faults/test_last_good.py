"""What visitors read while the database is away, and what nobody does."""

from __future__ import annotations

import pytest
from flask import Flask

from api.common.last_good import MAX_AGE_S, MAX_BYTES, _size
from app.services.minting import issue_token
from tests.faults.conftest import Server
from tests.faults.proxy import FaultyNetwork
from tests.plugins.api import Api
from tests.plugins.clock import Clock
from tests.plugins.database import SECRET

pytestmark = pytest.mark.machine
LIST = "/molecules?limit=5"


@pytest.fixture
def visitor(faulty_app: Flask) -> Api:
    """Give a visitor."""
    return Api(faulty_app.test_client())


@pytest.fixture
def service(faulty_app: Flask) -> Api:
    """Give the service role."""
    return Api(faulty_app.test_client(), issue_token(SECRET, role="service_role", ttl_s=3600))


def away(network: FaultyNetwork) -> None:
    network.refuses = True
    network.reset_all()


def test_a_visitor_is_given_what_was_answered_last(visitor: Api, network: FaultyNetwork):
    record = f"/molecules/{visitor.get(LIST).get_json()['data'][0]['id']}"
    good = [visitor.get(path) for path in (LIST, record)]
    away(network)

    copies = [visitor.get(path) for path in (LIST, record)]

    assert [copy.data for copy in copies] == [answer.data for answer in good]
    assert [copy.status_code for copy in copies] == [200, 200]
    for copy in copies:
        assert int(copy.headers["Age"]) < 60
        assert copy.headers["Warning"].startswith("110 ")
        assert (copy.headers["X-Degraded"], copy.headers["Cache-Control"]) == ("copy", "no-store")
    assert copies[1].headers["ETag"] == good[1].headers["ETag"]
    assert copies[0].headers["Link"] == good[0].headers["Link"]
    assert "X-Degraded" not in good[0].headers


def test_what_was_not_asked_before_is_503(visitor: Api, network: FaultyNetwork):
    visitor.get(LIST)
    away(network)

    refused = [visitor.get(path) for path in ("/molecules?limit=6", f"{LIST}&order_by=name", "/mixtures")]
    refused.append(visitor.get(LIST, headers={"Accept": "text/csv"}))

    assert {(answer.status_code, answer.headers.get("Retry-After")) for answer in refused} == {(503, "1")}


def test_nobody_is_given_what_others_read(visitor: Api, service: Api, server: Server, network: FaultyNetwork):
    ((key,),) = server.execute(
        "INSERT INTO public.molecules (name, kind, is_public) VALUES ('late private', 'polymer', false) RETURNING id"
    )
    assert service.get(f"/molecules/{key}").status_code == 200
    assert visitor.get(LIST).status_code == 200
    away(network)

    assert visitor.get(f"/molecules/{key}").status_code == 503
    # Nor is who has a token given a visitor's answer.
    assert service.get(LIST).status_code == 503
    server.execute("DELETE FROM public.molecules WHERE name = 'late private'")


def test_what_was_found_missing_is_not_given_again(visitor: Api, server: Server, network: FaultyNetwork):
    ((key,),) = server.execute(
        "INSERT INTO public.molecules (name, kind, is_public) VALUES ('late', 'polymer', true) RETURNING id"
    )
    assert visitor.get(f"/molecules/{key}").status_code == 200
    server.execute("DELETE FROM public.molecules WHERE name = 'late'")
    assert visitor.get(f"/molecules/{key}").status_code == 404
    away(network)

    assert visitor.get(f"/molecules/{key}").status_code == 503


def test_a_copy_is_given_until_it_is_too_old(visitor: Api, network: FaultyNetwork, clock: Clock):
    copies = visitor.client.application.extensions["cryoprotect"].last_good
    copies._clock = clock
    visitor.get(LIST)
    away(network)

    clock.now_s += MAX_AGE_S
    young = visitor.get(LIST)
    clock.now_s += 1
    old = visitor.get(LIST)

    assert (young.status_code, young.headers["Age"]) == (200, str(int(MAX_AGE_S)))
    assert old.status_code == 503


def test_writes_are_refused(service: Api, network: FaultyNetwork):
    away(network)

    assert service.post("/teams", {"name": "one"}).status_code == 503


def test_copies_have_a_limit(visitor: Api):
    copies = visitor.client.application.extensions["cryoprotect"].last_good

    for number in range(200):
        # About 200 kB each.
        assert (
            visitor.get(
                f"/molecules?limit=500&count=none&created_at__gt=2000-01-01T00:00:{number % 60:02}Z&name__gt={number}"
            ).status_code
            == 200
        )

    assert 0 < copies._bytes <= MAX_BYTES
    assert copies._bytes == sum(_size(key, copy.body) for key, copy in copies._copies.items())
    assert len(copies._copies) < 200
