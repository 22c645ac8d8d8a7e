"""What sharing means, and who may share: teams, projects, molecules and mixtures, past the service."""

from __future__ import annotations

from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from app.domain.callers import ANON, SERVICE, Caller
from database.urls import DatabaseUrls
from tests.database.acting import REFUSED, acting
from tests.database.rows import (
    Row,
    Scene,
    add,
    add_mixture,
    add_molecule,
    add_scene,
    broken_by,
    broken_rule,
    component,
    done_together,
    insert,
    readers,
)

KINDS = ("molecule", "mixture")
SHARE_SQL = {
    "molecule": "INSERT INTO public.project_molecules (project_id, molecule_id) VALUES (%(project)s, %(id)s)",
    "mixture": "INSERT INTO public.project_mixtures (project_id, mixture_id) VALUES (%(project)s, %(id)s)",
}
SHARE_AS_SQL = {
    "molecule": """
    INSERT INTO public.project_molecules (project_id, molecule_id, created_by)
    VALUES (%(project)s, %(id)s, %(user)s)
    """,
    "mixture": """
    INSERT INTO public.project_mixtures (project_id, mixture_id, created_by) VALUES (%(project)s, %(id)s, %(user)s)
    """,
}
UNSHARE_SQL = {
    "molecule": "DELETE FROM public.project_molecules WHERE project_id = %(project)s AND molecule_id = %(id)s",
    "mixture": "DELETE FROM public.project_mixtures WHERE project_id = %(project)s AND mixture_id = %(id)s",
}
STATE_SQL = {
    "molecule": "SELECT version, acl FROM public.molecules WHERE id = %s",
    "mixture": "SELECT version, acl FROM public.mixtures WHERE id = %s",
}
PUBLISH_SQL = {
    "molecule": "UPDATE public.molecules SET is_public = true WHERE id = %(id)s",
    "mixture": "UPDATE public.mixtures SET is_public = true WHERE id = %(id)s",
}
WITHDRAW_SQL = {
    "molecule": "UPDATE public.molecules SET is_public = false WHERE id = %(id)s",
    "mixture": "UPDATE public.mixtures SET is_public = false WHERE id = %(id)s",
}
# Each table that follows a record's visibility, the record's own among them, and the column that names the record.
FOLLOWING = {
    "molecule": (
        ("molecules", "id"),
        ("molecule_identifiers", "molecule_id"),
        ("molecular_properties", "molecule_id"),
    ),
    "mixture": (("mixtures", "id"), ("mixture_components", "mixture_id")),
}
HOME = {"owner", "editor", "viewer"}
GUESTS = {"guest_owner", "guest_editor", "guest_viewer"}
EVERYBODY = HOME | GUESTS | {"stranger", "anon"}


@pytest.fixture
def scene(admin: psycopg.Connection, emptied: None) -> Scene:
    """Give two teams that share nothing yet."""
    return add_scene(admin)


def _record(admin: psycopg.Connection, scene: Scene, kind: str, *, is_public: bool = False) -> UUID:
    """Store a record of the home project; a mixture's molecule is public."""
    if kind == "molecule":
        return add_molecule(admin, project_id=scene.home, is_public=is_public)
    return add_mixture(
        admin, add_molecule(admin, "methanol", is_public=True), project_id=scene.home, is_public=is_public
    )


def _run(admin: psycopg.Connection, statement: str, **values: object) -> None:
    admin.execute(statement.encode(), values)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_shared_is_seen_in_the_project_with_its_parts_until_it_is_taken_back(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, kind: str
) -> None:
    record = _record(admin, scene, kind)

    for statement, audience in (
        (None, HOME),
        (SHARE_SQL, HOME | GUESTS),
        (UNSHARE_SQL, HOME),
        (PUBLISH_SQL, EVERYBODY),
        (WITHDRAW_SQL, HOME),
    ):
        if statement is not None:
            _run(admin, statement[kind], project=scene.guest, id=record)
        for table, column in FOLLOWING[kind]:
            assert readers(urls, scene, table, column, record) == audience, (table, statement)


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_added_to_what_is_shared_is_seen_with_it(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, kind: str
) -> None:
    record = _record(admin, scene, kind)
    _run(admin, SHARE_SQL[kind], project=scene.guest, id=record)
    added = uuid4()
    if kind == "molecule":
        add(
            admin,
            "molecule_identifiers",
            id=added,
            molecule_id=record,
            source="cas",
            kind="cas_number",
            external_id="1",
        )
        table, column = "molecule_identifiers", "id"
    else:
        added = add_molecule(admin, is_public=True)
        table, values = component(record, added, position=1)
        add(admin, table, **values)
        column = "molecule_id"

    assert readers(urls, scene, table, column, added) == HOME | GUESTS


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_that_moves_into_another_project_is_seen_there_only(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, kind: str
) -> None:
    record = _record(admin, scene, kind)
    move = {
        "molecule": "UPDATE public.molecules SET project_id = %(project)s WHERE id = %(id)s",
        "mixture": "UPDATE public.mixtures SET project_id = %(project)s WHERE id = %(id)s",
    }

    _run(admin, move[kind], project=scene.guest, id=record)

    for table, column in FOLLOWING[kind]:
        assert readers(urls, scene, table, column, record) == GUESTS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("is_public", "versions"), [(False, [1, 2, 3]), (True, [1, 1, 1])])
def test_sharing_is_a_new_version_of_what_is_private_only(
    admin: psycopg.Connection, scene: Scene, kind: str, *, is_public: bool, versions: list[int]
) -> None:
    record = _record(admin, scene, kind, is_public=is_public)

    seen = []
    for statement in (None, SHARE_SQL, UNSHARE_SQL):
        if statement is not None:
            _run(admin, statement[kind], project=scene.guest, id=record)
        seen += [row[0] for row in admin.execute(STATE_SQL[kind].encode(), (record,))]

    assert seen == versions


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_public", [False, True])
def test_of_two_shares_at_once_both_are_kept(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, kind: str, *, is_public: bool
) -> None:
    record = _record(admin, scene, kind, is_public=is_public)
    third = uuid4()
    add(admin, "projects", id=third, team_id=scene.guest_team, name="third")

    refused = done_together(
        urls,
        [(SHARE_SQL[kind], {"project": scene.guest, "id": record})],
        [(SHARE_SQL[kind], {"project": third, "id": record})],
    )

    ((_, acl),) = admin.execute(STATE_SQL[kind].encode(), (record,)).fetchall()
    assert refused == (None, None)
    # What is public is seen without keys: shares by its keepers open it when it is withdrawn.
    if is_public:
        _run(admin, WITHDRAW_SQL[kind], id=record)
        ((_, acl),) = admin.execute(STATE_SQL[kind].encode(), (record,)).fetchall()
    assert acl == [scene.home, *sorted([scene.guest, third])]


@pytest.mark.parametrize("table", ["project_molecules", "project_mixtures"])
def test_a_share_is_not_changed_into_another(admin: psycopg.Connection, scene: Scene, table: str) -> None:
    kind = {"project_molecules": "molecule", "project_mixtures": "mixture"}[table]
    _run(admin, SHARE_SQL[kind], project=scene.guest, id=_record(admin, scene, kind))
    statement = sql.SQL("UPDATE public.{} SET project_id = %s").format(sql.Identifier(table))

    with pytest.raises(psycopg.errors.FeatureNotSupported):
        admin.execute(statement, (scene.home,))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("at_home", "as_guest", "is_public", "outcome"),
    [
        ("owner", "editor", False, 1),
        ("editor", "editor", False, 1),
        ("editor", "owner", False, 1),
        ("viewer", "editor", False, REFUSED),
        (None, "editor", False, REFUSED),
        ("owner", "viewer", False, REFUSED),
        ("owner", None, False, REFUSED),
        (None, "editor", True, 1),
        (None, "viewer", True, REFUSED),
        (None, None, True, REFUSED),
    ],
)
def test_whoever_edits_the_target_shares_what_is_public_or_their_own_to_change(  # noqa: PLR0913, PLR0917 - one axis each
    urls: DatabaseUrls,
    admin: psycopg.Connection,
    scene: Scene,
    kind: str,
    at_home: str | None,
    as_guest: str | None,
    *,
    is_public: bool,
    outcome: int | str,
) -> None:
    record = _record(admin, scene, kind, is_public=is_public)
    sharer = scene.members["stranger"]
    for team, role in ((scene.home_team, at_home), (scene.guest_team, as_guest)):
        if role is not None:
            add(admin, "team_members", team_id=team, user_id=sharer.user_id, role=role)
    values = {"project": scene.guest, "id": record, "user": sharer.user_id}

    with acting(urls, sharer) as member:
        assert member.attempt(SHARE_AS_SQL[kind], values) == outcome


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("taker", "taken"),
    [
        ("owner", 1),
        ("editor", 1),
        ("viewer", 0),
        ("guest_owner", 1),
        ("guest_editor", 1),
        ("guest_viewer", 0),
        ("stranger", 0),
    ],
)
def test_a_share_is_taken_back_by_editors_of_either_side(  # noqa: PLR0913, PLR0917 - one axis each
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, kind: str, taker: str, taken: int
) -> None:
    record = _record(admin, scene, kind)
    _run(admin, SHARE_SQL[kind], project=scene.guest, id=record)

    with acting(urls, scene.members[taker]) as member:
        assert member.attempt(UNSHARE_SQL[kind], {"project": scene.guest, "id": record}) == taken


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_shares_in_anothers_name(urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, kind: str) -> None:
    record = _record(admin, scene, kind)
    owner, other = scene.members["owner"], scene.members["editor"]
    values = {"project": scene.home, "id": record}

    with acting(urls, owner) as member:
        assert member.attempt(SHARE_AS_SQL[kind], values | {"user": other.user_id}) == REFUSED
        assert member.attempt(SHARE_AS_SQL[kind], values | {"user": owner.user_id}) == 1


@pytest.mark.parametrize(
    ("own_role", "team_role", "reads", "renames", "removes"),
    [
        ("owner", "editor", 1, 1, 0),
        ("editor", "editor", 1, 1, 0),
        ("viewer", "editor", 1, 0, 0),
        ("owner", "viewer", 1, 0, 0),
        ("viewer", "viewer", 1, 0, 0),
        ("owner", None, 0, 0, 0),
    ],
)
def test_a_member_of_an_invited_team_has_the_lesser_of_two_roles(  # noqa: PLR0913, PLR0917 - one axis each
    urls: DatabaseUrls,
    admin: psycopg.Connection,
    scene: Scene,
    own_role: str,
    team_role: str | None,
    reads: int,
    renames: int,
    removes: int,
) -> None:
    molecule = _record(admin, scene, "molecule")
    if team_role is not None:
        add(admin, "team_projects", team_id=scene.guest_team, project_id=scene.home, role=team_role)

    with acting(urls, scene.members[f"guest_{own_role}"]) as guest:
        outcomes = [
            guest.attempt(statement, {"id": molecule})
            for statement in (
                "SELECT FROM public.molecules WHERE id = %(id)s",
                "UPDATE public.molecules SET name = 'renamed' WHERE id = %(id)s",
                "DELETE FROM public.molecules WHERE id = %(id)s",
            )
        ]

    assert outcomes == [reads, renames, removes]


@pytest.mark.parametrize(
    ("inviter", "knows_both", "outcome"),
    [("owner", True, 1), ("owner", False, REFUSED), ("editor", True, REFUSED), ("guest_owner", True, REFUSED)],
)
def test_an_owner_invites_a_team_that_it_knows_from_inside(  # noqa: PLR0913 - one axis each
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, inviter: str, *, knows_both: bool, outcome: int | str
) -> None:
    caller = scene.members[inviter]
    if knows_both and not inviter.startswith("guest"):
        add(admin, "team_members", team_id=scene.guest_team, user_id=caller.user_id, role="viewer")
    row = {"team_id": scene.guest_team, "project_id": scene.home, "role": "viewer", "created_by": caller.user_id}

    with acting(urls, caller) as member:
        assert member.attempt(insert("team_projects", row), row) == outcome


LEAVE_SQL = "DELETE FROM public.team_members WHERE team_id = %(team)s AND user_id = %(user)s"
STEP_DOWN_SQL = "UPDATE public.team_members SET role = 'editor' WHERE team_id = %(team)s AND user_id = %(user)s"


@pytest.mark.parametrize("statement", [LEAVE_SQL, STEP_DOWN_SQL], ids=["leave", "step down"])
def test_the_last_owner_stays_until_there_is_another(admin: psycopg.Connection, scene: Scene, statement: str) -> None:
    values = {"team": scene.home_team, "user": scene.members["owner"].user_id}

    alone = broken_by(admin, (statement, values))
    add(admin, "team_members", team_id=scene.home_team, user_id=scene.members["stranger"].user_id, role="owner")

    assert (alone, broken_by(admin, (statement, values))) == ("team_members_last_owner_check", None)


def test_of_two_owners_who_leave_at_once_one_stays(urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene) -> None:
    second = scene.members["stranger"]
    add(admin, "team_members", team_id=scene.home_team, user_id=second.user_id, role="owner")

    refused = done_together(
        urls,
        [(LEAVE_SQL, {"team": scene.home_team, "user": scene.members["owner"].user_id})],
        [(LEAVE_SQL, {"team": scene.home_team, "user": second.user_id})],
    )

    assert refused == (None, "team_members_last_owner_check")


def test_a_team_is_deleted_with_its_last_owner(admin: psycopg.Connection, scene: Scene) -> None:
    _run(admin, "DELETE FROM public.projects WHERE id = %(id)s", id=scene.home)
    _run(admin, "DELETE FROM public.teams WHERE id = %(id)s", id=scene.home_team)

    assert admin.execute("SELECT FROM team_members WHERE team_id = %s", (scene.home_team,)).fetchall() == []


def test_whoever_joins_a_team_has_a_profile_by_then(admin: psycopg.Connection, scene: Scene) -> None:
    newcomer = uuid4()

    add(admin, "team_members", team_id=scene.home_team, user_id=newcomer, role="viewer")

    assert admin.execute("SELECT FROM user_profiles WHERE id = %s", (newcomer,)).rowcount == 1


PERMISSIONS = {
    "read": HOME | {"guest_owner", "guest_editor", "guest_viewer"},
    "create": {"owner", "editor", "guest_owner", "guest_editor"},
    "change": {"owner", "editor", "guest_owner", "guest_editor"},
    "share": {"owner", "editor", "guest_owner", "guest_editor"},
    "delete": {"owner"},
    "publish": {"owner"},
    "manage": {"owner"},
}


def _asked(urls: DatabaseUrls, scene: Scene, statement: str, *values: object) -> set[str]:
    """Return whom a single check is answered with yes."""
    yes = set()
    for name, caller in scene.members.items():
        with acting(urls, caller) as member:
            if member.rows(statement, values) == [(True,)]:
                yes.add(name)
    return yes


@pytest.mark.parametrize("permission", PERMISSIONS)
def test_a_permission_is_that_of_the_role_in_the_project(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, permission: str
) -> None:
    add(admin, "team_projects", team_id=scene.guest_team, project_id=scene.home, role="editor")

    allowed = _asked(urls, scene, "SELECT private.user_has_permission(%s, %s)", permission, scene.home)

    assert allowed == PERMISSIONS[permission]


def test_a_permission_that_does_not_exist_is_an_error(urls: DatabaseUrls, scene: Scene) -> None:
    with acting(urls, scene.members["owner"]) as owner:
        assert owner.attempt("SELECT private.user_has_permission('fly', %s)", (scene.home,)) == "22023"
        assert owner.attempt("SELECT private.user_has_permission(NULL, %s)", (scene.home,)) == "22023"


def test_a_team_knows_its_members(urls: DatabaseUrls, scene: Scene) -> None:
    assert _asked(urls, scene, "SELECT private.is_team_member(%s)", scene.home_team) == HOME
    assert _asked(urls, scene, "SELECT private.is_team_member(%s)", uuid4()) == set()


def test_access_to_a_molecule_is_what_its_policy_says(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene
) -> None:
    private, shared = _record(admin, scene, "molecule"), add_molecule(admin, "methanol", project_id=scene.home)
    own = add_molecule(admin, "formamide", created_by=scene.members["stranger"].user_id)
    public = add_molecule(admin, "ethylene glycol", is_public=True)
    _run(admin, SHARE_SQL["molecule"], project=scene.guest, id=shared)

    audiences = {
        molecule: _asked(urls, scene, "SELECT private.has_molecule_access(%s)", molecule)
        for molecule in (private, shared, own, public, uuid4())
    }

    assert list(audiences.values()) == [HOME, HOME | GUESTS, {"stranger"}, EVERYBODY - {"anon"}, set()]


@pytest.mark.parametrize(
    ("caller", "answers"), [(ANON, [False, True]), (SERVICE, [True, True])], ids=["anon", "service"]
)
def test_anon_has_access_to_public_molecules_and_the_service_to_all(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, caller: Caller, answers: list[bool]
) -> None:
    molecules = [_record(admin, scene, "molecule"), add_molecule(admin, "methanol", is_public=True)]

    with acting(urls, caller) as asker:
        found = [asker.rows("SELECT private.has_molecule_access(%s)", (key,))[0][0] for key in molecules]

    assert found == answers


def _mixture(**values: object) -> tuple[UUID, Row]:
    mixture = uuid4()
    return mixture, ("mixtures", {"id": mixture, "name": "mixture", **values})


def test_a_mixture_has_a_component(admin: psycopg.Connection, scene: Scene) -> None:
    mixture, row = _mixture()
    molecule = add_molecule(admin)
    kept = add_mixture(admin, molecule)
    emptied = "DELETE FROM public.mixture_components WHERE mixture_id = %(id)s"

    assert broken_rule(admin, row) == "mixtures_components_check"
    assert broken_rule(admin, row, component(mixture, molecule)) is None
    assert broken_by(admin, (emptied, {"id": kept})) == "mixtures_components_check"
    assert broken_by(admin, ("DELETE FROM public.mixtures WHERE id = %(id)s", {"id": kept})) is None


@pytest.mark.parametrize(
    ("first", "second", "unit", "rule"),
    [
        (60, 40, "%w/w", None),
        (60, 40.001, "%w/w", "mixtures_components_sum_check"),
        (60, 41, "%v/v", "mixtures_components_sum_check"),
        # Per volume of solution there is no such bound.
        (60, 41, "%w/v", None),
        (0.5, 0.5, "mole_fraction", None),
        (0.5, 0.51, "mole_fraction", "mixtures_components_sum_check"),
        (1.1, 0.1, "mole_fraction", "mixture_components_mole_fraction_check"),
        (101, 1, "%w/w", "mixture_components_share_check"),
        (9, 9, "mol/kg", None),
        (0, 1, "mol/L", "mixture_components_amount_check"),
        (-1, 1, "mol/L", "mixture_components_amount_check"),
        (float("nan"), 1, "mol/L", "mixture_components_amount_check"),
        (float("inf"), 1, "mol/L", "mixture_components_amount_check"),
        (1, 1, "spoons", "mixture_components_unit_check"),
    ],
)
def test_shares_of_one_unit_are_at_most_the_whole(  # noqa: PLR0913, PLR0917 - one axis each
    admin: psycopg.Connection, scene: Scene, first: float, second: float, unit: str, rule: str | None
) -> None:
    mixture, row = _mixture()
    molecules = [add_molecule(admin, name) for name in ("glycerol", "methanol")]

    components = [
        component(mixture, molecule, amount, unit) for molecule, amount in zip(molecules, (first, second), strict=True)
    ]

    assert broken_rule(admin, row, *components) == rule


def test_a_molecule_is_in_a_mixture_once(admin: psycopg.Connection, scene: Scene) -> None:
    mixture, row = _mixture()
    molecule = add_molecule(admin)

    twice = broken_rule(admin, row, component(mixture, molecule), component(mixture, molecule, unit="g/L"))

    assert twice == "mixture_components_pkey"


@pytest.mark.parametrize(
    ("molecule_in", "mixture_in", "is_public", "rule"),
    [
        ("home", "home", False, None),
        ("home", "home", True, "mixtures_components_visible_check"),
        ("home", "guest", False, "mixtures_components_visible_check"),
        ("guest", "home", False, "mixtures_components_visible_check"),
        # Whoever makes a mixture of its own saw the molecule when making it.
        ("home", None, False, None),
    ],
)
def test_whoever_sees_a_mixture_sees_its_molecules(  # noqa: PLR0913 - one axis each
    admin: psycopg.Connection,
    scene: Scene,
    molecule_in: str,
    mixture_in: str | None,
    *,
    is_public: bool,
    rule: str | None,
) -> None:
    molecule = add_molecule(admin, project_id=getattr(scene, molecule_in))
    project = getattr(scene, mixture_in) if mixture_in else None
    mixture, row = _mixture(project_id=project, is_public=is_public, created_by=scene.members["owner"].user_id)

    assert broken_rule(admin, row, component(mixture, molecule)) == rule


@pytest.mark.parametrize("statement", [SHARE_SQL["mixture"], PUBLISH_SQL["mixture"]], ids=["share", "publish"])
def test_a_mixture_is_shown_to_nobody_from_whom_a_component_is_hidden(
    admin: psycopg.Connection, scene: Scene, statement: str
) -> None:
    molecule = add_molecule(admin, project_id=scene.home)
    mixture = add_mixture(admin, molecule, project_id=scene.home)
    values = {"project": scene.guest, "id": mixture}

    hidden = broken_by(admin, (statement, values))
    for widen in (SHARE_SQL["molecule"], PUBLISH_SQL["molecule"]):
        _run(admin, widen, project=scene.guest, id=molecule)

    assert (hidden, broken_by(admin, (statement, values))) == ("mixtures_components_visible_check", None)


def test_what_a_public_mixture_shows_is_not_withdrawn(admin: psycopg.Connection, scene: Scene) -> None:
    molecule = add_molecule(admin, project_id=scene.home)
    other = add_molecule(admin, "methanol", is_public=True)
    mixture = add_mixture(admin, molecule, other, project_id=scene.home)
    for kind, key in (("molecule", molecule), ("mixture", mixture)):
        _run(admin, PUBLISH_SQL[kind], id=key)
    withdraw = (WITHDRAW_SQL["molecule"], {"id": molecule})

    used = broken_by(admin, withdraw)
    _run(admin, "DELETE FROM public.mixture_components WHERE molecule_id = %(id)s", id=molecule)

    assert (used, broken_by(admin, withdraw)) == ("molecules_in_use_check", None)


@pytest.mark.parametrize(
    ("widen", "narrow"),
    [
        (SHARE_SQL, UNSHARE_SQL["molecule"]),
        (None, "UPDATE public.molecules SET project_id = %(project)s WHERE id = %(id)s"),
    ],
    ids=["unshare", "move"],
)
def test_a_molecule_is_taken_back_from_a_project_that_has_made_a_mixture_of_it(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, widen: dict[str, str] | None, narrow: str
) -> None:
    molecule = add_molecule(admin, project_id=scene.home)
    mixture = add_mixture(admin, molecule, project_id=scene.home)
    if widen is not None:
        _run(admin, widen["molecule"], project=scene.guest, id=molecule)
        _run(admin, widen["mixture"], project=scene.guest, id=mixture)

    refused = broken_by(admin, (narrow, {"project": scene.guest, "id": molecule}))
    # What is hidden from some hinders no other change of the mixture, a share less included.
    renamed = broken_by(admin, ("UPDATE public.mixtures SET name = 'renamed' WHERE id = %(id)s", {"id": mixture}))
    narrowed = broken_by(admin, (UNSHARE_SQL["mixture"], {"project": scene.guest, "id": mixture}))
    widened = broken_by(admin, (PUBLISH_SQL["mixture"], {"id": mixture}))

    assert (refused, renamed, narrowed, widened) == (None, None, None, "mixtures_components_visible_check")


@pytest.mark.parametrize("kind", KINDS)
def test_a_strangers_share_ends_with_publication(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, kind: str
) -> None:
    record = _record(admin, scene, kind, is_public=True)
    _run(admin, "DELETE FROM public.team_projects")
    with acting(urls, scene.members["guest_owner"]) as stranger:
        shared = stranger.attempt(
            SHARE_AS_SQL[kind], {"project": scene.guest, "id": record, "user": scene.members["guest_owner"].user_id}
        )
        stranger.commit()
    table = f"{kind}s"
    before = readers(urls, scene, table, "id", record)
    if kind == "mixture":
        _run(admin, "UPDATE public.molecules SET is_public = true")

    _run(admin, WITHDRAW_SQL[kind], id=record)

    assert (shared, "guest_owner" in before) == (1, True)
    assert readers(urls, scene, table, "id", record) == {"owner", "editor", "viewer"}
    ((_, acl),) = admin.execute(STATE_SQL[kind].encode(), (record,)).fetchall()
    assert acl == [scene.home]


@pytest.mark.parametrize("withdrawn", ["first", "second"])
@pytest.mark.parametrize(
    ("show", "hide"),
    [(PUBLISH_SQL, WITHDRAW_SQL)],
    ids=["publish and withdraw"],
)
def test_a_mixture_is_not_shown_at_the_moment_in_which_its_molecule_is_withdrawn(  # noqa: PLR0913, PLR0917 - one axis each
    urls: DatabaseUrls,
    admin: psycopg.Connection,
    scene: Scene,
    show: dict[str, str],
    hide: dict[str, str],
    withdrawn: str,
) -> None:
    molecule = add_molecule(admin, project_id=scene.home)
    mixture = add_mixture(admin, molecule, project_id=scene.home)
    _run(admin, show["molecule"], project=scene.guest, id=molecule)
    shows = [(show["mixture"], {"project": scene.guest, "id": mixture})]
    hides = [(hide["molecule"], {"project": scene.guest, "id": molecule})]

    refused = done_together(urls, *((hides, shows) if withdrawn == "first" else (shows, hides)))

    assert refused == (
        None,
        "mixtures_components_visible_check" if withdrawn == "first" else "molecules_in_use_check",
    )


def test_a_component_is_not_added_at_the_moment_in_which_its_molecule_is_withdrawn(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene
) -> None:
    molecule = add_molecule(admin, project_id=scene.home, is_public=True)
    other = add_molecule(admin, "methanol", is_public=True)
    mixture = add_mixture(admin, other, project_id=scene.home, is_public=True)
    table, values = component(mixture, molecule, position=1)
    adds, hides = [(insert(table, values), values)], [(WITHDRAW_SQL["molecule"], {"id": molecule})]

    assert done_together(urls, hides, adds) == (None, "mixtures_components_visible_check")
    _run(admin, PUBLISH_SQL["molecule"], id=molecule)
    assert done_together(urls, adds, hides) == (None, "molecules_in_use_check")


@pytest.mark.parametrize("writer", ["owner", "editor", "viewer", "guest_owner", "stranger"])
def test_a_member_puts_into_the_projects_mixture_what_it_sees_itself(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, writer: str
) -> None:
    public = add_molecule(admin, "methanol", is_public=True)
    hidden = add_molecule(admin, project_id=scene.guest)
    mixture = add_mixture(admin, add_molecule(admin, "formamide", is_public=True), project_id=scene.home)

    with acting(urls, scene.members[writer]) as member:
        outcomes = [
            member.attempt(insert(table, values), values)
            for table, values in (component(mixture, public), component(mixture, hidden))
        ]

    assert outcomes == ([1, REFUSED] if writer in {"owner", "editor"} else [REFUSED, REFUSED])
