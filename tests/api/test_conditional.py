"""Conditional requests: ETags, 304, and changes that say which version they build on."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest

from tests.api.bodies import DMSO, ETHANOL
from tests.api.problems import problem
from tests.plugins.api import Api

PROPERTIES = {"properties": [{"property_type": "density", "value": 1100, "unit": "kg/m3"}]}
VALUES = {"values": [{"value": 1100, "unit": "kg/m3"}]}
CHANGES: list[tuple[str, str, Any]] = [
    ("PATCH", "", {"name": "renamed"}),
    ("PATCH", "", {"identifiers": []}),
    ("PATCH", "", {"name": "renamed", "identifiers": []}),
    ("DELETE", "", None),
    ("PUT", "/properties", PROPERTIES),
    ("PUT", "/properties/density", VALUES),
]


@pytest.fixture
def molecule(alice: Api) -> str:
    """Give the path of a molecule of alice's."""
    return f"/molecules/{alice.post('/molecules', DMSO).get_json()['id']}"


def send(caller: Api, change: tuple[str, str, Any], path: str, if_match: str | None) -> Any:
    method, part, body = change
    headers = {} if if_match is None else {"If-Match": if_match}
    arguments = {} if body is None else {"json": body}
    return caller.request(method, path + part, headers=headers, **arguments)


def test_an_etag_is_the_version_and_a_hash_of_the_representation(alice: Api, molecule: str):
    response = alice.get(molecule)

    match = re.fullmatch(r'"(\d+)-([0-9a-f]{16})"', response.headers["ETag"])
    assert match
    assert int(match[1]) == response.get_json()["version"]


def test_what_is_created_comes_with_the_etag_that_a_read_gives(alice: Api):
    created = alice.post("/molecules", DMSO)

    assert created.headers["ETag"] == alice.get(f"/molecules/{created.get_json()['id']}").headers["ETag"]


def test_other_representations_of_one_version_have_other_etags(alice: Api, molecule: str):
    tags = {
        alice.get(molecule + query).headers["ETag"]
        for query in ("", "?detail=full", "?detail=minimal", "?only=name", "/properties", "/structure.svg")
    }

    assert len(tags) == 6
    assert {tag.partition("-")[0] for tag in tags} == {'"1'}


@pytest.mark.parametrize("part", ["", "?detail=full", "/properties", "/properties/density", "/structure.svg"])
@pytest.mark.parametrize(
    "header", ["{tag}", "W/{tag}", '"0-0000000000000000", {tag}', '{tag}, "x"', 'W/"x" , W/{tag}', "*", " {tag} "]
)
def test_a_read_with_the_current_etag_is_304_without_a_body(alice: Api, molecule: str, part: str, header: str):
    tag = alice.get(molecule + part).headers["ETag"]

    response = alice.get(molecule + part, headers={"If-None-Match": header.format(tag=tag)})

    assert (response.status_code, response.data) == (304, b"")
    assert response.headers["ETag"] == tag
    assert "Content-Type" not in response.headers


@pytest.mark.parametrize("header", ['"1-0000000000000000"', "1-x", "{bare}", '"{bare}', "", '"1"', "W/*"])
def test_a_read_with_another_etag_is_200(alice: Api, molecule: str, header: str):
    bare = alice.get(molecule).headers["ETag"].strip('"')

    assert alice.get(molecule, headers={"If-None-Match": header.format(bare=bare)}).status_code == 200


def test_a_read_after_a_change_is_200_with_another_etag(alice: Api, molecule: str):
    tag = alice.get(molecule).headers["ETag"]
    alice.patch(molecule, {"name": "renamed"}, headers={"If-Match": tag})

    response = alice.get(molecule, headers={"If-None-Match": tag})

    assert response.status_code == 200
    assert response.headers["ETag"] != tag
    assert response.get_json()["version"] == 2


def test_the_etag_of_one_record_does_not_stand_for_another(alice: Api, molecule: str):
    other = f"/molecules/{alice.post('/molecules', ETHANOL).get_json()['id']}"

    assert alice.get(other, headers={"If-None-Match": alice.get(molecule).headers["ETag"]}).status_code == 200


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_without_if_match_is_428_and_changes_nothing(alice: Api, molecule: str, change: tuple[str, str, Any]):
    problem(send(alice, change, molecule, None), 428, "if_match_required")

    assert alice.get(molecule).get_json()["version"] == 1


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("if_match", ["*", "{tag}", "W/{tag}", '"1-0000000000000000"'])
def test_a_change_of_the_current_version_is_made(
    alice: Api, molecule: str, change: tuple[str, str, Any], if_match: str
):
    tag = alice.get(molecule).headers["ETag"]

    response = send(alice, change, molecule, if_match.format(tag=tag))

    assert response.status_code == (204 if change[0] == "DELETE" else 200)
    assert alice.get(molecule).status_code == (404 if change[0] == "DELETE" else 200)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("if_match", ['"2-0000000000000000"', '"0-0000000000000000"', '"999999999-0000000000000000"'])
def test_a_change_of_another_version_is_412_and_changes_nothing(
    alice: Api, molecule: str, change: tuple[str, str, Any], if_match: str
):
    problem(send(alice, change, molecule, if_match), 412)

    assert alice.get(molecule).get_json()["version"] == 1


@pytest.mark.parametrize(
    "if_match",
    [
        "",
        "1",
        '"1"',
        '"x-y"',
        "'1-0000000000000000'",
        '"-1-0000000000000000"',
        '"1-0000000000000000", "1-0000000000000000"',
        "null",
    ],
)
def test_an_if_match_that_is_not_one_etag_of_ours_is_412(alice: Api, molecule: str, if_match: str):
    problem(send(alice, CHANGES[0], molecule, if_match), 412)


def test_of_two_changes_of_one_version_the_second_is_412(alice: Api, molecule: str):
    tag = alice.get(molecule).headers["ETag"]

    first = alice.patch(molecule, {"name": "first"}, headers={"If-Match": tag})
    second = alice.patch(molecule, {"name": "second"}, headers={"If-Match": tag})

    assert first.status_code == 200
    problem(second, 412)
    assert alice.get(molecule).get_json()["name"] == "first"


def test_a_change_answers_with_the_etag_to_go_on_with(alice: Api, molecule: str):
    tag = alice.get(molecule).headers["ETag"]
    for name in ("one", "two", "three"):
        tag = alice.patch(molecule, {"name": name}, headers={"If-Match": tag}).headers["ETag"]

    assert alice.get(molecule).get_json()["version"] == 4
    assert alice.get(molecule).headers["ETag"] == tag


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("if_match", ["*", '"1-0000000000000000"', '"9-0000000000000000"', "nonsense"])
def test_a_record_unseen_is_404_before_anything_else(
    bob: Api, molecule: str, change: tuple[str, str, Any], if_match: str
):
    problem(send(bob, change, molecule, if_match), 404)
    problem(send(bob, change, f"/molecules/{uuid4()}", if_match), 404)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("if_match", ["*", '"1-0000000000000000"', '"9-0000000000000000"', "nonsense"])
def test_a_record_seen_but_not_writable_is_403_before_it_is_stale(
    service: Api, bob: Api, change: tuple[str, str, Any], if_match: str
):
    public = f"/molecules/{service.post('/molecules', DMSO).get_json()['id']}"

    problem(send(bob, change, public, if_match), 403)
    assert service.get(public).get_json()["version"] == 1


@pytest.mark.parametrize("change", [c for c in CHANGES if c[0] == "PUT" or c[2] == {"identifiers": []}])
def test_a_change_of_a_part_raises_the_version_of_the_whole(alice: Api, molecule: str, change: tuple[str, str, Any]):
    before = alice.get(molecule).get_json()

    changed = send(alice, change, molecule, '"1-0000000000000000"')

    after = alice.get(molecule).get_json()
    assert changed.headers["ETag"].startswith('"2-')
    assert after["version"] == 2
    assert after["updated_at"] > before["updated_at"]
    assert after["created_at"] == before["created_at"]


def test_a_change_of_name_and_identifiers_at_once_keeps_both(alice: Api, molecule: str):
    body = {"name": "both", "identifiers": [{"source": "cas", "kind": "cas_number", "external_id": "67-68-5"}]}

    response = alice.patch(molecule, body, headers={"If-Match": '"1-0000000000000000"'})

    record = alice.get(f"{molecule}?include=identifiers").get_json()
    assert response.status_code == 200
    assert (record["name"], record["identifiers"][0]["external_id"]) == ("both", "67-68-5")


def test_the_parts_carry_the_version_that_their_change_needs(alice: Api, molecule: str):
    tag = alice.get(f"{molecule}/properties").headers["ETag"]

    response = alice.put(f"{molecule}/properties", PROPERTIES, headers={"If-Match": tag})

    assert response.status_code == 200
    problem(alice.patch(molecule, {"name": "x"}, headers={"If-Match": tag}), 412)


def test_bodies_are_checked_before_the_version_is(alice: Api, molecule: str):
    problem(alice.patch(molecule, {"colour": "red"}, headers={"If-Match": '"9-0000000000000000"'}), 422)
