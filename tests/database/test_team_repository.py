"""Teams, members, projects, invitations and shares stored and removed: what the HTTP tests cannot see from outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import LiteralString
from uuid import UUID, uuid4

import orjson
import psycopg
import pytest

from app.domain.callers import SERVICE, Caller
from app.errors import ConflictError, ForbiddenError, NotFoundError, StaleError
from database.listing import Filter, ListRequest, Sort
from database.repositories.molecules import MoleculeReader
from database.repositories.projects import InvitationRepository, ProjectReader, ProjectRepository
from database.repositories.shares import (
    MIXTURE_SHARES,
    MOLECULE_SHARES,
    MOLECULES_OF_PROJECT,
    Junction,
    ShareRepository,
)
from database.repositories.teams import MEMBERS_OF_TEAM, MemberReader, MemberRepository, TeamReader, TeamRepository
from database.session import Database
from database.urls import DatabaseUrls
from tests import factories
from tests.database.acting import acting
from tests.database.worlds import World, add_world
from tests.plugins.round_trips import Proxy, proxy

__all__ = ["proxy"]


@pytest.fixture
def world(admin: psycopg.Connection, emptied: None) -> World:
    """Give a user who owns a team with a project."""
    return add_world(admin)


def _one(admin: psycopg.Connection, statement: LiteralString, *values: object) -> object:
    row = admin.execute(statement, values).fetchone()
    assert row is not None
    return row[0]


class TestVersions:
    """The whole's version, whoever changes a part and by whatever way."""

    @pytest.mark.parametrize(
        ("statement", "raises"),
        [
            ("INSERT INTO team_members (team_id, user_id, role) VALUES (%(team)s, %(new)s, 'viewer')", 1),
            ("UPDATE team_members SET role = 'owner' WHERE team_id = %(team)s", 0),
            ("DELETE FROM user_profiles WHERE id = %(second)s", 1),
        ],
        ids=["added", "given the same role", "whose profile goes"],
    )
    def test_a_teams_version_follows_its_members(
        self, admin: psycopg.Connection, world: World, statement: LiteralString, raises: int
    ) -> None:
        second = uuid4()
        admin.execute(
            "INSERT INTO team_members (team_id, user_id, role) VALUES (%s, %s, 'owner')", (world.team, second)
        )
        version = "SELECT version FROM teams WHERE id = %s"
        before = _one(admin, version, world.team)

        admin.execute(statement, {"team": world.team, "new": uuid4(), "second": second})

        assert _one(admin, version, world.team) == int(str(before)) + raises

    @pytest.mark.parametrize(
        ("statement", "raises"),
        [
            ("UPDATE team_projects SET role = 'editor' WHERE project_id = %(project)s", 1),
            ("UPDATE team_projects SET role = role WHERE project_id = %(project)s", 0),
            ("DELETE FROM team_projects WHERE project_id = %(project)s", 1),
            ("DELETE FROM project_mixtures WHERE project_id = %(project)s", 1),
            ("INSERT INTO project_molecules (project_id, molecule_id) VALUES (%(project)s, %(own)s)", 1),
            ("DELETE FROM molecules WHERE id = %(own)s", 0),
        ],
    )
    def test_a_projects_version_follows_its_invitations_and_shares(
        self, admin: psycopg.Connection, world: World, statement: LiteralString, raises: int
    ) -> None:
        version = "SELECT version FROM projects WHERE id = %s"
        before = _one(admin, version, world.project)

        admin.execute(statement, {"project": world.project, "own": world.own})

        assert _one(admin, version, world.project) == int(str(before)) + raises

    def test_a_client_sets_neither_the_time_of_a_change_nor_that_of_the_beginning(
        self, admin: psycopg.Connection, world: World
    ) -> None:
        times = "SELECT created_at, updated_at FROM team_members WHERE team_id = %s AND user_id = %s"
        member = (world.team, world.caller.user_id)
        (before,) = admin.execute(times, member).fetchall()
        admin.execute(
            "INSERT INTO team_members (team_id, user_id, role) VALUES (%s, %s, 'owner')", (world.team, uuid4())
        )

        admin.execute(
            "UPDATE team_members SET role = 'editor', created_at = now() - interval '9 days', updated_at = 'epoch'"
            " WHERE team_id = %s AND user_id = %s",
            member,
        )

        (after,) = admin.execute(times, member).fetchall()
        assert after[0] == before[0]
        assert after[1] > before[1]


class TestMakers:
    """Whoever makes a team."""

    def test_the_maker_sees_the_team_when_it_is_made_and_not_after_leaving(
        self, urls: DatabaseUrls, world: World
    ) -> None:
        successor = factories.user()
        with acting(urls, world.caller) as maker:
            ((team,),) = maker.rows("INSERT INTO teams (name, created_by) VALUES ('made', auth.uid()) RETURNING id")
            member = {"team": team, "user": successor.user_id}
            maker.rows("INSERT INTO team_members VALUES (%(team)s, %(user)s, 'owner') RETURNING role", member)
            maker.commit()
        find = "SELECT FROM teams WHERE id = %(team)s"
        with acting(urls, world.caller) as maker:
            before = maker.attempt(find, member)
            maker.attempt("DELETE FROM team_members WHERE team_id = %(team)s AND user_id = auth.uid()", member)
            maker.commit()

        with acting(urls, world.caller) as maker, acting(urls, successor) as owner:
            after = (maker.attempt(find, member), owner.attempt(find, member))

        assert (before, after) == (1, (0, 1))


class TestRepositories:
    """What they give back, and why they do not."""

    def test_teams_projects_and_members_are_made_changed_and_removed(self, database: Database) -> None:
        owner, other = factories.user(), factories.user()
        assert other.user_id is not None
        with database.transaction(owner) as session:
            teams, members, projects = (
                TeamRepository(session),
                MemberRepository(session),
                ProjectRepository(session),
            )
            team = teams.add("Tissue bank")
            assert members.put(team, other.user_id, "viewer", 1)
            assert not members.put(team, other.user_id, "editor", 2)
            project = projects.add(team, "Kidney slices", None)
            projects.change(project, {"description": "Slices."}, 1)
        record = orjson.loads(ProjectReader(database.reading(other)).get(project).json)
        assert (record["role"], record["description"], record["version"]) == ("editor", "Slices.", 2)

        with database.transaction(owner) as session:
            ProjectRepository(session).remove(project, 2)
            MemberRepository(session).remove(team, other.user_id, 3)
            TeamRepository(session).remove(team, 4)

        with pytest.raises(NotFoundError):
            TeamReader(database.reading(owner)).get(team)

    def test_an_attempt_to_delete_that_a_rule_forbids_counts_as_permitted_and_leaves_no_trace(
        self, database: Database, world: World
    ) -> None:
        with pytest.raises(StaleError), database.transaction(world.caller) as session:
            ProjectRepository(session).remove(world.project, 999)
        with pytest.raises(ConflictError) as refused, database.transaction(world.caller) as session:
            ProjectRepository(session).remove(world.project, None)

        assert refused.value.code == "not_empty"

    def test_a_page_within_a_parent_that_is_not_seen_is_refused_by_the_parents_name(
        self, database: Database, world: World
    ) -> None:
        stranger = database.reading(factories.user())

        with pytest.raises(NotFoundError, match="no project"):
            MoleculeReader(stranger).page(ListRequest(within=(MOLECULES_OF_PROJECT, world.project)), "exact")
        with pytest.raises(NotFoundError, match="no team"):
            next(MemberReader(stranger).stream(ListRequest(within=(MEMBERS_OF_TEAM, world.team))))

    def test_an_invited_editor_invites_nobody(
        self, database: Database, admin: psycopg.Connection, world: World
    ) -> None:
        guest = factories.user()
        team = uuid4()
        admin.execute("INSERT INTO teams (id, name) VALUES (%s, 'guests')", (team,))
        admin.execute(
            "INSERT INTO team_members (team_id, user_id, role) VALUES (%s, %s, 'owner')", (team, guest.user_id)
        )
        admin.execute(
            "INSERT INTO team_projects (team_id, project_id, role) VALUES (%s, %s, 'editor')", (team, world.project)
        )

        with pytest.raises(ForbiddenError), database.transaction(guest) as session:
            InvitationRepository(session).put(world.project, team, "editor", None)
        with database.transaction(guest) as session:
            assert ShareRepository(session, MOLECULE_SHARES).add(world.project, _own(session.caller, admin), None)


def _own(caller: Caller, admin: psycopg.Connection) -> UUID:
    return UUID(
        str(
            _one(
                admin,
                "INSERT INTO molecules (name, kind, created_by) VALUES ('own', 'polymer', %s) RETURNING id",
                caller.user_id,
            )
        )
    )


@pytest.mark.parametrize("junction", [MOLECULE_SHARES, MIXTURE_SHARES], ids=["molecule", "mixture"])
class TestShares:
    """Both kinds of records are shared alike."""

    @pytest.fixture
    def target(self, admin: psycopg.Connection, world: World) -> UUID:
        """Give a second, empty project of the user's team."""
        insert = "INSERT INTO projects (team_id, name) VALUES (%s, 'target') RETURNING id"
        return UUID(str(_one(admin, insert, world.team)))

    def _record(self, world: World, junction: Junction) -> UUID:
        return world.mixed if junction is MOLECULE_SHARES else world.mixture

    def test_it_is_shared_once_and_taken_back_once(
        self, database: Database, world: World, target: UUID, junction: Junction
    ) -> None:
        record = self._record(world, junction)
        with database.transaction(world.caller) as session:
            # A mixture is seen with what is in it.
            ShareRepository(session, MOLECULE_SHARES).add(target, world.mixed, None)
        before = junction is MIXTURE_SHARES

        with database.transaction(world.caller) as session:
            first = ShareRepository(session, junction).add(target, record, None)
        with database.transaction(world.caller) as session:
            again = ShareRepository(session, junction).add(target, record, None)
        with database.transaction(world.caller) as session:
            ShareRepository(session, junction).remove(target, record, None)

        assert (first, again) == (before, False)
        with (
            pytest.raises(NotFoundError, match=f"{junction.noun} .* is not shared"),
            database.transaction(world.caller) as session,
        ):
            ShareRepository(session, junction).remove(target, record, None)

    def test_strangers_and_stale_versions_share_nothing(
        self, database: Database, world: World, target: UUID, junction: Junction
    ) -> None:
        record = self._record(world, junction)

        with pytest.raises(NotFoundError, match="no project"), database.transaction(factories.user()) as session:
            ShareRepository(session, junction).add(target, record, None)
        with pytest.raises(NotFoundError, match=f"no {junction.noun}"), database.transaction(SERVICE) as session:
            ShareRepository(session, junction).add(target, uuid4(), None)
        with pytest.raises(StaleError), database.transaction(world.caller) as session:
            ShareRepository(session, junction).add(target, record, 999)


READS: dict[str, Callable[[Database, World], object]] = {
    "molecules of a project": lambda database, world: MoleculeReader(database.reading(world.caller)).page(
        ListRequest(within=(MOLECULES_OF_PROJECT, world.project), order=(Sort("name"),)), "exact"
    ),
    "members of a team": lambda database, world: MemberReader(database.reading(world.caller)).page(
        ListRequest(within=(MEMBERS_OF_TEAM, world.team), filters=(Filter("role", "exact", "owner"),)), "exact"
    ),
    "a member": lambda database, world: MemberReader(database.reading(world.caller)).get(
        world.caller.user_id or world.team, parent=world.team
    ),
    "projects": lambda database, world: ProjectReader(database.reading(world.caller)).page(ListRequest(), "estimated"),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_read_within_a_parent_is_one_round_trip(
    urls: DatabaseUrls, proxy: Proxy, world: World, read: Callable[[Database, World], object]
) -> None:
    database = Database(proxy.through(urls), min_size=0, max_size=1, timeout_s=5.0, transaction_pooler=False)
    database.open()
    read(database, world)

    with proxy.counting() as traffic:
        read(database, world)
    database.close()

    assert traffic.exchanges == 1
