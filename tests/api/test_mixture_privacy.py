"""Who sees and changes whose mixtures: strangers, the three roles of a team, everybody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.api.bodies import DMSO, GLYCEROL
from tests.api.problems import pointers, problem
from tests.plugins.api import Api

IF_ANY = {"If-Match": "*"}
SECRET_NAME = "Zanzibar"
CHANGES: list[tuple[str, str, Any]] = [
    ("PATCH", "", {"name": "mine"}),
    ("PATCH", "", {"is_public": True}),
    ("PATCH", "", {"project_id": None}),
    ("PUT", "/components", {"components": [{"molecule": "Glycerol", "amount": 9, "unit": "g/L"}]}),
    ("DELETE", "", None),
]


def body(molecule: str = "Glycerol", **fields: Any) -> dict[str, Any]:
    component = {"molecule": molecule, "amount": 2.3, "unit": "mol/L"}
    return {"name": SECRET_NAME, "description": "Quillaja", "components": [component], **fields}


def add(caller: Api, molecule: str = "Glycerol", **fields: Any) -> str:
    response = caller.post("/mixtures", body(molecule, **fields))
    assert response.status_code == 201, response.text
    return f"/mixtures/{response.get_json()['id']}"


def send(caller: Api, path: str, change: tuple[str, str, Any]) -> Any:
    method, part, content = change
    arguments = {} if content is None else {"json": content}
    return caller.request(method, path + part, headers=IF_ANY, **arguments)


@pytest.fixture(autouse=True)
def glycerol(service: Api) -> str:
    """Give the id of a public molecule."""
    return str(service.post("/molecules", GLYCEROL).get_json()["id"])


@pytest.fixture(params=["private", "project"])
def unseen(request: pytest.FixtureRequest, alice: Api, make_project: Callable[..., UUID]) -> str:
    """Give the path of a mixture that only alice sees, of either kind."""
    return add(alice, **({"project_id": str(make_project(owner=alice))} if request.param == "project" else {}))


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


# Strangers.


@pytest.mark.parametrize("part", ["", "?detail=full", "?only=id", "?include=components,source"])
def test_reading_it_is_404(unseen: str, stranger: Api, part: str):
    response = stranger.get(unseen + part)

    problem(response, 404)
    assert SECRET_NAME not in response.text


def test_its_etag_is_no_way_to_ask_whether_it_is_there(unseen: str, alice: Api, stranger: Api):
    tag = alice.get(unseen).headers["ETag"]

    for header in (tag, "*"):
        problem(stranger.get(unseen, headers={"If-None-Match": header}), 404)


@pytest.mark.usefixtures("_unchanged")
@pytest.mark.parametrize("change", CHANGES)
def test_changing_it_is_404_and_changes_nothing(unseen: str, bob: Api, change: tuple[str, str, Any]):
    problem(send(bob, unseen, change), 404)
    method, part, content = change
    arguments = {} if content is None else {"json": content}
    stale = {"If-Match": '"7-0000000000000000"'}
    problem(bob.request(method, unseen + part, headers=stale, **arguments), 404)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "limit=1000&detail=full",
        "include=components",
        f"name={SECRET_NAME}",
        "name__icontains=zanz",
        "description=Quillaja",
        "is_public=false",
        "project_id__isnull=false",
        "created_by__isnull=false",
        f"q={SECRET_NAME}",
        "q=Quillaja",
        "modified_after=2020-01-01T00:00:00Z",
        "order_by=name",
    ],
)
@pytest.mark.parametrize("address", ["/mixtures", "/molecules/{glycerol}/mixtures"])
@pytest.mark.usefixtures("unseen")
def test_no_list_filter_or_search_shows_it(stranger: Api, alice: Api, glycerol: str, query: str, address: str):
    path = address.format(glycerol=glycerol)

    page = stranger.get(f"{path}?{query}&count=exact").get_json()

    assert page["data"] == []
    assert page["page"] == {"limit": page["page"]["limit"], "next": None, "count": 0}
    assert len(alice.get(f"{path}?name={SECRET_NAME}").get_json()["data"]) == 1


def test_filters_by_its_id_or_its_owner_find_nothing(unseen: str, stranger: Api, alice: Api):
    mixture_id = unseen.rpartition("/")[2]

    for query in (f"id={mixture_id}", f"id__in={mixture_id}", f"created_by={alice.user_id}"):
        assert stranger.get(f"/mixtures?{query}").get_json()["data"] == []


@pytest.mark.parametrize("style", ["ndjson", "csv"])
def test_no_export_holds_it(unseen: str, stranger: Api, style: str):
    response = stranger.get(f"/mixtures?format={style}&detail=full")

    assert response.status_code == 200
    assert SECRET_NAME not in response.text


def test_a_private_answer_is_kept_by_no_cache(unseen: str, alice: Api, anon: Api):
    assert alice.get(unseen).headers["Cache-Control"] == "private, no-store"
    assert anon.get("/mixtures").headers["Cache-Control"] == "public, no-cache"


# Roles.


def test_a_viewer_reads_an_editor_changes_and_an_owner_deletes(
    alice: Api, bob: Api, make_user: Callable[[], Api], make_project: Callable[..., UUID]
):
    carol = make_user()
    path = add(alice, project_id=str(make_project(owner=alice, editor=bob, viewer=carol)))

    assert carol.get(path).status_code == 200
    for change in CHANGES:
        problem(send(carol, path, change), 403)
    assert send(bob, path, ("PATCH", "", {"name": "ours"})).status_code == 200
    assert send(bob, path, CHANGES[3]).get_json()["components"][0]["amount"] == 9
    problem(send(bob, path, ("PATCH", "", {"is_public": True})), 403)
    problem(send(bob, path, ("DELETE", "", None)), 403)
    assert send(alice, path, ("DELETE", "", None)).status_code == 204


def test_a_viewer_and_a_stranger_put_nothing_into_a_project(
    alice: Api, bob: Api, make_user: Callable[[], Api], make_project: Callable[..., UUID]
):
    project = str(make_project(owner=alice, viewer=bob))

    for caller, place in ((bob, project), (make_user(), project), (bob, str(uuid4()))):
        (fault,) = problem(caller.post("/mixtures", body(project_id=place)), 403, "not_permitted")["errors"]
        assert fault["pointer"] == "/project_id"


def test_what_is_published_is_seen_and_still_not_others_to_change(
    alice: Api, stranger: Api, make_project: Callable[..., UUID]
):
    path = add(alice, project_id=str(make_project(owner=alice)))

    alice.patch(path, {"is_public": True}, headers=IF_ANY)

    assert stranger.get(path).get_json()["components"][0]["name"] == "Glycerol"
    for change in CHANGES:
        problem(send(stranger, path, change), 403 if stranger.token else 401)


def test_an_editor_neither_publishes_nor_touches_what_is_public(
    alice: Api, bob: Api, make_project: Callable[..., UUID]
):
    project = str(make_project(owner=alice, editor=bob))
    (fault,) = problem(bob.post("/mixtures", body(project_id=project, is_public=True)), 403)["errors"]
    path = add(bob, project_id=project)
    alice.patch(path, {"is_public": True}, headers=IF_ANY)

    assert fault["pointer"] == "/is_public"
    for change in CHANGES:
        problem(send(bob, path, change), 403)


def test_a_user_does_not_publish_outside_projects(alice: Api):
    (fault,) = problem(alice.post("/mixtures", body(is_public=True)), 403)["errors"]

    assert fault["pointer"] == "/is_public"
    problem(alice.patch(add(alice), {"is_public": True}, headers=IF_ANY), 403)


def test_what_is_taken_back_is_gone_for_others_at_once(alice: Api, stranger: Api, make_project: Callable[..., UUID]):
    path = add(alice, project_id=str(make_project(owner=alice)), is_public=True)
    tag = stranger.get(path).headers["ETag"]

    alice.patch(path, {"is_public": False}, headers=IF_ANY)

    problem(stranger.get(path, headers={"If-None-Match": tag}), 404)
    assert stranger.get("/mixtures").get_json()["data"] == []


def test_who_leaves_a_team_sees_its_mixtures_no_longer(
    alice: Api, bob: Api, make_project: Callable[..., UUID], admin: psycopg.Connection
):
    path = add(bob, project_id=str(make_project(owner=alice, editor=bob)))
    seen_before = bob.get(path).status_code

    admin.execute("DELETE FROM team_members WHERE user_id = %s", (bob.user_id,))

    assert seen_before == 200
    problem(bob.get(path), 404)
    problem(bob.patch(path, {"name": "x"}, headers=IF_ANY), 404)


# Mixtures and the molecules in them.


def test_publishing_a_mixture_of_a_private_molecule_is_refused_and_changes_nothing(
    alice: Api, anon: Api, make_project: Callable[..., UUID]
):
    project = str(make_project(owner=alice))
    molecule = alice.post("/molecules", {**DMSO, "project_id": project}).get_json()["id"]
    path = add(alice, molecule, project_id=project)

    assert pointers(alice.patch(path, {"is_public": True}, headers=IF_ANY)) == ["/components"]
    assert pointers(alice.post("/mixtures", body(molecule, project_id=project, is_public=True))) == ["/components"]
    problem(anon.get(path), 404)
    assert alice.get(path).get_json()["version"] == 1

    alice.patch(f"/molecules/{molecule}", {"is_public": True}, headers=IF_ANY)
    assert alice.patch(path, {"is_public": True}, headers=IF_ANY).status_code == 200
    assert anon.get(path).get_json()["components"][0]["molecule_id"] == molecule


def test_a_public_mixture_does_not_get_a_private_molecule(alice: Api, anon: Api, make_project: Callable[..., UUID]):
    project = str(make_project(owner=alice))
    molecule = alice.post("/molecules", {**DMSO, "project_id": project}).get_json()["id"]
    path = add(alice, project_id=project, is_public=True)
    put = {"components": [{"molecule_id": molecule, "amount": 1, "unit": "g/L"}]}

    assert pointers(alice.put(f"{path}/components", put, headers=IF_ANY)) == ["/components"]
    assert molecule not in anon.get(path).text


def test_a_molecule_in_a_public_mixture_is_not_taken_back(alice: Api, make_project: Callable[..., UUID]):
    project = str(make_project(owner=alice))
    public = {**DMSO, "project_id": project, "is_public": True}
    molecule = alice.post("/molecules", public).get_json()["id"]
    path = add(alice, molecule, project_id=project, is_public=True)

    problem(alice.patch(f"/molecules/{molecule}", {"is_public": False}, headers=IF_ANY), 409)
    alice.patch(path, {"is_public": False}, headers=IF_ANY)
    assert alice.patch(f"/molecules/{molecule}", {"is_public": False}, headers=IF_ANY).status_code == 200


def test_ones_own_mixture_moves_into_a_project_together_with_its_molecule_and_not_before(
    alice: Api, bob: Api, make_project: Callable[..., UUID]
):
    project = {"project_id": str(make_project(owner=alice, viewer=bob))}
    molecule = alice.post("/molecules", DMSO).get_json()["id"]
    path = add(alice, molecule)

    assert pointers(alice.patch(path, project, headers=IF_ANY)) == ["/components"]
    problem(bob.get(path), 404)

    alice.patch(f"/molecules/{molecule}", project, headers=IF_ANY)
    assert alice.patch(path, project, headers=IF_ANY).status_code == 200
    assert bob.get(path).get_json()["components"][0]["name"] == DMSO["name"]


def test_a_mixture_moves_between_projects_of_ones_own(
    alice: Api, bob: Api, make_user: Callable[[], Api], make_project: Callable[..., UUID]
):
    carol = make_user()
    path = add(alice, project_id=str(make_project(owner=alice, viewer=bob)))
    before = (bob.get(path).status_code, carol.get(path).status_code)

    moved = alice.patch(path, {"project_id": str(make_project(owner=alice, viewer=carol))}, headers=IF_ANY)

    assert moved.status_code == 200
    assert before == (200, 404)
    assert (bob.get(path).status_code, carol.get(path).status_code) == (404, 200)
    assert (len(bob.get("/mixtures").get_json()["data"]), len(carol.get("/mixtures").get_json()["data"])) == (0, 1)


def test_a_mixture_is_not_moved_into_a_project_of_others(alice: Api, bob: Api, make_project: Callable[..., UUID]):
    path = add(alice)

    for project in (make_project(owner=bob), make_project(owner=bob, viewer=alice), uuid4()):
        problem(alice.patch(path, {"project_id": str(project)}, headers=IF_ANY), 403)

    assert alice.get(path).get_json()["project_id"] is None


def test_a_mixture_is_taken_out_of_a_project_by_its_creator_only(
    alice: Api, bob: Api, make_project: Callable[..., UUID]
):
    path = add(alice, project_id=str(make_project(owner=alice, editor=bob)))

    problem(bob.patch(path, {"project_id": None}, headers=IF_ANY), 403)
    assert alice.patch(path, {"project_id": None}, headers=IF_ANY).status_code == 200
    problem(bob.get(path), 404)


def test_a_mixture_that_is_shared_with_a_project_is_seen_there(
    alice: Api, bob: Api, make_project: Callable[..., UUID], admin: psycopg.Connection
):
    path = add(alice)
    project = make_project(owner=alice, editor=bob)
    statement = "INSERT INTO project_mixtures (project_id, mixture_id, created_by) VALUES (%s, %s, %s)"

    admin.execute(statement, (project, path.rpartition("/")[2], alice.user_id))

    assert bob.get(path).get_json()["components"][0]["name"] == "Glycerol"
    problem(bob.patch(path, {"name": "mine"}, headers=IF_ANY), 403)
    admin.execute("DELETE FROM project_mixtures")
    problem(bob.get(path), 404)
