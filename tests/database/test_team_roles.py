"""What owners, editors and viewers of a team may do, and what leads out of a team: through SQL, past the service."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from app.domain.callers import ANON, Caller
from database.urls import DatabaseUrls
from tests import factories
from tests.database.acting import REFUSED, acting
from tests.database.clones import migrated_database
from tests.database.worlds import World, add_public_molecule, add_world

ROLES = ("owner", "editor", "viewer", "stranger")
UNMET = 0

ADD_SQL = """
INSERT INTO public.molecules (
    name, canonical_smiles, inchi, inchikey, parent_inchikey, formula, molar_mass_g_mol, is_public,
    project_id, created_by
)
VALUES (
    'added', 'CO', 'InChI=1S/CH4O/c1-2/h2H,1H3', 'OKKJLVBELUTLKV-UHFFFAOYSA-N', 'OKKJLVBELUTLKV-UHFFFAOYSA-N', 'CH4O',
    32.042, %(public)s, %(project)s, %(creator)s
)
"""
ADD_IDENTIFIER_SQL = """
INSERT INTO public.molecule_identifiers (molecule_id, source, kind, external_id)
VALUES (%(id)s, 'name', 'synonym', 'added')
"""
ADD_PROPERTY_SQL = """
INSERT INTO public.molecular_properties (molecule_id, property_type, numeric_value, unit)
VALUES (%(id)s, 'density', 1000, 'kg/m3')
"""
READ_SQL = "SELECT FROM public.molecules WHERE id = %(id)s"
RENAME_SQL = "UPDATE public.molecules SET name = 'renamed' WHERE id = %(id)s"
PUBLISH_SQL = "UPDATE public.molecules SET is_public = true WHERE id = %(id)s"
WITHDRAW_SQL = "UPDATE public.molecules SET is_public = false WHERE id = %(id)s"
REMOVE_SQL = "DELETE FROM public.molecules WHERE id = %(id)s"
MOVE_SQL = "UPDATE public.molecules SET project_id = %(project)s WHERE id = %(id)s"


@dataclass(frozen=True, slots=True)
class Team:
    """A team with one member of each role, a project with a private and a public molecule, and another team."""

    members: dict[str, Caller]
    world: World
    public: UUID
    other: World
    newcomer: UUID
    """A user who is in no team."""
    empty: UUID
    """A project without molecules."""

    @property
    def private(self) -> UUID:
        """The project's private molecule."""
        return self.world.shared


@pytest.fixture(scope="module")
def urls(server_url: str, urls: DatabaseUrls) -> Iterator[DatabaseUrls]:
    """Give a database of these tests' own: none of them keeps what it does, so one team serves all."""
    with migrated_database(server_url, urls, "team_roles") as own:
        yield own


@pytest.fixture(scope="module")
def team(urls: DatabaseUrls) -> Team:
    """Give a team; its world's maker is the owner."""
    with psycopg.connect(urls.admin, autocommit=True) as admin:
        world, other = add_world(admin), add_world(admin)
        members = {"owner": world.caller, "stranger": other.caller}
        # Of two owners each may leave.
        for name, role in (("editor", "editor"), ("viewer", "viewer"), ("second owner", "owner")):
            members[name] = factories.user()
            admin.execute(
                "INSERT INTO team_members (team_id, user_id, role) VALUES (%s, %s, %s)",
                (world.team, members[name].user_id, role),
            )
        public = add_public_molecule(admin, "dimethyl sulfoxide", world.project)
        newcomer, empty = uuid4(), uuid4()
        admin.execute("INSERT INTO user_profiles (id) VALUES (%s)", (newcomer,))
        admin.execute("INSERT INTO projects (id, team_id, name) VALUES (%s, %s, 'empty')", (empty, world.team))
    return Team(members, world, public, other, newcomer, empty)


def _expect(allowed: str, role: str, refused: int | str = REFUSED) -> int | str:
    return 1 if role in allowed.split() else refused


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        (READ_SQL, "owner editor viewer"),
        (RENAME_SQL, "owner editor"),
        (REMOVE_SQL, "owner"),
    ],
)
def test_on_a_private_molecule_of_the_project_a_role_does_what_it_may(
    urls: DatabaseUrls, team: Team, role: str, statement: str, allowed: str
) -> None:
    with acting(urls, team.members[role]) as member:
        outcome = member.attempt(statement, {"id": team.private})

    assert outcome == _expect(allowed, role, UNMET)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("statement", [RENAME_SQL, WITHDRAW_SQL, REMOVE_SQL])
def test_on_a_public_molecule_of_the_project_only_the_owner_acts(
    urls: DatabaseUrls, team: Team, role: str, statement: str
) -> None:
    with acting(urls, team.members[role]) as member:
        outcome = member.attempt(statement, {"id": team.public})

    assert outcome == _expect("owner", role, UNMET)


@pytest.mark.parametrize("role", ROLES)
def test_only_an_owner_publishes(urls: DatabaseUrls, team: Team, role: str) -> None:
    with acting(urls, team.members[role]) as member:
        outcome = member.attempt(PUBLISH_SQL, {"id": team.private})

    expected = {"owner": 1, "editor": REFUSED, "viewer": UNMET, "stranger": UNMET}
    assert outcome == expected[role]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("public", "allowed"), [("false", "owner editor"), ("true", "owner")])
def test_owners_and_editors_add_to_the_project_and_owners_in_public(
    urls: DatabaseUrls, team: Team, role: str, public: str, allowed: str
) -> None:
    caller = team.members[role]

    with acting(urls, caller) as member:
        outcome = member.attempt(ADD_SQL, {"public": public, "project": team.world.project, "creator": caller.user_id})

    assert outcome == _expect(allowed, role)


def test_nobody_publishes_a_molecule_of_their_own_outside_projects(urls: DatabaseUrls, team: Team) -> None:
    owner = team.members["owner"]

    with acting(urls, owner) as member:
        added = member.attempt(ADD_SQL, {"public": "true", "project": None, "creator": owner.user_id})
        published = member.attempt(PUBLISH_SQL, {"id": team.world.own})

    assert (added, published) == (REFUSED, REFUSED)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("which", ["private", "own"])
def test_no_molecule_moves_into_another_teams_project(urls: DatabaseUrls, team: Team, role: str, which: str) -> None:
    caller = team.members[role]
    theirs = team.world.project if role == "stranger" else team.other.project
    molecule = {"private": team.private, "own": team.world.own}[which]
    if role == "stranger":
        molecule = {"private": team.other.shared, "own": team.other.own}[which]

    with acting(urls, caller) as member:
        outcome = member.attempt(MOVE_SQL, {"id": molecule, "project": theirs})

    assert outcome in {REFUSED, UNMET}
    assert outcome == REFUSED or role in {"viewer", "editor"}


@pytest.mark.parametrize("role", ROLES)
def test_a_molecule_is_made_in_no_other_teams_project(urls: DatabaseUrls, team: Team, role: str) -> None:
    caller = team.members[role]
    theirs = team.world.project if role == "stranger" else team.other.project

    with acting(urls, caller) as member:
        outcome = member.attempt(ADD_SQL, {"public": "false", "project": theirs, "creator": caller.user_id})

    assert outcome == REFUSED


def test_a_private_molecule_moves_into_a_project_that_its_maker_may_edit(urls: DatabaseUrls, team: Team) -> None:
    for role in ("owner", "editor"):
        caller = team.members[role]
        with acting(urls, caller) as member:
            member.attempt(ADD_SQL, {"public": "false", "project": None, "creator": caller.user_id})
            moved = member.attempt(
                "UPDATE public.molecules SET project_id = %(project)s WHERE name = 'added'",
                {"project": team.world.project},
            )

        assert moved == 1


def test_an_editor_takes_no_molecule_of_a_colleague_out_of_the_project(urls: DatabaseUrls, team: Team) -> None:
    with acting(urls, team.members["editor"]) as editor:
        outcome = editor.attempt(MOVE_SQL, {"id": team.private, "project": None})

    assert outcome == REFUSED


def test_only_an_owner_takes_a_molecule_out_of_the_project_whoever_made_it(urls: DatabaseUrls, team: Team) -> None:
    outcomes = {}
    for role in ("owner", "editor"):
        caller = team.members[role]
        with acting(urls, caller) as member:
            member.attempt(ADD_SQL, {"public": "false", "project": team.world.project, "creator": caller.user_id})
            outcomes[role] = member.attempt("UPDATE public.molecules SET project_id = NULL WHERE name = 'added'")

    assert outcomes == {"owner": 1, "editor": REFUSED}


def test_an_editor_moves_no_molecule_between_two_projects_and_their_owner_does(urls: DatabaseUrls, team: Team) -> None:
    outcomes = {}
    for role in ("owner", "editor"):
        with acting(urls, team.members[role]) as member:
            outcomes[role] = member.attempt(MOVE_SQL, {"id": team.private, "project": team.empty})

    assert outcomes == {"owner": 1, "editor": REFUSED}


def test_whoever_made_a_molecule_and_left_the_team_sees_it_no_longer(urls: DatabaseUrls, team: Team) -> None:
    editor = team.members["editor"]
    leave = "DELETE FROM public.team_members WHERE user_id = %(id)s"

    with acting(urls, editor) as member:
        member.attempt(ADD_SQL, {"public": "false", "project": team.world.project, "creator": editor.user_id})
        before = member.attempt("SELECT FROM public.molecules WHERE name = 'added'")
        left = member.attempt(leave, {"id": editor.user_id})
        after = member.attempt("SELECT FROM public.molecules WHERE name = 'added'")
        renamed = member.attempt("UPDATE public.molecules SET name = 'mine' WHERE name = 'added'")

    assert (before, left, after, renamed) == (1, 1, UNMET, UNMET)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("statement", [ADD_IDENTIFIER_SQL, ADD_PROPERTY_SQL])
@pytest.mark.parametrize(("molecule", "allowed"), [("private", "owner editor"), ("public", "owner")])
def test_parts_are_added_by_whoever_may_change_the_molecule(  # noqa: PLR0913, PLR0917 - one axis each
    urls: DatabaseUrls, team: Team, role: str, statement: str, molecule: str, allowed: str
) -> None:
    with acting(urls, team.members[role]) as member:
        outcome = member.attempt(statement, {"id": getattr(team, molecule)})

    assert outcome == _expect(allowed, role)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("table", ["molecule_identifiers", "molecular_properties"])
@pytest.mark.parametrize(("molecule", "allowed"), [("private", "owner editor"), ("public", "owner")])
def test_parts_are_removed_by_whoever_may_change_the_molecule(  # noqa: PLR0913, PLR0917 - one axis each
    urls: DatabaseUrls, team: Team, role: str, table: str, molecule: str, allowed: str
) -> None:
    statements = {
        "molecule_identifiers": "DELETE FROM public.molecule_identifiers WHERE molecule_id = %(id)s",
        "molecular_properties": "DELETE FROM public.molecular_properties WHERE molecule_id = %(id)s",
    }

    with acting(urls, team.members[role]) as member:
        outcome = member.attempt(statements[table], {"id": getattr(team, molecule)})

    assert outcome == _expect(allowed, role, UNMET)


@pytest.mark.parametrize("table", ["molecule_identifiers", "molecular_properties"])
@pytest.mark.parametrize(
    ("molecule", "audience"),
    [("private", {"owner", "editor", "viewer"}), ("public", {"owner", "editor", "viewer", "stranger", "anon"})],
)
def test_parts_are_seen_by_whoever_sees_the_molecule(
    urls: DatabaseUrls, team: Team, table: str, molecule: str, audience: set[str]
) -> None:
    statement = sql.SQL("SELECT FROM {} WHERE molecule_id = %(id)s").format(sql.Identifier("public", table))

    readers = set()
    for role in (*ROLES, "anon"):
        with acting(urls, ANON if role == "anon" else team.members[role]) as reader:
            if reader.attempt(statement, {"id": getattr(team, molecule)}) == 1:
                readers.add(role)

    assert readers == audience


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    ("statement", "allowed", "refused"),
    [
        ("UPDATE public.projects SET name = 'renamed' WHERE id = %(project)s", "owner editor", UNMET),
        ("DELETE FROM public.projects WHERE id = %(empty)s", "owner", UNMET),
        (
            "INSERT INTO public.projects (team_id, name, created_by) VALUES (%(team)s, 'new', %(user)s)",
            "owner editor",
            REFUSED,
        ),
        ("UPDATE public.teams SET name = 'renamed' WHERE id = %(team)s", "owner", UNMET),
        (
            "INSERT INTO public.team_members (team_id, user_id, role) VALUES (%(team)s, %(newcomer)s, 'viewer')",
            "owner",
            REFUSED,
        ),
        (
            "UPDATE public.team_members SET role = 'owner' WHERE user_id = %(viewer)s AND team_id = %(team)s",
            "owner",
            UNMET,
        ),
        (
            "UPDATE public.team_members SET role = 'viewer' WHERE user_id = %(owner)s AND team_id = %(team)s",
            "owner",
            UNMET,
        ),
        ("DELETE FROM public.team_members WHERE user_id = %(viewer)s AND team_id = %(team)s", "owner viewer", UNMET),
        ("DELETE FROM public.team_members WHERE user_id = %(owner)s AND team_id = %(team)s", "owner", UNMET),
    ],
    ids=[
        "rename project",
        "delete project",
        "add project",
        "rename team",
        "add member",
        "promote a viewer",
        "demote an owner",
        "remove a viewer, or leave",
        "remove an owner, or leave",
    ],
)
def test_a_role_manages_what_it_may(  # noqa: PLR0913, PLR0917 - one axis each
    urls: DatabaseUrls,
    team: Team,
    role: str,
    statement: str,
    allowed: str,
    refused: int | str,
) -> None:
    names = {name: caller.user_id for name, caller in team.members.items()}
    names |= {"team": team.world.team, "project": team.world.project, "empty": team.empty}
    names |= {"newcomer": team.newcomer}

    with acting(urls, team.members[role]) as member:
        outcome = member.attempt(statement, names | {"user": team.members[role].user_id})

    assert outcome == _expect(allowed, role, refused)


def test_a_team_belongs_to_whoever_makes_it(urls: DatabaseUrls, team: Team) -> None:
    maker = team.members["stranger"]

    with acting(urls, maker) as member:
        ((made,),) = member.rows(
            "INSERT INTO public.teams (name, created_by) VALUES ('new', %s) RETURNING id", (maker.user_id,)
        )
        roles = member.rows("SELECT user_id, role FROM public.team_members WHERE team_id = %s", (made,))

    assert roles == [(maker.user_id, "owner")]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO public.teams (name, created_by) VALUES ('new', %(other)s)",
        "INSERT INTO public.teams (name, created_by) VALUES ('new', NULL)",
        "INSERT INTO public.projects (team_id, name, created_by) VALUES (%(team)s, 'new', %(other)s)",
        "UPDATE public.projects SET team_id = %(theirs)s",
        "UPDATE public.team_members SET team_id = %(theirs)s",
        "UPDATE public.team_members SET user_id = %(other)s",
        "UPDATE public.teams SET created_by = %(other)s",
        "UPDATE public.user_profiles SET id = %(other)s",
        "INSERT INTO public.user_profiles (id) VALUES (%(other)s)",
        "UPDATE public.teams SET version = 7",
        "UPDATE public.projects SET created_at = now()",
    ],
)
def test_nobody_acts_in_anothers_name_or_writes_what_the_database_keeps(
    urls: DatabaseUrls, team: Team, statement: str
) -> None:
    others = {"other": team.other.caller.user_id, "team": team.world.team, "theirs": team.other.team}

    with acting(urls, team.members["owner"]) as owner:
        assert owner.attempt(statement, others) == REFUSED


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("acl", "{}"),
        ("version", "7"),
        ("created_by", "00000000-0000-0000-0000-000000000000"),
        ("created_at", "2020-01-01"),
        ("kind", "polymer"),
        ("inchikey", "IAZDPXIOMUYVGZ-UHFFFAOYSA-N"),
        ("data_source_id", None),
        ("import_run_id", None),
        ("id", "00000000-0000-0000-0000-000000000000"),
    ],
)
def test_a_column_that_is_not_the_clients_is_not_changed(
    urls: DatabaseUrls, team: Team, column: str, value: str | None
) -> None:
    statement = sql.SQL("UPDATE public.molecules SET {} = %(value)s WHERE id = %(id)s").format(sql.Identifier(column))

    with acting(urls, team.members["owner"]) as owner:
        assert owner.attempt(statement, {"value": value, "id": team.world.own}) == REFUSED


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("acl", "{}"),
        ("version", "7"),
        ("created_at", "2020-01-01"),
        ("updated_at", "2020-01-01"),
        ("created_by", "00000000-0000-0000-0000-000000000000"),
        ("created_by", None),
        ("kind", "polymer"),
        ("data_source_id", "source"),
        ("import_run_id", "run"),
        ("is_public", "true"),
        ("project_id", "theirs"),
    ],
)
def test_a_molecule_is_not_made_with_what_is_not_the_clients(
    urls: DatabaseUrls, team: Team, column: str, value: str | None
) -> None:
    with psycopg.connect(urls.admin) as admin:
        ((source, run),) = admin.execute("SELECT data_source_id, id FROM import_runs LIMIT 1").fetchall()
    named = {"source": source, "run": run, "theirs": team.other.project}
    owner = team.members["owner"]
    columns = {
        "name": "added",
        "canonical_smiles": "CO",
        "inchi": "InChI=1S/CH4O/c1-2/h2H,1H3",
        "inchikey": "OKKJLVBELUTLKV-UHFFFAOYSA-N",
        "parent_inchikey": "OKKJLVBELUTLKV-UHFFFAOYSA-N",
        "formula": "CH4O",
        "molar_mass_g_mol": 32.042,
        "created_by": owner.user_id,
    }

    def insert(values: dict[str, object]) -> sql.Composed:
        return sql.SQL("INSERT INTO public.molecules ({}) VALUES ({})").format(
            sql.SQL(", ").join(map(sql.Identifier, values)), sql.SQL(", ").join(map(sql.Placeholder, values))
        )

    wanted = columns | {column: named.get(value or "", value)}
    with acting(urls, owner) as member:
        usual = member.attempt(insert(columns), columns)
        outcome = member.attempt(insert(wanted), wanted)

    assert usual == 1
    assert outcome == REFUSED


def test_a_clients_own_time_of_change_is_not_kept(urls: DatabaseUrls, team: Team) -> None:
    with acting(urls, team.members["owner"]) as owner:
        ((recent, version),) = owner.rows(
            """
            UPDATE public.molecules SET updated_at = '2020-01-01' WHERE id = %s
            RETURNING updated_at > now() - interval '1 hour', version
            """,
            (team.private,),
        )

    assert (recent, version) == (True, 2)
