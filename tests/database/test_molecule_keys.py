"""The keys that open a private molecule, and what happens to them as it is shared, published and withdrawn."""

from __future__ import annotations

from uuid import UUID, uuid4

import psycopg
import pytest

from app.errors import ConflictError
from database.errors import translate
from database.urls import DatabaseUrls
from tests.database.worlds import World, add_public_molecule, add_world

MOST_KEYS = 100
ADD_PROJECTS_SQL = """
INSERT INTO public.projects (id, team_id, name)
SELECT id, %(team)s, id::text FROM unnest(%(projects)s::uuid[]) AS id
"""
SHARE_SQL = """
INSERT INTO public.project_molecules (project_id, molecule_id)
SELECT project, %(molecule)s FROM unnest(%(projects)s::uuid[]) AS project
"""
KEYS_SQL = """
SELECT acl FROM public.molecules WHERE id = %(molecule)s
UNION ALL
SELECT acl FROM public.molecule_identifiers WHERE molecule_id = %(molecule)s
UNION ALL
SELECT acl FROM public.molecular_properties WHERE molecule_id = %(molecule)s
"""
SHOW_SQL = "UPDATE public.molecules SET is_public = %(is_public)s WHERE id = %(molecule)s"


@pytest.fixture
def world(admin: psycopg.Connection, emptied: None) -> World:
    """Give a user with a team, a project and a private molecule outside it."""
    return add_world(admin)


def _keys(admin: psycopg.Connection, molecule: UUID) -> list[set[UUID]]:
    return [set(row[0]) for row in admin.execute(KEYS_SQL, {"molecule": molecule})]


def _projects(admin: psycopg.Connection, world: World, count: int) -> list[UUID]:
    projects = [uuid4() for _ in range(count)]
    admin.execute(ADD_PROJECTS_SQL, {"team": world.team, "projects": projects})
    return projects


def test_a_withdrawn_molecule_opens_to_the_projects_that_it_was_shared_with(
    admin: psycopg.Connection, world: World
) -> None:
    before = _projects(admin, world, 2)
    meanwhile = _projects(admin, world, 2)

    admin.execute(SHARE_SQL, {"molecule": world.own, "projects": before})
    admin.execute(SHOW_SQL, {"molecule": world.own, "is_public": True})
    shown = _keys(admin, world.own)
    admin.execute(SHARE_SQL, {"molecule": world.own, "projects": meanwhile})
    shared = _keys(admin, world.own)
    admin.execute(SHOW_SQL, {"molecule": world.own, "is_public": False})

    assert shown == shared == [{world.caller.user_id}] * 3
    assert _keys(admin, world.own) == [{world.caller.user_id, *before, *meanwhile}] * 3


def test_a_share_of_a_public_molecule_and_its_withdrawal_wait_for_one_another(
    admin: psycopg.Connection, urls: DatabaseUrls, world: World
) -> None:
    admin.execute(SHOW_SQL, {"molecule": world.own, "is_public": True})
    with psycopg.connect(urls.admin) as sharing, psycopg.connect(urls.admin) as withdrawing:
        sharing.execute(SHARE_SQL, {"molecule": world.own, "projects": [world.project]})
        withdrawing.execute("SET lock_timeout = '200ms'")

        with pytest.raises(psycopg.errors.LockNotAvailable):
            withdrawing.execute(SHOW_SQL, {"molecule": world.own, "is_public": False})

        withdrawing.rollback()
        sharing.commit()
        withdrawing.execute(SHOW_SQL, {"molecule": world.own, "is_public": False})
        withdrawing.commit()

    assert _keys(admin, world.own) == [{world.caller.user_id, world.project}] * 3


def test_a_public_molecule_is_in_any_number_of_projects(admin: psycopg.Connection, world: World) -> None:
    molecule = add_public_molecule(admin, "ethylene glycol")

    admin.execute(SHARE_SQL, {"molecule": molecule, "projects": _projects(admin, world, 3 * MOST_KEYS)})

    assert _keys(admin, molecule) == [set()] * 3


def test_a_private_molecule_is_shared_with_as_many_projects_as_its_index_takes(
    admin: psycopg.Connection, world: World
) -> None:
    # The owner's key is one of them.
    admin.execute(SHARE_SQL, {"molecule": world.own, "projects": _projects(admin, world, MOST_KEYS - 1)})

    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        admin.execute(SHARE_SQL, {"molecule": world.own, "projects": _projects(admin, world, 1)})

    said = translate(refused.value)
    assert isinstance(said, ConflictError)
    assert said.detail == "a private molecule is shared with fewer than 100 projects"
    assert len(_keys(admin, world.own)[0]) == MOST_KEYS
