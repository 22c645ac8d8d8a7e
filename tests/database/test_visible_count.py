"""A signed-in user's count of all molecules does not look at every one, and tells of all that the policies open."""

from __future__ import annotations

from itertools import product
from typing import Final

import psycopg
import pytest

from database.listing import ListRequest
from database.repositories.molecules import COUNT_VISIBLE_SQL, MoleculeReader
from database.urls import DatabaseUrls
from tests.database.acting import acting
from tests.database.rows import Scene, add, add_scene
from tests.plugins.database import open_database

COUNT_SQL: Final = "SELECT count(*) FROM public.molecules"
EACH_SQL: Final = COUNT_VISIBLE_SQL.replace("    + (", "    , (")
EXPLAIN_SQL: Final = f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) {COUNT_VISIBLE_SQL}"


@pytest.fixture
def scene(admin: psycopg.Connection, emptied: None) -> Scene:
    """Give two teams and molecules of every owner: public and private, shared with each team, both and none."""
    made = add_scene(admin)
    creators = [None, *(made.members[name].user_id for name in ("owner", "guest_editor", "stranger"))]
    projects = (None, made.home, made.guest)
    shares = ((), (made.home,), (made.guest,), (made.home, made.guest))
    for number, (is_public, project, creator, shared) in enumerate(product((True, False), projects, creators, shares)):
        values = {"name": f"polymer {number}", "kind": "polymer", "is_public": is_public}
        row = admin.execute(
            """
            INSERT INTO public.molecules (name, kind, is_public, project_id, created_by)
            VALUES (%(name)s, %(kind)s, %(is_public)s, %(project)s, %(creator)s) RETURNING id
            """,
            values | {"project": project, "creator": creator},
        ).fetchone()
        assert row
        for guest in shared:
            add(admin, "project_molecules", project_id=guest, molecule_id=row[0])
    return made


def test_everybodys_count_is_what_the_policies_let_through(urls: DatabaseUrls, scene: Scene) -> None:
    database = open_database(urls)
    counts: dict[str, int] = {}
    for name, caller in scene.members.items():
        with acting(urls, caller) as member:
            visible = member.rows(COUNT_SQL)[0][0]
        counted = MoleculeReader(database.reading(caller)).page(ListRequest(limit=1), "exact").count
        assert counted == visible, name
        counts[name] = visible
    database.close()

    # 48 of the 96 are public. Of the private ones each sees the projects' 16, own ones in no project, and shared ones.
    assert counts["owner"] > counts["viewer"] > counts["stranger"] > 48


def test_each_way_in_which_a_molecule_is_open_is_counted(urls: DatabaseUrls, scene: Scene) -> None:
    with acting(urls, scene.members["owner"]) as owner:
        each = owner.rows(EACH_SQL)[0]

    assert len(each) == 4
    assert all(each), each


def test_public_molecules_and_those_of_projects_are_counted_in_indexes(
    urls: DatabaseUrls, admin: psycopg.Connection, scene: Scene
) -> None:
    admin.execute("VACUUM (ANALYZE) public.molecules")
    with acting(urls, scene.members["owner"]) as owner:
        owner.attempt("SET LOCAL enable_seqscan = off")
        plan = "\n".join(row[0] for row in owner.rows(EXPLAIN_SQL))

    assert "Index Only Scan using molecules_project_id_inchikey_key" in plan
    assert "Index Only Scan" in plan.split("molecules_project_id_inchikey_key")[0]
