"""Who may call what: tokens on every route, access marks on every view, scopes of service tokens."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import jwt
import pytest
from flask import Blueprint, Flask
from werkzeug.datastructures import Headers

from api import registry
from api.common import access
from api.common.resource import Api as ResourceApi
from api.common.resource import Resource
from app.services.minting import issue_token
from tests.api.bodies import DMSO
from tests.api.problems import problem
from tests.plugins.api import Api
from tests.plugins.database import SECRET

NOBODY = "00000000-0000-0000-0000-000000000000"
MOLECULE = f"/molecules/{NOBODY}"
TEAM = f"/teams/{NOBODY}"
PROJECT = f"/projects/{NOBODY}"
PUBLIC_READS = (
    "/molecules",
    MOLECULE,
    f"{MOLECULE}/properties",
    f"{MOLECULE}/structure.svg",
    "/version",
    "/limits",
    "/me",
)
ROUTES = [
    *(("GET", path) for path in PUBLIC_READS),
    ("POST", "/molecules"),
    ("POST", "/molecules/batch"),
    ("POST", "/molecules/lookup"),
    ("PATCH", MOLECULE),
    ("DELETE", MOLECULE),
    ("PUT", f"{MOLECULE}/properties"),
    ("POST", "/imports/records"),
    ("PATCH", "/me"),
    *(("GET", path) for path in ("/teams", TEAM, f"{TEAM}/members", f"{TEAM}/members/{NOBODY}")),
    *(("GET", path) for path in ("/projects", PROJECT, f"{PROJECT}/teams", f"{PROJECT}/teams/{NOBODY}")),
    ("GET", f"{PROJECT}/molecules"),
    ("POST", "/teams"),
    ("POST", "/projects"),
    *((method, path) for path in (TEAM, PROJECT) for method in ("PATCH", "DELETE")),
    *(
        (method, f"{path}/{NOBODY}")
        for path in (f"{TEAM}/members", f"{PROJECT}/teams", f"{PROJECT}/molecules")
        for method in ("PUT", "DELETE")
    ),
]
MARKER = "dGhpcy1pcy1teS10b2tlbg"
BAD_HEADERS = {
    "garbage": f"Bearer {MARKER}",
    "basic": f"Basic {MARKER}",
    "no scheme": MARKER,
    "empty": "",
    "scheme only": "Bearer",
    "empty bearer": "Bearer ",
    "two tokens": f"Bearer {MARKER} {MARKER}",
    "publishable key": f"Bearer sb_publishable_{MARKER}",
    "secret key": f"Bearer sb_secret_{MARKER}",
    "three parts": f"Bearer {MARKER}.{MARKER}.{MARKER}",
    "64 kB": "Bearer " + MARKER * 3000,
    "not ASCII": f"Bearer {MARKER}é",
}


@pytest.fixture(scope="session")
def elsewhere() -> str:
    """Give the address of a database that nobody serves."""
    return "postgresql://postgres@127.0.0.1:9/nothing?connect_timeout=1"


@pytest.mark.parametrize("header", BAD_HEADERS.values(), ids=BAD_HEADERS)
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_header_that_is_present_but_invalid_is_401_on_every_route(visitor: Api, method: str, path: str, header: str):
    response = visitor.request(method, path, headers={"Authorization": header})

    problem(response, 401)
    assert response.headers["WWW-Authenticate"].startswith("Bearer ")
    assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
    assert MARKER not in response.text
    assert MARKER not in str(response.headers)


@pytest.mark.parametrize("path", ["//openapi.json", "//docs"])
def test_a_bad_token_is_401_on_pages_beside_the_api_too(visitor: Api, path: str):
    problem(visitor.get(path, headers={"Authorization": "Bearer bad"}), 401)


@pytest.mark.parametrize("path", ["//health/live", "//health/ready"])
def test_a_probe_is_answered_whatever_token_it_sends(visitor: Api, path: str):
    assert visitor.get(path, headers={"Authorization": "Bearer bad"}).status_code == 200


def test_the_mark_of_a_view_that_is_a_plain_function_is_enforced(make_app: Callable[..., Flask], member: Api):
    app = make_app()
    app.add_url_rule("/inner", "inner", access.service("imports:write")(lambda: "inner"))
    access.enforce(app)
    caller = Api(app.test_client())

    problem(caller.get("//inner"), 401, "token_required")
    problem(Api(caller.client, member.token).get("//inner"), 403, "role_not_permitted")
    assert Api(caller.client, issue_token(SECRET, role="service_role", ttl_s=60)).get("//inner").text == "inner"


def test_two_authorization_headers_are_401_even_if_each_would_do(visitor: Api):
    token = issue_token(SECRET, role="authenticated", ttl_s=60, sub=uuid4())
    headers = Headers([("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")])

    response = visitor.client.get("/api/v1/molecules", headers=headers)

    problem(response, 401, "token_invalid")
    assert token not in response.text


def test_an_expired_token_is_401_and_does_not_fall_back_to_anon(visitor: Api):
    token = issue_token(SECRET, role="authenticated", ttl_s=60, sub=uuid4(), now=time.time() - 3600)

    response = visitor.get("/molecules", headers={"Authorization": f"Bearer {token}"})

    problem(response, 401, "token_expired")
    assert token not in response.text


def test_a_token_signed_by_somebody_else_is_401(visitor: Api):
    token = issue_token("another secret, as long as ours is, but another", role="service_role", ttl_s=60)

    problem(visitor.get("/molecules", headers={"Authorization": f"Bearer {token}"}), 401)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_may_be_written_in_any_case(visitor: Api, scheme: str):
    token = issue_token(SECRET, role="service_role", ttl_s=60)

    response = visitor.get("/me", headers={"Authorization": f"{scheme} {token}"})

    assert response.get_json()["role"] == "service_role"


def test_a_signed_token_of_role_anon_needs_neither_subject_nor_audience(visitor: Api):
    token = jwt.encode({"role": "anon", "exp": int(time.time()) + 60}, SECRET, algorithm="HS256")

    response = visitor.get("/me", headers={"Authorization": f"Bearer {token}"})

    assert response.get_json() == {"role": "anon", "user_id": None, "display_name": None, "scopes": None}


def test_a_bad_token_costs_no_database_connection(make_app: Callable[..., Flask], elsewhere: str):
    caller = Api(make_app(database_url=elsewhere, pool_timeout_s=0.2).test_client(), MARKER)

    problem(caller.get("/molecules"), 401)
    problem(caller.post("/molecules", DMSO), 401)
    problem(Api(caller.client).get("/molecules"), 503, "database_unavailable")


def test_without_a_token_a_write_is_401_and_asks_for_one(visitor: Api):
    response = visitor.post("/molecules", DMSO)

    problem(response, 401, "token_required")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="cryoprotect"'


@pytest.mark.parametrize(
    ("method", "path"), [(method, path) for method, path in ROUTES if method != "GET" and "lookup" not in path]
)
def test_no_write_is_open_to_anon(visitor: Api, method: str, path: str):
    problem(visitor.request(method, path, json={}), 401, "token_required")


def test_a_user_is_403_where_only_the_service_may_go(member: Api):
    problem(member.post("/imports/records?source=chembl", {"molecules": []}), 403, "role_not_permitted")


@pytest.mark.parametrize(("method", "path"), [(m, p) for m, p in ROUTES if m != "GET" and "lookup" not in p])
def test_a_service_token_with_another_scope_is_403_on_every_write(visitor: Api, method: str, path: str):
    token = issue_token(SECRET, role="service_role", ttl_s=60, scopes=["mixtures:write"])

    response = visitor.request(method, path, json={}, headers={"Authorization": f"Bearer {token}"})

    problem(response, 403, "scope_missing")


def test_a_token_with_no_scope_at_all_reads_but_does_not_write(visitor: Api):
    caller = Api(visitor.client, issue_token(SECRET, role="service_role", ttl_s=60, scopes=[]))

    assert caller.get("/molecules").status_code == 200
    problem(caller.post("/molecules", DMSO), 403, "scope_missing")


def test_a_users_token_is_bound_by_its_scopes_too(visitor: Api):
    token = issue_token(SECRET, role="authenticated", ttl_s=60, sub=uuid4(), scopes=["imports:write"])

    problem(Api(visitor.client, token).post("/molecules", DMSO), 403, "scope_missing")


def test_a_service_token_with_the_scope_may_write(service: Api):
    token = issue_token(SECRET, role="service_role", ttl_s=60, scopes=["molecules:write"])

    assert Api(service.client, token).post("/molecules", DMSO).status_code == 201


def test_a_service_token_for_molecules_may_not_import(visitor: Api):
    caller = Api(visitor.client, issue_token(SECRET, role="service_role", ttl_s=60, scopes=["molecules:write"]))

    problem(caller.post("/imports/records?source=chembl", {"molecules": []}), 403, "scope_missing")


def test_every_view_of_the_app_says_who_may_call_it(app: Flask):
    access.check(app)

    resources = [view for view in app.view_functions.values() if hasattr(view, "view_class")]
    assert len(resources) >= 8


def test_start_up_refuses_a_view_without_a_mark_by_name():
    app = Flask(__name__, static_folder=None)
    app.add_url_rule("/open", "wide_open", lambda: "hello")

    with pytest.raises(RuntimeError, match="wide_open"):
        access.check(app)


def test_start_up_refuses_a_resource_of_which_one_method_bears_no_mark(monkeypatch: pytest.MonkeyPatch):
    class HalfMarked(Resource):
        @access.public
        def get(self) -> None:
            """Read."""

        def delete(self) -> None:
            """Delete, open to whoever finds it."""

    blueprint = Blueprint("half", __name__)
    ResourceApi(blueprint).add_resource(HalfMarked, "/half")
    monkeypatch.setattr(registry, "BLUEPRINTS", (*registry.BLUEPRINTS, blueprint))

    with pytest.raises(RuntimeError, match=r"half\.halfmarked\.delete$"):
        registry.register(Flask(__name__, static_folder=None))


def test_flasks_own_static_folder_would_be_refused():
    with pytest.raises(RuntimeError, match="static"):
        access.check(Flask(__name__, static_folder="anything"))


def test_a_view_whose_mark_went_missing_after_start_up_answers_500_and_not_the_data(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
):
    app = make_app()
    view: Any = app.view_functions["system.versionresource"]
    monkeypatch.setattr(view.view_class, "get", lambda _self: "secret")

    response = Api(app.test_client()).get("/version")

    problem(response, 500)
    assert "secret" not in response.text
