"""What Supabase's REST interface answers while the database is away: to whom, to what, and what happens if it does not.

The interface is a little server that does what PostgREST does, on the same database by another road.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import jwt
import psycopg
import pytest
from flask import Flask
from werkzeug.test import TestResponse

from api.common.fallback import list_of, one_of
from app.domain.callers import SERVICE
from app.services.minting import issue_token
from app.services.seed_records import property_types
from database.fallback import FUNCTIONS, Fallback
from database.repositories.provenance import ProvenanceRepository
from database.urls import database_urls
from tests.database.rest_rows import RECORDS, add_records
from tests.faults.conftest import Server, app_behind
from tests.faults.proxy import FaultyNetwork
from tests.plugins.api import Api
from tests.plugins.database import SECRET, open_database
from tests.plugins.postgrest import KEY, PostgREST, serving
from tests.plugins.supabase_auth import Answer

pytestmark = pytest.mark.machine
ALICE: Final = UUID(int=101)
BOB: Final = UUID(int=102)
LISTS: Final = ("/molecules", "/mixtures", "/predictions", "/experiments", "/toxicity/results")
EMPTY_SQL: Final = """
TRUNCATE public.mixtures, public.experiments, public.predictions, public.toxicity_results, public.toxicity_assays,
    public.toxicity_endpoints, public.calculation_methods, public.proteins CASCADE;
DELETE FROM public.molecules WHERE created_by IN (%(alice)s, %(bob)s) OR created_at < '2026-01-02';
DELETE FROM public.user_profiles WHERE id IN (%(alice)s, %(bob)s);
DELETE FROM public.property_types
"""
# What has another shape, or is narrowed, counted, searched, in another format, or within something else.
NOT_PLAIN: Final = (
    "/molecules?name=glycerol",
    "/molecules?modified_after=2020-01-01",
    "/molecules?q=glycerol",
    "/molecules?count=exact",
    "/molecules?count=estimated",
    "/molecules?detail=full",
    "/molecules?only=id,name",
    "/molecules?include=fingerprint",
    "/molecules?include=mixtures",
    "/molecules?format=csv",
    "/molecules?format=ndjson&limit=5",
    "/toxicity/assays",
    "/toxicity/endpoints",
    "/toxicity/ranking",
)


@pytest.fixture(scope="module")
def rows(server: Server) -> Iterator[None]:
    """Store records of everybody's, of alice's and of bob's."""
    database = open_database(database_urls(server.url, None, SECRET))
    with database.transaction(SERVICE) as session:
        ProvenanceRepository(session).put_property_types(property_types())
    database.close()
    with psycopg.connect(server.url, autocommit=True) as admin:
        for owner in (None, ALICE, BOB):
            add_records(admin, owner)
        yield
        for statement in EMPTY_SQL.split(";"):
            admin.execute(statement.encode(), {"alice": ALICE, "bob": BOB})


@pytest.fixture
def supabase(server: Server) -> Iterator[PostgREST]:
    """Give Supabase."""
    with serving(database_urls(server.url, None, SECRET).request, SECRET) as made:
        yield made


@pytest.fixture
def app(server: Server, network: FaultyNetwork, supabase: PostgREST, rows: None, tmp_path: Path) -> Iterator[Flask]:
    """Give the real app of a Supabase project, behind the network."""
    with app_behind(
        network,
        server,
        tmp_path,
        jwt_issuer=f"{supabase.url}/auth/v1",
        supabase_url=supabase.url,
        supabase_key=KEY,
        # Nobody has to be waited for: the database is there at once, or not at all.
        pool_timeout_s=0.1,
    ) as application:
        yield application


@pytest.fixture
def visitor(app: Flask) -> Api:
    """Give a visitor."""
    return Api(app.test_client())


@pytest.fixture
def sign_in(app: Flask, supabase: PostgREST) -> Callable[..., Api]:
    """Give a maker of users whose token Supabase issued."""

    def sign(user: UUID, lives_s: int = 3600) -> Api:
        now_s = int(time.time())
        claims = {"iss": f"{supabase.url}/auth/v1", "aud": "authenticated", "role": "authenticated", "sub": str(user)}
        token = jwt.encode(claims | {"iat": now_s - 3600, "exp": now_s + lives_s}, SECRET, algorithm="HS256")
        return Api(app.test_client(), token, user)

    return sign


@pytest.fixture
def alice(sign_in: Callable[..., Api]) -> Api:
    """Give a user."""
    return sign_in(ALICE)


@pytest.fixture
def bob(sign_in: Callable[..., Api]) -> Api:
    """Give another, who shares nothing with alice."""
    return sign_in(BOB)


def away(network: FaultyNetwork) -> None:
    network.refuses = True
    network.reset_all()


def records(answer: TestResponse) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.get_json()["data"]
    return found


def pages(caller: Api, path: str) -> list[TestResponse]:
    """Return a list's pages from the first to the last, as their links lead."""
    answers = [caller.get(path)]
    while "Link" in answers[-1].headers:
        address = answers[-1].headers["Link"].partition(">")[0].lstrip("<")
        answers.append(caller.get(address.partition("/api/v1")[2]))
        assert len(answers) < 20
    return answers


def test_lists_and_records_are_answered_as_the_database_does(
    visitor: Api, alice: Api, bob: Api, network: FaultyNetwork, supabase: PostgREST
):
    paths = [f"{path}?limit={900 if path == '/molecules' else 4}" for path in LISTS]
    oldest = [(path, records(alice.get(f"{path}?order_by=created_at"))) for path in LISTS]
    singles = [f"{path}/{next(row['id'] for row in rows if row['created_by'])}" for path, rows in oldest]

    def asked() -> list[TestResponse]:
        return [
            answer
            for caller in (alice, bob, visitor)
            for path in (*paths, *(f"{path}&order_by=-id" for path in paths), *singles)
            for answer in pages(caller, path)
        ]

    good = asked()
    assert supabase.requests == []
    away(network)
    given = asked()

    for answer, first in zip(given, good, strict=True):
        assert answer.status_code == first.status_code
        if answer.status_code == 200:
            assert answer.data == first.data
            assert answer.headers.get("ETag") == first.headers.get("ETag")
            assert answer.headers.get("Link") == first.headers.get("Link")
            assert answer.headers["Warning"].startswith("110 ")
            assert (answer.headers["X-Degraded"], answer.headers["Cache-Control"]) == ("fallback", "no-store")
            assert "X-Degraded" not in first.headers
    assert {answer.status_code for answer in given} == {200, 404}
    assert {request["path"].rpartition("/")[2] for request in supabase.requests} == set(FUNCTIONS)


def test_the_next_page_is_given_whichever_way_the_first_came(alice: Api, network: FaultyNetwork):
    first = alice.get("/mixtures?limit=5&order_by=name")
    cursor = first.get_json()["page"]["next"]
    expected = alice.get(f"/mixtures?limit=5&order_by=name&cursor={cursor}")
    away(network)

    second = alice.get(f"/mixtures?limit=5&order_by=name&cursor={cursor}")
    again = alice.get("/mixtures?limit=5&order_by=name")

    assert second.data == expected.data
    assert second.headers["X-Degraded"] == "fallback"
    assert again.get_json()["page"]["next"] == cursor
    assert alice.get(f"/mixtures?limit=5&cursor={cursor}").status_code == 400


@pytest.mark.parametrize("path", LISTS)
def test_nobody_is_given_what_is_anothers(path: str, visitor: Api, alice: Api, bob: Api, network: FaultyNetwork):
    away(network)

    seen = {
        caller: {record["id"] for record in records(caller.get(f"{path}?limit=1000&order_by=created_at"))[:900]}
        for caller in (alice, bob, visitor)
    }
    alices = seen[alice] - seen[visitor]

    assert len(alices) == RECORDS
    assert not alices & (seen[bob] | seen[visitor])
    for key in alices:
        assert alice.get(f"{path}/{key}").status_code == 200
        for other in (bob, visitor):
            refused = other.get(f"{path}/{key}")
            assert refused.status_code == 404
            assert refused.get_json()["detail"].endswith("is visible to you")


def test_callers_at_once_are_each_answered_with_their_own(
    app: Flask, visitor: Api, alice: Api, bob: Api, network: FaultyNetwork
):
    path = "/mixtures?limit=1000"
    expected = {caller: caller.get(path).data for caller in (visitor, alice, bob)}
    assert len(set(expected.values())) == 3
    away(network)
    turns = [visitor, alice, bob] * 30

    with ThreadPoolExecutor(6) as threads:
        given = list(threads.map(lambda caller: replace(caller, client=app.test_client()).get(path), turns))

    assert [answer.data for answer in given] == [expected[caller] for caller in turns]
    assert {answer.headers["X-Degraded"] for answer in given} == {"fallback"}


def test_whoever_has_the_representation_is_told_so(alice: Api, network: FaultyNetwork):
    path = f"/mixtures/{records(alice.get('/mixtures'))[0]['id']}"
    tag = alice.get(path).headers["ETag"]
    away(network)

    same = alice.get(path, headers={"If-None-Match": tag})
    head = alice.request("HEAD", path)

    assert (same.status_code, same.data, same.headers["ETag"]) == (304, b"", tag)
    assert (head.status_code, head.data, head.headers["ETag"]) == (200, b"", tag)
    assert same.headers["X-Degraded"] == head.headers["X-Degraded"] == "fallback"


@pytest.mark.parametrize("path", NOT_PLAIN)
def test_what_is_not_plain_is_503(path: str, alice: Api, network: FaultyNetwork, supabase: PostgREST):
    assert alice.get(path).status_code == 200
    away(network)

    refused = alice.get(path)

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert supabase.requests == []


def test_what_is_within_a_record_is_503(alice: Api, network: FaultyNetwork, supabase: PostgREST):
    key = records(alice.get("/molecules?order_by=inchikey"))[0]["id"]
    parts = ("mixtures", "experiments", "predictions", "toxicity", "properties", "structure.svg")
    paths = [f"/molecules/{key}?detail=full", *(f"/molecules/{key}/{part}" for part in parts)]
    assert {alice.get(path).status_code for path in paths} == {200}
    away(network)

    assert {alice.get(path).status_code for path in paths} == {503}
    assert alice.get("/molecules", headers={"Accept": "text/csv"}).status_code == 503
    assert supabase.requests == []
    # What says only what is so anyway is plain.
    assert alice.get(f"/molecules/{key}?detail=standard").status_code == 200
    assert alice.get("/molecules?detail=standard&count=none&format=json").status_code == 200


def test_ten_addresses_are_answered_this_way_and_no_other(app: Flask):
    served = Fallback("http://127.0.0.1:9", KEY)
    found = set()
    for rule in app.url_map.iter_rules():
        resource = getattr(app.view_functions[rule.endpoint], "view_class", None)
        view = getattr(resource, "get", None)
        for kind in (one_of, list_of):
            listing = kind(view) if view else None
            if listing and served.gives(listing):
                found.add(rule.rule.removeprefix("/api/v1"))
    served.close()

    singles = {"molecules": "molecule", "mixtures": "mixture", "predictions": "prediction", "experiments": "experiment"}
    assert found == {
        *LISTS,
        *(f"/{path}/<uuid:{name}_id>" for path, name in singles.items()),
        "/toxicity/results/<uuid:result_id>",
    }


def test_tokens_of_ours_go_nowhere(app: Flask, network: FaultyNetwork, supabase: PostgREST):
    own = [
        Api(app.test_client(), issue_token(SECRET, role="authenticated", ttl_s=3600, sub=ALICE)),
        Api(app.test_client(), issue_token(SECRET, role="service_role", ttl_s=3600)),
    ]
    assert [caller.get("/mixtures").status_code for caller in own] == [200, 200]
    away(network)

    assert [caller.get("/mixtures").status_code for caller in own] == [503, 503]
    assert supabase.requests == []


def test_a_visitor_is_read_for_with_the_public_key(
    visitor: Api, alice: Api, network: FaultyNetwork, supabase: PostgREST
):
    public = Api(visitor.client, issue_token(SECRET, role="anon", ttl_s=3600))
    away(network)

    answers = [caller.get("/mixtures") for caller in (visitor, alice)]

    assert [answer.status_code for answer in answers] == [200, 200]
    sent = [request["headers"] for request in supabase.requests]
    assert [headers["authorization"] for headers in sent] == [f"Bearer {KEY}", f"Bearer {alice.token}"]
    assert {headers["apikey"] for headers in sent} == {KEY}
    assert not any("cookie" in headers for headers in sent)
    # A key of ours in the form of a token has a jti, and nobody can tell whether it was revoked.
    assert public.get("/mixtures").status_code == 503


def test_a_token_past_its_end_is_503_as_long_as_it_is_good_here(
    sign_in: Callable[..., Api], network: FaultyNetwork, supabase: PostgREST
):
    late = sign_in(ALICE, lives_s=-5)
    assert late.get("/mixtures").status_code == 200
    away(network)

    refused = late.get("/mixtures")

    assert refused.status_code == 503
    assert len(supabase.requests) == 1
    # It says nothing of the interface, which goes on being asked.
    assert sign_in(ALICE).get("/mixtures").status_code == 200


def test_writes_are_refused_and_go_nowhere(alice: Api, network: FaultyNetwork, supabase: PostgREST):
    record = records(alice.get("/mixtures?order_by=-created_at"))[0]["id"]
    away(network)

    answers = [
        alice.post("/mixtures", {"name": "new", "components": [{"molecule_id": record, "amount": 1, "unit": "mol/L"}]}),
        alice.patch(f"/mixtures/{record}", {"name": "other"}, headers={"If-Match": "*"}),
        alice.delete(f"/mixtures/{record}", headers={"If-Match": "*"}),
    ]

    assert {(answer.status_code, answer.headers.get("Retry-After")) for answer in answers} == {(503, "1")}
    assert supabase.requests == []


FAILURES: Final = {
    "the database is away there, too": Answer(503, {"code": "PGRST000", "message": "Could not connect", "hint": None}),
    "no connection in time": Answer(504, {"code": "PGRST003", "message": "Timed out", "details": None, "hint": None}),
    "a token expired": Answer(401, {"code": "PGRST303", "message": "JWT expired", "details": None, "hint": None}),
    "a token not understood": Answer(401, {"code": "PGRST301", "message": "JWSError", "details": None, "hint": None}),
    "no such function": Answer(404, {"code": "PGRST202", "message": "Could not find", "details": None, "hint": None}),
    "not permitted": Answer(403, {"code": "42501", "message": "permission denied", "details": None, "hint": None}),
    "too many requests": Answer(429, {"message": "rate limit"}),
    "a gateway's page": Answer(502, b"<html><h1>Bad gateway</h1></html>", {"Content-Type": "text/html"}),
    "a page with 200": Answer(200, b"<html>Welcome</html>", {"Content-Type": "text/html"}),
    "nothing with 200": Answer(200, b""),
    "nothing with 204": Answer(204, b""),
    "null": Answer(200, b"null"),
    "an empty list": Answer(200, b"[]"),
    "an empty object": Answer(200, b"{}"),
    "records of another shape": Answer(200, {"records": [{"id": 1}]}),
    "half a record": Answer(200, {"records": [{"document": None, "version": 1}]}),
    "half a JSON text": Answer(200, b'{"records": [{"document": "{'),
    "elsewhere": Answer(302, b"", {"Location": "http://127.0.0.1:9/"}),
    "an error that is no object": Answer(400, b"[1, 2]"),
    "deep": Answer(200, b"[" * 100_000),
    "not UTF-8": Answer(200, b"\xff\xfe"),
}


@pytest.mark.parametrize("answer", FAILURES.values(), ids=FAILURES)
def test_whatever_else_it_answers_is_503(
    answer: Answer, visitor: Api, alice: Api, network: FaultyNetwork, supabase: PostgREST
):
    key = records(visitor.get("/mixtures"))[0]["id"]
    supabase.instead = answer
    away(network)

    refused = [alice.get("/mixtures"), alice.get(f"/mixtures/{key}")]

    assert {(answer.status_code, answer.headers["Retry-After"]) for answer in refused} == {(503, "1")}
    assert {answer.get_json()["code"] for answer in refused} == {"database_unavailable"}
    # A visitor is given what was answered last.
    assert visitor.get("/mixtures").headers["X-Degraded"] == "copy"
    assert visitor.get("/mixtures?limit=7").status_code == 503
    assert 1 <= len(supabase.requests) <= 4


def test_half_an_answer_is_503(alice: Api, network: FaultyNetwork, supabase: PostgREST):
    supabase.instead, supabase.announced = Answer(200, {"records": []}), 5000
    away(network)

    assert alice.get("/mixtures").status_code == 503


def test_nobody_waits_twice_for_one_that_is_silent(app: Flask, alice: Api, network: FaultyNetwork, supabase: PostgREST):
    app.extensions["cryoprotect"].fallback.close()
    app.extensions["cryoprotect"] = replace(
        app.extensions["cryoprotect"], fallback=Fallback(supabase.url, KEY, timeout_s=0.5)
    )
    away(network)
    assert {alice.get("/mixtures").status_code for _ in range(10)} == {200}
    asked = len(supabase.requests)
    supabase.instead = Answer(delay_s=1.0)

    started_s = time.monotonic()
    answers = [alice.get("/mixtures") for _ in range(10)]

    assert {answer.status_code for answer in answers} == {503}
    assert len(supabase.requests) == asked + 1
    # Once for it, and once or twice for the database.
    assert time.monotonic() - started_s < 2.0


def test_one_that_refuses_connections_is_503(app: Flask, alice: Api, visitor: Api, network: FaultyNetwork):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nowhere = f"http://127.0.0.1:{listener.getsockname()[1]}"
    app.extensions["cryoprotect"].fallback.close()
    app.extensions["cryoprotect"] = replace(app.extensions["cryoprotect"], fallback=Fallback(nowhere, KEY))
    away(network)

    assert [caller.get("/mixtures").status_code for caller in (alice, visitor)] == [503, 503]


def test_nothing_that_it_answers_is_kept(visitor: Api, alice: Api, network: FaultyNetwork, supabase: PostgREST):
    away(network)
    assert [caller.get("/mixtures?limit=3").status_code for caller in (alice, visitor)] == [200, 200]
    supabase.instead = Answer(503)

    assert [caller.get("/mixtures?limit=3").status_code for caller in (alice, visitor)] == [503, 503]


def test_what_it_does_not_find_is_given_to_no_visitor_afterwards(
    visitor: Api, server: Server, network: FaultyNetwork, supabase: PostgREST
):
    ((key,),) = server.execute(
        "INSERT INTO public.molecules (name, kind, is_public) VALUES ('withdrawn', 'polymer', true) RETURNING id"
    )
    assert visitor.get(f"/molecules/{key}").status_code == 200
    server.execute("DELETE FROM public.molecules WHERE name = 'withdrawn'")
    away(network)

    assert visitor.get(f"/molecules/{key}").status_code == 404
    supabase.instead = Answer(503)
    assert visitor.get(f"/molecules/{key}").status_code == 503


def test_the_database_answers_again_when_it_is_back(alice: Api, network: FaultyNetwork, supabase: PostgREST):
    away(network)
    assert alice.get("/mixtures").headers["X-Degraded"] == "fallback"
    network.heal()
    deadline_s = time.monotonic() + 10

    while "X-Degraded" in (answer := alice.get("/mixtures")).headers and time.monotonic() < deadline_s:
        assert answer.status_code == 200
        time.sleep(0.05)

    asked = len(supabase.requests)
    assert (alice.get("/mixtures").status_code, "X-Degraded" in answer.headers) == (200, False)
    assert len(supabase.requests) == asked


@pytest.mark.parametrize(
    ("changes", "is_there"),
    [({}, True), ({"supabase_rest": False}, False), ({"supabase_key": None}, False), ({"supabase_url": None}, False)],
    ids=["project", "turned off", "no key", "no address"],
)
def test_it_is_asked_where_a_project_is_configured(
    make_app: Callable[..., Flask], changes: dict[str, Any], *, is_there: bool
):
    made = make_app(**{"supabase_url": "http://127.0.0.1:9", "supabase_key": KEY, **changes})

    assert (made.extensions["cryoprotect"].fallback is not None) is is_there


def test_a_record_that_is_nowhere_is_404(alice: Api, network: FaultyNetwork):
    key = uuid4()
    away(network)

    missing = alice.get(f"/toxicity/results/{key}")

    assert (missing.status_code, missing.get_json()["detail"]) == (404, f"no toxicity result {key} is visible to you")
