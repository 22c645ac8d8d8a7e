"""Mixtures: created from molecules by whatever name, read, listed, changed, deleted, given in other units."""

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
from tests.api.bodies import DMSO, DMSO_INCHIKEY, ETHANOL, GLYCEROL, GLYCEROL_INCHIKEY
from tests.api.problems import pointers, problem
from tests.plugins.api import Api
from tests.plugins.database import SECRET

IF_ANY = {"If-Match": "*"}
UNITS = ("mol/L", "mol/kg", "g/L", "%w/w", "%w/v", "%v/v", "mole_fraction")
NAMED: dict[str, Any] = {
    **GLYCEROL,
    "synonyms": ["glycerin", "MPD"],
    "identifiers": [
        {"source": "cas", "kind": "cas_number", "external_id": "56-81-5"},
        {"source": "pubchem", "kind": "cid", "external_id": "753"},
        {"source": "chembl", "kind": "chembl_id", "external_id": "CHEMBL692"},
    ],
}


def part(molecule: Any, amount: Any = 2.3, unit: Any = "mol/L") -> dict[str, Any]:
    return {"molecule": molecule, "amount": amount, "unit": unit}


def created(caller: Api, *components: Any, **fields: Any) -> dict[str, Any]:
    response = caller.post("/mixtures", {"name": "a mixture", "components": list(components), **fields})
    assert response.status_code == 201, response.text
    record: dict[str, Any] = response.get_json()
    return record


@pytest.fixture
def glycerol(service: Api) -> str:
    """Give the id of a public molecule with names of all kinds."""
    return str(service.post("/molecules", NAMED).get_json()["id"])


@pytest.fixture
def dmso(service: Api) -> str:
    """Give the id of another."""
    return str(service.post("/molecules", DMSO).get_json()["id"])


@pytest.fixture
def mixture(alice: Api, glycerol: str) -> str:
    """Give the path of a mixture of alice's."""
    return f"/mixtures/{created(alice, part(glycerol))['id']}"


# Creating.


def test_a_mixture_is_created_from_a_name_and_components(alice: Api, glycerol: str, dmso: str):
    body: dict[str, Any] = {
        "name": "half and half",
        "description": "two penetrating agents",
        "reference": "doi:10.1000/x",
        "components": [
            {"molecule_id": glycerol, "amount": 1.5, "unit": "mol/kg"},
            {"molecule": "dimethyl sulfoxide", "amount": 10, "unit": "%v/v"},
        ],
    }

    response = alice.post("/mixtures", body)

    record = response.get_json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"/api/v1/mixtures/{record['id']}"
    assert (record["name"], record["description"]) == (body["name"], body["description"])
    assert (record["reference"], record["solvent"]) == (body["reference"], "water")
    assert (record["is_public"], record["project_id"], record["version"]) == (False, None, 1)
    assert record["created_by"] == str(alice.user_id)
    assert record["components"] == [
        {
            "molecule_id": glycerol,
            "name": "Glycerol",
            "inchikey": GLYCEROL_INCHIKEY,
            "amount": 1.5,
            "unit": "mol/kg",
        },
        {
            "molecule_id": dmso,
            "name": "Dimethyl sulfoxide",
            "inchikey": DMSO_INCHIKEY,
            "amount": 10,
            "unit": "%v/v",
        },
    ]


def test_what_is_created_is_what_a_get_then_gives(alice: Api, glycerol: str):
    response = alice.post("/mixtures", {"name": "x", "components": [part(glycerol)]})

    again = alice.get(response.headers["Location"].removeprefix("/api/v1"))
    assert again.data == response.data
    assert again.headers["ETag"] == response.headers["ETag"]


@pytest.mark.parametrize(
    "reference",
    [
        "Glycerol",
        "glycerol",
        " GLYCEROL ",
        "Glycerin",
        GLYCEROL_INCHIKEY,
        GLYCEROL_INCHIKEY.lower(),
        "753",
        753,
        "CHEMBL692",
        "56-81-5",
        None,
    ],
)
def test_a_molecule_is_named_by_whatever_it_is_known_by(alice: Api, glycerol: str, reference: Any):
    record = created(alice, part(glycerol if reference is None else reference))

    assert [item["molecule_id"] for item in record["components"]] == [glycerol]


def test_a_name_of_several_molecules_is_refused_with_their_ids(alice: Api, service: Api, glycerol: str):
    other = service.post("/molecules", {**ETHANOL, "synonyms": ["MPD"]}).get_json()["id"]

    response = alice.post("/mixtures", {"name": "x", "components": [part("MPD")]})

    (fault,) = problem(response, 422, "invalid_components")["errors"]
    assert fault["pointer"] == "/components/0/molecule"
    assert glycerol in fault["detail"]
    assert other in fault["detail"]


def test_ones_own_copy_does_not_make_a_public_molecules_name_ambiguous(alice: Api, service: Api):
    own = alice.post("/molecules", GLYCEROL).get_json()["id"]
    public = service.post("/molecules", GLYCEROL).get_json()["id"]

    for reference, meant in (("glycerol", public), (GLYCEROL_INCHIKEY, public), (own, own)):
        assert created(alice, part(reference))["components"][0]["molecule_id"] == meant


@pytest.mark.parametrize("unit", UNITS)
def test_every_unit_is_taken(alice: Api, glycerol: str, unit: str):
    assert created(alice, part(glycerol, 0.5, unit))["components"][0]["unit"] == unit


@pytest.mark.parametrize(
    ("components", "pointer"),
    [
        ([], "/components"),
        (None, "/components"),
        ({}, "/components"),
        ("glycerol", "/components"),
        (["glycerol"], "/components/0"),
        ([{"molecule": "glycerol", "amount": 1}], "/components/0/unit"),
        ([{"molecule": "glycerol", "unit": "g/L"}], "/components/0/amount"),
        ([{"amount": 1, "unit": "g/L"}], "/components/0"),
        ([{**part("glycerol"), "molecule_id": str(uuid4())}], "/components/0"),
        ([{**part("glycerol"), "concentration": 1}], "/components/0/concentration"),
        ([{"molecule_id": "glycerol", "amount": 1, "unit": "g/L"}], "/components/0/molecule_id"),
        ([{"molecule_id": str(uuid4()), "amount": 1, "unit": "g/L"}], "/components/0/molecule_id"),
        ([part(molecule=True)], "/components/0/molecule"),
        ([part(1.5)], "/components/0/molecule"),
        ([part("")], "/components/0/molecule"),
        ([part("  ")], "/components/0/molecule"),
        ([part(None)], "/components/0/molecule"),
        ([part("x" * 501)], "/components/0/molecule"),
        ([part("unobtainium")], "/components/0/molecule"),
        ([part(-753)], "/components/0/molecule"),
        ([part("glycerol"), part(str(uuid4()))], "/components/1/molecule"),
        ([part("glycerol", 0)], "/components/0/amount"),
        ([part("glycerol", -1)], "/components/0/amount"),
        ([part("glycerol", -0.0)], "/components/0/amount"),
        ([part("glycerol", "1")], "/components/0/amount"),
        ([part("glycerol", amount=True)], "/components/0/amount"),
        ([part("glycerol", None)], "/components/0/amount"),
        ([part("glycerol", 1, "M")], "/components/0/unit"),
        ([part("glycerol", 1, "%")], "/components/0/unit"),
        ([part("glycerol", 1, None)], "/components/0/unit"),
        ([part("glycerol", 1, "MOL/L")], "/components/0/unit"),
        ([part("glycerol", 100.1, "%w/w")], "/components/0/amount"),
        ([part("glycerol", 100.1, "%v/v")], "/components/0/amount"),
        ([part("glycerol", 1.1, "mole_fraction")], "/components/0/amount"),
        ([part("glycerol"), part("glycerin", 1, "g/L")], "/components/1/molecule"),
        ([part("glycerol", 60, "%w/w"), part("dimethyl sulfoxide", 41, "%w/w")], "/components/1/amount"),
        ([part("dextran 40", 1, "mol/L")], "/components/0/unit"),
        ([part("Dextran 40", 1, "mol/kg")], "/components/0/unit"),
        ([part("Dextran 40", 0.1, "mole_fraction")], "/components/0/unit"),
        ([part("glycerol")] * 101, "/components"),
    ],
)
@pytest.mark.usefixtures("glycerol", "dmso")
def test_what_is_wrong_with_a_component_is_pointed_to(
    alice: Api, admin: psycopg.Connection, add_polymer: Callable[..., str], components: Any, pointer: str
):
    add_polymer("Dextran 40")

    response = alice.post("/mixtures", {"name": "x", "components": components})

    assert pointers(response) == [pointer]
    assert admin.execute("SELECT count(*) FROM mixtures").fetchone() == (0,)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_an_amount_that_is_no_finite_number_is_refused(alice: Api, glycerol: str, text: str):
    body = json.dumps({"name": "x", "components": [part(glycerol, 123456)]}).replace("123456", text)

    response = alice.request("POST", "/mixtures", data=body, headers={"Content-Type": "application/json"})

    problem(response, 422, "not_finite")


@pytest.mark.parametrize(
    ("field", "number"), [("amount", 10**350), ("amount", -(10**350)), ("molecule", 10**30), ("molecule", -753)]
)
def test_a_number_beyond_all_reason_is_pointed_to(alice: Api, glycerol: str, field: str, number: int):
    body = json.dumps({"name": "x", "components": [{**part(glycerol), field: number}]})

    response = alice.request("POST", "/mixtures", data=body, headers={"Content-Type": "application/json"})

    assert pointers(response) == [f"/components/0/{field}"]


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"name": ""}, "/name"),
        ({"name": None}, "/name"),
        ({"name": "x" * 501}, "/name"),
        ({"description": "x" * 10_001}, "/description"),
        ({"description": " "}, "/description"),
        ({"solvent": ""}, "/solvent"),
        ({"solvent": None}, "/solvent"),
        ({"solvent": "x" * 201}, "/solvent"),
        ({"reference": "x" * 2001}, "/reference"),
        ({"is_public": "yes"}, "/is_public"),
        ({"project_id": "x"}, "/project_id"),
        ({"created_by": str(uuid4())}, "/created_by"),
        ({"version": 7}, "/version"),
        ({"acl": []}, "/acl"),
    ],
)
def test_each_field_is_checked(alice: Api, glycerol: str, fields: dict[str, Any], pointer: str):
    response = alice.post("/mixtures", {"name": "x", "components": [part(glycerol)], **fields})

    assert pointers(response) == [pointer]


def test_the_longest_texts_are_taken(alice: Api, glycerol: str):
    fields = {"name": "n" * 500, "description": "d" * 10_000, "solvent": "s" * 200, "reference": "r" * 2000}

    record = created(alice, part(glycerol), **fields)

    assert {name: record[name] for name in fields} == fields


def test_a_polymer_is_taken_by_mass(alice: Api, add_polymer: Callable[..., str]):
    dextran = add_polymer("Dextran 40")

    (component,) = created(alice, part("dextran 40", 10, "%w/w"))["components"]

    assert (component["molecule_id"], component["inchikey"]) == (dextran, None)


def test_a_molecule_that_only_another_sees_is_no_molecule(alice: Api, bob: Api):
    hers = alice.post("/molecules", DMSO).get_json()["id"]

    for reference in (hers, "dimethyl sulfoxide", DMSO_INCHIKEY):
        response = bob.post("/mixtures", {"name": "x", "components": [part(reference)]})
        assert pointers(response) == ["/components/0/molecule"]
        assert response.get_json()["errors"][0]["detail"] == f"no molecule '{reference}' is visible to you"


def test_the_services_mixture_is_public_and_one_with_a_private_molecule_is_refused(
    service: Api, anon: Api, alice: Api, glycerol: str
):
    public = created(service, part(glycerol))
    private = alice.post("/molecules", DMSO).get_json()["id"]

    response = service.post("/mixtures", {"name": "x", "components": [part(private)]})

    assert anon.get(f"/mixtures/{public['id']}").status_code == 200
    assert pointers(response) == ["/components"]
    assert created(service, part(private), is_public=False)["is_public"] is False


# Tokens, keys, dry runs.


def test_writing_needs_a_token_and_where_it_is_restricted_the_scope(alice: Api, anon: Api, mixture: str):
    body = {"name": "x", "components": [part("glycerol")]}
    scoped = {
        scope: Api(alice.client, issue_token(SECRET, role="service_role", ttl_s=60, scopes=[scope]))
        for scope in ("mixtures:write", "molecules:write")
    }
    for method, path, json_body in (
        ("POST", "/mixtures", body),
        ("PATCH", mixture, {"name": "y"}),
        ("PUT", f"{mixture}/components", {"components": [part("glycerol")]}),
        ("DELETE", mixture, None),
    ):
        arguments = {"headers": IF_ANY, **({} if json_body is None else {"json": json_body})}
        problem(anon.request(method, path, **arguments), 401, "token_required")
        problem(scoped["molecules:write"].request(method, path, **arguments), 403, "scope_missing")
        assert scoped["mixtures:write"].request(method, path, **arguments).status_code in {200, 201, 204}


def test_the_same_post_again_gets_the_first_answer(alice: Api, glycerol: str, admin: psycopg.Connection):
    body = {"name": "x", "components": [part(glycerol)]}
    first = alice.post("/mixtures", body, headers={"Idempotency-Key": "k"})

    again = alice.post("/mixtures", body, headers={"Idempotency-Key": "k"})

    assert (again.status_code, again.data) == (201, first.data)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert admin.execute("SELECT count(*) FROM mixtures").fetchone() == (1,)
    problem(alice.post("/mixtures", {**body, "name": "y"}, headers={"Idempotency-Key": "k"}), 422)


def test_a_dry_run_answers_as_if_done_and_keeps_nothing(alice: Api, mixture: str, dmso: str, admin: psycopg.Connection):
    headers = {"Prefer": "tx=rollback", **IF_ANY}
    before = alice.get(mixture).data

    for response, status in (
        (alice.post("/mixtures", {"name": "x", "components": [part(dmso)]}, headers=headers), 201),
        (alice.patch(mixture, {"name": "y"}, headers=headers), 200),
        (alice.put(f"{mixture}/components", {"components": [part(dmso)]}, headers=headers), 200),
        (alice.delete(mixture, headers=headers), 204),
    ):
        assert response.status_code == status, response.text
        assert response.headers["Preference-Applied"] == "tx=rollback"

    assert alice.get(mixture).data == before
    assert admin.execute("SELECT count(*) FROM mixtures").fetchone() == (1,)


def test_a_dry_run_checks_what_is_checked_at_the_end(service: Api, alice: Api):
    private = alice.post("/molecules", DMSO).get_json()["id"]
    body = {"name": "x", "components": [part(private)]}

    assert pointers(service.post("/mixtures", body, headers={"Prefer": "tx=rollback"})) == ["/components"]


# Reading.


def test_detail_include_and_only_choose_what_is_shown(alice: Api, mixture: str):
    minimal = alice.get(f"{mixture}?detail=minimal").get_json()
    with_components = alice.get(f"{mixture}?detail=minimal&include=components").get_json()

    assert minimal.keys() == {"id", "name"}
    assert with_components.keys() == {"id", "name", "components"}
    assert alice.get(f"{mixture}?only=components").get_json().keys() == {"components"}
    assert alice.get(f"{mixture}?detail=full").get_json()["source"] is None


def test_a_get_with_the_current_etag_is_304(alice: Api, mixture: str):
    tag = alice.get(mixture).headers["ETag"]

    response = alice.get(mixture, headers={"If-None-Match": tag})

    assert (response.status_code, response.data) == (304, b"")


def test_the_name_of_a_component_is_part_of_the_representation(alice: Api, service: Api, mixture: str, glycerol: str):
    tag = alice.get(mixture).headers["ETag"]
    service.patch(f"/molecules/{glycerol}", {"name": "Glycerine"}, headers=IF_ANY)

    response = alice.get(mixture, headers={"If-None-Match": tag})

    assert response.status_code == 200
    assert response.get_json()["components"][0]["name"] == "Glycerine"


def test_lists_are_filtered_sorted_searched_and_paged(service: Api, anon: Api, glycerol: str):
    for number in range(5):
        created(service, part(glycerol, number + 1), name=f"mix {number}", description="odd" if number % 2 else None)

    def names(query: str) -> list[str]:
        response = anon.get(f"/mixtures?{query}")
        assert response.status_code == 200, response.text
        return [record["name"] for record in response.get_json()["data"]]

    everything = [f"mix {number}" for number in range(5)]
    assert names("order_by=name") == everything
    assert names("order_by=-name&limit=2") == ["mix 4", "mix 3"]
    assert names("") == everything[::-1]
    assert names("name__in=mix 1,mix 3&order_by=id") == ["mix 1", "mix 3"]
    assert names("description__isnull=false&order_by=name") == ["mix 1", "mix 3"]
    assert names("q=odd&order_by=name") == ["mix 1", "mix 3"]
    assert names("solvent=water&modified_after=2020-01-01T00:00:00Z&order_by=name") == everything
    assert names("modified_after=2100-01-01T00:00:00Z") == []
    assert anon.get("/mixtures?count=exact&limit=1").get_json()["page"]["count"] == 5

    for order in ("id", "-id", "name", "-name", "created_at", "-created_at", "updated_at", "-updated_at"):
        found: list[str] = []
        path = f"/mixtures?order_by={order}&limit=2&only=name"
        while path:
            page = anon.get(path).get_json()
            found += [record["name"] for record in page["data"]]
            following = page["page"]["next"]
            path = f"/mixtures?order_by={order}&limit=2&only=name&cursor={following}" if following else ""
        assert found == (everything[::-1] if order.startswith("-") else everything), order


@pytest.mark.parametrize("query", ["components=x", "order_by=components", "order_by=solvent", "only=acl", "acl=x"])
def test_what_is_not_declared_is_400_and_says_what_is(anon: Api, query: str):
    assert "name" in problem(anon.get(f"/mixtures?{query}"), 400)["detail"]


def test_streams_hold_whole_records(service: Api, anon: Api, glycerol: str):
    record = created(service, part(glycerol))

    lines = anon.get("/mixtures?format=ndjson").text.splitlines()
    rows = list(csv.DictReader(io.StringIO(anon.get("/mixtures", headers={"Accept": "text/csv"}).text)))

    assert [json.loads(line) for line in lines] == [record]
    assert (rows[0]["id"], json.loads(rows[0]["components"])) == (record["id"], record["components"])


def test_the_mixtures_of_a_molecule_are_listed_like_all_mixtures(service: Api, anon: Api, glycerol: str, dmso: str):
    for number in range(3):
        created(service, part(glycerol), part(dmso), name=f"both {number}")
    created(service, part(dmso), name="only dmso")
    path = f"/molecules/{glycerol}/mixtures"

    first = anon.get(f"{path}?order_by=name&limit=2&count=exact")

    body = first.get_json()
    assert [record["name"] for record in body["data"]] == ["both 0", "both 1"]
    assert body["page"]["count"] == 3
    assert len(body["data"][0]["components"]) == 2
    assert f"{path}?order_by=name" in first.headers["Link"]
    second = anon.get(f"{path}?order_by=name&limit=2&cursor={body['page']['next']}").get_json()
    assert [record["name"] for record in second["data"]] == ["both 2"]
    assert len(anon.get(f"{path}?format=ndjson&q=both&name__contains=2").text.splitlines()) == 1


def test_a_cursor_is_not_carried_from_one_molecules_list_to_anothers(service: Api, anon: Api, glycerol: str, dmso: str):
    for _ in range(2):
        created(service, part(glycerol), part(dmso))
    cursor = anon.get(f"/molecules/{glycerol}/mixtures?limit=1").get_json()["page"]["next"]

    for path in (f"/molecules/{dmso}/mixtures", "/mixtures"):
        problem(anon.get(f"{path}?limit=1&cursor={cursor}"), 400, "invalid_cursor")
    assert anon.get(f"/molecules/{glycerol}/mixtures?limit=1&cursor={cursor}").status_code == 200


@pytest.mark.parametrize("query", ["", "?format=csv", "?count=exact", "?limit=1&format=ndjson"])
def test_a_molecule_that_is_not_seen_has_no_list(alice: Api, bob: Api, query: str):
    hers = alice.post("/molecules", DMSO).get_json()["id"]

    for molecule in (hers, uuid4()):
        problem(bob.get(f"/molecules/{molecule}/mixtures{query}"), 404)
    assert alice.get(f"/molecules/{hers}/mixtures{query}").status_code == 200


# Changing.


CHANGES: list[tuple[str, str, Any]] = [
    ("PATCH", "", {"name": "renamed"}),
    ("PUT", "/components", {"components": [part("glycerol", 1)]}),
    ("DELETE", "", None),
]


@pytest.mark.parametrize("change", CHANGES, ids=[method for method, _, _ in CHANGES])
def test_a_change_says_which_version_it_builds_on(alice: Api, mixture: str, change: tuple[str, str, Any]):
    method, address, body = change
    arguments = {} if body is None else {"json": body}
    tag = alice.get(mixture).headers["ETag"]

    problem(alice.request(method, mixture + address, **arguments), 428, "if_match_required")
    for stale in ('"7-0000000000000000"', "nonsense"):
        problem(alice.request(method, mixture + address, headers={"If-Match": stale}, **arguments), 412)
    assert alice.get(mixture).headers["ETag"] == tag

    response = alice.request(method, mixture + address, headers={"If-Match": tag}, **arguments)

    assert response.status_code == (204 if method == "DELETE" else 200)
    if method != "DELETE":
        assert response.get_json()["version"] == 2
        assert response.headers["ETag"] == alice.get(mixture).headers["ETag"] != tag
        problem(alice.request(method, mixture + address, headers={"If-Match": tag}, **arguments), 412)


def test_what_is_not_named_stays(alice: Api, glycerol: str):
    record = created(alice, part(glycerol), description="d", reference="r", solvent="saline")

    changed = alice.patch(f"/mixtures/{record['id']}", {"description": None}, headers=IF_ANY).get_json()

    assert changed["description"] is None
    same = record.keys() - {"description", "version", "updated_at"}
    assert {name: changed[name] for name in same} == {name: record[name] for name in same}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ({"name": None}, "/name"),
        ({"solvent": None}, "/solvent"),
        ({"is_public": None}, "/is_public"),
        ({"components": []}, "/components"),
        ({"version": 3}, "/version"),
    ],
)
def test_a_change_is_checked_field_by_field(alice: Api, mixture: str, body: dict[str, Any], pointer: str):
    assert pointers(alice.patch(mixture, body, headers=IF_ANY)) == [pointer]


def test_components_are_put_in_the_place_of_all(alice: Api, mixture: str, dmso: str):
    put = {"components": [part(dmso, 10, "%w/w"), part("glycerol", 20, "%w/w")]}

    response = alice.put(f"{mixture}/components", put, headers=IF_ANY)

    shown = response.get_json()["components"]
    assert [(item["name"], item["amount"]) for item in shown] == [("Dimethyl sulfoxide", 10), ("Glycerol", 20)]
    assert alice.get(mixture).data == response.data


@pytest.mark.parametrize(
    ("components", "pointer"),
    [
        ([], "/components"),
        ([part("unobtainium")], "/components/0/molecule"),
        ([part("glycerol"), part(753)], "/components/1/molecule"),
        ([part("glycerol", 101, "%w/w")], "/components/0/amount"),
    ],
)
def test_components_that_are_wrong_leave_the_mixture_as_it_was(alice: Api, mixture: str, components: Any, pointer: str):
    before = alice.get(mixture).data

    assert pointers(alice.put(f"{mixture}/components", {"components": components}, headers=IF_ANY)) == [pointer]
    assert alice.get(mixture).data == before


def test_a_mixture_that_is_gone_is_404(alice: Api, mixture: str):
    assert alice.delete(mixture, headers=IF_ANY).status_code == 204

    for method, address, body in (("GET", "", None), *CHANGES):
        arguments = {} if body is None else {"json": body}
        problem(alice.request(method, mixture + address, headers=IF_ANY, **arguments), 404)


def test_a_molecule_in_a_mixture_is_not_deleted_and_the_answer_names_no_rows(
    alice: Api, bob: Api, make_project: Callable[..., UUID]
):
    project = str(make_project(owner=alice, editor=bob))
    molecule = alice.post("/molecules", {**DMSO, "project_id": project}).get_json()["id"]
    mixture = created(bob, part(molecule))["id"]

    response = alice.delete(f"/molecules/{molecule}", headers=IF_ANY)

    problem(response, 409)
    assert mixture not in response.text
    assert "mixture" not in response.text
    bob.delete(f"/mixtures/{mixture}", headers=IF_ANY)
    assert alice.delete(f"/molecules/{molecule}", headers=IF_ANY).status_code == 204


# Compositions.


@pytest.fixture
def dense(service: Api) -> str:
    """Give the id of glycerol with a density that is remembered and one that somebody has seen."""
    densities = [
        {"property_type": "density", "value": 999.0, "unit": "kg/m3", "verified": False},
        {"property_type": "density", "value": 1.258, "unit": "g/cm3", "reference": "a table"},
    ]
    return str(service.post("/molecules", {**GLYCEROL, "properties": densities}).get_json()["id"])


def test_a_composition_is_given_in_any_unit(alice: Api, dense: str):
    path = f"/mixtures/{created(alice, part(dense, 10, '%w/w'))['id']}/composition"

    for unit, amount in (("mol/kg", 1.2065), ("mol/L", 1.1056), ("%v/v", 8.0936), ("mole_fraction", 0.021273)):
        response = alice.get(path, query_string={"unit": unit})
        body = response.get_json()
        assert response.headers["ETag"].startswith('"1-')
        assert (body["solvent"], body["unit"]) == ("water", unit)
        assert (body["assumption"] is None) == (unit in {"mol/kg", "mole_fraction"})
        (component,) = body["components"]
        assert component["amount"] == pytest.approx(amount, rel=1e-4)
        assert (component["unit"], component["molecule_id"], component["name"]) == (unit, dense, "Glycerol")
        assert (component["density_kg_m3"], component["density_reference"]) == (1258, "a table")
        assert component["density_verified"] is True


def test_what_a_conversion_would_have_to_know_is_422_and_named(alice: Api, glycerol: str):
    record = created(alice, part(glycerol, 10, "%w/w"), solvent="serum")

    response = alice.get(f"/mixtures/{record['id']}/composition?unit=mol/L")

    details = [fault["detail"] for fault in problem(response, 422, "missing_data")["errors"]]
    assert details == ["the density of Glycerol is not known", "the density of serum is not known"]
    assert pointers(response) == ["unit", "unit"]


def test_a_carrier_counts_as_water_and_the_composition_says_so(alice: Api, dense: str):
    of_water, of_carrier = (
        alice.get(
            f"/mixtures/{created(alice, part(dense, 10, '%w/w'), **said)['id']}/composition?unit=mol/L"
        ).get_json()
        for said in ({}, {"solvent": "Euro-Collins"})
    )

    assert of_carrier["components"][0]["amount"] == of_water["components"][0]["amount"]
    assert of_carrier["assumption"].endswith(
        "; Euro-Collins counts as pure water: what is dissolved in it is neglected"
    )


def test_a_solvent_that_is_a_known_molecule_brings_its_own_density(alice: Api, service: Api, dense: str):
    density = {"property_type": "density", "value": 1096.2, "unit": "kg/m3"}
    assert service.post("/molecules", {**DMSO, "properties": [density]}).status_code == 201
    record = created(alice, part(dense, 1), solvent=DMSO["name"])

    composition = alice.get(f"/mixtures/{record['id']}/composition?unit=mol/kg").get_json()

    # 92.094 g of glycerol are 73.207 mL, and the other 926.793 mL are 1.015951 kg.
    assert composition["components"][0]["amount"] == pytest.approx(1 / 1.015951, rel=1e-5)
    assert composition["solvent"] == DMSO["name"]


@pytest.mark.parametrize("query", ["", "?unit=M", "?unit=%25"])
def test_a_composition_needs_a_unit_that_exists(alice: Api, mixture: str, query: str):
    assert pointers(alice.get(f"{mixture}/composition{query}")) == ["unit"]


def test_a_composition_that_others_may_not_see_is_404(bob: Api, mixture: str):
    problem(bob.get(f"{mixture}/composition?unit=g/L"), 404)
