"""Batches of molecules: a result for each record, all or nothing where asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import orjson
import psycopg
import pytest

from tests.api.bodies import DMSO, DMSO_INCHIKEY, ETHANOL, GLYCEROL, alkanes
from tests.api.problems import pointers, problem
from tests.plugins.api import Api

NDJSON = "application/x-ndjson"


def stored(admin: psycopg.Connection) -> int:
    (number,) = admin.execute("SELECT count(*) FROM molecules").fetchone() or (-1,)
    return int(number)


def post(caller: Api, records: list[Any], style: str = "json", query: str = "") -> dict[str, Any]:
    if style == "json":
        response = caller.post(f"/molecules/batch{query}", records)
    else:
        lines = b"\n".join(orjson.dumps(record) for record in records)
        response = caller.post(f"/molecules/batch{query}", data=lines, content_type=NDJSON)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.get_json()
    return body


@pytest.mark.parametrize("style", ["json", "ndjson"])
def test_a_batch_answers_for_each_record_by_its_index(alice: Api, style: str):
    body = post(alice, [DMSO, GLYCEROL], style)

    assert {name: body[name] for name in ("added", "existing", "changed", "refused")} == {
        "added": 2,
        "existing": 0,
        "changed": 0,
        "refused": 0,
    }
    assert [(item["index"], item["status"], item["errors"]) for item in body["results"]] == [
        (0, "added", []),
        (1, "added", []),
    ]
    for item, sent in zip(body["results"], (DMSO, GLYCEROL), strict=True):
        assert alice.get(f"/molecules/{item['id']}").get_json()["name"] == sent["name"]


@pytest.mark.parametrize("style", ["json", "ndjson"])
def test_each_record_stands_or_falls_by_itself(alice: Api, service: Api, style: str):
    public = service.post("/molecules", ETHANOL).get_json()["id"]
    records = [
        DMSO,
        {"name": "", "smiles": "C"},
        {"name": "broken", "smiles": "C(C"},
        ETHANOL,
        DMSO,
        {**GLYCEROL, "is_public": True},
        {**GLYCEROL, "project_id": "00000000-0000-0000-0000-000000000000"},
        {**GLYCEROL, "properties": [{"property_type": "density", "value": 1, "unit": "K"}]},
        {"name": "unknown field", "smiles": "C", "version": 7},
        "no object",
        None,
        GLYCEROL,
    ]

    body = post(alice, records, style)

    results = body["results"]
    assert [item["index"] for item in results] == list(range(len(records)))
    assert [item["status"] for item in results] == [
        "added",
        "refused",
        "refused",
        "existing",
        "existing",
        *["refused"] * 6,
        "added",
    ]
    assert {name: body[name] for name in ("added", "existing", "changed", "refused")} == {
        "added": 2,
        "existing": 2,
        "changed": 0,
        "refused": 8,
    }
    assert results[3]["id"] == public
    assert results[4]["id"] == results[0]["id"]
    assert [[fault["pointer"] for fault in item["errors"]] for item in results] == [
        [],
        ["/name"],
        ["/smiles"],
        [],
        [],
        ["/is_public"],
        ["/project_id"],
        ["/properties/0/unit"],
        ["/version"],
        [""],
        [""],
        [],
    ]
    assert all(item["id"] is None for item in results if item["status"] == "refused")


def test_a_refused_structure_says_why_at_its_own_index(alice: Api):
    results = post(alice, [DMSO, {"name": "x", "inchi": "InChI=1S/nonsense"}, {"name": "y", "molfile": "z"}])["results"]

    assert [[fault["pointer"] for fault in item["errors"]] for item in results] == [[], ["/inchi"], ["/molfile"]]
    assert all(fault["detail"] for item in results[1:] for fault in item["errors"])


def test_a_batch_of_nothing_but_faults_is_still_an_answer(alice: Api, admin: psycopg.Connection):
    body = post(alice, [{}, {"name": "x"}, 7])

    assert (body["added"], body["refused"]) == (0, 3)
    assert stored(admin) == 0


@pytest.mark.parametrize("value", ["true", "1", "True"])
def test_an_atomic_batch_stores_nothing_when_one_record_is_refused(alice: Api, admin: psycopg.Connection, value: str):
    records = [DMSO, {"name": "", "smiles": "C"}, {"name": "x", "smiles": "C(C"}]

    response = alice.post(f"/molecules/batch?atomic={value}", records)

    problem(response, 422, "batch_refused")
    assert pointers(response) == ["/1/name", "/2/smiles"]
    assert stored(admin) == 0


def test_an_atomic_batch_stores_all_of_what_is_well(alice: Api):
    body = post(alice, [DMSO, GLYCEROL, DMSO], query="?atomic=true")

    assert (body["added"], body["existing"]) == (2, 1)


def test_an_atomic_batch_takes_back_what_the_rights_refuse(alice: Api, admin: psycopg.Connection):
    response = alice.post("/molecules/batch?atomic=true", [DMSO, {**GLYCEROL, "is_public": True}])

    assert pointers(response) == ["/1/is_public"]
    assert stored(admin) == 0


@pytest.mark.parametrize("value", ["maybe", "", "2"])
def test_atomic_is_true_or_false(alice: Api, value: str):
    assert pointers(alice.post(f"/molecules/batch?atomic={value}", [DMSO])) == ["atomic"]


@pytest.mark.parametrize("style", ["json", "ndjson"])
@pytest.mark.parametrize("count", [0, 10_001])
def test_a_batch_has_1_to_10000_records(alice: Api, admin: psycopg.Connection, style: str, count: int):
    records: list[dict[str, Any]] = [{}] * count
    data = orjson.dumps(records) if style == "json" else b"{}\n" * count
    kind = "application/json" if style == "json" else NDJSON

    response = alice.post("/molecules/batch", data=data, content_type=kind)

    if count == 0 and style == "ndjson":
        assert response.status_code in {400, 422}
    else:
        assert "10,000" in problem(response, 422)["detail"]
    assert stored(admin) == 0


def test_10000_records_are_answered_one_by_one(alice: Api):
    body = post(alice, [*[{}] * 9_999, DMSO], "ndjson")

    assert (body["refused"], body["added"]) == (9_999, 1)
    assert body["results"][9_999]["status"] == "added"


@pytest.mark.parametrize("body", [DMSO, "x", 7, None, {"molecules": [DMSO]}])
def test_a_json_batch_is_an_array(alice: Api, body: object):
    response = alice.post("/molecules/batch", data=orjson.dumps(body), content_type="application/json")

    assert pointers(response) == [""]


def test_a_broken_line_of_ndjson_is_400_and_named(alice: Api, admin: psycopg.Connection):
    data = orjson.dumps(DMSO) + b'\n\n{"name": \n'

    body = problem(alice.post("/molecules/batch", data=data, content_type=NDJSON), 400, "malformed_json")

    assert body["detail"].startswith("line 3: ")
    assert stored(admin) == 0


def test_ndjson_may_have_blank_lines_carriage_returns_and_no_last_newline(alice: Api):
    data = b"\n" + orjson.dumps(DMSO) + b"\r\n\r\n  \n" + orjson.dumps(GLYCEROL)

    response = alice.post("/molecules/batch", data=data, content_type=NDJSON)

    assert response.get_json()["added"] == 2


def test_a_line_that_cannot_be_kept_is_422(alice: Api):
    data = orjson.dumps(DMSO) + b'\n{"name": "a\\u0000", "smiles": "C"}'

    problem(alice.post("/molecules/batch", data=data, content_type=NDJSON), 422)


def test_a_batch_keeps_the_parts_of_its_records(alice: Api):
    density = {"property_type": "density", "value": 1.1, "unit": "g/mL"}
    results = post(alice, [{**DMSO, "synonyms": ["DMSO"], "properties": [density]}, {**GLYCEROL, "synonyms": ["Gly"]}])

    first, second = (
        alice.get(f"/molecules/{item['id']}?include=identifiers,properties").get_json() for item in results["results"]
    )
    assert [item["external_id"] for item in first["identifiers"]] == ["DMSO"]
    assert [(item["value"], item["unit"]) for item in first["properties"]] == [(1100, "kg/m3")]
    assert [item["external_id"] for item in second["identifiers"]] == ["Gly"]
    assert second["properties"] == []


def test_what_exists_already_is_not_changed_by_a_batch(alice: Api):
    first = alice.post("/molecules", DMSO).get_json()

    results = post(alice, [{**DMSO, "name": "other", "synonyms": ["new"]}])["results"]

    record = alice.get(f"/molecules/{first['id']}?include=identifiers").get_json()
    assert results[0] == {"index": 0, "status": "existing", "id": first["id"], "errors": []}
    assert (record["name"], record["identifiers"], record["version"]) == (DMSO["name"], [], 1)


def test_a_batch_into_a_project_lands_there(alice: Api, bob: Api, make_project: Callable[..., UUID]):
    project = str(make_project(owner=alice, viewer=bob))

    post(alice, alkanes(3, project_id=project))

    assert bob.get("/molecules?count=exact").get_json()["page"]["count"] == 3


def test_others_private_rows_are_neither_existing_nor_in_the_way(alice: Api, bob: Api):
    hers = post(alice, [DMSO])["results"][0]

    his = post(bob, [DMSO])["results"][0]

    assert (hers["status"], his["status"]) == ("added", "added")
    assert hers["id"] != his["id"]


def test_a_structure_that_costs_too_much_is_refused_alone(alice: Api):
    results = post(alice, [DMSO, {"name": "too many atoms", "smiles": "C" * 1000}, GLYCEROL])["results"]

    assert [item["status"] for item in results] == ["added", "refused", "added"]
    assert "999" in results[1]["errors"][0]["detail"]


def test_records_that_the_database_would_refuse_are_refused_alone(alice: Api):
    results = post(alice, [DMSO, {"name": "x" * 501, "smiles": "C"}, {**GLYCEROL, "synonyms": ["x" * 501]}, ETHANOL])

    assert [item["status"] for item in results["results"]] == ["added", "refused", "refused", "added"]


def test_a_batch_of_one_structure_in_many_spellings_is_one_row(alice: Api, admin: psycopg.Connection):
    spellings = ["CS(C)=O", "CS(=O)C", "C[S+](C)[O-]", "O=S(C)C"]

    body = post(alice, [{"name": f"spelling {n}", "smiles": text} for n, text in enumerate(spellings)])

    assert (body["added"], body["existing"]) == (1, 3)
    assert len({item["id"] for item in body["results"]}) == 1
    assert admin.execute("SELECT inchikey FROM molecules").fetchall() == [(DMSO_INCHIKEY,)]
