"""Molecules and mixtures that projects share: who shares what with whom, what that shows, and how soon it hides it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.api.bodies import DMSO, GLYCEROL
from tests.api.problems import problem
from tests.factories import new_project, new_team
from tests.plugins.api import Api

ANY = {"If-Match": "*"}
STALE = {"If-Match": '"999-0123456789abcdef"'}
NOBODY = "00000000-0000-0000-0000-000000000000"
ROLES = ("owner", "editor", "viewer", "stranger")


@dataclass(frozen=True)
class Sharing:
    """Two projects of two teams, and an editor of the first who owns the second."""

    path: str
    other: str
    callers: dict[str, Api]

    def share(self, caller: Api | str, molecule: str, path: str | None = None, **headers: str) -> int:
        """Share a molecule and return the status."""
        who = self.callers[caller] if isinstance(caller, str) else caller
        response = who.request("PUT", f"{path or self.path}/molecules/{molecule}", headers={**ANY, **headers})
        assert response.data == b"" or response.status_code >= 400
        return response.status_code

    def seen(self, role: str, molecule: str) -> bool:
        """Return whether a caller sees the molecule, by every way to it alike."""
        caller = self.callers[role]
        found = caller.get(f"/molecules/{molecule}").status_code == 200
        listed = [item["id"] for item in caller.get("/molecules").get_json()["data"]]
        assert (molecule in listed) == found
        return found


@pytest.fixture
def sharing(make_user: Callable[[], Api]) -> Sharing:
    """Give the projects."""
    callers = {role: make_user() for role in (*ROLES, "partner")}
    owner, editor = callers["owner"], callers["editor"]
    team, others = new_team(owner)["id"], new_team(editor, "Partners")["id"]
    for role in ("editor", "viewer"):
        owner.put(f"/teams/{team}/members/{callers[role].user_id}", {"role": role}, headers=ANY)
    editor.put(f"/teams/{others}/members/{callers['partner'].user_id}", {"role": "editor"}, headers=ANY)
    return Sharing(
        f"/projects/{new_project(owner, team)['id']}", f"/projects/{new_project(editor, others)['id']}", callers
    )


def _molecule(caller: Api, **fields: str) -> str:
    return str(caller.post("/molecules", {**DMSO, **fields}).get_json()["id"])


@pytest.mark.parametrize("role", ROLES)
def test_owners_and_editors_share_what_is_their_own(sharing: Sharing, role: str) -> None:
    molecule = _molecule(sharing.callers[role])

    status = sharing.share(role, molecule)

    assert status == {"owner": 201, "editor": 201, "viewer": 403, "stranger": 404}[role]
    members = {who for who in ("owner", "editor", "viewer") if sharing.seen(who, molecule)}
    assert members == ({"owner", "editor", "viewer"} if status == 201 else {role} - {"stranger"})
    assert sharing.seen("stranger", molecule) == (role == "stranger")


@pytest.mark.parametrize("role", ROLES)
def test_owners_and_editors_share_a_public_molecule(sharing: Sharing, service: Api, role: str) -> None:
    molecule = _molecule(service)

    assert sharing.share(role, molecule) == {"owner": 201, "editor": 201, "viewer": 403, "stranger": 404}[role]


@pytest.mark.parametrize("role", ROLES)
def test_owners_and_editors_take_a_share_back(sharing: Sharing, role: str) -> None:
    molecule = _molecule(sharing.callers["editor"])
    sharing.share("editor", molecule)

    response = sharing.callers[role].delete(f"{sharing.path}/molecules/{molecule}", headers=ANY)

    assert response.status_code == {"owner": 204, "editor": 204, "viewer": 403, "stranger": 404}[role]
    assert sharing.seen("viewer", molecule) == (role not in {"owner", "editor"})


def test_what_is_taken_back_is_hidden_at_once_with_its_parts(sharing: Sharing) -> None:
    molecule = _molecule(sharing.callers["owner"])
    sharing.share("owner", molecule)
    viewer, path = sharing.callers["viewer"], f"{sharing.path}/molecules"
    assert len(viewer.get(path).get_json()["data"]) == 1
    assert viewer.get(f"/molecules/{molecule}/properties").status_code == 200

    assert sharing.callers["owner"].delete(f"{path}/{molecule}", headers=ANY).status_code == 204

    assert not sharing.seen("viewer", molecule)
    assert viewer.get(path).get_json()["data"] == []
    for part in ("", "/properties", "/structure.svg"):
        problem(viewer.get(f"/molecules/{molecule}{part}"), 404)
    problem(sharing.callers["owner"].delete(f"{path}/{molecule}", headers=ANY), 404)


def test_sharing_again_changes_nothing(sharing: Sharing) -> None:
    owner = sharing.callers["owner"]
    molecule = _molecule(owner)
    before = owner.get(sharing.path).headers["ETag"]

    first = sharing.share("owner", molecule, **{"If-Match": before})
    between = owner.get(sharing.path).headers["ETag"]
    stale = sharing.share("owner", molecule, **{"If-Match": before})
    second = sharing.share("owner", molecule, **{"If-Match": between})

    assert (first, stale, second) == (201, 412, 204)
    assert between != before
    assert owner.get(sharing.path).headers["ETag"] == between
    assert sharing.share("owner", molecule) == 204


def test_each_share_raises_the_projects_version(sharing: Sharing) -> None:
    owner = sharing.callers["owner"]
    molecule = _molecule(owner)
    versions = []
    for method in ("PUT", "DELETE"):
        owner.request(method, f"{sharing.path}/molecules/{molecule}", headers=ANY)
        versions.append(owner.get(sharing.path).get_json()["version"])

    assert versions == [2, 3]


def test_a_molecule_that_one_only_sees_through_another_project_is_not_passed_on(sharing: Sharing) -> None:
    owners = _molecule(sharing.callers["owner"])
    sharing.share("owner", owners)
    assert sharing.seen("editor", owners)

    assert sharing.share("editor", owners, sharing.other) == 403

    assert not sharing.seen("partner", owners)


def test_an_editor_passes_on_what_the_project_owns(sharing: Sharing) -> None:
    molecule = _molecule(sharing.callers["owner"], project_id=sharing.path.rpartition("/")[2])

    assert sharing.share("editor", molecule, sharing.other) == 201

    assert sharing.seen("partner", molecule)


def test_the_owner_of_a_molecule_takes_it_back_after_leaving_the_project(sharing: Sharing) -> None:
    editor = sharing.callers["editor"]
    team = sharing.callers["owner"].get(sharing.path).get_json()["team_id"]
    molecule = _molecule(editor)
    sharing.share("editor", molecule)
    assert editor.delete(f"/teams/{team}/members/{editor.user_id}", headers=ANY).status_code == 204
    problem(editor.get(sharing.path), 404)

    assert editor.delete(f"{sharing.path}/molecules/{molecule}", headers=ANY).status_code == 204

    assert not sharing.seen("viewer", molecule)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_what_is_not_seen_is_404_before_anything_else_is_said(sharing: Sharing, method: str) -> None:
    owner, hidden = sharing.callers["owner"], _molecule(sharing.callers["stranger"])
    for path in (
        f"{sharing.path}/molecules/{hidden}",
        f"{sharing.path}/molecules/{NOBODY}",
        f"{sharing.path}/molecules/1",
        f"/projects/{NOBODY}/molecules/{hidden}",
        f"{sharing.other}/molecules/{_molecule(owner)}",
    ):
        problem(owner.request(method, path, headers=STALE), 404)


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_unseen_goes_before_not_permitted_and_that_before_stale(sharing: Sharing, method: str) -> None:
    molecule = _molecule(sharing.callers["owner"])
    if method == "DELETE":
        sharing.share("owner", molecule)
    else:
        sharing.callers["owner"].patch(f"/molecules/{molecule}", {"name": "Mine"}, headers=ANY)
    path = f"{sharing.path}/molecules/{molecule}"

    problem(sharing.callers["owner"].request(method, path), 428)
    problem(sharing.callers["owner"].request(method, path, headers=STALE), 412)
    problem(sharing.callers["stranger"].request(method, path, headers=STALE), 404)
    problem(sharing.callers["viewer"].request(method, path, headers=STALE), 403 if method == "DELETE" else 404)


def test_a_dry_run_shares_nothing(sharing: Sharing) -> None:
    molecule = _molecule(sharing.callers["owner"])

    assert sharing.share("owner", molecule, Prefer="tx=rollback") == 201

    assert not sharing.seen("viewer", molecule)


def test_the_service_shares_anything(sharing: Sharing, service: Api) -> None:
    molecule = _molecule(sharing.callers["stranger"])

    assert sharing.share(service, molecule) == 201
    assert sharing.share(service, molecule) == 204
    assert sharing.seen("viewer", molecule)
    assert service.delete(f"{sharing.path}/molecules/{molecule}", headers=ANY).status_code == 204


def test_a_molecule_is_taken_back_also_when_the_project_has_made_a_mixture_of_it(sharing: Sharing) -> None:
    owner, viewer = sharing.callers["owner"], sharing.callers["viewer"]
    molecule, project = _molecule(owner), sharing.path.rpartition("/")[2]
    sharing.share("owner", molecule)
    mixture = sharing.callers["editor"].post(
        "/mixtures",
        {"name": "M22", "project_id": project, "components": [{"molecule_id": molecule, "amount": 1, "unit": "mol/L"}]},
    )

    taken_back = owner.delete(f"{sharing.path}/molecules/{molecule}", headers=ANY)
    (component,) = viewer.get(f"/mixtures/{mixture.get_json()['id']}").get_json()["components"]

    assert (mixture.status_code, taken_back.status_code) == (201, 204)
    assert not sharing.seen("viewer", molecule)
    assert (component["molecule_id"], component["name"], component["inchikey"]) == (molecule, None, None)


def test_a_strangers_share_ends_when_the_molecule_is_withdrawn(sharing: Sharing, make_user: Callable[[], Api]) -> None:
    owner, stranger = sharing.callers["owner"], sharing.callers["partner"]
    project = sharing.path.rpartition("/")[2]
    molecule = str(owner.post("/molecules", {**DMSO, "project_id": project, "is_public": True}).get_json()["id"])
    pointed = sharing.share(stranger, molecule, sharing.other)

    owner.patch(f"/molecules/{molecule}", {"is_public": False}, headers=ANY)
    renamed = owner.patch(f"/molecules/{molecule}", {"name": "secret now"}, headers=ANY)

    assert (pointed, renamed.status_code) == (201, 200)
    assert not sharing.seen("partner", molecule)
    assert stranger.get(f"{sharing.other}/molecules").get_json()["data"] == []


class TestNothingMovesBetweenTeams:
    """A record, a project and a member stay where they are."""

    def test_an_editor_moves_no_molecule_to_a_project_of_another_team(self, sharing: Sharing) -> None:
        molecule = _molecule(sharing.callers["owner"], project_id=sharing.path.rpartition("/")[2])
        other = sharing.other.rpartition("/")[2]

        response = sharing.callers["editor"].patch(f"/molecules/{molecule}", {"project_id": other}, headers=ANY)

        problem(response, 403)
        assert not sharing.seen("partner", molecule)

    @pytest.mark.parametrize("role", ["owner", "viewer", "stranger"])
    def test_nobody_puts_a_molecule_into_a_project_of_strangers(self, sharing: Sharing, role: str) -> None:
        caller, other = sharing.callers[role], sharing.other.rpartition("/")[2]
        molecule = _molecule(caller)

        problem(caller.patch(f"/molecules/{molecule}", {"project_id": other}, headers=ANY), 403)
        problem(caller.post("/molecules", {**GLYCEROL, "project_id": other}), 403)


def _mixture(caller: Api, molecule: str) -> str:
    body = {"name": "VS1", "components": [{"molecule_id": molecule, "amount": 2.75, "unit": "mol/L"}]}
    return str(caller.post("/mixtures", body).get_json()["id"])


def test_a_shared_mixture_is_seen_with_its_components_until_it_is_taken_back(sharing: Sharing) -> None:
    owner, viewer = sharing.callers["owner"], sharing.callers["viewer"]
    molecule = _molecule(owner)
    mixture = _mixture(owner, molecule)
    share = f"{sharing.path}/mixtures/{mixture}"
    before = viewer.get(f"/mixtures/{mixture}").status_code

    hidden = owner.request("PUT", share, headers=ANY)
    sharing.share("owner", molecule)
    shared = [owner.request("PUT", share, headers=ANY).status_code for _ in range(2)]
    seen = viewer.get(f"/mixtures/{mixture}").get_json()
    listed = viewer.get(f"{sharing.path}/mixtures?count=exact").get_json()
    refused = [viewer.request(verb, share, headers=ANY).status_code for verb in ("PUT", "DELETE")]
    unseen = sharing.callers["stranger"].request("PUT", share, headers=ANY).status_code
    withdrawn = owner.request("DELETE", f"{sharing.path}/molecules/{molecule}", headers=ANY)
    taken_back = owner.request("DELETE", share, headers=ANY).status_code

    assert before == 404
    assert problem(hidden, 422)["errors"][0]["pointer"] == "/components"
    assert shared == [201, 204]
    assert [component["molecule_id"] for component in seen["components"]] == [molecule]
    assert ([item["id"] for item in listed["data"]], listed["page"]["count"]) == ([mixture], 1)
    assert (refused, unseen) == ([403, 403], 404)
    assert (withdrawn.status_code, taken_back) == (204, 204)
    assert viewer.get(f"/mixtures/{mixture}").status_code == 404
    assert viewer.get(f"{sharing.path}/mixtures").get_json()["data"] == []
