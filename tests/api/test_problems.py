"""Errors: problem+json on every path and from every layer, which says what to mend and nothing of the inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import structlog
from flask import Flask
from psycopg import sql
from structlog.testing import LogCapture

from api.common import access, errors
from database.repositories.molecules import MoleculeReader
from tests.api.bodies import DMSO
from tests.api.problems import pointers, problem
from tests.plugins.api import Api

NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    "path",
    [
        "//",
        "//nothing",
        "//api",
        "//api/v1",
        "//api/v2/molecules",
        "/nothing",
        "/molecules/",
        "/molecules/not-a-uuid",
        f"/molecules/{NOBODY}/nothing",
        f"/molecules/{NOBODY}/structure.png",
        "/molecules/%00",
        "/molecules/..%2f..%2fetc%2fpasswd",
        "//static/app.js",
        "//health",
        "//health/ready/",
    ],
)
def test_an_unknown_address_is_a_404_problem(visitor: Api, path: str):
    problem(visitor.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/molecules/{NOBODY}"),
        ("GET", f"/molecules/{NOBODY}?detail=full"),
        ("GET", f"/molecules/{NOBODY}/properties"),
        ("GET", f"/molecules/{NOBODY}/properties/density"),
        ("GET", f"/molecules/{NOBODY}/structure.svg"),
        ("PATCH", f"/molecules/{NOBODY}"),
        ("DELETE", f"/molecules/{NOBODY}"),
    ],
)
def test_a_record_that_is_not_there_is_a_404_problem(operator: Api, method: str, path: str):
    arguments: dict[str, Any] = {} if method == "GET" else {"json": {"name": "x"}, "headers": {"If-Match": "*"}}

    problem(operator.request(method, path, **arguments), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/molecules", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("DELETE", "/molecules", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("PATCH", "/molecules/lookup", {"OPTIONS", "POST"}),
        ("GET", "/molecules/batch", {"OPTIONS", "POST"}),
        ("GET", "/imports/records", {"OPTIONS", "POST"}),
        ("POST", f"/molecules/{NOBODY}", {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH"}),
        ("PUT", f"/molecules/{NOBODY}", {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH"}),
        ("TRACE", "/molecules", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("QUERY", "/molecules", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("POST", "//health/live", {"GET", "HEAD", "OPTIONS"}),
        ("DELETE", "//openapi.json", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_a_method_that_is_not_there_is_a_405_problem_that_names_those_that_are(
    visitor: Api, method: str, path: str, allowed: set[str]
):
    response = visitor.request(method, path)

    problem(response, 405, "method_not_allowed")
    assert {name.strip() for name in response.headers["Allow"].split(",")} == allowed


def test_a_problem_names_the_path_without_its_parameters(visitor: Api):
    body = problem(visitor.get("/nothing?secret=1"), 404)

    assert body["instance"] == "/api/v1/nothing"
    assert body["type"] == "about:blank"
    assert body["title"] == "Not found"


@pytest.mark.parametrize(
    "path", ["/molecules", "/molecules/batch", "/molecules/lookup", "/imports/records?source=chembl"]
)
@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        ("text/plain", None),
        ("application/x-www-form-urlencoded", None),
        ("multipart/form-data; boundary=x", None),
        ("application/xml", None),
        ("application/json5", None),
        (None, None),
        ("application/json", "gzip"),
        ("application/json", "br"),
        ("application/json", "identity, gzip"),
    ],
)
def test_a_body_of_another_type_or_encoding_is_a_415_problem(
    operator: Api, path: str, content_type: str | None, encoding: str | None
):
    headers = {"Content-Encoding": encoding} if encoding else {}

    response = operator.post(path, data=b'{"name": "x"}', content_type=content_type, headers=headers)

    body = problem(response, 415, "unsupported_media_type")
    assert "application/json" in body["detail"]


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON"])
def test_the_media_type_is_read_without_its_parameters_and_in_any_case(visitor: Api, content_type: str):
    response = visitor.post("/molecules/lookup", data=b'{"cids": [679]}', content_type=content_type)

    assert response.status_code == 200


def test_an_encoding_that_changes_nothing_is_taken(visitor: Api):
    headers = {"Content-Encoding": "identity"}

    assert visitor.post("/molecules/lookup", {"cids": [679]}, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "body", [b"", b"   ", b"{", b'{"name": }', b"name=x", b"\xff\xfe{}", b"{} {}", b"'x'", b"\xef\xbb\xbf{}"]
)
def test_a_body_that_is_no_json_is_a_400_problem(operator: Api, body: bytes):
    problem(operator.post("/molecules", data=body, content_type="application/json"), 400, "malformed_json")


def test_malformed_json_is_400_with_the_place_and_without_the_text(operator: Api):
    response = operator.post("/molecules", data=b'{"name": "hush",}', content_type="application/json")

    body = problem(response, 400, "malformed_json")
    assert "line 1" in body["detail"]
    assert "hush" not in response.text


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"x"', b"true"])
def test_json_of_another_kind_than_an_object_is_422(operator: Api, body: bytes):
    response = operator.post("/molecules", data=body, content_type="application/json")

    assert pointers(response) == [""]


def test_the_pointers_of_a_422_lead_to_each_fault(operator: Api):
    response = operator.post(
        "/molecules",
        {
            "name": "",
            "smiles": "CCO",
            "identifiers": [{"source": "cas", "kind": "cas_number", "external_id": "64-17-5"}, {"source": "CAS"}],
            "properties": [{"property_type": "density"}],
            "a/b~c": 1,
        },
    )

    assert set(pointers(response)) == {
        "/name",
        "/identifiers/1/source",
        "/identifiers/1/kind",
        "/identifiers/1/external_id",
        "/properties/0/value",
        "/a~1b~0c",
    }


@pytest.mark.parametrize("path", ["/molecules", "/version", "/me", "/limits", f"/molecules/{NOBODY}"])
def test_an_unknown_parameter_is_400_and_the_known_ones_are_named(visitor: Api, path: str):
    body = problem(visitor.get(f"{path}?colour=red"), 400, "unknown_parameter")

    assert "'colour'" in body["detail"]
    assert "known: " in body["detail"]


def test_a_parameter_on_a_write_is_400(operator: Api):
    problem(operator.post("/molecules?is_public=true", DMSO), 400, "unknown_parameter")


@pytest.mark.parametrize("accept", ["image/png", "application/problem+json", "text/html", "text/csv;q=0", "nonsense"])
def test_a_format_that_is_not_offered_is_406_and_the_offered_ones_are_named(visitor: Api, accept: str):
    body = problem(visitor.get("/molecules", headers={"Accept": accept}), 406, "not_acceptable")

    assert "application/x-ndjson" in body["detail"]


def test_an_unexpected_error_is_a_500_problem_that_tells_its_request_id_and_nothing_else(
    make_app: Callable[..., Flask],
):
    app = make_app()

    @app.get("/broken")
    @access.public
    def broken() -> str:
        msg = 'duplicate key value in table "molecules": SELECT secret FROM private.keys at /srv/app/keys.py'
        raise RuntimeError(msg)

    response = Api(app.test_client()).get("//broken")

    body = problem(response, 500, "internal_error")
    assert body["detail"] == "an error of our own; it has been logged under this request_id"
    assert "secret" not in response.text


def test_a_fault_of_our_own_sql_is_a_500_problem_without_the_sql(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
):
    def broken(reader: MoleculeReader, *_: object) -> object:
        return reader._session.rows("SELECT no_such_column FROM public.molecules", {})

    monkeypatch.setattr(MoleculeReader, "get", broken)

    response = Api(make_app().test_client()).get(f"/molecules/{NOBODY}")

    problem(response, 500, "internal_error")
    assert "no_such_column" not in response.text


def test_a_log_line_of_an_unexpected_error_bears_the_request_id(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
):
    logs = LogCapture()
    monkeypatch.setattr(errors, "LOG", structlog.wrap_logger(None, processors=[logs]))
    app = make_app()
    app.add_url_rule("/broken", "broken", access.public(lambda: str(1 / 0)))

    response = Api(app.test_client()).get("//broken", headers={"X-Request-ID": "find-me-again"})

    problem(response, 500)
    (entry,) = logs.entries
    assert entry["request_id"] == "find-me-again"
    assert isinstance(entry["exc_info"], ZeroDivisionError)


@pytest.mark.parametrize("setting", ["lock_timeout", "statement_timeout"])
def test_a_statement_that_takes_too_long_is_503_with_retry_after(
    service: Api, admin: psycopg.Connection, make_app: Callable[..., Flask], setting: str
):
    address = service.post("/molecules", DMSO).headers["Location"]
    role = sql.SQL("ALTER ROLE cryoprotect_service IN DATABASE {} {} {}")
    name, option = sql.Identifier(admin.info.dbname), sql.Identifier(setting)
    admin.execute(role.format(name, sql.SQL("SET"), sql.SQL("{} = '100ms'").format(option)))
    try:
        patient = Api(make_app().test_client(), service.token)
        with admin.transaction():
            admin.execute("SELECT FROM molecules FOR UPDATE")
            response = patient.patch(address.removeprefix("/api/v1"), {"name": "x"}, headers={"If-Match": "*"})
    finally:
        admin.execute(role.format(name, sql.SQL("RESET"), option))

    problem(response, 503, "database_busy")
    assert int(response.headers["Retry-After"]) >= 1


def test_an_unseen_record_and_an_absent_one_get_the_same_answer(alice: Api, bob: Api):
    created = alice.post("/molecules", DMSO).get_json()["id"]
    absent = str(uuid4())

    unseen = problem(bob.get(f"/molecules/{created}"), 404)
    missing = problem(bob.get(f"/molecules/{absent}"), 404)

    for body in (unseen, missing):
        del body["request_id"]
    assert str(unseen).replace(created, "") == str(missing).replace(absent, "")
