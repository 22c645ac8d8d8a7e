"""Teams and their members through HTTP: what each role may do, what strangers are told, and the last owner."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from werkzeug.test import TestResponse

from tests.api.problems import pointers, problem
from tests.factories import new_project, new_team
from tests.plugins.api import Api

ANY = {"If-Match": "*"}
STALE = {"If-Match": '"999-0123456789abcdef"'}
NOBODY = "00000000-0000-0000-0000-000000000000"
ROLES = ("owner", "editor", "viewer", "stranger")


@dataclass(frozen=True)
class Team:
    """A team made through HTTP, with one member of each role and somebody who is in none."""

    path: str
    callers: dict[str, Api]

    @property
    def id(self) -> str:
        """The team's id."""
        return self.path.rpartition("/")[2]

    def member(self, role: str) -> str:
        """Return the address of the member of a role."""
        return f"{self.path}/members/{self.callers[role].user_id}"

    def role_of(self, who: str) -> str | None:
        """Return what a caller's membership says; None without one."""
        role: str | None = self.callers["owner"].get(self.member(who)).get_json().get("role")
        return role


@pytest.fixture
def team(make_user: Callable[[], Api]) -> Team:
    """Give a team; its members never wrote anything before they were added, but for the owner."""
    callers = {role: make_user() for role in ROLES}
    owner = callers["owner"]
    made = Team(f"/teams/{new_team(owner)['id']}", callers)
    for role in ("editor", "viewer"):
        assert owner.put(made.member(role), {"role": role}, headers=ANY).status_code == 201
    return made


def _expect(response: TestResponse, role: str, allowed: str, status: int) -> None:
    if role in allowed.split():
        assert response.status_code == status, response.text
    else:
        problem(response, 404 if role == "stranger" else 403)


class TestMaking:
    """A team begins with whoever makes it."""

    def test_whoever_makes_a_team_owns_it(self, alice: Api) -> None:
        response = alice.post("/teams", {"name": " Tissue bank "})
        team = response.get_json()

        assert response.status_code == 201
        assert response.headers["Location"] == f"/api/v1/teams/{team['id']}"
        assert response.headers["ETag"].startswith('"1-')
        assert (team["name"], team["role"], team["created_by"]) == ("Tissue bank", "owner", str(alice.user_id))
        members = alice.get(f"/teams/{team['id']}/members").get_json()["data"]
        assert [(member["user_id"], member["role"]) for member in members] == [(str(alice.user_id), "owner")]

    @pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": " "}, {"name": "x" * 201}, {"name": None}])
    def test_a_team_needs_a_name(self, alice: Api, body: dict[str, Any]) -> None:
        assert pointers(alice.post("/teams", body)) == ["/name"]

    def test_what_is_not_known_of_a_team_is_refused(self, alice: Api) -> None:
        assert pointers(alice.post("/teams", {"name": "Tissue bank", "created_by": NOBODY})) == ["/created_by"]

    def test_a_repeated_call_makes_one_team(self, alice: Api) -> None:
        key = {"Idempotency-Key": "once"}

        first, second = (alice.post("/teams", {"name": "Tissue bank"}, headers=key) for _ in range(2))

        assert first.get_json() == second.get_json()
        assert second.headers["Idempotent-Replayed"] == "true"
        assert len(alice.get("/teams").get_json()["data"]) == 1

    def test_a_dry_run_keeps_nothing(self, alice: Api) -> None:
        response = alice.post("/teams", {"name": "Tissue bank"}, headers={"Prefer": "tx=rollback"})

        assert (response.status_code, response.headers["Preference-Applied"]) == (201, "tx=rollback")
        problem(alice.get(f"/teams/{response.get_json()['id']}"), 404)

    def test_the_service_makes_a_team_for_others(self, service: Api, alice: Api) -> None:
        team = new_team(service)

        added = service.put(f"/teams/{team['id']}/members/{alice.user_id}", {"role": "owner"}, headers=ANY)

        assert (team["role"], team["created_by"], added.status_code) == (None, None, 201)
        assert alice.get(f"/teams/{team['id']}").get_json()["role"] == "owner"


@pytest.mark.parametrize("role", ROLES)
class TestRoles:
    """Every role and every verb."""

    def test_members_read(self, team: Team, role: str) -> None:
        caller = team.callers[role]

        for path in (team.path, f"{team.path}/members", team.member("viewer"), f"{team.path}/members?format=csv"):
            _expect(caller.get(path), role, "owner editor viewer", 200)
        assert len(caller.get("/teams").get_json()["data"]) == (role != "stranger")

    def test_each_is_told_its_own_role(self, team: Team, role: str) -> None:
        caller = team.callers[role]

        assert caller.get(team.path).get_json().get("role") == (None if role == "stranger" else role)
        assert len(caller.get(f"/teams?role={role}").get_json()["data"]) == (role != "stranger")

    def test_owners_rename(self, team: Team, role: str) -> None:
        _expect(team.callers[role].patch(team.path, {"name": "Renamed"}, headers=ANY), role, "owner", 200)

        name = team.callers["owner"].get(team.path).get_json()["name"]
        assert (name == "Renamed") == (role == "owner")

    def test_owners_delete(self, team: Team, role: str) -> None:
        _expect(team.callers[role].delete(team.path, headers=ANY), role, "owner", 204)

        assert team.callers["owner"].get(team.path).status_code == (404 if role == "owner" else 200)

    def test_owners_add(self, team: Team, role: str) -> None:
        path = f"{team.path}/members/{uuid4()}"

        _expect(team.callers[role].put(path, {"role": "viewer"}, headers=ANY), role, "owner", 201)

        assert len(team.callers["owner"].get(f"{team.path}/members").get_json()["data"]) == 3 + (role == "owner")

    @pytest.mark.parametrize("whom", ["editor", "viewer"])
    def test_owners_change_roles(self, team: Team, role: str, whom: str) -> None:
        _expect(team.callers[role].put(team.member(whom), {"role": "owner"}, headers=ANY), role, "owner", 200)

        assert team.role_of(whom) == ("owner" if role == "owner" else whom)

    @pytest.mark.parametrize("whom", ["editor", "viewer"])
    def test_owners_remove_and_everybody_leaves(self, team: Team, role: str, whom: str) -> None:
        _expect(team.callers[role].delete(team.member(whom), headers=ANY), role, f"owner {whom}", 204)

        assert team.role_of(whom) == (None if role in {"owner", whom} else whom)

    @pytest.mark.parametrize("method", ["PATCH", "DELETE", "PUT", "DELETE MEMBER"])
    def test_a_stale_version_is_said_only_to_who_may_change(self, team: Team, role: str, method: str) -> None:
        path = team.member("viewer") if method.startswith("PUT") or "MEMBER" in method else team.path
        body = {"PATCH": {"name": "Renamed"}, "PUT": {"role": "editor"}}.get(method)
        kwargs = {"json": body} if body else {}

        response = team.callers[role].request(method.partition(" ")[0], path, headers=STALE, **kwargs)

        leaves = role == "viewer" and "MEMBER" in method
        problem(response, 412 if role == "owner" or leaves else 404 if role == "stranger" else 403)


def test_anon_needs_a_token(anon: Api) -> None:
    for method, path in (("GET", "/teams"), ("POST", "/teams"), ("GET", f"/teams/{NOBODY}/members")):
        problem(anon.request(method, path), 401, "token_required")


class TestMembers:
    """Who comes, goes and changes."""

    def test_putting_a_member_again_changes_nothing(self, team: Team) -> None:
        owner, path = team.callers["owner"], team.member("viewer")
        before = owner.get(path)

        again = owner.put(path, {"role": "viewer"}, headers={"If-Match": before.headers["ETag"]})

        assert again.status_code == 200
        assert again.headers["ETag"] == before.headers["ETag"]
        assert again.get_json() == before.get_json()

    def test_a_new_member_is_answered_with_its_address(self, team: Team) -> None:
        path = f"{team.path}/members/{uuid4()}"

        response = team.callers["owner"].put(path, {"role": "editor"}, headers=ANY)

        assert response.headers["Location"] == f"/api/v1{path}"
        assert response.get_json() == team.callers["owner"].get(path).get_json()

    def test_each_change_of_members_raises_the_teams_version(self, team: Team) -> None:
        owner, viewer = team.callers["owner"], team.callers["viewer"]
        versions = [owner.get(team.path).get_json()["version"]]

        for caller, method, path, body in (
            (owner, "PUT", f"{team.path}/members/{uuid4()}", {"role": "viewer"}),
            (owner, "PUT", team.member("editor"), {"role": "viewer"}),
            (owner, "DELETE", team.member("editor"), None),
            (viewer, "DELETE", team.member("viewer"), None),
        ):
            assert caller.request(method, path, json=body, headers=ANY).status_code < 300
            versions.append(owner.get(team.path).get_json()["version"])

        assert versions == list(range(versions[0], versions[0] + 5))

    @pytest.mark.parametrize("of", ["team", "member"])
    def test_the_etag_of_team_and_member_serves(self, team: Team, of: str) -> None:
        viewer = team.callers["viewer"]
        path = team.path if of == "team" else team.member("viewer")
        etag = {"If-Match": viewer.get(path).headers["ETag"]}

        left = viewer.delete(team.member("viewer"), headers=etag)
        late = team.callers["editor"].delete(team.member("editor"), headers=etag)

        assert left.status_code == 204
        assert "this team" in problem(late, 412)["detail"]

    def test_members_bear_the_names_that_they_give_themselves(self, team: Team) -> None:
        team.callers["viewer"].patch("/me", {"display_name": "Vera"}, headers=ANY)

        names = team.callers["editor"].get(f"{team.path}/members?only=display_name,role&order_by=role").get_json()
        whole = team.callers["editor"].get(f"{team.path}?only=members").get_json()["members"]

        assert {item["role"]: item["display_name"] for item in names["data"]} == {
            "owner": None,
            "editor": None,
            "viewer": "Vera",
        }
        assert [item["display_name"] for item in whole] == [None, None, "Vera"]

    def test_lists_of_members_are_filtered_sorted_paged_and_counted(self, team: Team) -> None:
        caller, path = team.callers["viewer"], f"{team.path}/members"

        first = caller.get(f"{path}?order_by=-role&limit=2&count=exact").get_json()
        second = caller.get(f"{path}?order_by=-role&limit=2&cursor={first['page']['next']}").get_json()

        assert [item["role"] for item in first["data"] + second["data"]] == ["viewer", "owner", "editor"]
        assert (first["page"]["count"], second["page"]["next"]) == (3, None)
        assert len(caller.get(f"{path}?role__in=owner,editor").get_json()["data"]) == 2
        problem(caller.get(f"{path}?rolle=owner"), 400, "unknown_parameter")

    def test_a_cursor_of_one_team_opens_no_other(self, team: Team) -> None:
        owner = team.callers["owner"]
        other = f"/teams/{new_team(owner)['id']}/members"
        cursor = owner.get(f"{team.path}/members?limit=1").get_json()["page"]["next"]

        assert owner.get(f"{team.path}/members?limit=1&cursor={cursor}").status_code == 200
        problem(owner.get(f"{other}?limit=1&cursor={cursor}"), 400, "invalid_cursor")

    def test_what_changed_since_is_listed(self, team: Team) -> None:
        owner, path = team.callers["owner"], f"{team.path}/members"
        before = max(item["updated_at"] for item in owner.get(path).get_json()["data"])

        owner.put(team.member("editor"), {"role": "viewer"}, headers=ANY)

        changed = owner.get(f"{path}?modified_after={before}").get_json()["data"]
        assert [item["user_id"] for item in changed] == [str(team.callers["editor"].user_id)]

    def test_a_user_who_is_not_in_the_team_is_404(self, team: Team) -> None:
        owner, path = team.callers["owner"], f"{team.path}/members/{team.callers['stranger'].user_id}"

        for response in (owner.get(path), owner.delete(path, headers=ANY), owner.delete(path, headers=STALE)):
            assert "member" in problem(response, 404)["detail"]

    @pytest.mark.parametrize("body", [{}, {"role": "boss"}, {"role": None}, {"role": ["owner"]}])
    def test_a_role_is_one_of_three(self, team: Team, body: dict[str, Any]) -> None:
        assert pointers(team.callers["owner"].put(team.member("viewer"), body, headers=ANY)) == ["/role"]

    @pytest.mark.parametrize("method", ["PUT", "DELETE"])
    def test_a_change_needs_if_match(self, team: Team, method: str) -> None:
        response = team.callers["owner"].request(method, team.member("viewer"), json={"role": "editor"})

        problem(response, 428, "if_match_required")

    @pytest.mark.parametrize(
        "path", ["/teams/1", "/teams/{id}/members/me", f"/teams/{NOBODY}", "/teams/{id}/members/x"]
    )
    def test_a_bad_or_unknown_id_is_404(self, team: Team, path: str) -> None:
        path = path.replace("{id}", team.id)

        problem(team.callers["owner"].get(path), 404)
        problem(team.callers["owner"].delete(path, headers=ANY), 404)

    def test_dry_runs_add_and_remove_nobody(self, team: Team) -> None:
        owner, dry = team.callers["owner"], {**ANY, "Prefer": "tx=rollback"}

        added = owner.put(f"{team.path}/members/{uuid4()}", {"role": "viewer"}, headers=dry)
        removed = owner.delete(team.member("viewer"), headers=dry)

        assert (added.status_code, removed.status_code) == (201, 204)
        assert len(owner.get(f"{team.path}/members").get_json()["data"]) == 3

    def test_whoever_made_a_team_and_left_is_a_stranger(self, team: Team) -> None:
        owner, editor = team.callers["owner"], team.callers["editor"]
        owner.put(team.member("editor"), {"role": "owner"}, headers=ANY)

        assert owner.delete(team.member("owner"), headers=ANY).status_code == 204

        for path in (team.path, f"{team.path}/members", team.member("editor")):
            problem(owner.get(path), 404)
        assert owner.get("/teams").get_json()["data"] == []
        assert editor.get(team.path).get_json()["role"] == "owner"


class TestLastOwner:
    """A team keeps an owner."""

    @pytest.mark.parametrize("role", ["editor", "viewer"])
    def test_the_last_owner_is_not_demoted(self, team: Team, role: str) -> None:
        response = team.callers["owner"].put(team.member("owner"), {"role": role}, headers=ANY)

        assert problem(response, 409)["detail"] == "a team keeps at least one owner"
        assert team.role_of("owner") == "owner"

    @pytest.mark.parametrize("prefer", [{}, {"Prefer": "tx=rollback"}])
    def test_the_last_owner_does_not_leave(self, team: Team, prefer: dict[str, str]) -> None:
        response = team.callers["owner"].delete(team.member("owner"), headers=ANY | prefer)

        assert problem(response, 409)["detail"] == "a team keeps at least one owner"

    def test_of_two_owners_who_leave_at_once_one_stays(self, team: Team) -> None:
        owner, other = team.callers["owner"], team.callers["editor"]
        owner.put(team.member("editor"), {"role": "owner"}, headers=ANY)
        together = threading.Barrier(2)

        def leave(caller: Api) -> int:
            together.wait(30)
            return caller.delete(f"{team.path}/members/{caller.user_id}", headers=ANY).status_code

        with ThreadPoolExecutor(2) as threads:
            statuses = sorted(threads.map(leave, (owner, other)))

        assert statuses == [204, 409]
        (stays,) = [caller for caller in (owner, other) if caller.get(team.path).status_code == 200]
        assert stays.get(team.path).get_json()["role"] == "owner"

    def test_with_the_team_its_last_owner_goes(self, team: Team) -> None:
        assert team.callers["owner"].delete(team.path, headers=ANY).status_code == 204

        problem(team.callers["viewer"].get(team.path), 404)


def test_a_team_with_projects_stays(team: Team) -> None:
    owner = team.callers["owner"]
    project = new_project(owner, team.id)

    refused = owner.delete(team.path, headers=ANY)

    assert "projects" in problem(refused, 409, "not_empty")["detail"]
    assert owner.delete(f"/projects/{project['id']}", headers=ANY).status_code == 204
    assert owner.delete(team.path, headers=ANY).status_code == 204


def test_a_token_without_the_scope_changes_no_team(scoped: Callable[[str], Api]) -> None:
    assert new_team(scoped("teams:write"))["name"]
    problem(scoped("molecules:write").post("/teams", {"name": "Tissue bank"}), 403, "scope_missing")
