"""Projects and the teams invited to them, through HTTP: what each role may do, and what becomes of what is in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.api.bodies import DMSO, ETHANOL, GLYCEROL
from tests.api.problems import pointers, problem
from tests.factories import new_project, new_team
from tests.plugins.api import Api

ANY = {"If-Match": "*"}
STALE = {"If-Match": '"999-0123456789abcdef"'}
NOBODY = "00000000-0000-0000-0000-000000000000"
ROLES = ("owner", "editor", "viewer", "stranger")


@dataclass(frozen=True)
class Project:
    """A project made through HTTP, with a caller of each role and somebody who is in no team."""

    path: str
    team_id: str
    callers: dict[str, Api]

    @property
    def id(self) -> str:
        """The project's id."""
        return self.path.rpartition("/")[2]

    @property
    def owner(self) -> Api:
        """The owner of the project's team."""
        return self.callers["owner"]

    def version(self) -> int:
        """Return the project's version."""
        return int(self.owner.get(self.path).get_json()["version"])


@pytest.fixture
def project(make_user: Callable[[], Api]) -> Project:
    """Give a project."""
    callers = {role: make_user() for role in ROLES}
    owner = callers["owner"]
    team_id = new_team(owner)["id"]
    for role in ("editor", "viewer"):
        owner.put(f"/teams/{team_id}/members/{callers[role].user_id}", {"role": role}, headers=ANY)
    return Project(f"/projects/{new_project(owner, team_id)['id']}", team_id, callers)


def _expect(response: TestResponse, role: str, allowed: str, status: int) -> None:
    if role in allowed.split():
        assert response.status_code == status, response.text
    else:
        problem(response, 404 if role == "stranger" else 403)


class TestMaking:
    """Who makes projects, where."""

    @pytest.mark.parametrize("role", ROLES)
    def test_owners_and_editors_make_projects(self, project: Project, role: str) -> None:
        body = {"name": "New", "team_id": project.team_id, "description": "Slices of kidney."}

        response = project.callers[role].post("/projects", body)

        if role in {"owner", "editor"}:
            made = response.get_json()
            assert response.status_code == 201
            assert response.headers["Location"] == f"/api/v1/projects/{made['id']}"
            assert {**body, "role": role, "version": 1, "created_by": str(project.callers[role].user_id)}.items() <= (
                made.items()
            )
        else:
            assert problem(response, 403)["errors"][0]["pointer"] == "/team_id"

    def test_of_a_team_that_is_not_there_a_stranger_learns_nothing(self, project: Project) -> None:
        stranger = project.callers["stranger"]

        details = [
            problem(stranger.post("/projects", {"name": "New", "team_id": team_id}), 403)["detail"]
            for team_id in (project.team_id, NOBODY)
        ]

        assert details[0] == details[1]

    def test_the_service_is_told_that_a_team_is_not_there(self, service: Api) -> None:
        assert pointers(service.post("/projects", {"name": "New", "team_id": NOBODY})) == ["/team_id"]

    def test_a_name_stands_once_in_a_team(self, project: Project) -> None:
        other = new_project(project.owner, project.team_id, "Other")
        elsewhere = new_project(project.owner, new_team(project.owner)["id"])

        again = project.owner.post("/projects", {"name": "Kidney slices", "team_id": project.team_id})
        renamed = project.owner.patch(f"/projects/{other['id']}", {"name": "Kidney slices"}, headers=ANY)

        assert elsewhere["name"] == "Kidney slices"
        for response in (again, renamed):
            assert problem(response, 409)["errors"][0]["pointer"] == "/name"

    @pytest.mark.parametrize(
        ("body", "where"),
        [
            ({"team_id": NOBODY}, "/name"),
            ({"name": "New"}, "/team_id"),
            ({"name": "New", "team_id": "1"}, "/team_id"),
            ({"name": "", "team_id": NOBODY}, "/name"),
            ({"name": "New", "team_id": NOBODY, "description": "x" * 10_001}, "/description"),
            ({"name": "New", "team_id": NOBODY, "is_public": True}, "/is_public"),
        ],
    )
    def test_a_project_needs_a_name_and_a_team(self, alice: Api, body: dict[str, Any], where: str) -> None:
        assert pointers(alice.post("/projects", body)) == [where]


@pytest.mark.parametrize("role", ROLES)
class TestRoles:
    """Every role and every verb."""

    def test_members_read(self, project: Project, role: str) -> None:
        caller = project.callers[role]

        for part in ("", "/teams", "/molecules", "/molecules?format=ndjson", "/molecules?format=csv&limit=1"):
            _expect(caller.get(project.path + part), role, "owner editor viewer", 200)
        assert caller.get(project.path).get_json().get("role") == (None if role == "stranger" else role)
        assert len(caller.get(f"/projects?role={role}").get_json()["data"]) == (role != "stranger")

    def test_owners_and_editors_change(self, project: Project, role: str) -> None:
        change = {"name": "Renamed", "description": "Other."}

        _expect(project.callers[role].patch(project.path, change, headers=ANY), role, "owner editor", 200)

        assert (change.items() <= project.owner.get(project.path).get_json().items()) == (role in {"owner", "editor"})

    def test_owners_delete(self, project: Project, role: str) -> None:
        _expect(project.callers[role].delete(project.path, headers=ANY), role, "owner", 204)

        assert project.owner.get(project.path).status_code == (404 if role == "owner" else 200)

    @pytest.mark.parametrize("method", ["PATCH", "DELETE"])
    def test_a_stale_version_is_said_only_to_who_may_change(self, project: Project, role: str, method: str) -> None:
        response = project.callers[role].request(method, project.path, headers=STALE, json={"name": "Renamed"})

        may = {"PATCH": {"owner", "editor"}, "DELETE": {"owner"}}[method]
        problem(response, 412 if role in may else 404 if role == "stranger" else 403)

    def test_owners_invite_a_team_of_theirs(self, project: Project, role: str) -> None:
        caller = project.callers[role]
        path = f"{project.path}/teams/{new_team(caller)['id']}"

        _expect(caller.put(path, {"role": "viewer"}, headers=ANY), role, "owner", 201)

        assert len(project.owner.get(f"{project.path}/teams").get_json()["data"]) == (role == "owner")


class TestChanging:
    """What of a project changes, and what does not."""

    def test_what_is_not_named_stays(self, project: Project) -> None:
        project.owner.patch(project.path, {"description": "Slices."}, headers=ANY)

        renamed = project.owner.patch(project.path, {"name": "Renamed"}, headers=ANY).get_json()
        cleared = project.owner.patch(project.path, {"description": None}, headers=ANY).get_json()

        assert (renamed["name"], renamed["description"]) == ("Renamed", "Slices.")
        assert (cleared["name"], cleared["description"], cleared["version"]) == ("Renamed", None, 4)

    def test_a_project_stays_with_its_team(self, project: Project) -> None:
        other = new_team(project.owner)["id"]

        assert pointers(project.owner.patch(project.path, {"team_id": other}, headers=ANY)) == ["/team_id"]

    @pytest.mark.parametrize("body", [{}, {"name": None}, {"name": ""}])
    def test_a_change_says_something(self, project: Project, body: dict[str, Any]) -> None:
        assert pointers(project.owner.patch(project.path, body, headers=ANY)) == ["/name" if body else ""]

    def test_a_change_needs_if_match(self, project: Project) -> None:
        problem(project.owner.patch(project.path, {"name": "Renamed"}), 428)
        problem(project.owner.delete(project.path), 428)

    def test_a_dry_run_keeps_nothing(self, project: Project) -> None:
        dry = {**ANY, "Prefer": "tx=rollback"}

        assert project.owner.patch(project.path, {"name": "Renamed"}, headers=dry).get_json()["name"] == "Renamed"
        assert project.owner.delete(project.path, headers=dry).status_code == 204
        assert project.owner.get(project.path).get_json()["name"] == "Kidney slices"

    @pytest.mark.parametrize("prefer", [{}, {"Prefer": "tx=rollback"}])
    def test_a_project_with_rows_stays(self, project: Project, prefer: dict[str, str]) -> None:
        molecule = project.owner.post("/molecules", {**DMSO, "project_id": project.id}).get_json()

        refused = project.owner.delete(project.path, headers=ANY | prefer)
        stale = project.owner.delete(project.path, headers=STALE)

        assert "still holds records" in problem(refused, 409, "not_empty")["detail"]
        problem(stale, 412)
        project.owner.delete(f"/molecules/{molecule['id']}", headers=ANY)
        assert project.owner.delete(project.path, headers=ANY).status_code == 204

    def test_a_project_with_shares_only_goes_and_the_molecule_stays_with_its_owner(self, project: Project) -> None:
        molecule = project.callers["editor"].post("/molecules", DMSO).get_json()["id"]
        shared = project.callers["editor"].request("PUT", f"{project.path}/molecules/{molecule}", headers=ANY)
        assert shared.status_code == 201

        assert project.owner.delete(project.path, headers=ANY).status_code == 204

        assert project.callers["editor"].get(f"/molecules/{molecule}").status_code == 200
        problem(project.owner.get(f"/molecules/{molecule}"), 404)

    @pytest.mark.parametrize("part", ["/1", f"/{NOBODY}", f"/{NOBODY}/teams", f"/{NOBODY}/molecules", "/x/molecules"])
    def test_a_bad_or_unknown_id_is_404(self, alice: Api, part: str) -> None:
        problem(alice.get(f"/projects{part}"), 404)


class TestInvitations:
    """Other teams on a project."""

    @pytest.fixture
    def guests(self, project: Project, make_user: Callable[[], Api]) -> tuple[str, dict[str, Api]]:
        """Give the path of a second team of the owner's, which is not invited yet, and callers by role."""
        team_id = new_team(project.owner, "Guests")["id"]
        callers = {role: make_user() for role in ("owner", "editor", "viewer")}
        for role, caller in callers.items():
            project.owner.put(f"/teams/{team_id}/members/{caller.user_id}", {"role": role}, headers=ANY)
        return f"{project.path}/teams/{team_id}", callers

    @pytest.mark.parametrize("invited", ["editor", "viewer"])
    @pytest.mark.parametrize("role", ["owner", "editor", "viewer"])
    def test_a_guest_has_the_lesser_of_two_roles(
        self, project: Project, guests: tuple[str, dict[str, Api]], invited: str, role: str
    ) -> None:
        path, callers = guests
        caller = callers[role]
        problem(caller.get(project.path), 404)

        response = project.owner.put(path, {"role": invited}, headers=ANY)

        assert (response.status_code, response.get_json()["role"]) == (201, invited)
        lesser = "viewer" if "viewer" in {invited, role} else "editor"
        assert caller.get(project.path).get_json()["role"] == lesser
        added = caller.post("/molecules", {**DMSO, "project_id": project.id})
        assert added.status_code == (201 if lesser == "editor" else 403)
        problem(caller.patch(project.path, {"name": "Renamed"}, headers=ANY), 403)
        problem(caller.delete(project.path, headers=ANY), 403)
        problem(caller.get(f"/teams/{project.team_id}"), 404)

    def test_an_invitation_is_listed_changed_and_taken_back(
        self, project: Project, guests: tuple[str, dict[str, Api]]
    ) -> None:
        path, callers = guests
        versions = [project.version()]
        for answer, role in ((201, "viewer"), (200, "viewer"), (200, "editor")):
            response = project.owner.put(path, {"role": role}, headers=ANY)
            versions.append(project.version())
            assert (response.status_code, response.get_json()["role"]) == (answer, role)
            assert response.get_json() == project.owner.get(path).get_json()
        seen_by = {who: project.callers[who].get(f"{project.path}/teams").get_json()["data"] for who in ROLES[:3]}
        within = callers["viewer"].get(f"{project.path}?include=teams").get_json()["teams"]

        assert project.owner.delete(path, headers=ANY).status_code == 204

        versions.append(project.version())
        assert versions == [1, 2, 2, 3, 4]
        assert {who: [item["name"] for item in items] for who, items in seen_by.items()} == {
            "owner": ["Guests"],
            "editor": [None],
            "viewer": [None],
        }
        assert [(item["name"], item["role"]) for item in within] == [("Guests", "editor")]
        problem(callers["viewer"].get(project.path), 404)
        problem(project.owner.delete(path, headers=ANY), 404)

    def test_an_owner_of_the_guests_gives_the_invitation_back(
        self, project: Project, guests: tuple[str, dict[str, Api]]
    ) -> None:
        path, callers = guests
        project.owner.put(path, {"role": "editor"}, headers=ANY)

        for role in ("editor", "viewer"):
            problem(callers[role].delete(path, headers=STALE), 403)
        problem(project.callers["stranger"].delete(path, headers=ANY), 404)
        problem(callers["owner"].delete(path, headers=STALE), 412)
        assert callers["owner"].delete(path, headers=ANY).status_code == 204

    def test_only_ones_own_other_teams_are_invited(self, project: Project) -> None:
        strangers = new_team(project.callers["stranger"])["id"]

        unseen = project.owner.put(f"{project.path}/teams/{strangers}", {"role": "viewer"}, headers=ANY)
        own = project.owner.put(f"{project.path}/teams/{project.team_id}", {"role": "viewer"}, headers=ANY)
        too_much = project.owner.put(f"{project.path}/teams/{strangers}", {"role": "owner"}, headers=ANY)

        assert "no team" in problem(unseen, 404)["detail"]
        problem(own, 409, "own_project")
        assert pointers(too_much) == ["/role"]

    def test_a_stale_version_invites_nobody(self, project: Project, guests: tuple[str, dict[str, Api]]) -> None:
        path, _ = guests

        problem(project.owner.put(path, {"role": "viewer"}, headers=STALE), 412)
        problem(project.callers["editor"].put(path, {"role": "viewer"}, headers=STALE), 403)
        problem(project.owner.put(path, {"role": "viewer"}), 428)

        assert project.owner.get(f"{project.path}/teams").get_json()["data"] == []


class TestMolecules:
    """The list of a project's molecules."""

    @pytest.fixture
    def filled(self, project: Project) -> Project:
        """Give the project with two molecules in it, one shared with it, and one that is elsewhere."""
        owner = project.owner
        for body in (DMSO, GLYCEROL):
            assert owner.post("/molecules", {**body, "project_id": project.id}).status_code == 201
        shared = owner.post("/molecules", ETHANOL).get_json()["id"]
        assert owner.request("PUT", f"{project.path}/molecules/{shared}", headers=ANY).status_code == 201
        assert owner.post("/molecules", {"name": "Elsewhere", "smiles": "CO"}).status_code == 201
        return project

    def test_it_holds_what_is_in_the_project_and_what_is_shared(self, filled: Project) -> None:
        for role in ("owner", "editor", "viewer"):
            path = f"{filled.path}/molecules?order_by=name&only=name,project_id&count=exact"
            page = filled.callers[role].get(path).get_json()

            assert page["data"] == [
                {"name": "Dimethyl sulfoxide", "project_id": filled.id},
                {"name": "Ethanol", "project_id": None},
                {"name": "Glycerol", "project_id": filled.id},
            ]
            assert page["page"]["count"] == 3

    def test_it_takes_what_every_list_of_molecules_takes(self, filled: Project) -> None:
        caller, path = filled.callers["viewer"], f"{filled.path}/molecules"

        def names(query: str) -> list[str]:
            return [item["name"] for item in caller.get(f"{path}?{query}").get_json()["data"]]

        assert names("q=ethanol") == ["Ethanol"]
        assert names("q=elsewhere") == []
        assert names("molar_mass_g_mol__gt=50&order_by=-molar_mass_g_mol") == ["Glycerol", "Dimethyl sulfoxide"]
        assert names("project_id__isnull=true") == ["Ethanol"]
        assert caller.get(f"{path}?count=estimated&name=Glycerol").get_json()["page"]["count"] == 1
        assert "Ethanol" in caller.get(f"{path}?format=sdf").text
        assert caller.get(f"{path}?format=smiles&order_by=name").text.splitlines()[1] == "CCO Ethanol"
        problem(caller.get(f"{path}?nmae=x"), 400, "unknown_parameter")

    def test_it_is_paged_within_the_project(self, filled: Project) -> None:
        caller, path = filled.callers["viewer"], f"{filled.path}/molecules?order_by=-name&limit=1"
        other = new_project(filled.owner, filled.team_id, "Other")
        names, link = [], path
        while link:
            response = caller.get(link)
            names += [item["name"] for item in response.get_json()["data"]]
            cursor = response.get_json()["page"]["next"]
            link = f"{path}&cursor={cursor}" if cursor else ""
            if cursor:
                problem(caller.get(f"/projects/{other['id']}/molecules?order_by=-name&limit=1&cursor={cursor}"), 400)
                problem(caller.get(f"/molecules?order_by=-name&limit=1&cursor={cursor}"), 400)

        assert names == ["Glycerol", "Ethanol", "Dimethyl sulfoxide"]

    def test_the_service_lists_it_too(self, filled: Project, service: Api) -> None:
        assert len(service.get(f"{filled.path}/molecules").get_json()["data"]) == 3
        problem(service.get(f"/projects/{NOBODY}/molecules"), 404)


def test_lists_of_projects_are_narrowed_by_team(project: Project) -> None:
    other = new_project(project.owner, new_team(project.owner)["id"], "Other")

    page = project.owner.get(f"/projects?team_id={project.team_id}&count=exact").get_json()
    names = [item["name"] for item in project.owner.get("/projects?order_by=name").get_json()["data"]]

    assert [item["id"] for item in page["data"]] == [project.id]
    assert page["page"]["count"] == 1
    assert names == ["Kidney slices", other["name"]]
