"""`GET /{resource}/{id}/history`: those who may change a record see who did."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import sql

from database.urls import DatabaseUrls
from tests.database.acting import acting
from tests.factories import user
from tests.plugins.api import Api

DMSO = {"name": "dimethyl sulfoxide", "smiles": "CS(C)=O"}
ANY_VERSION = {"If-Match": "*"}
COLUMNS = (
    "id",
    "canonical_smiles",
    "inchi",
    "inchikey",
    "parent_inchikey",
    "formula",
    "molar_mass_g_mol",
)


def _history(caller: Api, path: str, **parameters: Any) -> list[dict[str, Any]]:
    response = caller.get(f"{path}/history", query_string=parameters)
    assert response.status_code == 200, response.get_json()
    entries: list[dict[str, Any]] = response.get_json()["data"]
    return entries


def test_a_molecules_history_tells_who_changed_what_in_which_request(alice: Api) -> None:
    made = alice.post("/molecules", DMSO, headers={"X-Request-ID": "making"})
    path = f"/molecules/{made.get_json()['id']}"
    alice.patch(path, {"name": "DMSO"}, headers={**ANY_VERSION, "X-Request-ID": "renaming"})

    renamed, added = _history(alice, path)

    assert (added["action"], added["table_name"], added["request_id"]) == ("insert", "molecules", "making")
    assert (renamed["action"], renamed["request_id"]) == ("update", "renaming")
    assert (renamed["before"]["name"], renamed["after"]["name"]) == ("dimethyl sulfoxide", "DMSO")
    assert {renamed["actor_id"], added["actor_id"]} == {str(alice.user_id)}
    assert {renamed["role"], added["role"]} == {"authenticated"}


def test_a_dry_run_and_a_refused_change_leave_no_entry(alice: Api) -> None:
    path = f"/molecules/{alice.post('/molecules', DMSO).get_json()['id']}"

    alice.patch(path, {"name": "tried"}, headers={**ANY_VERSION, "Prefer": "tx=rollback"})
    alice.patch(path, {"name": "stale"}, headers={"If-Match": '"7-0000000000000000"'})

    assert [entry["action"] for entry in _history(alice, path)] == ["insert"]


def test_a_history_is_filtered_sorted_and_paged_like_every_list(alice: Api) -> None:
    path = f"/molecules/{alice.post('/molecules', DMSO).get_json()['id']}"
    for name in ("one", "two", "three"):
        alice.patch(path, {"name": name}, headers=ANY_VERSION)

    first = alice.get(f"{path}/history?limit=2&order_by=created_at&only=after&count=exact").get_json()
    rest = alice.get(
        f"{path}/history",
        query_string={"limit": 2, "order_by": "created_at", "only": "after", "cursor": first["page"]["next"]},
    ).get_json()
    names = [entry["after"]["name"] for entry in [*first["data"], *rest["data"]]]

    assert names == ["dimethyl sulfoxide", "one", "two", "three"]
    assert first["page"]["count"] == 4
    assert len(_history(alice, path, action="update")) == 3
    assert _history(alice, path, modified_after="2999-01-01T00:00:00Z") == []
    assert alice.get(f"{path}/history?colour=red").status_code == 400


@pytest.mark.parametrize(
    ("role", "status"), [("owner", 200), ("editor", 200), ("viewer", 403), ("stranger", 404), ("anon", 401)]
)
def test_of_a_projects_record(
    anon: Api, make_user: Callable[[], Api], make_project: Callable[..., UUID], role: str, status: int
) -> None:
    members = {name: make_user() for name in ("owner", "editor", "viewer")}
    project = make_project(**members)
    made = members["editor"].post("/molecules", {**DMSO, "project_id": str(project)})
    caller = {**members, "stranger": make_user(), "anon": anon}[role]

    response = caller.get(f"/molecules/{made.get_json()['id']}/history")

    assert response.status_code == status


def test_what_everybody_sees_has_a_history_for_its_keepers_only(alice: Api, service: Api) -> None:
    path = f"/molecules/{service.post('/molecules', DMSO).get_json()['id']}"

    refused = alice.get(f"{path}/history")

    assert (refused.status_code, refused.get_json()["code"]) == (403, "not_permitted")
    assert [entry["role"] for entry in _history(service, path)] == ["service_role"]


def test_a_deleted_record_has_a_history_for_the_service_role_only(alice: Api, service: Api) -> None:
    path = f"/molecules/{alice.post('/molecules', DMSO).get_json()['id']}"
    alice.delete(path, headers=ANY_VERSION)

    assert [entry["action"] for entry in _history(service, path)] == ["delete", "insert"]
    assert alice.get(f"{path}/history").status_code == 404
    assert service.get(f"/molecules/{uuid4()}/history").status_code == 404


def test_of_mixtures_teams_and_projects(alice: Api, bob: Api) -> None:
    molecule = alice.post("/molecules", DMSO).get_json()["id"]
    mixture = alice.post(
        "/mixtures", {"name": "m", "components": [{"molecule_id": molecule, "amount": 1.4, "unit": "mol/L"}]}
    ).get_json()["id"]
    team = alice.post("/teams", {"name": "t"}).get_json()["id"]
    project = alice.post("/projects", {"name": "p", "team_id": team}).get_json()["id"]
    alice.put(f"/teams/{team}/members/{bob.user_id}", {"role": "viewer"}, headers=ANY_VERSION)
    hidden = alice.put(f"/projects/{project}/mixtures/{mixture}", None, headers=ANY_VERSION)
    for shared in (f"molecules/{molecule}", f"mixtures/{mixture}"):
        assert alice.put(f"/projects/{project}/{shared}", None, headers=ANY_VERSION).status_code == 201
    assert (hidden.status_code, hidden.get_json()["errors"][0]["pointer"]) == (422, "/components")

    tables = {
        path: sorted(entry["table_name"] for entry in _history(alice, path))
        for path in (f"/mixtures/{mixture}", f"/teams/{team}", f"/projects/{project}")
    }

    assert tables == {
        f"/mixtures/{mixture}": ["mixture_components", "mixtures", "project_mixtures"],
        f"/teams/{team}": ["team_members", "team_members", "teams"],
        f"/projects/{project}": ["projects"],
    }
    assert bob.get(f"/teams/{team}/history").status_code == 403


def test_a_history_begins_where_the_record_came_into_its_project(
    make_user: Callable[[], Api], make_project: Callable[..., UUID]
) -> None:
    owner, editor = make_user(), make_user()
    project = make_project(owner=owner, editor=editor)
    path = f"/molecules/{owner.post('/molecules', {**DMSO, 'name': 'codename'}).get_json()['id']}"
    owner.patch(path, {"name": "dimethyl sulfoxide"}, headers=ANY_VERSION)
    owner.patch(path, {"project_id": str(project)}, headers=ANY_VERSION)
    owner.patch(path, {"name": "DMSO"}, headers=ANY_VERSION)

    entries = _history(editor, path)

    assert [entry["after"]["name"] for entry in entries] == ["DMSO", "dimethyl sulfoxide"]
    assert "codename" not in str(entries)


def test_a_key_that_is_used_again_brings_no_history_along(
    alice: Api, bob: Api, urls: DatabaseUrls, service: Api
) -> None:
    made = alice.post("/molecules", {**DMSO, "name": "secret formulation"}).get_json()
    alice.delete(f"/molecules/{made['id']}", headers=ANY_VERSION)
    bob.patch("/me", {"display_name": "Bob"}, headers=ANY_VERSION)
    again = {name: made[name] for name in COLUMNS} | {"created_by": str(bob.user_id), "name": "mine"}
    with acting(urls, user(bob.user_id)) as writer:
        statement = sql.SQL("INSERT INTO public.molecules ({names}) VALUES ({values})").format(
            names=sql.SQL(", ").join(map(sql.Identifier, again)), values=sql.SQL(", ").join(map(sql.Placeholder, again))
        )
        assert writer.attempt(statement, again) == 1
        writer.commit()

    entries = _history(bob, f"/molecules/{made['id']}")

    assert [entry["after"]["name"] for entry in entries] == ["mine"]
    assert len(_history(service, f"/molecules/{made['id']}")) == 3


def test_who_points_to_what_is_public_is_not_shown_to_its_keepers(
    make_user: Callable[[], Api], make_project: Callable[..., UUID], service: Api
) -> None:
    owner, stranger = make_user(), make_user()
    project, other = make_project(owner=owner), make_project(owner=stranger)
    made = owner.post("/molecules", {**DMSO, "project_id": str(project), "is_public": True})
    path = f"/molecules/{made.get_json()['id']}"
    assert stranger.put(f"/projects/{other}{path}", None, headers=ANY_VERSION).status_code == 201

    seen, all_of_it = _history(owner, path), _history(service, path)

    assert str(stranger.user_id) not in str(seen)
    assert str(stranger.user_id) in str(all_of_it)
    # Nor can they take the stranger's pointer away.
    assert owner.request("DELETE", f"/projects/{other}{path}", headers=ANY_VERSION).status_code == 404


def test_a_tokens_id_is_for_the_service_role(alice: Api, service: Api) -> None:
    path = f"/molecules/{alice.post('/molecules', DMSO).get_json()['id']}"

    assert [entry["token_id"] for entry in _history(alice, path)] == [None]
    assert all(entry["token_id"] for entry in _history(service, path))


def test_a_guest_does_not_see_who_changed_the_project(alice: Api, bob: Api) -> None:
    team, guests = (caller.post("/teams", {"name": "t"}).get_json()["id"] for caller in (alice, bob))
    bob.put(f"/teams/{guests}/members/{alice.user_id}", {"role": "viewer"}, headers=ANY_VERSION)
    project = alice.post("/projects", {"name": "p", "team_id": team}).get_json()["id"]
    invited = alice.put(f"/projects/{project}/teams/{guests}", {"role": "editor"}, headers=ANY_VERSION)

    assert invited.status_code == 201
    assert bob.get(f"/projects/{project}/history").status_code == 403
    assert len(_history(alice, f"/projects/{project}")) == 2
