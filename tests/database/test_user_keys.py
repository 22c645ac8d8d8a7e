"""What opens rows to each user is kept beside the memberships, and is what they say, whatever was done to them."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.callers import ANON, SERVICE
from database import migrate
from database.urls import DatabaseUrls
from tests import factories
from tests.database.acting import REFUSED, acting
from tests.database.clones import migrated_database, own_database
from tests.database.rows import Scene, add_scene, done_together
from tests.plugins.database import SECRET

ROLES = ("owner", "editor", "viewer")
Steps = tuple[tuple[str, dict[str, Any]], ...]
Keys = tuple[frozenset[UUID], ...]

KEPT_SQL = "SELECT user_id, owned, edited, viewed FROM private.user_keys"
PROFILES_SQL = "SELECT id FROM public.user_profiles"
MEMBERS_SQL = "SELECT team_id, user_id, role FROM public.team_members"
WORK_SQL = """
SELECT team_id, id, 'owner' FROM public.projects
UNION ALL
SELECT team_id, project_id, role FROM public.team_projects
"""

ADD_PROFILE_SQL = "INSERT INTO public.user_profiles (id) VALUES (%(user)s)"
REMOVE_PROFILE_SQL = "DELETE FROM public.user_profiles WHERE id = %(user)s"
ADD_TEAM_SQL = "INSERT INTO public.teams (id, name, created_by) VALUES (%(team)s, 'team', %(user)s)"
REMOVE_TEAM_SQL = "DELETE FROM public.teams WHERE id = %(team)s"
ADD_MEMBER_SQL = "INSERT INTO public.team_members (team_id, user_id, role) VALUES (%(team)s, %(user)s, %(role)s)"
CHANGE_MEMBER_SQL = """
UPDATE public.team_members SET role = %(role)s WHERE team_id = %(team)s AND user_id = %(user)s
"""
MOVE_MEMBER_SQL = """
UPDATE public.team_members SET team_id = %(other_team)s WHERE team_id = %(team)s AND user_id = %(user)s
"""
REMOVE_MEMBER_SQL = "DELETE FROM public.team_members WHERE team_id = %(team)s AND user_id = %(user)s"
ADD_PROJECT_SQL = "INSERT INTO public.projects (id, team_id, name) VALUES (%(project)s, %(team)s, %(project)s)"
RENAME_PROJECT_SQL = "UPDATE public.projects SET name = name || '.' WHERE id = %(project)s"
MOVE_PROJECT_SQL = "UPDATE public.projects SET team_id = %(team)s WHERE id = %(project)s"
REMOVE_PROJECT_SQL = "DELETE FROM public.projects WHERE id = %(project)s"
INVITE_SQL = """
INSERT INTO public.team_projects (team_id, project_id, role)
VALUES (%(team)s, %(project)s, CASE %(role)s WHEN 'viewer' THEN 'viewer' ELSE 'editor' END)
"""
CHANGE_INVITATION_SQL = """
UPDATE public.team_projects SET role = CASE role WHEN 'viewer' THEN 'editor' ELSE 'viewer' END
WHERE team_id = %(team)s AND project_id = %(project)s
"""
MOVE_INVITATION_SQL = """
UPDATE public.team_projects SET project_id = %(other_project)s WHERE team_id = %(team)s AND project_id = %(project)s
"""
UNINVITE_SQL = "DELETE FROM public.team_projects WHERE team_id = %(team)s AND project_id = %(project)s"
# Sets of rows, and parents with their children, in one statement each.
JOIN_ALL_SQL = """
INSERT INTO public.team_members (team_id, user_id, role) SELECT id, %(user)s, %(role)s FROM public.teams
ON CONFLICT DO NOTHING
"""
ADD_PERSON_SQL = """
WITH profile AS (INSERT INTO public.user_profiles (id) VALUES (%(user)s))
INSERT INTO public.team_members (team_id, user_id, role) VALUES (%(team)s, %(user)s, %(role)s)
"""
SWAP_SQL = """
WITH former AS (DELETE FROM public.team_members WHERE user_id = %(user)s AND team_id = %(team)s),
    project AS (DELETE FROM public.projects WHERE id = %(project)s)
INSERT INTO public.team_projects (team_id, project_id, role) SELECT %(team)s, %(other_project)s, 'viewer'
"""
CLOSE_SQL = "DELETE FROM public.projects WHERE team_id = %(team)s"
NO_MEMBERS_SQL = "TRUNCATE public.team_members"
NO_INVITATIONS_SQL = "TRUNCATE public.team_projects"
NO_PROJECTS_SQL = "TRUNCATE public.projects CASCADE"
CHANGES_SQL = (
    ADD_PROFILE_SQL,
    REMOVE_PROFILE_SQL,
    ADD_TEAM_SQL,
    REMOVE_TEAM_SQL,
    ADD_MEMBER_SQL,
    CHANGE_MEMBER_SQL,
    MOVE_MEMBER_SQL,
    REMOVE_MEMBER_SQL,
    ADD_PROJECT_SQL,
    RENAME_PROJECT_SQL,
    MOVE_PROJECT_SQL,
    REMOVE_PROJECT_SQL,
    INVITE_SQL,
    CHANGE_INVITATION_SQL,
    MOVE_INVITATION_SQL,
    UNINVITE_SQL,
    JOIN_ALL_SQL,
    ADD_PERSON_SQL,
    SWAP_SQL,
    CLOSE_SQL,
    NO_MEMBERS_SQL,
    NO_INVITATIONS_SQL,
)
EMPTY_SQL = "TRUNCATE public.user_profiles, public.teams CASCADE"
USERS, TEAMS, PROJECTS = ([UUID(int=kind * 100 + n) for n in range(1, 5)] for kind in (1, 2, 3))


def _expected(admin: psycopg.Connection) -> dict[UUID, Keys]:
    """Return everybody's keys by the rule: the lesser of two roles, and the best of several."""
    roles: dict[UUID, dict[UUID, set[str]]] = {row[0]: defaultdict(set) for row in admin.execute(PROFILES_SQL)}
    work = admin.execute(WORK_SQL.encode()).fetchall()
    for team, user, role in admin.execute(MEMBERS_SQL):
        for worker, project, limit in work:
            if worker == team:
                roles[user][project].add(max(role, limit, key=ROLES.index))
    return {user: _by_role(found) for user, found in roles.items()}


def _by_role(roles: Mapping[UUID, set[str]]) -> Keys:
    best = {project: min(found, key=ROLES.index) for project, found in roles.items()}
    return tuple(frozenset(project for project, role in best.items() if role == wanted) for wanted in ROLES)


def _kept(admin: psycopg.Connection) -> dict[UUID, Keys]:
    kept = {}
    for user, *lists in admin.execute(KEPT_SQL):
        assert all(len(set(one)) == len(one) for one in lists)
        kept[user] = tuple(map(frozenset, lists))
    return kept


def _attempt(connection: psycopg.Connection, statement: str, values: Mapping[str, object]) -> bool:
    """Do it, unless a rule of the memberships is against it; return whether it was done."""
    try:
        with connection.transaction():
            connection.execute(statement.encode(), values)
    except psycopg.errors.IntegrityError:
        return False
    return True


@pytest.fixture(scope="module")
def urls(server_url: str, urls: DatabaseUrls) -> Iterator[DatabaseUrls]:
    """Give a database of these tests' own, whose functions and triggers they may change."""
    with migrated_database(server_url, urls, "user_keys") as own:
        yield own


@pytest.fixture
def emptied(urls: DatabaseUrls) -> Iterator[None]:
    """Leave nobody behind, in no team."""
    yield
    with psycopg.connect(urls.admin, autocommit=True) as connection:
        connection.execute(EMPTY_SQL)


@pytest.fixture(scope="module")
def shared_admin(urls: DatabaseUrls) -> Iterator[psycopg.Connection]:
    """Give a superuser's connection for all examples of a property."""
    with psycopg.connect(urls.admin, autocommit=True) as connection:
        yield connection


changes = st.tuples(
    st.sampled_from(CHANGES_SQL),
    st.fixed_dictionaries(
        {
            "user": st.sampled_from(USERS),
            "role": st.sampled_from(ROLES),
            **dict.fromkeys(("team", "other_team"), st.sampled_from(TEAMS)),
            **dict.fromkeys(("project", "other_project"), st.sampled_from(PROJECTS)),
        }
    ),
)
# All work with one another at first, or most changes would meet nothing.
FOUNDED: Steps = (
    *((ADD_PROFILE_SQL, {"user": user}) for user in USERS[:3]),
    *((ADD_TEAM_SQL, {"team": team, "user": user}) for team, user in zip(TEAMS[:3], USERS, strict=False)),
    *((ADD_PROJECT_SQL, {"project": key, "team": team}) for key, team in zip(PROJECTS, TEAMS[:3], strict=False)),
    *((ADD_MEMBER_SQL, {"team": TEAMS[0], "user": user, "role": "editor"}) for user in USERS[1:3]),
    *((INVITE_SQL, {"team": team, "project": PROJECTS[2], "role": "editor"}) for team in TEAMS[:2]),
)


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(changes, min_size=20, max_size=40))
def test_after_any_changes_the_keys_are_what_the_memberships_say(
    shared_admin: psycopg.Connection, steps: list[tuple[str, dict[str, object]]]
) -> None:
    with shared_admin.transaction(force_rollback=True):
        for statement, values in (*FOUNDED, *steps):
            _attempt(shared_admin, statement, values)

            assert _kept(shared_admin) == _expected(shared_admin), statement


def _first_wrong(admin: psycopg.Connection, steps: Sequence[tuple[str, Mapping[str, object]]]) -> str | None:
    """Return the first of these changes after which the keys are wrong; nothing is kept."""
    for statement, values in steps:
        assert _attempt(admin, statement, values), statement
        if _kept(admin) != _expected(admin):
            return statement
    return None


IN_TEAM = {"user": USERS[0], "team": TEAMS[0], "project": PROJECTS[0], "role": "owner"}
ELSEWHERE = {"team": TEAMS[1], "project": PROJECTS[1]}
EACH_ONCE: Steps = (
    (ADD_PROFILE_SQL, IN_TEAM),
    ("INSERT INTO public.teams (id, name) SELECT unnest(%(teams)s::uuid[]), 'team'", {"teams": TEAMS[:2]}),
    (ADD_PROJECT_SQL, IN_TEAM),
    (ADD_PROJECT_SQL, ELSEWHERE),
    (ADD_MEMBER_SQL, IN_TEAM),
    (ADD_PROJECT_SQL, {**IN_TEAM, "project": PROJECTS[2]}),
    (INVITE_SQL, {**IN_TEAM, "project": PROJECTS[1]}),
)
# What goes wrong first, by the end that a sequence of changes has.
WRONG_WITHOUT = {
    "user_profiles_user_keys ON user_profiles": {ADD_PROFILE_SQL},
    "team_members_user_keys ON team_members": {ADD_MEMBER_SQL},
    "projects_user_keys ON projects": {ADD_PROJECT_SQL},
    "team_projects_user_keys ON team_projects": {INVITE_SQL},
    "team_members_truncate_user_keys ON team_members": {None, NO_MEMBERS_SQL},
    "team_projects_truncate_user_keys ON team_projects": {None, NO_INVITATIONS_SQL, NO_PROJECTS_SQL},
}


@pytest.mark.parametrize(("trigger", "wrong"), [(None, {None}), *WRONG_WITHOUT.items()])
def test_without_any_of_the_triggers_the_keys_are_wrong(
    admin: psycopg.Connection, trigger: str | None, wrong: set[str | None]
) -> None:
    found = set()
    for end in (NO_INVITATIONS_SQL, NO_MEMBERS_SQL, NO_PROJECTS_SQL):
        with admin.transaction(force_rollback=True):
            if trigger:
                name, _, table = trigger.partition(" ON ")
                admin.execute(f"ALTER TABLE public.{table} DISABLE TRIGGER {name}".encode())
            found.add(_first_wrong(admin, (*EACH_ONCE, (end, {}))))

    assert found == wrong


def _writes(scene: Scene) -> dict[str, list[tuple[str, Mapping[str, object]]]]:
    """Return changes of the scene, each by itself possible."""
    user = scene.members["stranger"].user_id
    home = {"user": user, "team": scene.home_team, "role": "viewer"}
    guest = {"user": user, "team": scene.guest_team, "role": "viewer"}
    viewer = {"user": scene.members["viewer"].user_id, "team": scene.home_team, "role": "editor"}
    return {
        "join": [(ADD_MEMBER_SQL, home)],
        "join the other": [(ADD_MEMBER_SQL, guest)],
        "promote": [(CHANGE_MEMBER_SQL, viewer)],
        "leave": [(REMOVE_MEMBER_SQL, viewer)],
        "erase": [(REMOVE_PROFILE_SQL, viewer)],
        "add a project": [(ADD_PROJECT_SQL, {"project": uuid4(), "team": scene.home_team})],
        "add another project": [(ADD_PROJECT_SQL, {"project": uuid4(), "team": scene.home_team})],
        "add a project there": [(ADD_PROJECT_SQL, {"project": uuid4(), "team": scene.guest_team})],
        "remove the project": [(REMOVE_PROJECT_SQL, {"project": scene.home})],
        "move the project": [
            (RENAME_PROJECT_SQL, {"project": scene.home}),
            (MOVE_PROJECT_SQL, {"project": scene.home, "team": scene.guest_team}),
        ],
        "invite": [(INVITE_SQL, {"project": scene.guest, "team": scene.home_team, "role": "viewer"})],
        "be invited": [(INVITE_SQL, {"project": scene.home, "team": scene.guest_team, "role": "viewer"})],
    }


PAIRS = (
    ("join", "add a project"),
    ("add a project", "join"),
    ("join", "join the other"),
    ("join", "add a project there"),
    ("leave", "add a project"),
    ("add a project", "leave"),
    ("erase", "add a project"),
    ("add a project", "erase"),
    ("promote", "invite"),
    ("invite", "promote"),
    ("invite", "leave"),
    ("join", "remove the project"),
    ("remove the project", "join"),
    ("join the other", "move the project"),
    ("move the project", "join the other"),
    ("add a project", "add another project"),
    ("add a project", "add a project there"),
    ("add a project there", "be invited"),
    ("join the other", "be invited"),
)


@pytest.fixture
def scene(admin: psycopg.Connection, emptied: None) -> Scene:
    """Give two teams with a member of each in the other, so that whatever is done to either concerns both."""
    made = add_scene(admin)
    for role, team in (("viewer", made.guest_team), ("guest_viewer", made.home_team)):
        member = {"team": team, "user": made.members[role].user_id, "role": "viewer"}
        admin.execute(ADD_MEMBER_SQL, member)
    return made


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_two_changes_at_once_leave_the_keys_right(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, first: str, second: str
) -> None:
    writes = _writes(scene)

    assert done_together(urls, writes[first], writes[second]) == (None, None)
    assert _kept(admin) == _expected(admin)


@pytest.fixture(params=["public.teams AS t", "private.user_keys AS k"])
def unheld(request: pytest.FixtureRequest, admin: psycopg.Connection) -> Iterator[str]:
    """Take one of the two locks out of the function that keeps the keys, and give what it held."""
    found = admin.execute("SELECT pg_get_functiondef('private.keep_user_keys'::regproc)").fetchone()
    assert found is not None
    careful = str(found[0])
    careless = "\n".join(line for line in careful.splitlines() if f"PERFORM FROM {request.param}" not in line)
    assert careless != careful
    admin.execute(careless.encode())
    yield request.param
    admin.execute(careful.encode())


def test_without_either_lock_two_changes_at_once_leave_them_wrong(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene, unheld: str
) -> None:
    writes = _writes(scene)
    pair = ("add a project", "join") if "teams" in unheld else ("add a project", "add a project there")

    assert done_together(urls, writes[pair[0]], writes[pair[1]]) == (None, None)
    assert _kept(admin) != _expected(admin)


# As the service changes them: whoever changes a part holds the whole first.
HOLD_TEAM_SQL = "SELECT FROM public.teams WHERE id = %(team)s FOR NO KEY UPDATE"
HOLD_PROJECT_SQL = "SELECT FROM public.projects WHERE id = %(project)s FOR NO KEY UPDATE"
AT_ONCE = (
    (ADD_TEAM_SQL,),
    *((HOLD_TEAM_SQL, one) for one in (ADD_MEMBER_SQL, CHANGE_MEMBER_SQL, REMOVE_MEMBER_SQL)),
    *((HOLD_PROJECT_SQL, one) for one in (INVITE_SQL, CHANGE_INVITATION_SQL, UNINVITE_SQL)),
    *((one,) for one in (ADD_PROJECT_SQL, RENAME_PROJECT_SQL, REMOVE_PROJECT_SQL)),
)
THREADS = 4
ROUNDS = 150


def test_many_changes_at_once_neither_stop_each_other_nor_leave_the_keys_wrong(
    urls: DatabaseUrls, admin: psycopg.Connection, emptied: None
) -> None:
    for statement, values in FOUNDED:
        admin.execute(statement.encode(), values)
    with ThreadPoolExecutor(THREADS) as threads:
        done = sum(threads.map(lambda seed: _change_often(urls, seed), range(THREADS)))

    assert done > THREADS * ROUNDS / 10
    assert _kept(admin) == _expected(admin)


def _change_often(urls: DatabaseUrls, seed: int) -> int:
    """Return how many of a series of changes were made, and not refused by a rule."""
    choice = random.Random(seed)  # noqa: S311  which change comes next is no secret
    done = 0
    with psycopg.connect(urls.admin, autocommit=True) as connection:
        for _ in range(ROUNDS):
            values = {"user": choice.choice(USERS), "team": choice.choice(TEAMS), "project": choice.choice(PROJECTS)}
            statements = choice.choice(AT_ONCE)
            with suppress(psycopg.errors.IntegrityError), connection.transaction():
                for statement in statements:
                    connection.execute(statement.encode(), values | {"role": choice.choice(ROLES)})
                done += 1
    return done


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_transaction_that_would_not_see_the_others_is_refused(
    admin: psycopg.Connection, scene: Scene, level: str
) -> None:
    with admin.transaction(force_rollback=True):
        admin.execute(f"SET TRANSACTION ISOLATION LEVEL {level}".encode())
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="READ COMMITTED"):
            admin.execute(ADD_PROJECT_SQL, {"project": uuid4(), "team": scene.home_team})


HELPERS_SQL = """
SELECT private.my_keys(), private.my_editable_keys(), private.my_project_ids('{owner}'),
    private.my_project_ids('{owner,editor}'), private.my_project_ids('{owner,editor,viewer}')
"""


def test_the_helpers_answer_from_the_keys(urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene) -> None:
    admin.execute(INVITE_SQL, {"project": scene.guest, "team": scene.home_team, "role": "editor"})
    answers = {}
    for name, caller in scene.members.items():
        with acting(urls, caller) as member:
            answers[name] = [set(keys) - {caller.user_id} for keys in member.rows(HELPERS_SQL)[0]]
            assert caller.user_id in member.rows(HELPERS_SQL)[0][0]

    home, guest, both = {scene.home}, {scene.guest}, {scene.home, scene.guest}
    assert answers == {
        "owner": [both, both, home, both, both],
        "editor": [both, both, set(), both, both],
        "viewer": [both, set(), set(), set(), both],
        "guest_owner": [guest, guest, guest, guest, guest],
        "guest_editor": [guest, guest, set(), guest, guest],
        "guest_viewer": [both, set(), set(), set(), both],
        "stranger": [set(), set(), set(), set(), set()],
    }


def test_whoever_never_wrote_has_the_key_of_their_own(urls: DatabaseUrls) -> None:
    caller = factories.user()

    with acting(urls, caller) as member:
        assert member.rows(HELPERS_SQL) == [([caller.user_id], [caller.user_id], [], [], [])]


PACKED_SIZE_SQL = "SELECT pg_column_size(k.owned) FROM private.user_keys AS k WHERE k.user_id = %s"
SIZE_SQL = "SELECT pg_column_size(private.my_keys()), pg_column_size(private.my_project_ids('{owner}'))"


def test_long_keys_are_not_unpacked_again_for_each_row(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene
) -> None:
    owner, projects = scene.members["owner"], 200
    for _ in range(projects - 1):
        admin.execute(ADD_PROJECT_SQL, {"project": uuid4(), "team": scene.home_team})

    unpacked = 24 + 16 * projects
    packed = admin.execute(PACKED_SIZE_SQL, (owner.user_id,)).fetchone()
    assert packed is not None
    assert packed[0] < unpacked
    with acting(urls, owner) as member:
        assert member.rows(SIZE_SQL) == [(unpacked + 16, unpacked)]


def test_nobody_but_the_service_reads_keys(urls: DatabaseUrls, scene: Scene) -> None:
    with acting(urls, scene.members["owner"]) as owner, acting(urls, SERVICE) as service:
        assert owner.attempt(KEPT_SQL) == REFUSED
        assert owner.attempt("SELECT private.refresh_user_keys('{}')") == REFUSED
        assert owner.attempt("SELECT private.keep_user_keys('{}')") == REFUSED
        assert service.attempt(KEPT_SQL) == len(scene.members)
        assert service.attempt("DELETE FROM private.user_keys") == REFUSED


def test_the_migration_keeps_the_keys_of_those_who_are_there_and_can_be_taken_back(server_url: str) -> None:
    with own_database(server_url, "user_keys_migration") as own:
        migrate.upgrade(own, secret=SECRET, revision="0015_memberships")
        with psycopg.connect(own.admin, autocommit=True) as connection:
            scene = add_scene(connection)
            connection.execute(INVITE_SQL, {"project": scene.guest, "team": scene.home_team, "role": "editor"})
        before = _answers(own, scene)
        migrate.upgrade(own, secret=SECRET, revision="0016_user_keys")
        with psycopg.connect(own.admin) as connection:
            assert _kept(connection) == _expected(connection)
            assert len(_kept(connection)) == len(scene.members)
        assert _answers(own, scene) == before
        migrate.downgrade(own, "0015_memberships")
        assert _answers(own, scene) == before


def _answers(urls: DatabaseUrls, scene: Scene) -> dict[str, list[set[UUID]]]:
    answers = {}
    for name, caller in scene.members.items():
        with acting(urls, caller) as member:
            answers[name] = [set(keys) for keys in member.rows(HELPERS_SQL)[0]]
    return answers


def test_everybody_is_shown_their_own_keys_and_no_others(urls: DatabaseUrls, admin: psycopg.Connection, emptied: None):
    scene = add_scene(admin)
    for name, caller in scene.members.items():
        with acting(urls, caller) as member:
            assert member.rows("SELECT keys FROM private.own_keys") == member.rows("SELECT private.my_keys()"), name
    with acting(urls, scene.members["viewer"]) as viewer:
        assert viewer.rows("SELECT keys FROM private.own_keys")[0][0] == [scene.members["viewer"].user_id, scene.home]
        # What somebody asks besides is asked of what they may see: the others' keys would divide by nothing.
        mine = "SELECT count(*) FROM private.own_keys WHERE 1 / (%s = ANY (keys))::int = 1"
        assert viewer.rows(mine, (scene.members["viewer"].user_id,)) == [(1,)]
        assert viewer.attempt("SELECT FROM private.user_keys") == REFUSED
    with acting(urls, factories.user()) as nobody:
        assert nobody.rows("SELECT keys FROM private.own_keys") == []
    with acting(urls, ANON) as visitor:
        assert visitor.attempt("SELECT FROM private.own_keys") == REFUSED
