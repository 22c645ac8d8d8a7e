"""Two users who share nothing: whatever the verb, neither sees nor changes what is the other's."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import psycopg
import pyarrow.parquet as pq
import pytest

from tests.api.bodies import DMSO, DMSO_INCHIKEY, ETHANOL
from tests.api.problems import problem
from tests.plugins.api import Api

IF_ANY = {"If-Match": "*"}
SECRET_NAME = "Zanzibar"
BODY: dict[str, Any] = {
    "name": SECRET_NAME,
    "smiles": "CS(C)=O",
    "synonyms": ["Quillaja"],
    "identifiers": [{"source": "cas", "kind": "cas_number", "external_id": "67-68-5"}],
    "properties": [{"property_type": "density", "value": 1234.5, "unit": "kg/m3"}],
}


@pytest.fixture
def hers(alice: Api) -> str:
    """Give the path of a private molecule of alice's."""
    response = alice.post("/molecules", BODY)
    assert response.status_code == 201, response.text
    return f"/molecules/{response.get_json()['id']}"


@pytest.fixture
def teams_own(alice: Api, make_project: Callable[..., UUID]) -> str:
    """Give the path of a molecule in a project of alice's."""
    body = {**BODY, "project_id": str(make_project(owner=alice))}
    return f"/molecules/{alice.post('/molecules', body).get_json()['id']}"


@pytest.fixture(params=["private", "project"])
def unseen(request: pytest.FixtureRequest) -> str:
    """Give the path of a molecule that only alice sees, of either kind."""
    path: str = request.getfixturevalue("hers" if request.param == "private" else "teams_own")
    return path


@pytest.fixture(params=["bob", "anon"])
def stranger(request: pytest.FixtureRequest) -> Api:
    """Give a caller who shares nothing with alice."""
    caller: Api = request.getfixturevalue(request.param)
    return caller


@pytest.fixture
def _unchanged(unseen: str, alice: Api) -> Iterator[None]:
    before = alice.get(f"{unseen}?detail=full").data
    yield
    assert alice.get(f"{unseen}?detail=full").data == before


@pytest.mark.parametrize(
    "part",
    [
        "",
        "?detail=full",
        "?only=id",
        "?include=properties,identifiers,source",
        "/properties",
        "/properties/density",
        "/structure.svg",
    ],
)
def test_reading_it_is_404(unseen: str, stranger: Api, part: str):
    response = stranger.get(unseen + part)

    problem(response, 404)
    assert SECRET_NAME not in response.text


def test_its_etag_is_no_way_to_ask_whether_it_is_there(unseen: str, alice: Api, stranger: Api):
    tag = alice.get(unseen).headers["ETag"]

    problem(stranger.get(unseen, headers={"If-None-Match": tag}), 404)
    problem(stranger.get(unseen, headers={"If-None-Match": "*"}), 404)


@pytest.mark.usefixtures("_unchanged")
@pytest.mark.parametrize(
    ("method", "part", "body"),
    [
        ("PATCH", "", {"name": "mine"}),
        ("PATCH", "", {"is_public": True}),
        ("PATCH", "", {"project_id": None}),
        ("PATCH", "", {"identifiers": []}),
        ("PUT", "/properties", {"properties": []}),
        ("PUT", "/properties/density", {"values": []}),
        ("DELETE", "", None),
    ],
)
def test_changing_it_is_404_and_changes_nothing(unseen: str, bob: Api, method: str, part: str, body: Any):
    arguments = {} if body is None else {"json": body}

    problem(bob.request(method, unseen + part, headers=IF_ANY, **arguments), 404)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "limit=1000&detail=full",
        "include=properties,identifiers",
        f"name={SECRET_NAME}",
        "name__icontains=zanz",
        f"inchikey={DMSO_INCHIKEY}",
        f"parent_inchikey={DMSO_INCHIKEY}",
        "is_public=false",
        "project_id__isnull=false",
        "created_by__isnull=false",
        f"q={SECRET_NAME}",
        "q=Quillaja",
        "q=67-68-5",
        "modified_after=2020-01-01T00:00:00Z",
        "order_by=name",
    ],
)
def test_no_list_filter_or_search_shows_it(unseen: str, stranger: Api, alice: Api, query: str):
    body = stranger.get(f"/molecules?{query}&count=exact").get_json()

    assert body["data"] == []
    assert body["page"] == {"limit": body["page"]["limit"], "next": None, "count": 0}


def test_its_owner_is_shown_it_by_all_of_them(hers: str, alice: Api):
    for query in ("", f"name={SECRET_NAME}", "q=Quillaja", "is_public=false", f"inchikey={DMSO_INCHIKEY}"):
        assert len(alice.get(f"/molecules?{query}").get_json()["data"]) == 1, query


def test_filters_by_its_id_or_its_owner_find_nothing(unseen: str, stranger: Api, alice: Api):
    molecule_id = unseen.rpartition("/")[2]

    for query in (f"id={molecule_id}", f"id__in={molecule_id}", f"created_by={alice.user_id}"):
        assert stranger.get(f"/molecules?{query}").get_json()["data"] == []


@pytest.mark.parametrize("style", ["ndjson", "csv", "sdf", "smiles"])
def test_no_export_holds_it(unseen: str, stranger: Api, style: str):
    response = stranger.get(f"/molecules?format={style}&detail=full")

    assert response.status_code == 200
    assert SECRET_NAME not in response.text
    assert "Quillaja" not in response.text


def test_no_parquet_file_holds_it(unseen: str, stranger: Api):
    response = stranger.get("/molecules?format=parquet&detail=full")

    assert pq.read_table(io.BytesIO(response.data)).num_rows == 0


def test_no_lookup_finds_it(unseen: str, stranger: Api):
    asked = {"ids": [unseen.rpartition("/")[2]], "inchikeys": [DMSO_INCHIKEY], "cas_numbers": ["67-68-5"]}

    response = stranger.post("/molecules/lookup", asked)

    assert response.get_json()["data"] == []
    assert SECRET_NAME not in response.text


def test_creating_the_same_structure_tells_nothing_of_it(unseen: str, bob: Api):
    created = bob.post("/molecules", DMSO)
    batch = bob.post("/molecules/batch", [DMSO, ETHANOL]).get_json()["results"]

    assert created.status_code == 201
    assert [item["status"] for item in batch] == ["existing", "added"]
    assert batch[0]["id"] == created.get_json()["id"] != unseen.rpartition("/")[2]


def test_a_project_of_others_is_no_place_to_put_a_row_or_to_learn_of_one(
    alice: Api, bob: Api, make_project: Callable[..., UUID], teams_own: str
):
    project = alice.get(teams_own).get_json()["project_id"]

    for body in ({**DMSO, "project_id": project}, {**ETHANOL, "project_id": project}):
        problem(bob.post("/molecules", body), 403, "not_permitted")
    (result,) = bob.post("/molecules/batch", [{**DMSO, "project_id": project}]).get_json()["results"]
    assert (result["status"], result["id"]) == ("refused", None)


def test_what_is_published_is_seen_and_still_not_others_to_change(alice: Api, stranger: Api, teams_own: str):
    alice.patch(teams_own, {"is_public": True}, headers=IF_ANY)

    assert stranger.get(f"{teams_own}?include=properties").get_json()["properties"][0]["value"] == 1234.5
    expected = 403 if stranger.token else 401
    problem(stranger.patch(teams_own, {"name": "mine"}, headers=IF_ANY), expected)
    problem(stranger.put(f"{teams_own}/properties", {"properties": []}, headers=IF_ANY), expected)
    problem(stranger.delete(teams_own, headers=IF_ANY), expected)


def test_what_is_taken_back_is_gone_for_others_at_once(alice: Api, stranger: Api, teams_own: str):
    alice.patch(teams_own, {"is_public": True}, headers=IF_ANY)
    tag = stranger.get(teams_own).headers["ETag"]

    alice.patch(teams_own, {"is_public": False}, headers=IF_ANY)

    problem(stranger.get(teams_own, headers={"If-None-Match": tag}), 404)


def test_who_leaves_a_team_sees_its_rows_no_longer(
    alice: Api, bob: Api, make_project: Callable[..., UUID], admin: psycopg.Connection
):
    project = str(make_project(owner=alice, editor=bob))
    path = f"/molecules/{alice.post('/molecules', {**DMSO, 'project_id': project}).get_json()['id']}"
    seen_before = bob.get(path).status_code

    admin.execute("DELETE FROM team_members WHERE user_id = %s", (bob.user_id,))

    assert seen_before == 200
    problem(bob.get(path), 404)
    problem(bob.patch(path, {"name": "x"}, headers=IF_ANY), 404)


def test_interleaved_callers_on_one_connection_each_see_their_own(
    alice: Api, bob: Api, anon: Api, make_app: Callable[..., Any]
):
    app = make_app(pool_max=1)
    callers = {
        name: Api(app.test_client(), caller.token, caller.user_id)
        for name, caller in (("alice", alice), ("bob", bob), ("anon", anon))
    }
    callers["alice"].post("/molecules", {**DMSO, "name": "alice"})
    callers["bob"].post("/molecules", {**DMSO, "name": "bob"})

    for turn in range(60):
        name = ("alice", "bob", "anon")[turn % 3]
        found = [record["name"] for record in callers[name].get("/molecules").get_json()["data"]]
        assert found == ([] if name == "anon" else [name])
        callers[name].get("/molecules?order_by=acl")
        callers[name].patch("/molecules/00000000-0000-0000-0000-000000000000", {"name": "x"}, headers=IF_ANY)
