"""Toxicity over HTTP: results added and listed, profiles, scores and the ranking, for whoever may see them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
import pytest

from tests.api.bodies import DMSO, ETHANOL, GLYCEROL, GLYCEROL_INCHIKEY
from tests.api.problems import pointers, problem
from tests.plugins.api import Api

NDJSON = "application/x-ndjson"
AHR: dict[str, Any] = {
    "source": "tox21",
    "name": "NR-AhR",
    "external_id": "806",
    "cell_type": "HepG2",
    "organism": "human",
    "exposure_h": 24,
    "annotations": {"assay_format_type": "cell-based"},
    "endpoints": [{"name": "nuclear_receptor", "description": "Nuclear receptors"}],
}
P53: dict[str, Any] = {
    "source": "tox21",
    "name": "SR-p53",
    "cell_type": "HCT-116",
    "endpoints": [{"name": "stress_response", "description": "Stress"}],
}
ORAL: dict[str, Any] = {
    "source": "ice",
    "name": "oral",
    "endpoints": [{"name": "acute_oral_toxicity", "description": "Deaths", "is_scored": False}],
}
KNOWN = {"source": "tox21", "name": "NR-AhR"}


def hit(molecule: str, call: str | None = "active", **fields: Any) -> dict[str, Any]:
    return {"molecule": molecule, "assay": AHR, "hit_call": call, **fields}


def batch(caller: Api, records: list[Any], query: str = "", status: int = 200) -> dict[str, Any]:
    response = caller.post(f"/toxicity/results/batch{query}", records)
    assert response.status_code == status, response.text
    answer: dict[str, Any] = response.get_json()
    return answer


def data(caller: Api, path: str) -> list[dict[str, Any]]:
    response = caller.get(path)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.get_json()["data"]
    return found


def stored(admin: psycopg.Connection) -> int:
    (number,) = admin.execute("SELECT count(*) FROM toxicity_results").fetchone() or (-1,)
    return int(number)


@pytest.fixture
def glycerol(service: Api) -> str:
    """Give the id of a public molecule."""
    return str(service.post("/molecules", GLYCEROL).get_json()["id"])


@pytest.fixture
def own(alice: Api) -> str:
    """Give the id of a private molecule of alice's."""
    return str(alice.post("/molecules", ETHANOL).get_json()["id"])


@pytest.fixture
def assay(service: Api, glycerol: str) -> None:
    """Make an assay known, by a result on glycerol."""
    batch(service, [hit(glycerol, source_record="known")])


# Adding.


def test_the_service_adds_a_result_and_its_assay(service: Api, anon: Api, glycerol: str):
    sent = hit(
        GLYCEROL_INCHIKEY,
        None,
        continuous_hit_call=0.97,
        potency_type="AC50",
        potency=12.5,
        potency_unit="uM",
        concentration_min=0.1,
        concentration_max=100,
        concentration_unit="uM",
        flags=["Borderline"],
        reference="doi:10.1000/x",
        source_record="m4id:1",
    )

    response = service.post("/toxicity/results", sent)

    record = response.get_json()
    assert response.status_code == 201, response.text
    assert response.headers["Location"] == f"/api/v1/toxicity/results/{record['id']}"
    for name in set(sent) - {"molecule", "assay", "hit_call"}:
        assert record[name] == sent[name], name
    assert (record["molecule_id"], record["hit_call"], record["cell_type"]) == (glycerol, "active", "HepG2")
    assert (record["source"], record["assay"], record["endpoint"]) == ("tox21", "NR-AhR", "nuclear_receptor")
    assert anon.get(f"/toxicity/results/{record['id']}").get_json() == record
    (found,) = data(anon, "/toxicity/assays?detail=full&q=hepg2")
    assert (found["external_id"], found["exposure_h"], found["annotations"]) == ("806", 24, AHR["annotations"])
    assert [item["name"] for item in data(anon, "/toxicity/endpoints")] == ["nuclear_receptor"]


def test_a_molecule_is_named_in_any_way_that_people_know(service: Api):
    identifiers = [
        {"source": "pubchem", "kind": "cid", "external_id": "753"},
        {"source": "chembl", "kind": "chembl_id", "external_id": "CHEMBL692"},
        {"source": "cas", "kind": "cas_number", "external_id": "56-81-5"},
        {"source": "dsstox", "kind": "dtxsid", "external_id": "DTXSID9020663"},
    ]
    molecule = service.post("/molecules", {**GLYCEROL, "identifiers": identifiers}).get_json()["id"]
    names = [molecule, GLYCEROL_INCHIKEY, "753", "chembl692", "56-81-5", "dtxsid9020663", "glycerol"]

    answer = batch(service, [hit(name) for name in names])

    assert answer["added"] == len(names)
    assert {item["molecule_id"] for item in data(service, "/toxicity/results")} == {molecule}


@pytest.mark.usefixtures("assay")
def test_a_user_adds_to_its_own_molecule_and_deletes_that_again(alice: Api, bob: Api, anon: Api, own: str):
    response = alice.post("/toxicity/results", hit(own, assay=KNOWN))

    record = response.get_json()
    assert response.status_code == 201, response.text
    assert record["created_by"] == str(alice.user_id)
    path = f"/toxicity/results/{record['id']}"
    for stranger in (anon, bob):
        assert stranger.get(path).status_code == 404
    assert bob.delete(path, headers={"If-Match": "*"}).status_code == 404
    assert alice.delete(path).status_code == 428
    assert alice.delete(path, headers={"If-Match": response.headers["ETag"]}).status_code == 204
    assert alice.get(path).status_code == 404


@pytest.mark.usefixtures("assay")
def test_a_user_adds_nothing_to_what_is_public_or_a_strangers(
    alice: Api, bob: Api, own: str, glycerol: str, admin: psycopg.Connection
):
    before = stored(admin)

    problem(alice.post("/toxicity/results", hit(glycerol, assay=KNOWN)), 403)
    response = bob.post("/toxicity/results", hit(own, assay=KNOWN))

    assert pointers(response) == ["/molecule"]
    assert own in response.get_json()["detail"]
    assert stored(admin) == before


def test_a_user_makes_no_assay(alice: Api, own: str, admin: psycopg.Connection):
    response = alice.post("/toxicity/results", hit(own))

    assert pointers(response) == ["/assay"]
    assert admin.execute("SELECT count(*) FROM toxicity_assays").fetchone() == (0,)


def test_members_of_a_project_share_its_molecules_results(
    service: Api, alice: Api, bob: Api, make_project: Callable[..., UUID], glycerol: str
):
    batch(service, [hit(glycerol)])
    project = str(make_project(owner=alice, viewer=bob))
    shared = alice.post("/molecules", {**DMSO, "project_id": project}).get_json()["id"]

    assert alice.post("/toxicity/results", hit(shared, assay=KNOWN)).status_code == 201
    problem(bob.post("/toxicity/results", hit(shared, assay=KNOWN)), 403)
    assert bob.get(f"/toxicity/molecules/{shared}/score").get_json()["score"] == 1


def test_who_may_write(anon: Api, glycerol: str, scoped: Callable[[str], Api]):
    assert anon.post("/toxicity/results", hit(glycerol)).status_code == 401
    assert anon.post("/toxicity/results/batch", [hit(glycerol)]).status_code == 401
    problem(scoped("molecules:write").post("/toxicity/results", hit(glycerol)), 403)
    assert scoped("toxicity:write").post("/toxicity/results", hit(glycerol)).status_code == 201


def test_the_same_record_again_is_a_conflict_with_its_id(service: Api, glycerol: str):
    first = service.post("/toxicity/results", hit(glycerol, source_record="a")).get_json()["id"]

    said = problem(service.post("/toxicity/results", hit(glycerol, "inactive", source_record="a")), 409)

    assert said["existing_id"] == first


BAD: list[tuple[Any, list[str]]] = [
    ({"hit_call": "toxic"}, ["/hit_call"]),
    ({"hit_call": None}, [""]),
    ({"hit_call": "inactive", "continuous_hit_call": 0.95}, ["/hit_call"]),
    ({"continuous_hit_call": 1.01}, ["/continuous_hit_call"]),
    ({"continuous_hit_call": "0.95"}, ["/continuous_hit_call"]),
    ({"potency": 0, "potency_type": "AC50", "potency_unit": "uM"}, ["/potency"]),
    ({"potency": 1.5}, ["/potency"]),
    ({"potency_relation": "!="}, ["/potency_relation"]),
    ({"concentration_min": 5, "concentration_max": 1, "concentration_unit": "uM"}, ["/concentration_max"]),
    ({"concentration_min": -5, "concentration_unit": "uM"}, ["/concentration_min"]),
    ({"molecule": " "}, ["/molecule"]),
    ({"molecule": 753}, ["/molecule"]),
    ({"assay": "NR-AhR"}, ["/assay"]),
    ({"assay": {"source": "tox21"}}, ["/assay"]),
    ({"assay": {"name": "NR-AhR"}}, ["/assay/source"]),
    ({"assay": {**AHR, "endpoints": [{"name": "No Word", "description": "x"}]}}, ["/assay/endpoints/0/name"]),
    ({"assay": {**AHR, "annotations": {"x": {"deep": 1}}}}, ["/assay/annotations/x"]),
    ({"assay": {**AHR, "signal_direction": "up"}}, ["/assay/signal_direction"]),
    ({"assay": {**AHR, "exposure_h": -1}}, ["/assay/exposure_h"]),
    ({"endpoint": "DROP TABLE"}, ["/endpoint"]),
    ({"flags": [""]}, ["/flags/0"]),
    ({"source_record": "x" * 201}, ["/source_record"]),
    ({"is_public": True}, ["/is_public"]),
    ({"created_by": str(uuid4())}, ["/created_by"]),
    ({"import_run_id": str(uuid4())}, ["/import_run_id"]),
    ({"acl": []}, ["/acl"]),
]


@pytest.mark.parametrize(("fields", "places"), BAD, ids=[str(number) for number in range(len(BAD))])
def test_bad_values_are_refused_where_they_are(
    service: Api, glycerol: str, fields: dict[str, Any], places: list[str], admin: psycopg.Connection
):
    response = service.post("/toxicity/results", {**hit(glycerol), **fields})

    assert pointers(response) == places
    answer = batch(service, [{**hit(glycerol), **fields}])
    assert [error["pointer"] for error in answer["results"][0]["errors"]] == places
    assert stored(admin) == 0


# Batches.


@pytest.mark.parametrize("style", ["json", "ndjson"])
def test_each_record_of_a_batch_stands_or_falls_by_itself(service: Api, glycerol: str, style: str):
    records: list[Any] = [
        hit(glycerol, source_record="a"),
        hit(glycerol, "maybe"),
        hit("nonesuch"),
        hit(glycerol, assay=P53, source_record="a"),
        hit(glycerol, source_record="a"),
        "no record",
        hit(glycerol, assay={"source": "tox21", "name": "NR-XX"}),
    ]

    if style == "json":
        response = service.post("/toxicity/results/batch", records)
    else:
        body = b"\n".join(map(orjson.dumps, records))
        response = service.post("/toxicity/results/batch", data=body, content_type=NDJSON)

    answer = response.get_json()
    assert response.status_code == 200, response.text
    assert [item["status"] for item in answer["results"]] == [
        "added",
        "refused",
        "refused",
        "added",
        "existing",
        "refused",
        "refused",
    ]
    assert [answer[name] for name in ("added", "existing", "changed", "refused")] == [2, 1, 0, 4]
    assert [[error["pointer"] for error in item["errors"]] for item in answer["results"] if item["errors"]] == [
        ["/hit_call"],
        ["/molecule"],
        [""],
        ["/assay"],
    ]
    assert answer["results"][4]["id"] == answer["results"][0]["id"]


def test_an_atomic_batch_is_all_or_nothing(service: Api, glycerol: str, admin: psycopg.Connection):
    records = [hit(glycerol), hit("nonesuch"), hit(glycerol, "no")]

    response = service.post("/toxicity/results/batch?atomic=true", records)

    assert pointers(response) == ["/1/molecule", "/2/hit_call"]
    assert stored(admin) == 0
    assert batch(service, [hit(glycerol), hit(glycerol)], "?atomic=true")["added"] == 2


def test_ten_thousand_results_go_in_one_call_and_one_more_does_not(
    service: Api, glycerol: str, admin: psycopg.Connection
):
    many = [hit(glycerol, assay=KNOWN, source_record=str(number)) for number in range(10_000)]
    many[0]["assay"] = AHR

    assert batch(service, many)["added"] == 10_000
    assert batch(service, many)["existing"] == 10_000
    problem(service.post("/toxicity/results/batch", [*many, many[0]]), 422)
    assert stored(admin) == 10_000


def test_a_dry_run_keeps_nothing_and_a_key_gives_the_first_answer(
    service: Api, glycerol: str, admin: psycopg.Connection
):
    tried = service.post("/toxicity/results/batch", [hit(glycerol)], headers={"Prefer": "tx=rollback"})
    assert (tried.status_code, tried.get_json()["added"], stored(admin)) == (200, 1, 0)

    key = {"Idempotency-Key": "once"}
    first = service.post("/toxicity/results/batch", [hit(glycerol)], headers=key)
    again = service.post("/toxicity/results/batch", [hit(glycerol)], headers=key)

    assert again.headers["Idempotent-Replayed"] == "true"
    assert (again.get_json(), stored(admin)) == (first.get_json(), 1)


# Reading.


def test_results_are_filtered_sorted_paged_and_formatted(service: Api, anon: Api, glycerol: str):
    dmso = service.post("/molecules", DMSO).get_json()["id"]
    ac50 = {"potency_type": "AC50", "potency_unit": "uM"}
    batch(
        service,
        [
            hit(glycerol, potency=30, **ac50),
            hit(glycerol, "inactive", assay=P53),
            hit(dmso, potency=10, flags=["=cmd()"], **ac50),
        ],
    )

    assert len(data(anon, f"/molecules/{glycerol}/toxicity")) == 2
    assert [item["potency"] for item in data(anon, "/toxicity/results?order_by=potency")] == [10, 30, None]
    assert len(data(anon, "/toxicity/results?endpoint=stress_response&hit_call__in=active,inactive")) == 1
    assert len(data(anon, "/toxicity/results?cell_type=HepG2&potency__gt=10&source=tox21")) == 1
    assert data(anon, "/toxicity/results?only=assay&limit=1&order_by=potency") == [{"assay": "NR-AhR"}]
    assert anon.get("/toxicity/results?limit=1&count=exact").get_json()["page"]["count"] == 3
    rows = list(csv.DictReader(io.StringIO(anon.get("/toxicity/results?format=csv").text)))
    assert {row["assay"] for row in rows} == {"NR-AhR", "SR-p53"}
    lines = anon.get(f"/molecules/{dmso}/toxicity", headers={"Accept": NDJSON}).data.splitlines()
    assert [orjson.loads(line)["flags"] for line in lines] == [["=cmd()"]]
    assert anon.get("/toxicity/results?acl=x").status_code == 400
    assert anon.get("/toxicity/results?order_by=hit_call").status_code == 400
    assert anon.get(f"/molecules/{uuid4()}/toxicity").status_code == 404


def test_a_profile_and_a_score_say_what_they_rest_on(service: Api, anon: Api, glycerol: str):
    batch(
        service,
        [
            hit(glycerol, source_record="1"),
            hit(glycerol, source_record="2"),
            hit(glycerol, "inactive", source_record="3"),
            hit(glycerol, "inactive", assay=P53),
            hit(glycerol, None, assay=ORAL, potency=12_600, potency_type="LD50", potency_unit="mg/kg"),
        ],
    )

    profile = anon.get(f"/toxicity/molecules/{glycerol}").get_json()
    score = anon.get(f"/toxicity/molecules/{glycerol}/score").get_json()
    stress = anon.get(f"/toxicity/molecules/{glycerol}/score?endpoint=stress_response&cell_type=HCT-116").get_json()

    assert [(item["endpoint"], item["tested"], item["active"]) for item in profile["endpoints"]] == [
        ("nuclear_receptor", 1, 1),
        ("stress_response", 1, 0),
    ]
    assert (score["score"], score["coverage"], score["conflicting"]) == (0.5, 1, 1)
    assert [assay["name"] for assay in score["assays"]] == ["NR-AhR", "SR-p53"]
    assert [dose["median"] for dose in score["context"]] == [12_600]
    assert (stress["score"], stress["endpoint"], stress["cell_type"]) == (0, "stress_response", "HCT-116")
    assert pointers(anon.get(f"/toxicity/molecules/{glycerol}/score?endpoint=nope")) == ["endpoint"]
    assert anon.get(f"/toxicity/molecules/{glycerol}/score?endpoints=nope").status_code == 400
    assert anon.get(f"/toxicity/molecules/{uuid4()}").status_code == 404


def test_no_data_is_null_with_a_reason(anon: Api, glycerol: str):
    score = anon.get(f"/toxicity/molecules/{glycerol}/score").get_json()

    assert (score["score"], score["coverage"], score["confidence"]) == (None, 0, 0)
    assert score["reason"] == "no hit call is stored for it here"
    assert anon.get(f"/toxicity/molecules/{glycerol}").get_json()["endpoints"] == []


@pytest.fixture
def mixture(service: Api, glycerol: str) -> str:
    """Give the id of a public mixture of glycerol and, a third as much, DMSO."""
    dmso = service.post("/molecules", DMSO).get_json()["id"]
    components = [
        {"molecule_id": glycerol, "amount": 3, "unit": "mol/kg"},
        {"molecule_id": dmso, "amount": 1, "unit": "mol/kg"},
    ]
    return str(service.post("/mixtures", {"name": "CPA", "components": components}).get_json()["id"])


def test_a_mixtures_score_is_its_components_by_mol(service: Api, anon: Api, mixture: str, glycerol: str):
    batch(service, [hit(glycerol), hit(glycerol, "inactive", assay=P53), hit("Dimethyl sulfoxide", "inactive")])

    score = anon.get(f"/toxicity/mixtures/{mixture}/score").get_json()

    assert (score["score"], score["coverage"], score["reason"]) == (0.375, 0.875, None)
    assert [(item["name"], item["share"], item["score"]) for item in score["components"]] == [
        ("Glycerol", 0.75, 0.5),
        ("Dimethyl sulfoxide", 0.25, 0),
    ]
    assert all(item["value"] is None and item["reason"] for item in score["survival"]["predictions"])


def test_a_mixture_without_data_has_no_score_and_a_reason(anon: Api, mixture: str):
    score = anon.get(f"/toxicity/mixtures/{mixture}/score").get_json()

    assert (score["score"], score["coverage"]) == (None, 0)
    assert score["reason"] == "no component has a conclusive hit call"
    assert anon.get(f"/toxicity/mixtures/{uuid4()}/score").status_code == 404


@pytest.mark.parametrize(("amount", "unit"), [(5e-324, "%w/w"), (1.7e308, "mol/kg")])
def test_amounts_at_the_edge_of_all_numbers_give_a_score_or_a_reason(
    service: Api, anon: Api, glycerol: str, amount: float, unit: str
):
    dmso = service.post("/molecules", DMSO).get_json()["id"]
    components = [{"molecule_id": molecule, "amount": amount, "unit": unit} for molecule in (glycerol, dmso)]
    mixture = service.post("/mixtures", {"name": "CPA", "components": components}).get_json()["id"]
    batch(service, [hit(glycerol), hit("Dimethyl sulfoxide", "inactive")])

    score = anon.get(f"/toxicity/mixtures/{mixture}/score").get_json()

    if unit == "%w/w":
        assert (score["score"], score["reason"]) == (
            None, "shares in mol are not known: the amounts are beyond all measure",
        )  # fmt: skip
    else:
        assert (score["score"], [item["share"] for item in score["components"]]) == (0.5, [0.5, 0.5])


def test_all_means_every_endpoint_and_cell_type_wherever_it_is_asked_for(
    service: Api, anon: Api, mixture: str, glycerol: str
):
    batch(service, [hit(glycerol), hit(glycerol, "inactive", assay=P53)])

    for path, cells in ((f"molecules/{glycerol}", "cell_type"), (f"mixtures/{mixture}", "assay_cell_type")):
        score = anon.get(f"/toxicity/{path}/score")
        same = anon.get(f"/toxicity/{path}/score?endpoint=all&{cells}=all")
        assert (same.status_code, same.get_json()) == (200, score.get_json())


def test_survival_is_of_a_stated_exposure_of_stated_cells(anon: Api, mixture: str):
    path = f"/toxicity/mixtures/{mixture}/score?temperature_k=298.15&exposure_min=30"

    endothelial = anon.get(f"{path}&cell_type=endothelial").get_json()["survival"]
    liver = anon.get(f"{path}&cell_type=hepatocyte").get_json()["survival"]

    assert endothelial["conditions"] == {"cell_type": "endothelial", "exposure_min": 30, "temperature_k": 298.15}
    survivals = [item for item in endothelial["predictions"] if item["property_type"] == "cell_survival"]
    assert survivals
    assert all(item["in_domain"] and 0 < item["value"] <= 1 for item in survivals)
    assert all(item["value"] is None for item in liver["predictions"])
    problem(anon.get(f"{path}&exposure_min=60"), 400, "repeated_parameter")


def test_amounts_that_cannot_be_counted_in_mol_give_no_score(
    service: Api, anon: Api, admin: psycopg.Connection, glycerol: str
):
    admin.execute("INSERT INTO molecules (name, kind, is_public) VALUES ('Dextran 40', 'polymer', true)")
    polymer = data(anon, "/molecules?kind=polymer")[0]["id"]
    components = [
        {"molecule_id": glycerol, "amount": 3, "unit": "%w/w"},
        {"molecule_id": polymer, "amount": 5, "unit": "%w/w"},
    ]
    mixture = service.post("/mixtures", {"name": "CPA", "components": components}).get_json()["id"]
    batch(service, [hit(glycerol)])

    score = anon.get(f"/toxicity/mixtures/{mixture}/score").get_json()

    assert score["score"] is None
    assert "molar mass" in score["reason"]
    assert [item["score"] for item in score["components"]] == [1, None]
    assert score["survival"]["predictions"] == []
    assert score["survival"]["reason"]


def test_the_ranking_is_a_list_like_all_others(service: Api, anon: Api, glycerol: str):
    ids = [service.post("/molecules", body).get_json()["id"] for body in (DMSO, ETHANOL)]
    batch(service, [hit(glycerol), hit(ids[0], "inactive"), hit(ids[1]), hit(ids[1], "inactive", assay=P53)])

    seen, path = [], "/toxicity/ranking?limit=1&include=assays"
    while path:
        page = anon.get(path).get_json()
        seen += [(item["name"], item["score"], len(item["assays"])) for item in page["data"]]
        path = f"/toxicity/ranking?limit=1&include=assays&cursor={page['page']['next']}" if page["page"]["next"] else ""

    assert seen == [("Glycerol", 1, 1), ("Ethanol", 0.5, 2), ("Dimethyl sulfoxide", 0, 1)]
    assert [item["name"] for item in data(anon, "/toxicity/ranking?endpoint=stress_response")] == ["Ethanol"]
    assert data(anon, "/toxicity/ranking?cell_type=nowhere") == []
    assert len(data(anon, "/toxicity/ranking?score__gte=0.5&confidence__gt=0&order_by=score&only=name,score")) == 2
    assert len(list(csv.DictReader(io.StringIO(anon.get("/toxicity/ranking?format=csv").text)))) == 3
    assert anon.get("/toxicity/ranking?order_by=method_id").status_code == 400
    assert len(data(anon, "/toxicity/ranking?modified_after=2020-01-01")) == 3


@pytest.mark.usefixtures("assay")
def test_private_results_show_in_no_strangers_answer(alice: Api, bob: Api, anon: Api, own: str):
    components = [{"molecule_id": own, "amount": 1, "unit": "mol/kg"}]
    mixture = alice.post("/mixtures", {"name": "secret", "components": components}).get_json()["id"]
    before = [anon.get("/toxicity/ranking").data, bob.get("/toxicity/ranking").data]

    assert alice.post("/toxicity/results", hit(own, assay=KNOWN)).status_code == 201

    assert [anon.get("/toxicity/ranking").data, bob.get("/toxicity/ranking").data] == before
    assert [item["name"] for item in data(alice, "/toxicity/ranking?order_by=score")] == ["Glycerol", "Ethanol"]
    assert alice.get(f"/toxicity/mixtures/{mixture}/score").get_json()["score"] == 1
    for stranger in (anon, bob):
        for path in (
            f"/toxicity/molecules/{own}",
            f"/toxicity/molecules/{own}/score",
            f"/toxicity/mixtures/{mixture}/score",
            f"/molecules/{own}/toxicity",
        ):
            assert stranger.get(path).status_code == 404, path
        assert len(data(stranger, "/toxicity/results")) == 1
