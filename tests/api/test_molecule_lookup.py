"""Molecules found by their names elsewhere, many in one call."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.api.bodies import DMSO, DMSO_INCHIKEY, GLYCEROL, GLYCEROL_INCHIKEY
from tests.api.problems import pointers, problem
from tests.plugins.api import Api

IDENTIFIERS = [
    {"source": "pubchem", "kind": "cid", "external_id": "679"},
    {"source": "chembl", "kind": "chembl_id", "external_id": "CHEMBL504"},
    {"source": "cas", "kind": "cas_number", "external_id": "67-68-5"},
]


def add(caller: Api, **fields: Any) -> str:
    response = caller.post("/molecules", {**DMSO, "identifiers": IDENTIFIERS, **fields})
    assert response.status_code == 201, response.text
    molecule_id: str = response.get_json()["id"]
    return molecule_id


def test_one_call_finds_by_all_kinds_of_names(service: Api, anon: Api):
    dmso = add(service)
    glycerol = service.post("/molecules", GLYCEROL).get_json()["id"]

    body = anon.post(
        "/molecules/lookup",
        {
            "ids": [glycerol],
            "inchikeys": [DMSO_INCHIKEY, GLYCEROL_INCHIKEY],
            "cids": [679],
            "chembl_ids": ["CHEMBL504"],
            "cas_numbers": ["67-68-5"],
        },
    ).get_json()

    assert [(found["kind"], found["value"], found["id"]) for found in body["data"]] == [
        ("id", glycerol, glycerol),
        ("inchikey", DMSO_INCHIKEY, dmso),
        ("inchikey", GLYCEROL_INCHIKEY, glycerol),
        ("cid", "679", dmso),
        ("chembl_id", "CHEMBL504", dmso),
        ("cas_number", "67-68-5", dmso),
    ]
    assert {found["name"] for found in body["data"]} == {DMSO["name"], GLYCEROL["name"]}
    assert body["missing"] == []


def test_what_is_not_found_is_named(service: Api):
    absent = str(uuid4())
    add(service)

    body = service.post(
        "/molecules/lookup", {"ids": [absent], "inchikeys": ["X" * 27], "cids": [679, 1], "chembl_ids": ["nothing"]}
    ).get_json()

    assert [found["value"] for found in body["data"]] == ["679"]
    assert body["missing"] == [
        {"kind": "id", "value": absent},
        {"kind": "inchikey", "value": "X" * 27},
        {"kind": "cid", "value": "1"},
        {"kind": "chembl_id", "value": "nothing"},
    ]


def test_a_name_asked_for_twice_is_answered_once(service: Api):
    add(service)

    body = service.post("/molecules/lookup", {"cids": [679, 679], "inchikeys": [DMSO_INCHIKEY] * 3}).get_json()

    assert len(body["data"]) == 2


def test_one_number_may_stand_for_several_molecules_that_the_caller_sees(alice: Api, service: Api):
    public = add(service)
    own = alice.post("/molecules", {**GLYCEROL, "identifiers": IDENTIFIERS}).get_json()["id"]

    found = alice.post("/molecules/lookup", {"cids": [679]}).get_json()["data"]

    assert {item["id"] for item in found} == {public, own}


def test_nobody_finds_what_they_may_not_see(alice: Api, bob: Api, anon: Api):
    molecule_id = add(alice)
    asked = {"ids": [molecule_id], "inchikeys": [DMSO_INCHIKEY], "cids": [679], "cas_numbers": ["67-68-5"]}

    for caller in (bob, anon):
        body = caller.post("/molecules/lookup", asked).get_json()
        assert body["data"] == []
        assert len(body["missing"]) == 4


def test_a_number_of_one_register_is_not_looked_for_in_another(service: Api):
    add(service, identifiers=[{"source": "elsewhere", "kind": "cid", "external_id": "679"}])

    assert service.post("/molecules/lookup", {"cids": [679]}).get_json()["data"] == []


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ({"ids": []}, ""),
        ({"ids": ["x"]}, "/ids/0"),
        ({"ids": [None]}, "/ids/0"),
        ({"ids": "x"}, "/ids"),
        ({"cids": ["679"]}, "/cids/0"),
        ({"cids": [True]}, "/cids/0"),
        ({"cids": [679.5]}, "/cids/0"),
        ({"cids": [0]}, "/cids/0"),
        ({"cids": [-1]}, "/cids/0"),
        ({"cids": [10**13]}, "/cids/0"),
        ({"cids": [2**63]}, "/cids/0"),
        ({"cids": [1, 2, None]}, "/cids/2"),
        ({"inchikeys": [""]}, "/inchikeys/0"),
        ({"inchikeys": ["x" * 501]}, "/inchikeys/0"),
        ({"inchikeys": [679]}, "/inchikeys/0"),
        ({"names": ["DMSO"]}, "/names"),
        ({"cids": list(range(1, 1002))}, "/cids"),
    ],
)
def test_a_lookup_is_checked_field_by_field(visitor: Api, body: dict[str, Any], pointer: str):
    assert pointers(visitor.post("/molecules/lookup", body)) == [pointer]


def test_a_thousand_keys_are_one_call(visitor: Api):
    body = visitor.post("/molecules/lookup", {"cids": list(range(1, 1001))}).get_json()

    assert len(body["missing"]) == 1000


@pytest.mark.parametrize(
    "text", ["'; DROP TABLE molecules; --", "%", "_", "*", "x' OR '1'='1", "\\", "%s", "::uuid", "{}"]
)
def test_a_key_is_a_value_and_nothing_else(service: Api, text: str):
    add(service)

    body = service.post("/molecules/lookup", {"inchikeys": [text], "cas_numbers": [text]}).get_json()

    assert body["data"] == []
    assert [item["value"] for item in body["missing"]] == [text, text]


def test_a_lookup_needs_no_token_but_refuses_a_bad_one(visitor: Api):
    assert visitor.post("/molecules/lookup", {"cids": [1]}).status_code == 200
    problem(Api(visitor.client, "bad").post("/molecules/lookup", {"cids": [1]}), 401)
