"""What select policies cost, read from plans: a helper is asked once for a statement and never for each row."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from app.domain.callers import ANON, Caller
from database.session import WRITE_PREAMBLE_SQL
from tests.database.worlds import World, add_public_mixture, add_public_molecule, add_world

READABLE_TABLES_SQL = """
SELECT DISTINCT schemaname || '.' || tablename
FROM pg_policies
WHERE schemaname IN ('public', 'private') AND cmd IN ('SELECT', 'ALL') AND %(role)s = ANY (roles)
ORDER BY 1
"""
EXPLAIN_SQL = "EXPLAIN (ANALYZE, VERBOSE, COSTS OFF, TIMING OFF, FORMAT JSON) SELECT count(*) FROM {}"
HELPER = re.compile(r"\b(private|auth)\.\w+\(")
KEYS_TABLE = "user_keys"

CARELESS_POLICIES = {
    "a function of the row": "USING (private.has_molecule_access(id))",
    "a function of the row behind another condition": "USING (is_public OR private.has_molecule_access(id))",
    "keys asked for again for each row": "USING (is_public OR acl && private.my_keys())",
    "keys asked for in a subquery of each row": "USING (acl && (SELECT private.my_keys() WHERE name <> ''))",
    "keys looked up for each row": "USING (acl && (SELECT k.keys FROM private.own_keys AS k WHERE name <> ''))",
}


@pytest.fixture
def world(admin: psycopg.Connection, emptied: None) -> World:
    """Give a user with a row in every table, beside public ones."""
    add_public_mixture(admin, add_public_molecule(admin))
    return add_world(admin)


@pytest.fixture(params=["anon", "authenticated"])
def caller(request: pytest.FixtureRequest, world: World) -> Caller:
    """Give everybody, and then the user."""
    return ANON if request.param == "anon" else world.caller


def _plan(admin: psycopg.Connection, caller: Caller, table: str) -> dict[str, Any]:
    with admin.transaction(force_rollback=True):
        admin.execute(WRITE_PREAMBLE_SQL, {"role": caller.role, "claims": caller.claims_json, "request_id": ""})
        statement = sql.SQL(EXPLAIN_SQL).format(sql.Identifier(*table.split(".")))
        found = admin.execute(statement).fetchone()
    assert found is not None
    plan: dict[str, Any] = found[0][0]["Plan"]
    return plan


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def _asks(node: dict[str, Any]) -> bool:
    if node.get("Relation Name") == KEYS_TABLE:
        return True
    return any(HELPER.search(str(value)) for name, value in node.items() if name != "Plans")


def _asked_per_row(plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the nodes that ask a helper and are not run once for the statement at most."""
    return [
        node
        for node in _nodes(plan)
        if _asks(node) and (node.get("Parent Relationship") != "InitPlan" or node["Actual Loops"] > 1)
    ]


def test_no_select_policy_asks_a_helper_for_each_row(admin: psycopg.Connection, caller: Caller) -> None:
    tables = [row[0] for row in admin.execute(READABLE_TABLES_SQL.encode(), {"role": caller.role})]
    plans = {table: _plan(admin, caller, table) for table in tables}

    assert "public.molecules" in plans
    assert {table: _asked_per_row(plan) for table, plan in plans.items() if _asked_per_row(plan)} == {}
    if caller is not ANON:
        assert [node for node in _nodes(plans["public.molecules"]) if _asks(node) and node["Actual Loops"] == 1]


@pytest.mark.parametrize("condition", CARELESS_POLICIES.values(), ids=CARELESS_POLICIES)
def test_a_policy_that_asks_for_each_row_is_found(admin: psycopg.Connection, world: World, condition: str) -> None:
    with admin.transaction(force_rollback=True):
        admin.execute("DROP POLICY molecules_select_authenticated ON public.molecules")
        admin.execute(f"CREATE POLICY careless ON public.molecules FOR SELECT TO authenticated {condition}".encode())

        assert _asked_per_row(_plan(admin, world.caller, "public.molecules"))
