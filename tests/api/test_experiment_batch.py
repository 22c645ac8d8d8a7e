"""Batches of experiments: a result for each record, all or nothing where asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
import pytest

from tests.api.bodies import DMSO, GLYCEROL
from tests.api.problems import pointers, problem
from tests.plugins.api import Api

NDJSON = "application/x-ndjson"
VIABILITY: dict[str, Any] = {"property_type": "post_thaw_viability", "value": 82, "unit": "%"}


def body(molecule: str, **fields: Any) -> dict[str, Any]:
    return {"molecule_id": molecule, "outcome": "pass", "results": [VIABILITY], **fields}


def post(caller: Api, records: list[Any], style: str = "json", query: str = "") -> dict[str, Any]:
    path = f"/experiments/batch{query}"
    if style == "json":
        response = caller.post(path, records)
    else:
        response = caller.post(path, data=b"\n".join(map(orjson.dumps, records)), content_type=NDJSON)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.get_json()
    return answer


def stored(admin: psycopg.Connection) -> int:
    (number,) = admin.execute("SELECT count(*) FROM experiments").fetchone() or (-1,)
    return int(number)


@pytest.fixture
def glycerol(service: Api) -> str:
    """Give the id of a public molecule."""
    return str(service.post("/molecules", GLYCEROL).get_json()["id"])


@pytest.mark.parametrize("style", ["json", "ndjson"])
def test_each_record_stands_or_falls_by_itself(
    alice: Api, bob: Api, glycerol: str, style: str, make_project: Callable[..., UUID]
):
    project = str(make_project(owner=alice))
    hers = alice.post("/molecules", DMSO).get_json()["id"]
    his = bob.post("/molecules", DMSO).get_json()["id"]
    parts = [{"molecule_id": glycerol, "amount": 1, "unit": "g/L"}]
    mixture = alice.post("/mixtures", {"name": "m", "components": parts}).get_json()["id"]
    on_mixture = {"mixture_id": mixture, "outcome": "fail", "failure_reasons": ["a", "b"], "results": [VIABILITY] * 2}
    cases: list[tuple[Any, list[str]]] = [
        (body(glycerol, name="first"), []),
        (body(his), ["/molecule_id"]),
        (body(str(uuid4())), ["/molecule_id"]),
        ({**on_mixture, "mixture_id": his}, ["/mixture_id"]),
        (on_mixture, []),
        (body(glycerol, outcome="fail"), ["/failure_reasons"]),
        (body(glycerol, results=[VIABILITY, {**VIABILITY, "unit": "mol/kg"}]), ["/results/1/unit"]),
        (body(glycerol, results=[{**VIABILITY, "value": 101}]), ["/results/0/value"]),
        (body(glycerol, is_public=True), ["/is_public"]),
        (body(glycerol, project_id=str(uuid4())), ["/project_id"]),
        (body(glycerol, project_id=project, is_public=True, name="published"), []),
        (body(hers, project_id=project), ["/molecule_id"]),
        (body(hers), []),
        (body(glycerol, version=7), ["/version"]),
        ("no object", [""]),
        (None, [""]),
        (body(glycerol, name="last"), []),
    ]

    answer = post(alice, [record for record, _ in cases], style)

    results = answer["results"]
    assert [item["index"] for item in results] == list(range(len(cases)))
    assert [[fault["pointer"] for fault in item["errors"]] for item in results] == [faults for _, faults in cases]
    assert [item["status"] for item in results] == ["refused" if faults else "added" for _, faults in cases]
    assert (answer["added"], answer["refused"], answer["existing"], answer["changed"]) == (5, 12, 0, 0)
    for item, (record, _) in zip(results, cases, strict=True):
        assert (item["id"] is None) == (item["status"] == "refused")
        if item["id"]:
            shown = alice.get(f"/experiments/{item['id']}").get_json()
            assert (shown["name"], shown["failure_reasons"]) == (
                record.get("name"),
                record.get("failure_reasons", []),
            )
            assert len(shown["results"]) == len(record["results"])


@pytest.mark.parametrize("value", ["true", "1"])
def test_an_atomic_batch_stores_nothing_when_one_record_is_refused(
    alice: Api, admin: psycopg.Connection, glycerol: str, value: str
):
    records = [body(glycerol), body(glycerol, outcome="fail"), body(str(uuid4())), body(glycerol, is_public=True)]

    response = alice.post(f"/experiments/batch?atomic={value}", records)

    problem(response, 422, "batch_refused")
    assert pointers(response) == ["/1/failure_reasons", "/2/molecule_id", "/3/is_public"]
    assert stored(admin) == 0
    assert post(alice, [body(glycerol)] * 2, query=f"?atomic={value}")["added"] == 2


def test_a_batch_of_nothing_but_faults_is_still_an_answer(alice: Api, admin: psycopg.Connection):
    answer = post(alice, [{}, {"outcome": "pass"}, 7])

    assert (answer["added"], answer["refused"]) == (0, 3)
    assert stored(admin) == 0


@pytest.mark.parametrize("style", ["json", "ndjson"])
@pytest.mark.parametrize("count", [0, 10_001])
def test_a_batch_has_1_to_10000_records(alice: Api, admin: psycopg.Connection, style: str, count: int):
    records: list[dict[str, Any]] = [{}] * count
    data = orjson.dumps(records) if style == "json" else b"{}\n" * count

    response = alice.post(
        "/experiments/batch", data=data, content_type="application/json" if style == "json" else NDJSON
    )

    assert response.status_code in ({400, 422} if count == 0 else {422})
    assert stored(admin) == 0


def test_ten_thousand_experiments_are_stored_in_one_call(alice: Api, glycerol: str, admin: psycopg.Connection):
    records = [
        body(glycerol, name=f"run {number}", outcome="fail", failure_reasons=["ice"]) for number in range(10_000)
    ]
    records[5_000] = body(str(uuid4()))

    answer = post(alice, records, "ndjson")

    assert (answer["added"], answer["refused"]) == (9_999, 1)
    assert answer["results"][5_000]["errors"][0]["pointer"] == "/molecule_id"
    assert stored(admin) == 9_999
    ids = [answer["results"][index]["id"] for index in (0, 4_999, 9_999)]
    assert [alice.get(f"/experiments/{key}").get_json()["name"] for key in ids] == ["run 0", "run 4999", "run 9999"]


def test_the_services_batch_is_public_unless_it_says_otherwise(service: Api, anon: Api, glycerol: str):
    results = post(service, [body(glycerol), body(glycerol, is_public=False)])["results"]

    assert [anon.get(f"/experiments/{item['id']}").status_code for item in results] == [200, 404]
