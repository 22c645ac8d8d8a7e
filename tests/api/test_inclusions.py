"""Records of other kinds inside a record: what `include` and `only` take, how many are shown, and to whom."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any
from uuid import UUID

import orjson
import psycopg
import pytest

from database.listing import MAX_INCLUDED, MAX_INCLUDED_ON_PAGE, Many
from database.repositories.inclusions import INCLUSIONS, names_of
from tests.api.bodies import GLYCEROL
from tests.api.problems import problem
from tests.plugins.api import Api

Record = dict[str, Any]
DENSITY = {"properties": [{"property_type": "density", "value": 1261.0, "unit": "kg/m3"}]}
FREEZING: Record = {"properties": ["freezing_point"], "models": ["osmotic_virial@2"]}
VIABILITY: Record = {"property_type": "post_thaw_viability", "value": 82, "unit": "%"}
RESOURCES = {listing.name: listing for listing in INCLUSIONS}
MANY = [(listing.name, item.name) for listing, items in INCLUSIONS.items() for item in items if isinstance(item, Many)]
PATHS = {name: "toxicity/results" if name == "toxicity_results" else name for name in RESOURCES}
ALL = {name: ",".join(item.name for item in INCLUSIONS[listing]) for name, listing in RESOURCES.items()}


def made(caller: Api, path: str, body: Record) -> Record:
    response = caller.post(path, body)
    assert response.status_code == 201, response.text
    record: Record = response.get_json()
    return record


def experiment(caller: Api, subject: Record, **fields: Any) -> str:
    return str(made(caller, "/experiments", {**subject, "outcome": "pass", "results": [VIABILITY], **fields})["id"])


def mixed(caller: Api, **fields: Any) -> str:
    components = [{"molecule": "Glycerol", "amount": 2.3, "unit": "mol/kg"}]
    return str(made(caller, "/mixtures", {"name": "CPA", "components": components, **fields})["id"])


def hit(molecule: str) -> Record:
    assay = {
        "source": "tox21",
        "name": "NR-AhR",
        "endpoints": [{"name": "nuclear_receptor", "description": "Nuclear receptors"}],
    }
    return {"molecule": molecule, "assay": assay, "hit_call": "active"}


def read(caller: Api, path: str) -> Any:
    response = caller.get(path)
    assert response.status_code == 200, response.text
    return response.get_json()


def ids(shown: Record) -> set[str]:
    return {record["id"] for record in shown["data"]}


@pytest.fixture
def keys(service: Api, models: None) -> dict[str, str]:
    """Give the ids of public records, one of each kind, that all hang together."""
    molecule = str(made(service, "/molecules", {**GLYCEROL, **DENSITY})["id"])
    mixture = mixed(service)
    prediction = made(service, f"/mixtures/{mixture}/predictions", FREEZING)["data"][0]["id"]
    experiment(service, {"molecule_id": molecule}, name="on the molecule")
    return {
        "molecules": molecule,
        "mixtures": mixture,
        "predictions": prediction,
        "experiments": experiment(service, {"mixture_id": mixture}, name="on the mixture"),
        "toxicity_results": str(made(service, "/toxicity/results", hit(molecule))["id"]),
    }


@pytest.fixture(params=["bob", "anon"])
def stranger(request: pytest.FixtureRequest) -> Api:
    """Give a caller who shares nothing with alice."""
    caller: Api = request.getfixturevalue(request.param)
    return caller


# What is shown.


@pytest.mark.parametrize(("resource", "name"), MANY, ids=[f"{resource} {name}" for resource, name in MANY])
def test_what_is_included_is_what_its_own_list_has(anon: Api, keys: dict[str, str], resource: str, name: str):
    parts = "&include=results" if name == "experiments" else ""
    listed = read(anon, f"/{PATHS[resource]}/{keys[resource]}/{name}?detail=minimal{parts}")["data"]

    record = read(anon, f"/{PATHS[resource]}/{keys[resource]}?include={name}")

    assert listed
    assert record[name] == {"data": listed, "more": False}


@pytest.mark.parametrize("resource", ["experiments", "predictions"])
def test_a_record_shows_the_mixture_that_it_is_about(anon: Api, keys: dict[str, str], resource: str):
    mixture = read(anon, f"/mixtures/{keys['mixtures']}?only=id,name,components")

    record = read(anon, f"/{PATHS[resource]}/{keys[resource]}?include=mixture,molecule")

    assert (record["mixture"], record["molecule"]) == (mixture, None)


def test_an_experiment_shows_the_molecule_that_it_is_about(anon: Api, keys: dict[str, str]):
    (record,) = read(anon, "/experiments?mixture_id__isnull=true&include=mixture,molecule")["data"]

    assert record["mixture"] is None
    assert record["molecule"] == read(anon, f"/molecules/{keys['molecules']}?detail=minimal")


@pytest.mark.parametrize("resource", RESOURCES)
@pytest.mark.parametrize("detail", ["minimal", "standard", "full"])
def test_no_level_of_detail_brings_other_records_along(anon: Api, keys: dict[str, str], resource: str, detail: str):
    bare = read(anon, f"/{PATHS[resource]}/{keys[resource]}?detail={detail}")
    whole = read(anon, f"/{PATHS[resource]}/{keys[resource]}?detail={detail}&include={ALL[resource]}")

    assert {name: whole[name] for name in bare} == bare
    assert set(whole) - set(bare) == set(ALL[resource].split(","))


@pytest.mark.parametrize("resource", RESOURCES)
def test_a_list_shows_what_a_single_record_shows(anon: Api, keys: dict[str, str], resource: str):
    included, alone = f"include={ALL[resource]}", f"only={ALL[resource]}"
    for shape in (included, alone):
        assert read(anon, f"/{PATHS[resource]}?id={keys[resource]}&{shape}")["data"] == [
            read(anon, f"/{PATHS[resource]}/{keys[resource]}?{shape}")
        ]
    assert set(read(anon, f"/{PATHS[resource]}/{keys[resource]}?{alone}")) == set(ALL[resource].split(","))


@pytest.mark.parametrize("resource", RESOURCES)
@pytest.mark.parametrize("parameter", ["include", "only"])
def test_a_name_that_does_not_exist_is_400_and_those_that_do_are_named(anon: Api, resource: str, parameter: str):
    for path in (f"/{PATHS[resource]}", f"/{PATHS[resource]}/00000000-0000-7000-8000-000000000000"):
        found = problem(anon.get(f"{path}?{parameter}=acl"), 400, "unknown_field")

        assert set(found["detail"].partition("known: ")[2].split(", ")) == set(names_of(RESOURCES[resource]))


@pytest.mark.parametrize("resource", RESOURCES)
def test_the_document_says_what_can_be_included(anon: Api, resource: str):
    document = read(anon, "//openapi.json")

    name = "".join(word.capitalize() for word in resource.removesuffix("s").split("_"))
    schema = document["components"]["schemas"][name]["properties"]
    parameters = document["paths"][f"/api/v1/{PATHS[resource]}"]["get"]["parameters"]
    (include,) = (item for item in parameters if item["name"] == "include")
    for item in INCLUSIONS[RESOURCES[resource]]:
        assert item.name in schema
        assert item.name in include["schema"]["pattern"]


# How many.


def test_the_newest_are_shown_and_whether_there_are_more(service: Api, keys: dict[str, str]):
    mixture = keys["mixtures"]
    body = {"mixture_id": mixture, "outcome": "pass", "results": [VIABILITY]}
    assert service.post("/experiments/batch", [body] * MAX_INCLUDED).get_json()["added"] == MAX_INCLUDED
    newest = read(service, f"/mixtures/{mixture}/experiments?only=id&limit={MAX_INCLUDED}")["data"]

    shown = read(service, f"/mixtures/{mixture}?include=experiments")["experiments"]
    (crowded,) = read(service, "/mixtures?include=experiments&limit=1000")["data"]
    (filtered,) = read(service, "/mixtures?include=experiments&limit=500&name=CPA")["data"]

    assert [record["id"] for record in shown["data"]] == [record["id"] for record in newest]
    assert shown["more"] is True
    for fewer, limit in ((crowded["experiments"], 1000), (filtered["experiments"], 500)):
        assert fewer == {"data": shown["data"][: MAX_INCLUDED_ON_PAGE // limit], "more": True}


def test_as_many_as_may_be_shown_are_all(service: Api, keys: dict[str, str]):
    body = {"mixture_id": keys["mixtures"], "outcome": "pass", "results": [VIABILITY]}
    service.post("/experiments/batch", [body] * (MAX_INCLUDED - 1))

    shown = read(service, f"/mixtures/{keys['mixtures']}?include=experiments")["experiments"]

    assert (len(shown["data"]), shown["more"]) == (MAX_INCLUDED, False)


# Other formats, and conditional requests.


def test_ndjson_has_what_json_has(anon: Api, keys: dict[str, str]):
    query = f"include={ALL['mixtures']}"

    lines = anon.get(f"/mixtures?format=ndjson&{query}").data.splitlines()

    assert [orjson.loads(line) for line in lines] == read(anon, f"/mixtures?{query}")["data"]


def test_csv_has_json_in_a_cell_as_for_parts(anon: Api, keys: dict[str, str]):
    response = anon.get("/mixtures?format=csv&only=name,components,experiments")
    (row,) = csv.DictReader(io.StringIO(response.text, newline=""))

    (record,) = read(anon, "/mixtures?only=name,components,experiments")["data"]
    assert row.pop("name") == record.pop("name")
    assert {name: orjson.loads(cell) for name, cell in row.items()} == record


def test_the_etag_is_of_what_is_shown_and_its_version_serves_a_change(service: Api, keys: dict[str, str]):
    path = f"/mixtures/{keys['mixtures']}"
    bare, whole = (service.get(path + query).headers["ETag"] for query in ("", "?include=experiments"))
    assert bare != whole
    assert service.get(f"{path}?include=experiments", headers={"If-None-Match": whole}).status_code == 304

    experiment(service, {"mixture_id": keys["mixtures"]})

    assert service.get(f"{path}?include=experiments", headers={"If-None-Match": whole}).status_code == 200
    assert service.get(path, headers={"If-None-Match": bare}).status_code == 304
    assert service.patch(path, {"name": "renamed"}, headers={"If-Match": whole}).status_code == 200


# Who sees what.


def test_nobody_sees_inside_a_public_record_what_is_private(alice: Api, stranger: Api, keys: dict[str, str]):
    molecule, mixture = keys["molecules"], keys["mixtures"]
    own = {
        "mixtures": mixed(alice),
        "experiments": experiment(alice, {"molecule_id": molecule}),
    }
    own["predictions"] = made(alice, f"/mixtures/{own['mixtures']}/predictions", FREEZING)["data"][0]["id"]
    tested = experiment(alice, {"mixture_id": mixture})

    for path in (f"/molecules/{molecule}?", f"/molecules?id={molecule}&"):
        mine, theirs = (read(caller, f"{path}include={ALL['molecules']}") for caller in (alice, stranger))
        mine, theirs = (answer.get("data", [answer])[0] for answer in (mine, theirs))
        for name, key in own.items():
            assert ids(mine[name]) - ids(theirs[name]) == {key}
            assert ids(theirs[name])
    mine, theirs = (read(caller, f"/mixtures/{mixture}?include=experiments") for caller in (alice, stranger))
    assert ids(mine["experiments"]) - ids(theirs["experiments"]) == {tested}
    streamed = stranger.get(f"/mixtures?format=ndjson&include={ALL['mixtures']}").text
    assert tested not in streamed
    assert own["mixtures"] not in streamed


def test_what_is_private_is_not_counted_either(alice: Api, stranger: Api, keys: dict[str, str]):
    body = {"mixture_id": keys["mixtures"], "outcome": "pass", "results": [VIABILITY]}
    alice.post("/experiments/batch", [body] * MAX_INCLUDED)

    mine, theirs = (
        read(caller, f"/mixtures/{keys['mixtures']}?include=experiments")["experiments"] for caller in (alice, stranger)
    )

    assert (len(mine["data"]), mine["more"]) == (MAX_INCLUDED, True)
    assert (ids(theirs), theirs["more"]) == ({keys["experiments"]}, False)


def test_what_a_record_is_about_is_null_for_who_no_longer_sees_it(
    alice: Api, bob: Api, keys: dict[str, str], make_project: Callable[..., UUID], admin: psycopg.Connection
):
    mixture = mixed(bob, project_id=str(make_project(owner=bob, viewer=alice)))
    path = f"/experiments/{experiment(alice, {'mixture_id': mixture})}?include=mixture"
    assert read(alice, path)["mixture"]["id"] == mixture

    admin.execute("DELETE FROM team_members WHERE user_id = %s", (alice.user_id,))

    assert (read(alice, path)["mixture_id"], read(alice, path)["mixture"]) == (mixture, None)
