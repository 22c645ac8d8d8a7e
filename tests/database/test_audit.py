"""The audit log: every change is in it with its maker, and nobody takes anything out."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from app.domain.callers import ANON, SERVICE, Caller
from app.domain.molecules import NewMolecule
from database.errors import CONSTRAINTS
from database.repositories.molecules import MoleculeRepository
from database.session import Database
from database.urls import DatabaseUrls
from tests import factories
from tests.database.acting import REFUSED, REQUEST_ID, acting
from tests.database.worlds import add_public_molecule, add_world

pytestmark = pytest.mark.usefixtures("emptied")

UNAUDITED_SQL = """
SELECT c.relname, wanted
FROM pg_class AS c
CROSS JOIN unnest(ARRAY['insert', 'update', 'delete']) AS wanted
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname <> 'audit_log'
    -- What triggers alone may write follows from rows that are audited.
    AND (c.relname <> 'toxicity_scores' OR has_table_privilege('service_role', c.oid, 'INSERT, UPDATE, DELETE'))
    AND NOT EXISTS (
        SELECT FROM pg_trigger AS t
        WHERE t.tgrelid = c.oid AND t.tgname = c.relname || '_audit_' || wanted AND t.tgenabled = 'O'
    )
"""
# Of an update, the columns on which the trigger looks; all others change without a row in the log.
UNWATCHED_SQL = """
SELECT DISTINCT a.attname
FROM pg_class AS c
JOIN pg_trigger AS t ON t.tgrelid = c.oid AND t.tgname = c.relname || '_audit_update'
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND NOT a.attnum = ANY (t.tgattr)
"""
ENTRIES_SQL = """
SELECT resource, resource_id, table_name, action, row_count, actor_id, role, token_id, request_id, before, after
FROM public.audit_log
ORDER BY occurred_at, id
"""
ATTACKS = [
    "UPDATE public.audit_log SET actor_id = NULL",
    "DELETE FROM public.audit_log",
    "TRUNCATE public.audit_log",
    "INSERT INTO public.audit_log (resource, table_name, action, role) VALUES ('a', 'b', 'insert', 'anon')",
    "SELECT private.add_to_audit_log('a', NULL, 'b', 'insert', NULL, NULL)",
    "ALTER TABLE public.audit_log DISABLE TRIGGER ALL",
]


def _entries(admin: psycopg.Connection) -> list[dict[str, Any]]:
    cursor = admin.execute(ENTRIES_SQL)
    assert cursor.description is not None
    return [dict(zip([column.name for column in cursor.description], row, strict=True)) for row in cursor]


def _add(database: Database, caller: Caller, molecule: NewMolecule, request_id: str = "") -> UUID:
    with database.transaction(caller, request_id=request_id) as session:
        return MoleculeRepository(session).add(molecule)


def test_every_public_table_is_audited(admin: psycopg.Connection) -> None:
    assert admin.execute(UNAUDITED_SQL).fetchall() == []


def test_a_table_without_its_triggers_is_found(admin: psycopg.Connection) -> None:
    with admin.transaction(force_rollback=True):
        admin.execute("CREATE TABLE public.careless (id uuid)")
        admin.execute("ALTER TABLE public.teams DISABLE TRIGGER teams_audit_update")

        found = set(admin.execute(UNAUDITED_SQL).fetchall())

    assert found == {("careless", verb) for verb in ("insert", "update", "delete")} | {("teams", "update")}


def test_only_what_the_database_keeps_itself_changes_unaudited(admin: psycopg.Connection) -> None:
    unwatched = {row[0] for row in admin.execute(UNWATCHED_SQL)}

    # `is_public` of a part is a copy; how far an import is, its own record.
    progress = {"added_count", "existing_count", "refused_count", "checkpoint", "done_fraction", "working_s"}
    assert unwatched == progress | {
        "fence",
        "lease_until",
        "version",
        "created_at",
        "updated_at",
        "acl",
        "search",
        "is_public",
        "content_hash",
        "import_run_id",
    }


def test_an_entry_says_who_did_what_in_which_request(database: Database, admin: psycopg.Connection) -> None:
    alice = factories.user()

    molecule_id = _add(database, alice, factories.new_molecule("glycerol"), "request-1")
    with database.transaction(alice, request_id="request-2") as session:
        MoleculeRepository(session).change(molecule_id, {"name": "glycerine"}, None)
    with database.transaction(alice, request_id="request-3") as session:
        MoleculeRepository(session).remove(molecule_id, None)

    profile, added, changed, removed = _entries(admin)
    assert (profile["resource"], profile["action"], profile["request_id"]) == ("user_profiles", "insert", "request-1")
    for entry, action, request_id in (
        (added, "insert", "request-1"),
        (changed, "update", "request-2"),
        (removed, "delete", "request-3"),
    ):
        assert (entry["resource"], entry["resource_id"], entry["action"]) == ("molecules", molecule_id, action)
        assert (entry["actor_id"], entry["role"], entry["token_id"]) == (alice.user_id, "authenticated", None)
        assert (entry["request_id"], entry["row_count"]) == (request_id, 1)
    assert (added["before"], added["after"]["name"]) == (None, "glycerol")
    assert (changed["before"]["name"], changed["after"]["name"]) == ("glycerol", "glycerine")
    assert (changed["before"]["version"], changed["after"]["version"]) == (1, 2)
    assert (removed["before"]["name"], removed["after"]) == ("glycerine", None)
    assert not {"search", "fingerprint", "acl"} & set(added["after"])


def test_a_service_tokens_id_is_kept(database: Database, admin: psycopg.Connection) -> None:
    job = Caller("service_role", jti="job-7", claims_json='{"role":"service_role","jti":"job-7"}')

    _add(database, job, factories.new_molecule())

    (entry,) = _entries(admin)
    assert (entry["role"], entry["actor_id"], entry["token_id"]) == ("service_role", None, "job-7")


def test_a_change_that_is_rolled_back_leaves_nothing(database: Database, admin: psycopg.Connection) -> None:
    with database.transaction(factories.user(), rollback=True) as session:
        MoleculeRepository(session).add(factories.new_molecule())

    assert _entries(admin) == []


def test_a_part_is_filed_under_its_record_and_a_touch_is_no_entry(
    database: Database, admin: psycopg.Connection
) -> None:
    alice = factories.user()
    molecule_id = _add(database, alice, factories.new_molecule())
    before = len(_entries(admin))

    with database.transaction(alice) as session:
        MoleculeRepository(session).put_properties(molecule_id, [factories.density(), factories.density(1260.0)], None)

    entries = _entries(admin)[before:]
    assert [(entry["resource"], entry["resource_id"], entry["table_name"]) for entry in entries] == [
        ("molecules", molecule_id, "molecular_properties")
    ] * 2
    assert sorted(entry["after"]["numeric_value"] for entry in entries) == [1260, 1261]


def test_publishing_is_one_entry_and_its_spread_to_the_parts_none(admin: psycopg.Connection) -> None:
    world = add_world(admin)
    before = len(_entries(admin))

    admin.execute("UPDATE public.molecules SET is_public = true WHERE id = %s", (world.shared,))

    (entry,) = _entries(admin)[before:]
    assert (entry["table_name"], entry["before"]["is_public"], entry["after"]["is_public"]) == (
        "molecules",
        False,
        True,
    )
    assert admin.execute(
        "SELECT is_public FROM public.molecule_identifiers WHERE molecule_id = %s", (world.shared,)
    ).fetchall() == [(True,)]


def test_an_import_costs_one_entry_a_statement_and_run(database: Database, admin: psycopg.Connection) -> None:
    run = uuid4()
    admin.execute("INSERT INTO data_sources (id, name) VALUES (%s, 'somewhere')", (run,))
    admin.execute("INSERT INTO import_runs (id, data_source_id) VALUES (%s, %s)", (run, run))
    before = len(_entries(admin))
    imported = factories.numbered_molecules(50, import_run_id=run, identifiers=(factories.identifier(),))
    own = factories.new_molecule("glycerol")

    with database.transaction(SERVICE) as session:
        MoleculeRepository(session).add_many([*imported, own])

    entries = [
        (entry["table_name"], entry["row_count"], entry["resource_id"] is None) for entry in _entries(admin)[before:]
    ]
    assert sorted(entries) == [("molecule_identifiers", 50, True), ("molecules", 1, False), ("molecules", 50, True)]


def test_a_user_cannot_hide_rows_behind_an_import_run(urls: DatabaseUrls, admin: psycopg.Connection) -> None:
    world = add_world(admin)
    before = len(_entries(admin))

    with acting(urls, world.caller) as user:
        refused = user.attempt(
            "INSERT INTO public.molecule_identifiers (molecule_id, source, kind, external_id, import_run_id) "
            "SELECT %s, 'cas', 'cas_number', '1', id FROM (SELECT gen_random_uuid() AS id) AS made",
            (world.own,),
        )
        added = user.attempt(
            "INSERT INTO public.molecule_identifiers (molecule_id, source, kind, external_id) "
            "VALUES (%s, 'cas', 'cas_number', '1')",
            (world.own,),
        )
        user.commit()

    (entry,) = _entries(admin)[before:]
    assert (refused, added) == (REFUSED, 1)
    assert (entry["resource_id"], entry["actor_id"]) == (world.own, world.caller.user_id)
    assert entry["request_id"] == REQUEST_ID


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
def test_nobody_writes_the_log_through_the_logins(
    urls: DatabaseUrls, admin: psycopg.Connection, attack: str, role: str
) -> None:
    world = add_world(admin)
    before = _entries(admin)
    caller = {"anon": ANON, "authenticated": world.caller, "service_role": SERVICE}[role]

    with acting(urls, caller) as attacker:
        assert attacker.attempt(attack) == REFUSED
        attacker.commit()

    assert before
    assert _entries(admin) == before


@pytest.mark.parametrize("attack", ATTACKS[:3])
def test_its_owner_does_not_change_it_by_mistake_either(admin: psycopg.Connection, attack: str) -> None:
    add_world(admin)
    before = _entries(admin)

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="only ever added to"):
        admin.execute(attack.encode())

    assert _entries(admin) == before


def test_a_rule_of_the_log_concerns_no_client() -> None:
    assert not [name for name in CONSTRAINTS if name.startswith("audit_log")]


class TestHistory:
    """`private.history`, which asks whether the caller may change the record."""

    HISTORY_SQL = "SELECT action, table_name FROM private.history('molecules', %s)"

    def test_those_who_may_change_a_record_read_its_history(
        self, urls: DatabaseUrls, admin: psycopg.Connection
    ) -> None:
        world, stranger = add_world(admin), add_world(admin)
        viewer = factories.user()
        admin.execute(
            "INSERT INTO team_members (team_id, user_id, role) VALUES (%s, %s, 'viewer')", (world.team, viewer.user_id)
        )

        seen = {}
        for name, caller in (("owner", world.caller), ("viewer", viewer), ("stranger", stranger.caller)):
            with acting(urls, caller) as reader:
                seen[name] = {row[1] for row in reader.rows(self.HISTORY_SQL, (world.shared,))}
        with acting(urls, SERVICE) as service:
            seen["service"] = {row[1] for row in service.rows(self.HISTORY_SQL, (world.shared,))}

        everything = {"molecules", "molecule_identifiers", "molecular_properties"}
        assert seen == {"owner": everything, "viewer": set(), "stranger": set(), "service": everything}

    def test_a_public_records_history_is_not_public(self, urls: DatabaseUrls, admin: psycopg.Connection) -> None:
        world, public = add_world(admin), add_public_molecule(admin, "dimethyl sulfoxide")

        with acting(urls, world.caller) as reader:
            assert reader.rows(self.HISTORY_SQL, (public,)) == []
        with acting(urls, ANON) as anybody:
            assert anybody.attempt(self.HISTORY_SQL, (public,)) == REFUSED

    @pytest.mark.parametrize(
        ("resource", "key", "expected"),
        [
            ("teams", "team", True),
            ("projects", "project", True),
            ("mixtures", "mixture", True),
            ("molecules", "own", True),
        ],
    )
    def test_of_each_kind_of_record(
        self,
        urls: DatabaseUrls,
        admin: psycopg.Connection,
        resource: str,
        key: str,
        *,
        expected: bool,
    ) -> None:
        world, stranger = add_world(admin), add_world(admin)
        statement = "SELECT private.may_change(%s, %s), EXISTS (SELECT FROM private.history(%s, %s))"
        parameters = (resource, getattr(world, key)) * 2

        with acting(urls, world.caller) as owner:
            assert owner.rows(statement, parameters) == [(expected, expected)]
        with acting(urls, stranger.caller) as other:
            assert other.rows(statement, parameters) == [(False, False)]
