"""Imports over HTTP: asked for, shown, stopped and tried again, by the service role alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from flask import Flask

from app.services.minting import issue_token
from tests.api.problems import pointers, problem
from tests.plugins.api import Api
from tests.plugins.database import SECRET

FILE: dict[str, Any] = {"source": "file", "url": "https://ftp.ebi.ac.uk/pub/chembl_36_chemreps.txt.gz"}
CHEMBL: dict[str, Any] = {"source": "chembl", "release": "ChEMBL_36", "options": {"ids": "CHEMBL1-CHEMBL1000,CHEMBL25"}}
PUBCHEM: dict[str, Any] = {"source": "pubchem", "options": {"names": ["glycerol", "DMSO"], "measurements": True}}
TOX21: dict[str, Any] = {"source": "tox21", "url": "https://ftp.ebi.ac.uk/pub/tox21.csv.gz"}
NOBODY = UUID(int=0)
Jobs = Callable[[], list[tuple[str, int]]]


def asked(caller: Api, body: dict[str, Any] = FILE) -> str:
    response = caller.post("/imports", body)
    assert response.status_code == 202, response.text
    return str(response.get_json()["id"])


@pytest.mark.parametrize(
    ("body", "source", "parameters"),
    [
        (FILE, "ftp.ebi.ac.uk/pub/chembl_36_chemreps.txt.gz", {**FILE, "release": "", "columns": {}}),
        (
            {**FILE, "columns": {"smiles": "canonical_smiles"}},
            "ftp.ebi.ac.uk/pub/chembl_36_chemreps.txt.gz",
            {**FILE, "release": "", "columns": {"smiles": "canonical_smiles"}},
        ),
        (CHEMBL, "ChEMBL", {"source": "chembl", "release": "ChEMBL_36", "ids": "1-1000"}),
        (TOX21, "Tox21", {**TOX21, "release": ""}),
        (PUBCHEM, "PubChem", {"source": "pubchem", "release": "", **PUBCHEM["options"]}),
    ],
    ids=["file", "columns", "chembl", "tox21", "pubchem"],
)
def test_an_import_is_accepted_and_waits_for_a_worker(
    service: Api, jobs: Jobs, body: dict[str, Any], source: str, parameters: dict[str, Any]
):
    response = service.post("/imports", body)

    assert response.status_code == 202
    record = response.get_json()
    assert response.headers["Location"] == f"/api/v1/imports/{record['id']}"
    assert (record["state"], record["source"], record["parameters"]) == ("queued", source, parameters)
    assert service.get(f"/imports/{record['id']}").get_json() == record
    assert jobs() == [("todo", 0)]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"source": "elsewhere"}, "/source"),
        ({"source": "file"}, "/url"),
        ({**FILE, "url": "http://ftp.ebi.ac.uk/x"}, "/url"),
        ({**FILE, "url": "https://evil.example/x"}, "/url"),
        ({**FILE, "url": "https://169.254.169.254/latest/meta-data"}, "/url"),
        ({**FILE, "url": "file:///etc/passwd"}, "/url"),
        ({**FILE, "options": {"x": 1}}, "/options"),
        ({**FILE, "path": "/etc/passwd"}, "/path"),
        ({**CHEMBL, "options": {"path": "/etc/passwd"}}, "/options"),
        ({**CHEMBL, "options": {"url": "https://evil.example"}}, "/options"),
        ({**CHEMBL, "url": FILE["url"]}, "/url"),
        ({**CHEMBL, "options": {"ids": "CHEMBL9-CHEMBL1"}}, "/options"),
        ({"source": "chembl"}, "/options"),
        ({"source": "pubchem"}, "/options"),
        ({**PUBCHEM, "options": {"names": ["glycerol"], "cids": "1"}}, "/options"),
        ({**PUBCHEM, "options": {"names": []}}, "/options"),
        ({**PUBCHEM, "options": {"inchikeys": ["glycerol"]}}, "/options"),
        ({**PUBCHEM, "options": {"formula": "C3H8O3/../../x"}}, "/options"),
        ({**PUBCHEM, "options": {"cids": "1", "measurements": 1}}, "/options"),
        ({"source": "tox21"}, "/url"),
        ({**TOX21, "columns": {"smiles": "SMILES"}}, "/columns"),
    ],
)
def test_what_is_not_imported_is_refused_with_its_place(service: Api, jobs: Jobs, body: dict[str, Any], where: str):
    response = service.post("/imports", body)

    assert pointers(response) == [where]
    assert jobs() == []


def test_columns_that_no_record_has_are_refused(service: Api):
    refused = problem(service.post("/imports", {**FILE, "columns": {"no_such_field": "a"}}), 422)

    assert "no_such_field" in refused["detail"]


def test_an_import_shows_its_counts_rate_and_what_is_left(service: Api, admin: psycopg.Connection):
    import_id = asked(service)
    admin.execute(
        "UPDATE import_runs SET state = 'running', added_count = 60, existing_count = 30, refused_count = 10, "
        "done_fraction = 0.25, working_s = 20, checkpoint = '{\"offset\": 9}', "
        'parameters = parameters || \'{"path": "/srv/private/file"}\''
    )

    record = service.get(f"/imports/{import_id}").get_json()

    assert (record["added_count"], record["existing_count"], record["refused_count"]) == (60, 30, 10)
    assert (record["records_per_s"], record["done_fraction"], record["eta_s"]) == (5.0, 0.25, 60.0)
    assert record["checkpoint"] == {"offset": 9}
    assert "path" not in record["parameters"]


def test_imports_are_listed_and_the_dead_letters_are_those_that_failed(service: Api, admin: psycopg.Connection):
    first, second = asked(service), asked(service, CHEMBL)
    admin.execute("UPDATE import_runs SET state = 'failed', failure = 'why' WHERE id = %s", (second,))

    assert [item["id"] for item in service.get("/imports").get_json()["data"]] == [second, first]
    (dead,) = service.get("/imports?state=failed").get_json()["data"]
    assert (dead["id"], dead["failure"]) == (second, "why")


def test_what_an_import_left_out_is_listed_with_reasons(service: Api, admin: psycopg.Connection):
    import_id, other = asked(service), asked(service, CHEMBL)
    add = "INSERT INTO import_errors (import_run_id, record_index, source_record, reason) VALUES (%s, %s, %s, %s)"
    admin.execute(add, (import_id, 7, "line 7", "no structure"))
    admin.execute(add, (other, 1, None, "of the other"))

    (error,) = service.get(f"/imports/{import_id}/errors").get_json()["data"]

    assert (error["record_index"], error["source_record"], error["reason"]) == (7, "line 7", "no structure")
    assert service.get(f"/imports/{import_id}/errors", headers={"Accept": "text/csv"}).text.count("no structure") == 1
    problem(service.get(f"/imports/{NOBODY}/errors"), 404)


def test_an_import_that_waits_is_cancelled_at_once(service: Api, jobs: Jobs):
    import_id = asked(service)

    cancelled = service.post(f"/imports/{import_id}/cancel")

    assert (cancelled.status_code, cancelled.get_json()["state"]) == (200, "cancelled")
    assert jobs() == [("cancelled", 0)]
    problem(service.post(f"/imports/{import_id}/cancel"), 409, "import_ended")


def test_an_import_under_way_ends_after_its_page(service: Api, admin: psycopg.Connection):
    import_id = asked(service)
    admin.execute("UPDATE import_runs SET state = 'running', lease_until = now() + interval '1 minute'")

    record = service.post(f"/imports/{import_id}/cancel").get_json()

    assert (record["state"], record["cancel_requested"]) == ("running", True)


def test_an_import_that_was_cancelled_can_go_on(service: Api, jobs: Jobs):
    import_id = asked(service)
    problem(service.post(f"/imports/{import_id}/retry"), 409, "import_not_failed")
    service.post(f"/imports/{import_id}/cancel")

    again = service.post(f"/imports/{import_id}/retry")

    assert (again.status_code, again.get_json()["state"]) == (202, "queued")
    assert again.headers["Location"] == f"/api/v1/imports/{import_id}"
    assert jobs() == [("cancelled", 0), ("todo", 0)]


@pytest.mark.parametrize("action", ["cancel", "retry"])
def test_an_import_that_is_not_there_cannot_be_changed(service: Api, action: str):
    problem(service.post(f"/imports/{NOBODY}/{action}"), 404)


PATHS = [
    ("GET", "/imports"),
    ("POST", "/imports"),
    ("GET", f"/imports/{NOBODY}"),
    ("GET", f"/imports/{NOBODY}/errors"),
    ("POST", f"/imports/{NOBODY}/cancel"),
    ("POST", f"/imports/{NOBODY}/retry"),
]


@pytest.mark.parametrize(("method", "path"), PATHS, ids=[f"{m} {p.rpartition('/')[2][:7]}" for m, p in PATHS])
def test_imports_are_the_service_roles(anon: Api, alice: Api, scoped: Callable[[str], Api], method: str, path: str):
    body = {"json": CHEMBL} if path == "/imports" and method == "POST" else {}

    problem(anon.request(method, path, **body), 401)
    problem(alice.request(method, path, **body), 403, "role_not_permitted")
    if method == "POST":
        problem(scoped("molecules:write").request(method, path, **body), 403, "scope_missing")
        assert scoped("imports:write").request(method, path, **body).status_code in {202, 404}


def test_the_hosts_are_the_operators_to_choose(make_app: Callable[..., Flask], emptied: None):
    token = issue_token(SECRET, role="service_role", ttl_s=60)
    lab = Api(make_app(import_hosts=frozenset({"data.lab.example"})).test_client(), token)

    assert lab.post("/imports", {**FILE, "url": "https://data.lab.example/x.smi"}).status_code == 202
    refused = problem(lab.post("/imports", FILE), 422)
    assert "data.lab.example" in refused["detail"]


def test_a_repeated_request_imports_once_and_a_dry_run_not_at_all(service: Api, jobs: Jobs):
    assert service.post("/imports", FILE, headers={"Prefer": "tx=rollback"}).status_code == 202
    assert jobs() == []
    first, second = (service.post("/imports", FILE, headers={"Idempotency-Key": "k"}) for _ in range(2))

    assert first.get_json() == second.get_json()
    assert len(jobs()) == 1
