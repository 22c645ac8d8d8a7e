"""Experiments: created on mixtures and molecules, read, listed, changed, deleted."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from app.services.minting import issue_token
from tests.api.bodies import DMSO, GLYCEROL
from tests.api.problems import pointers, problem
from tests.plugins.api import Api
from tests.plugins.database import SECRET

IF_ANY = {"If-Match": "*"}
VIABILITY: dict[str, Any] = {"property_type": "post_thaw_viability", "value": 82, "unit": "%"}
KNOWN_CONDITIONS: dict[str, Any] = {
    "temperature_k": 277.15,
    "exposure_min": 30,
    "cell_type": "endothelial",
    "cooling_rate_k_min": 1,
    "warming_rate_k_min": 150.5,
    "rate_context": "tissue",
    "plunge": False,
}


def body(molecule: str, **fields: Any) -> dict[str, Any]:
    return {"molecule_id": molecule, "outcome": "pass", "results": [VIABILITY], **fields}


def created(caller: Api, molecule: str, **fields: Any) -> dict[str, Any]:
    response = caller.post("/experiments", body(molecule, **fields))
    assert response.status_code == 201, response.text
    record: dict[str, Any] = response.get_json()
    return record


STORED_SQL = """
SELECT (SELECT count(*) FROM experiments), (SELECT count(*) FROM experiment_results),
    (SELECT count(*) FROM experiment_failures)
"""


def stored(admin: psycopg.Connection) -> tuple[int, ...]:
    return tuple(admin.execute(STORED_SQL).fetchall()[0])


@pytest.fixture
def glycerol(service: Api) -> str:
    """Give the id of a public molecule."""
    return str(service.post("/molecules", GLYCEROL).get_json()["id"])


@pytest.fixture
def mixture(service: Api, glycerol: str) -> str:
    """Give the id of a public mixture of it."""
    components = [{"molecule_id": glycerol, "amount": 2.3, "unit": "mol/L"}]
    return str(service.post("/mixtures", {"name": "CPA", "components": components}).get_json()["id"])


@pytest.fixture
def experiment(alice: Api, glycerol: str) -> str:
    """Give the path of an experiment of alice's."""
    return f"/experiments/{created(alice, glycerol)['id']}"


# Creating.


def test_an_experiment_is_created_on_a_mixture(alice: Api, mixture: str):
    sent: dict[str, Any] = {
        "mixture_id": mixture,
        "name": "slow cooling",
        "outcome": "fail",
        "failure_reasons": ["ice in the core", "cracks"],
        "started_at": "2026-03-01T10:00:00+02:00",
        "completed_at": "2026-03-01T11:30:00Z",
        "protocol": "1 K/min to 193 K, then plunged",
        "conditions": {**KNOWN_CONDITIONS, "device": {"maker": "x", "channels": [1, 2.5, None, True]}},
        "reference": "doi:10.1000/x",
        "notes": "slice 3",
        "results": [
            {**VIABILITY, "standard_deviation": 5, "replicates": 6},
            {"property_type": "glass_transition_temperature", "value": -123.5, "unit": "degC"},
            {"property_type": "critical_cooling_rate", "value": 2.5, "unit": "K/s", "relation": "<"},
        ],
    }

    response = alice.post("/experiments", sent)

    record = response.get_json()
    assert response.status_code == 201, response.text
    assert response.headers["Location"] == f"/api/v1/experiments/{record['id']}"
    same = ("mixture_id", "name", "outcome", "failure_reasons", "protocol", "conditions", "reference", "notes")
    assert {name: record[name] for name in same} == {name: sent[name] for name in same}
    assert record["molecule_id"] is None
    assert (record["started_at"], record["completed_at"]) == (
        "2026-03-01T08:00:00.000000Z",
        "2026-03-01T11:30:00.000000Z",
    )
    assert (record["is_public"], record["project_id"], record["version"]) == (False, None, 1)
    assert record["created_by"] == str(alice.user_id)
    assert record["results"] == [
        {
            "property_type": "post_thaw_viability",
            "relation": "=",
            "value": 0.82,
            "unit": "1",
            "standard_deviation": 0.05,
            "replicates": 6,
        },
        {
            "property_type": "glass_transition_temperature",
            "relation": "=",
            "value": 149.65,
            "unit": "K",
            "standard_deviation": None,
            "replicates": None,
        },
        {
            "property_type": "critical_cooling_rate",
            "relation": "<",
            "value": 150,
            "unit": "K/min",
            "standard_deviation": None,
            "replicates": None,
        },
    ]


def test_what_is_created_is_what_a_get_then_gives(alice: Api, glycerol: str):
    response = alice.post("/experiments", body(glycerol))

    again = alice.get(response.headers["Location"].removeprefix("/api/v1"))
    assert again.data == response.data
    assert again.headers["ETag"] == response.headers["ETag"]


@pytest.mark.parametrize(
    ("outcome", "reasons"), [("pass", []), ("fail", ["ice"]), ("inconclusive", []), ("inconclusive", ["too few cells"])]
)
def test_outcomes_that_agree_with_their_reasons_are_taken(alice: Api, glycerol: str, outcome: str, reasons: list[str]):
    record = created(alice, glycerol, outcome=outcome, failure_reasons=reasons)

    assert (record["outcome"], record["failure_reasons"]) == (outcome, reasons)


def _deep(levels: int) -> Any:
    return {"a": _deep(levels - 1)} if levels else 1


def result(**changes: Any) -> dict[str, Any]:
    return {"results": [{**VIABILITY, **changes}]}


FAULTS: list[tuple[dict[str, Any], list[str]]] = [
    ({"outcome": "success"}, ["/outcome"]),
    ({"outcome": None}, ["/outcome"]),
    ({"outcome": "fail"}, ["/failure_reasons"]),
    ({"outcome": "fail", "failure_reasons": []}, ["/failure_reasons"]),
    ({"failure_reasons": ["ice"]}, ["/failure_reasons"]),
    ({"failure_reasons": None}, ["/failure_reasons"]),
    ({"outcome": "fail", "failure_reasons": ["ice", " "]}, ["/failure_reasons/1"]),
    ({"outcome": "fail", "failure_reasons": ["ice", "cracks", "ice"]}, ["/failure_reasons/2"]),
    ({"outcome": "fail", "failure_reasons": ["x" * 501]}, ["/failure_reasons/0"]),
    ({"outcome": "fail", "failure_reasons": [str(number) for number in range(101)]}, ["/failure_reasons"]),
    ({"started_at": "2026-03-01T10:00:00Z", "completed_at": "2026-03-01T09:59:59Z"}, ["/completed_at"]),
    ({"started_at": "2026-03-01T10:00:00+01:00", "completed_at": "2026-03-01T10:00:00+02:00"}, ["/completed_at"]),
    ({"started_at": "2026-03-01T10:00:00"}, ["/started_at"]),
    ({"started_at": "2026-03-01"}, ["/started_at"]),
    ({"started_at": "2026-02-30T10:00:00Z"}, ["/started_at"]),
    ({"started_at": "yesterday"}, ["/started_at"]),
    ({"started_at": 1772360000}, ["/started_at"]),
    ({"started_at": "0001-01-01T00:00:00+10:00"}, ["/started_at"]),
    ({"completed_at": "9999-12-31T23:59:59-10:00"}, ["/completed_at"]),
    ({"results": []}, ["/results"]),
    ({"results": None}, ["/results"]),
    ({"results": [VIABILITY] * 101}, ["/results"]),
    ({"results": [VIABILITY, 7]}, ["/results/1"]),
    (result(property_type="charm"), ["/results/0/property_type"]),
    (result(property_type="oral_ld50"), ["/results/0/property_type"]),
    (result(property_type="freezing_point", unit="mol/kg"), ["/results/0/unit"]),
    (result(unit="furlong"), ["/results/0/unit"]),
    (result(unit=""), ["/results/0/unit"]),
    (result(unit=None), ["/results/0/unit"]),
    (result(value=100.1), ["/results/0/value"]),
    (result(value=-0.1), ["/results/0/value"]),
    (result(property_type="cell_volume", value=101), ["/results/0/value"]),
    (result(value=1.01, unit="1"), ["/results/0/value"]),
    (result(property_type="cell_survival", value=-0.01, unit="1"), ["/results/0/value"]),
    (result(property_type="freezing_point", value=-1, unit="K"), ["/results/0/value"]),
    (result(property_type="freezing_point", value=-273.16, unit="degC"), ["/results/0/value"]),
    (result(property_type="density", value=-1, unit="g/mL"), ["/results/0/value"]),
    (result(property_type="cell_volume", value=-0.1, unit="1"), ["/results/0/value"]),
    (result(value="82"), ["/results/0/value"]),
    (result(value=True), ["/results/0/value"]),
    (result(value=None), ["/results/0/value"]),
    (result(value=10**350), ["/results/0/value"]),
    (result(property_type="critical_cooling_rate", value=1e308, unit="K/s"), ["/results/0/value"]),
    (
        result(property_type="critical_cooling_rate", value=1, unit="K/s", standard_deviation=1e308),
        ["/results/0/standard_deviation"],
    ),
    (result(standard_deviation=-1), ["/results/0/standard_deviation"]),
    (result(standard_deviation="1"), ["/results/0/standard_deviation"]),
    (result(replicates=0), ["/results/0/replicates"]),
    (result(replicates=1.5), ["/results/0/replicates"]),
    (result(replicates=2**31), ["/results/0/replicates"]),
    (result(relation="!="), ["/results/0/relation"]),
    (result(standard_uncertainty=1), ["/results/0/standard_uncertainty"]),
    (
        {"results": [VIABILITY, {**VIABILITY, "value": 101}, {**VIABILITY, "unit": "K"}]},
        ["/results/1/value", "/results/2/unit"],
    ),
    ({"conditions": []}, ["/conditions"]),
    ({"conditions": None}, ["/conditions"]),
    ({"conditions": {"temperature_k": -1}}, ["/conditions/temperature_k"]),
    ({"conditions": {"temperature_k": "277"}}, ["/conditions/temperature_k"]),
    ({"conditions": {"temperature_k": None}}, ["/conditions/temperature_k"]),
    ({"conditions": {"exposure_min": -1}}, ["/conditions/exposure_min"]),
    ({"conditions": {"cell_type": " "}}, ["/conditions/cell_type"]),
    ({"conditions": {"cooling_rate_k_min": 0}}, ["/conditions/cooling_rate_k_min"]),
    ({"conditions": {"warming_rate_k_min": -3}}, ["/conditions/warming_rate_k_min"]),
    ({"conditions": {"rate_context": "organ"}}, ["/conditions/rate_context"]),
    ({"conditions": {"plunge": "yes"}}, ["/conditions/plunge"]),
    ({"conditions": {"number": 2**53}}, ["/conditions/number"]),
    ({"conditions": {"a/b": [0, -(10**30)]}}, ["/conditions/a~1b/1"]),
    ({"conditions": {"deep": _deep(10)}}, ["/conditions/deep" + "/a" * 9]),
    ({"conditions": {"long": "x" * 20_000}}, ["/conditions"]),
    ({"name": ""}, ["/name"]),
    ({"name": "x" * 501}, ["/name"]),
    ({"protocol": "x" * 20_001}, ["/protocol"]),
    ({"reference": "x" * 2001}, ["/reference"]),
    ({"notes": "x" * 10_001}, ["/notes"]),
    ({"is_public": "yes"}, ["/is_public"]),
    ({"project_id": "x"}, ["/project_id"]),
    ({"created_by": str(uuid4())}, ["/created_by"]),
    ({"version": 7}, ["/version"]),
    ({"acl": []}, ["/acl"]),
    ({"molecule_id": None}, ["/molecule_id"]),
    ({"molecule_id": "glycerol"}, ["/molecule_id"]),
    ({"molecule_id": str(uuid4())}, ["/molecule_id"]),
    ({"mixture_id": str(uuid4())}, [""]),
]


@pytest.mark.parametrize(("fields", "places"), FAULTS, ids=[f"{n}{places[0]}" for n, (_, places) in enumerate(FAULTS)])
def test_what_is_wrong_is_pointed_to_and_nothing_is_stored(
    alice: Api, admin: psycopg.Connection, glycerol: str, fields: dict[str, Any], places: list[str]
):
    sent = json.dumps(body(glycerol, **fields))

    response = alice.request("POST", "/experiments", data=sent, headers={"Content-Type": "application/json"})

    assert pointers(response) == places
    assert stored(admin) == (0, 0, 0)


@pytest.mark.parametrize("missing", ["molecule_id", "outcome", "results"])
def test_the_subject_the_outcome_and_a_result_are_required(alice: Api, glycerol: str, missing: str):
    sent = {name: value for name, value in body(glycerol).items() if name != missing}

    assert pointers(alice.post("/experiments", sent)) == ["" if missing == "molecule_id" else f"/{missing}"]


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_value_that_is_no_finite_number_is_refused(alice: Api, glycerol: str, text: str):
    sent = json.dumps(body(glycerol, **result(value=123456))).replace("123456", text)

    response = alice.request("POST", "/experiments", data=sent, headers={"Content-Type": "application/json"})

    problem(response, 422, "not_finite")


@pytest.mark.parametrize(
    ("stated", "kept"),
    [
        (("post_thaw_viability", 0, "%"), (0, "1")),
        (("post_thaw_viability", 100, "percent"), (1, "1")),
        (("cell_survival", 1, "1"), (1, "1")),
        (("cell_volume", 1.6, "1"), (1.6, "1")),
        (("freezing_point", 0, "K"), (0, "K")),
        (("toxicity_rate", -0.6, "1/h"), (-0.01, "1/min")),
        (("osmolality", 300, "mosmol/kg"), (0.3, "osmol/kg")),
    ],
)
def test_values_at_the_bounds_are_taken_and_kept_in_the_propertys_unit(
    alice: Api, glycerol: str, stated: tuple[str, float, str], kept: tuple[float, str]
):
    name, value, unit = stated

    record = created(alice, glycerol, results=[{"property_type": name, "value": value, "unit": unit}])

    assert [(item["value"], item["unit"]) for item in record["results"]] == [kept]


def test_the_longest_texts_and_deepest_conditions_are_taken(alice: Api, glycerol: str):
    fields: dict[str, Any] = {
        "name": "n" * 500,
        "protocol": "p" * 20_000,
        "reference": "r" * 2000,
        "notes": "o" * 10_000,
        "conditions": {"deep": _deep(9), "number": 2**53 - 1, "text": "ß" * 9_000},
    }

    record = created(alice, glycerol, **fields)

    assert {name: record[name] for name in fields} == fields


@pytest.mark.parametrize("noun", ["molecule", "mixture"])
def test_a_subject_that_only_another_sees_is_none(alice: Api, bob: Api, glycerol: str, noun: str):
    parts = {"components": [{"molecule_id": glycerol, "amount": 1, "unit": "g/L"}]} if noun == "mixture" else {}
    hers = alice.post(f"/{noun}s", {"name": "hers", **(parts or {"smiles": "CCO"})}).get_json()["id"]
    sent = {"outcome": "pass", "results": [VIABILITY], f"{noun}_id": hers}

    response = bob.post("/experiments", sent)

    assert pointers(response) == [f"/{noun}_id"]
    assert response.get_json()["errors"][0]["detail"] == f"no {noun} {hers} is visible to you"
    unknown = bob.post("/experiments", {**sent, f"{noun}_id": str(uuid4())}).get_json()
    assert unknown["errors"][0]["pointer"] == f"/{noun}_id"
    assert alice.post("/experiments", sent).status_code == 201


# Tokens, keys, dry runs.


def test_writing_needs_a_token_and_where_it_is_restricted_the_scope(
    alice: Api, anon: Api, experiment: str, glycerol: str
):
    scoped = {
        scope: Api(alice.client, issue_token(SECRET, role="service_role", ttl_s=60, scopes=[scope]))
        for scope in ("experiments:write", "molecules:write")
    }
    for method, path, json_body in (
        ("POST", "/experiments", body(glycerol)),
        ("POST", "/experiments/batch", [body(glycerol)]),
        ("PATCH", experiment, {"name": "y"}),
        ("DELETE", experiment, None),
    ):
        arguments = {"headers": IF_ANY, **({} if json_body is None else {"json": json_body})}
        problem(anon.request(method, path, **arguments), 401, "token_required")
        problem(scoped["molecules:write"].request(method, path, **arguments), 403, "scope_missing")
        assert scoped["experiments:write"].request(method, path, **arguments).status_code in {200, 201, 204}


def test_the_same_post_again_gets_the_first_answer(alice: Api, glycerol: str, admin: psycopg.Connection):
    for path, sent, status in (("/experiments", body(glycerol), 201), ("/experiments/batch", [body(glycerol)], 200)):
        first = alice.post(path, sent, headers={"Idempotency-Key": path})

        again = alice.post(path, sent, headers={"Idempotency-Key": path})

        assert (again.status_code, again.data) == (status, first.data)
        assert again.headers["Idempotent-Replayed"] == "true"
    assert stored(admin) == (2, 2, 0)


def test_a_dry_run_answers_as_if_done_and_keeps_nothing(
    alice: Api, experiment: str, glycerol: str, admin: psycopg.Connection
):
    headers = {"Prefer": "tx=rollback", **IF_ANY}
    before = alice.get(experiment).data

    for response, status in (
        (alice.post("/experiments", body(glycerol), headers=headers), 201),
        (alice.post("/experiments/batch", [body(glycerol)] * 3, headers=headers), 200),
        (alice.patch(experiment, {"results": [VIABILITY] * 2}, headers=headers), 200),
        (alice.delete(experiment, headers=headers), 204),
    ):
        assert response.status_code == status, response.text
        assert response.headers["Preference-Applied"] == "tx=rollback"

    assert alice.get(experiment).data == before
    assert stored(admin) == (1, 1, 0)


def test_a_dry_run_checks_what_is_checked_at_the_end(alice: Api, experiment: str):
    response = alice.patch(experiment, {"outcome": "fail"}, headers={"Prefer": "tx=rollback", **IF_ANY})

    assert pointers(response) == ["/failure_reasons"]


# Reading.


def test_detail_include_and_only_choose_what_is_shown(alice: Api, experiment: str):
    minimal = {"id", "name", "mixture_id", "molecule_id", "outcome"}

    assert alice.get(f"{experiment}?detail=minimal").get_json().keys() == minimal
    included = alice.get(f"{experiment}?detail=minimal&include=results,failure_reasons").get_json()
    assert included.keys() == minimal | {"results", "failure_reasons"}
    assert alice.get(f"{experiment}?only=results").get_json().keys() == {"results"}
    assert alice.get(f"{experiment}?detail=full").get_json()["source"] is None


def test_a_get_with_the_current_etag_is_304(alice: Api, experiment: str):
    tag = alice.get(experiment).headers["ETag"]

    response = alice.get(experiment, headers={"If-None-Match": tag})

    assert (response.status_code, response.data) == (304, b"")


def test_lists_are_filtered_sorted_searched_and_paged(service: Api, anon: Api, glycerol: str, mixture: str):
    for number in range(5):
        subject = {"mixture_id": mixture} if number == 4 else {"molecule_id": glycerol}
        started = {"started_at": f"2026-01-0{5 - number}T00:00:00Z"} if number < 3 else {}
        failed = {"outcome": "fail", "failure_reasons": ["ice"]} if number % 2 else {"outcome": "pass"}
        sent = {**subject, **started, **failed, "name": f"run {number}", "notes": f"odd{number % 2}"}
        assert service.post("/experiments", {**sent, "results": [VIABILITY]}).status_code == 201

    def names(query: str, path: str = "/experiments") -> list[str]:
        response = anon.get(f"{path}?{query}")
        assert response.status_code == 200, response.text
        return [record["name"] for record in response.get_json()["data"]]

    everything = [f"run {number}" for number in range(5)]
    assert names("") == everything[::-1]
    assert names("outcome=fail&order_by=id") == ["run 1", "run 3"]
    assert names(f"mixture_id={mixture}") == ["run 4"]
    assert names(f"molecule_id={glycerol}&order_by=created_at") == everything[:4]
    assert names("order_by=started_at") == ["run 2", "run 1", "run 0", "run 3", "run 4"]
    assert names("order_by=-started_at") == ["run 0", "run 1", "run 2", "run 4", "run 3"]
    assert names("started_at__gte=2026-01-04T00:00:00Z&order_by=id") == ["run 0", "run 1"]
    assert names("started_at__isnull=true&is_public=true&order_by=id") == ["run 3", "run 4"]
    assert names("q=odd1&order_by=id") == ["run 1", "run 3"]
    assert names("project_id__isnull=false") == []
    assert names("order_by=id", f"/molecules/{glycerol}/experiments") == everything[:4]
    assert names("outcome=pass&order_by=id", f"/molecules/{glycerol}/experiments") == ["run 0", "run 2"]
    assert names("", f"/mixtures/{mixture}/experiments") == ["run 4"]
    assert anon.get("/experiments?count=exact&limit=1").get_json()["page"]["count"] == 5

    for order in ("id", "-id", "created_at", "-updated_at", "started_at", "-started_at"):
        found: list[str] = []
        path = f"/experiments?order_by={order}&limit=2&only=name"
        while path:
            page = anon.get(path).get_json()
            found += [record["name"] for record in page["data"]]
            following = page["page"]["next"]
            path = f"/experiments?order_by={order}&limit=2&only=name&cursor={following}" if following else ""
        assert found == names(f"order_by={order}"), order


@pytest.mark.parametrize("query", ["results=x", "conditions=x", "order_by=outcome", "only=acl", "acl=x"])
def test_what_is_not_declared_is_400_and_says_what_is(anon: Api, query: str):
    problem(anon.get(f"/experiments?{query}"), 400)


def test_streams_hold_whole_records(service: Api, anon: Api, glycerol: str):
    record = created(service, glycerol, conditions=KNOWN_CONDITIONS)

    lines = anon.get("/experiments?format=ndjson").text.splitlines()
    rows = list(csv.DictReader(io.StringIO(anon.get("/experiments", headers={"Accept": "text/csv"}).text)))

    assert [json.loads(line) for line in lines] == [record]
    assert (rows[0]["id"], json.loads(rows[0]["results"])) == (record["id"], record["results"])
    assert json.loads(rows[0]["conditions"]) == KNOWN_CONDITIONS


@pytest.mark.parametrize("query", ["", "?format=csv", "?count=exact"])
def test_a_subject_that_is_not_seen_has_no_list(alice: Api, bob: Api, query: str):
    hers = alice.post("/molecules", DMSO).get_json()["id"]

    for path in (f"/molecules/{hers}", f"/molecules/{uuid4()}", f"/mixtures/{uuid4()}"):
        problem(bob.get(f"{path}/experiments{query}"), 404)
    assert alice.get(f"/molecules/{hers}/experiments{query}").status_code == 200


# Changing.


@pytest.mark.parametrize(
    "change", [{"name": "renamed"}, {"results": [VIABILITY]}, {"conditions": {}}, {"failure_reasons": []}, None]
)
def test_a_change_says_which_version_it_builds_on_and_raises_it(alice: Api, experiment: str, change: Any):
    method, arguments = ("DELETE", {}) if change is None else ("PATCH", {"json": change})
    tag = alice.get(experiment).headers["ETag"]

    problem(alice.request(method, experiment, **arguments), 428, "if_match_required")
    for stale in ('"7-0000000000000000"', "nonsense"):
        problem(alice.request(method, experiment, headers={"If-Match": stale}, **arguments), 412)
    assert alice.get(experiment).headers["ETag"] == tag

    response = alice.request(method, experiment, headers={"If-Match": tag}, **arguments)

    assert response.status_code == (204 if change is None else 200)
    if change is not None:
        assert response.get_json()["version"] == 2
        assert response.headers["ETag"] == alice.get(experiment).headers["ETag"] != tag
        problem(alice.request(method, experiment, headers={"If-Match": tag}, **arguments), 412)


def test_what_is_not_named_stays(alice: Api, glycerol: str):
    record = created(
        alice,
        glycerol,
        name="n",
        outcome="fail",
        failure_reasons=["ice"],
        started_at="2026-01-01T00:00:00Z",
        conditions=KNOWN_CONDITIONS,
        notes="o",
    )

    changed = alice.patch(f"/experiments/{record['id']}", {"notes": None}, headers=IF_ANY).get_json()

    assert changed["notes"] is None
    same = record.keys() - {"notes", "version", "updated_at"}
    assert {name: changed[name] for name in same} == {name: record[name] for name in same}


def test_everything_but_the_subject_is_changed_at_once(alice: Api, experiment: str):
    change = {
        "name": "again",
        "outcome": "fail",
        "failure_reasons": ["b", "a"],
        "started_at": "2026-01-01T00:00:00.000000Z",
        "completed_at": "2026-01-02T00:00:00.000000Z",
        "protocol": "p",
        "conditions": {"plunge": True},
        "reference": "r",
        "notes": "o",
        "results": [{"property_type": "density", "value": 1.1, "unit": "g/mL"}, VIABILITY],
    }

    response = alice.patch(experiment, change, headers=IF_ANY)

    changed = response.get_json()
    assert response.status_code == 200, response.text
    assert [(item["property_type"], item["value"]) for item in changed["results"]] == [
        ("density", 1100),
        ("post_thaw_viability", 0.82),
    ]
    same = change.keys() - {"results"}
    assert {name: changed[name] for name in same} == {name: change[name] for name in same}
    assert changed["version"] == 2
    assert alice.get(experiment).data == response.data


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({}, ""),
        ({"outcome": None}, "/outcome"),
        ({"outcome": "fail"}, "/failure_reasons"),
        ({"failure_reasons": ["ice"]}, "/failure_reasons"),
        ({"outcome": "pass", "failure_reasons": ["ice"]}, "/failure_reasons"),
        ({"outcome": "fail", "failure_reasons": []}, "/failure_reasons"),
        ({"completed_at": "2025-01-01T00:00:00Z"}, "/completed_at"),
        ({"started_at": "2027-01-01T00:00:00Z"}, "/completed_at"),
        ({"results": []}, "/results"),
        ({"results": None}, "/results"),
        (result(value=101), "/results/0/value"),
        (result(unit="K"), "/results/0/unit"),
        ({"conditions": {"plunge": 1}}, "/conditions/plunge"),
        ({"is_public": None}, "/is_public"),
        ({"molecule_id": str(uuid4())}, "/molecule_id"),
        ({"version": 3}, "/version"),
    ],
)
def test_a_change_that_is_wrong_leaves_the_experiment_as_it_was(
    alice: Api, glycerol: str, change: dict[str, Any], pointer: str
):
    times = {"started_at": "2026-01-01T00:00:00Z", "completed_at": "2026-01-02T00:00:00Z"}
    path = f"/experiments/{created(alice, glycerol, **times)['id']}"
    before = alice.get(path).data

    assert pointers(alice.patch(path, change, headers=IF_ANY)) == [pointer]
    assert alice.get(path).data == before


def test_an_experiment_that_is_gone_is_404(alice: Api, experiment: str, admin: psycopg.Connection):
    assert alice.delete(experiment, headers=IF_ANY).status_code == 204

    problem(alice.get(experiment), 404)
    problem(alice.patch(experiment, {"name": "x"}, headers=IF_ANY), 404)
    problem(alice.patch(experiment, result(), headers=IF_ANY), 404)
    problem(alice.delete(experiment, headers=IF_ANY), 404)
    assert stored(admin) == (0, 0, 0)


def test_what_was_experimented_on_is_not_deleted(service: Api, glycerol: str, mixture: str):
    sent = {"mixture_id": mixture, "outcome": "pass", "results": [VIABILITY]}
    assert service.post("/experiments", sent).status_code == 201

    problem(service.delete(f"/mixtures/{mixture}", headers=IF_ANY), 409)


def test_its_history_tells_who_changed_what(alice: Api, bob: Api, experiment: str):
    alice.patch(experiment, {"name": "renamed", "results": [VIABILITY]}, headers=IF_ANY)

    entries = alice.get(f"{experiment}/history").get_json()["data"]

    assert {entry["table_name"] for entry in entries} == {"experiments", "experiment_results"}
    renamed = next(e for e in entries if e["action"] == "update" and e["table_name"] == "experiments")
    assert (renamed["before"]["name"], renamed["after"]["name"]) == (None, "renamed")
    problem(bob.get(f"{experiment}/history"), 404)


# Who sees and changes what.


def test_a_users_experiment_is_private_and_the_services_public(alice: Api, bob: Api, service: Api, glycerol: str):
    hers, public = created(alice, glycerol), created(service, glycerol)

    assert (hers["is_public"], public["is_public"]) == (False, True)
    assert [record["id"] for record in bob.get("/experiments").get_json()["data"]] == [public["id"]]
    path = f"/experiments/{hers['id']}"
    problem(bob.get(path), 404)
    problem(bob.patch(path, {"name": "mine"}, headers=IF_ANY), 404)
    problem(bob.delete(path, headers=IF_ANY), 404)
    assert bob.get("/experiments?q=viability&count=exact").get_json()["page"]["count"] == 0
    problem(bob.patch(f"/experiments/{public['id']}", {"name": "mine"}, headers=IF_ANY), 403, "not_permitted")
    problem(bob.delete(f"/experiments/{public['id']}", headers=IF_ANY), 403, "not_permitted")


def test_viewers_read_editors_change_and_owners_delete_and_publish(
    alice: Api, make_user: Callable[[], Api], make_project: Callable[..., UUID], glycerol: str, anon: Api
):
    editor, viewer, stranger = make_user(), make_user(), make_user()
    project = str(make_project(owner=alice, editor=editor, viewer=viewer))
    refused = viewer.post("/experiments", body(glycerol, project_id=project))
    problem(refused, 403, "not_permitted")
    assert refused.get_json()["errors"][0]["pointer"] == "/project_id"
    problem(editor.post("/experiments", body(glycerol, project_id=project, is_public=True)), 403, "not_permitted")

    record = created(editor, glycerol, project_id=project)
    path = f"/experiments/{record['id']}"

    assert viewer.get(path).status_code == 200
    for member in (alice, editor, viewer):
        listed = member.get(f"/projects/{project}/experiments").get_json()["data"]
        assert [item["id"] for item in listed] == [record["id"]]
    problem(stranger.get(f"/projects/{project}/experiments"), 404)
    problem(stranger.get(path), 404)
    problem(viewer.patch(path, {"name": "x"}, headers=IF_ANY), 403, "not_permitted")
    assert editor.patch(path, {"name": "x", **result()}, headers=IF_ANY).status_code == 200
    problem(editor.patch(path, {"is_public": True}, headers=IF_ANY), 403, "not_permitted")
    problem(editor.delete(path, headers=IF_ANY), 403, "not_permitted")
    problem(anon.get(path), 404)
    assert alice.patch(path, {"is_public": True}, headers=IF_ANY).status_code == 200
    assert anon.get(path).get_json()["results"] == record["results"]
    assert alice.delete(path, headers=IF_ANY).status_code == 204


def test_nobody_shows_an_experiment_to_whom_its_subject_is_hidden(
    alice: Api, bob: Api, service: Api, make_project: Callable[..., UUID]
):
    project = str(make_project(owner=alice, viewer=bob))
    own = alice.post("/molecules", DMSO).get_json()["id"]
    path = f"/experiments/{created(alice, own)['id']}"

    assert pointers(alice.post("/experiments", body(own, project_id=project))) == ["/molecule_id"]
    assert pointers(service.post("/experiments", body(own))) == ["/molecule_id"]
    assert pointers(alice.patch(path, {"project_id": project}, headers=IF_ANY)) == [""]
    assert pointers(service.patch(path, {"is_public": True}, headers=IF_ANY)) == [""]

    assert alice.put(f"/projects/{project}/molecules/{own}", None, headers=IF_ANY).status_code == 201
    shown = created(alice, own, project_id=project)
    assert bob.get(f"/experiments/{shown['id']}").status_code == 200
    # What is taken back later stays seen in what was shown while it could be.
    assert alice.delete(f"/projects/{project}/molecules/{own}", headers=IF_ANY).status_code == 204
    assert bob.get(f"/experiments/{shown['id']}").get_json()["molecule_id"] == own
    assert pointers(alice.post("/experiments", body(own, project_id=project))) == ["/molecule_id"]
