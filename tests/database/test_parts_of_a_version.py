"""Two who change parts of a team or a project build on one version: the second is told that it is stale."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import psycopg
import pytest

from app.domain.callers import Caller
from app.errors import StaleError
from database.repositories.shares import MOLECULE_SHARES, ShareRepository
from database.repositories.teams import MemberRepository
from database.session import Database, WriteSession
from tests.database.rows import Scene, add_molecule, add_scene

WAITING_SQL = b"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
VERSIONS_SQL = b"SELECT (SELECT version FROM teams WHERE id = %s), (SELECT version FROM projects WHERE id = %s)"


def _both(
    database: Database, admin: psycopg.Connection, caller: Caller, change: Callable[[WriteSession, int], None]
) -> None:
    """Let a second transaction begin its change while the first has made its own and not committed."""

    def later() -> None:
        with database.transaction(caller) as session:
            change(session, 1)

    with ThreadPoolExecutor(1) as threads:
        with database.transaction(caller) as session:
            change(session, 0)
            second = threads.submit(later)
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline and admin.execute(WAITING_SQL).fetchone() == (0,):
                time.sleep(0.01)
        second.result(20)


@pytest.fixture
def scene(admin: psycopg.Connection, emptied: None) -> Scene:
    """Give two teams with a project each."""
    return add_scene(admin)


def _versions(admin: psycopg.Connection, scene: Scene) -> tuple[int, int]:
    team, project = admin.execute(VERSIONS_SQL, (scene.home_team, scene.home)).fetchone() or (0, 0)
    return team, project


def test_of_two_who_take_members_out_the_second_is_stale(
    database: Database, admin: psycopg.Connection, scene: Scene
) -> None:
    version, _ = _versions(admin, scene)
    leavers = [scene.members[role].user_id for role in ("viewer", "editor")]

    def take_out(session: WriteSession, turn: int) -> None:
        user_id = leavers[turn]
        assert user_id is not None
        MemberRepository(session).remove(scene.home_team, user_id, version)

    with pytest.raises(StaleError):
        _both(database, admin, scene.members["owner"], take_out)

    assert _versions(admin, scene)[0] == version + 1


@pytest.mark.parametrize("verb", ["add", "remove"])
def test_of_two_who_change_what_a_project_shares_the_second_is_stale(
    database: Database, admin: psycopg.Connection, scene: Scene, verb: str
) -> None:
    molecules: list[UUID] = [add_molecule(admin, name, is_public=True) for name in ("methanol", "formamide")]
    owner = scene.members["owner"]
    if verb == "remove":
        with database.transaction(owner) as session:
            for molecule in molecules:
                ShareRepository(session, MOLECULE_SHARES).add(scene.home, molecule, None)
    _, version = _versions(admin, scene)

    def change(session: WriteSession, turn: int) -> None:
        getattr(ShareRepository(session, MOLECULE_SHARES), verb)(scene.home, molecules[turn], version)

    with pytest.raises(StaleError):
        _both(database, admin, owner, change)

    assert _versions(admin, scene)[1] == version + 1
