"""Molecules stored, found, changed and removed, and what each caller is told about what is there already."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
import pytest

from app.domain.callers import ANON, SERVICE, Caller
from app.domain.molecules import Identifier, NewMolecule, PropertyValue
from app.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    StaleError,
)
from database.listing import Detail, Shape
from database.repositories.molecules import MoleculeReader, MoleculeRepository
from database.repositories.outcomes import Outcome, OutcomeStatus
from database.session import Database
from tests import factories
from tests.database.worlds import World, add_public_molecule, add_world
from tests.factories import density, identifier, new_molecule, new_polymer

ADDED, EXISTING, CHANGED, REFUSED = OutcomeStatus


def _add(database: Database, caller: Caller, *molecules: NewMolecule, merge: bool = False) -> list[Outcome]:
    with database.transaction(caller) as session:
        return MoleculeRepository(session).add_many(molecules, merge=merge)


def _add_one(database: Database, caller: Caller, molecule: NewMolecule) -> UUID:
    with database.transaction(caller) as session:
        return MoleculeRepository(session).add(molecule)


def _do(database: Database, caller: Caller, work: Callable[[MoleculeRepository], None]) -> None:
    with database.transaction(caller) as session:
        work(MoleculeRepository(session))


def _get(database: Database, caller: Caller, molecule_id: UUID) -> dict[str, Any]:
    document = MoleculeReader(database.reading(caller)).get(molecule_id, Shape(Detail.FULL))
    record: dict[str, Any] = orjson.loads(document.json)
    assert record["version"] == document.version
    return record


def _statuses(outcomes: list[Outcome]) -> list[OutcomeStatus]:
    return [outcome.status for outcome in outcomes]


@pytest.fixture
def world(admin: psycopg.Connection, emptied: None) -> World:
    """Give a user with a molecule of their own (glycerol) and one in a project (propylene glycol)."""
    return add_world(admin)


@pytest.fixture
def viewer(admin: psycopg.Connection, world: World) -> Caller:
    """Give a viewer of the world's team."""
    return _member(admin, world, "viewer")


@pytest.fixture
def editor(admin: psycopg.Connection, world: World) -> Caller:
    """Give an editor of the world's team."""
    return _member(admin, world, "editor")


def _member(admin: psycopg.Connection, world: World, role: str) -> Caller:
    caller = factories.user()
    admin.execute("INSERT INTO user_profiles (id) VALUES (%s)", (caller.user_id,))
    statement = "INSERT INTO team_members (team_id, user_id, role) VALUES (%s, %s, %s)"
    admin.execute(statement, (world.team, caller.user_id, role))
    return caller


class TestAdding:
    """What is stored, and under whose name."""

    def test_a_molecule_is_stored_as_it_was_described(self, database: Database) -> None:
        caller = factories.user()
        molecule = new_molecule(
            "dimethyl sulfoxide",
            identifiers=(identifier("67-68-5"), Identifier("name", "synonym", "DMSO", verified=False)),
            properties=(density(1100.4, method="at 293 K", standard_uncertainty=0.1),),
        )

        record = _get(database, caller, _add_one(database, caller, molecule))

        assert molecule.structure is not None
        assert {name: record[name] for name in asdict(molecule.structure)} == asdict(molecule.structure)
        assert (record["name"], record["kind"], record["version"]) == ("dimethyl sulfoxide", "molecule", 1)
        assert record["created_by"] == str(caller.user_id)
        assert record["source"] is None
        assert record["identifiers"] == [
            {"source": "cas", "kind": "cas_number", "external_id": "67-68-5", "verified": True},
            {"source": "name", "kind": "synonym", "external_id": "DMSO", "verified": False},
        ]
        assert record["properties"] == [
            {
                "property_type": "density",
                "value": 1100.4,
                "unit": "kg/m3",
                "standard_uncertainty": 0.1,
                "method": "at 293 K",
                "reference": None,
                "verified": True,
            }
        ]

    def test_a_users_molecule_is_private_and_the_services_public(self, database: Database) -> None:
        caller = factories.user()

        private = _add_one(database, caller, new_molecule("glycerol"))
        public = _add_one(database, SERVICE, new_molecule("methanol"))
        unpublished = _add_one(database, SERVICE, new_molecule("formamide", is_public=False))

        assert _get(database, caller, private)["is_public"] is False
        assert _get(database, ANON, public)["is_public"] is True
        assert _get(database, ANON, public)["created_by"] is None
        assert _get(database, SERVICE, unpublished)["is_public"] is False

    def test_the_three_kinds_of_values_come_back_as_they_were(self, database: Database) -> None:
        values = (
            density(1.5e-300),
            PropertyValue("density_text", text_value='"quoted", \\ and ☃'),
            PropertyValue("melting_point_text", text_value="true"),
        )

        molecule_id = _add_one(database, SERVICE, new_molecule(properties=values))

        shown = {item["property_type"]: item["value"] for item in _get(database, ANON, molecule_id)["properties"]}
        assert shown == {
            "density": 1.5e-300,
            "density_text": '"quoted", \\ and ☃',
            "melting_point_text": "true",
        }

    @pytest.mark.parametrize("name", ["'; DROP TABLE molecules; --", "%(name)s %s %%", "☃", "{}", "\\"])
    def test_a_name_is_a_value_and_never_sql(self, database: Database, name: str) -> None:
        structure = factories.known_structure("glycerol")

        molecule_id = _add_one(database, SERVICE, new_molecule(name, structure=structure))

        assert _get(database, ANON, molecule_id)["name"] == name

    def test_no_molecules_are_no_work(self, database: Database) -> None:
        assert _add(database, factories.user()) == []

    def test_a_batch_is_answered_in_its_order(self, database: Database, world: World) -> None:
        elsewhere = uuid4()

        outcomes = _add(
            database,
            world.caller,
            new_molecule("methanol"),
            new_molecule("glycerol"),
            new_molecule("formamide", project_id=elsewhere),
            new_molecule("formamide", is_public=True),
            new_molecule("formamide", project_id=world.project, is_public=True),
        )

        assert _statuses(outcomes) == [ADDED, EXISTING, REFUSED, REFUSED, ADDED]
        assert outcomes[1].id == world.own
        assert [outcome.pointer for outcome in outcomes[2:4]] == ["/project_id", "/is_public"]
        assert all(outcome.reason for outcome in outcomes[2:4])
        assert [outcome.id for outcome in outcomes[2:4]] == [None, None]

    def test_what_stands_twice_in_a_batch_is_stored_once(self, database: Database, admin: psycopg.Connection) -> None:
        twice = [new_molecule("methanol"), new_molecule("formamide"), new_molecule("methanol")]

        outcomes = _add(database, factories.user(), *twice)

        assert _statuses(outcomes) == [ADDED, ADDED, EXISTING]
        assert outcomes[2].id == outcomes[0].id
        assert admin.execute("SELECT count(*) FROM molecules").fetchone() == (2,)

    def test_the_second_of_a_pair_gives_its_parts_only_when_merged(self, database: Database) -> None:
        pair = [
            new_molecule("methanol", identifiers=(identifier("1"),)),
            new_molecule("methanol", identifiers=(identifier("2"),)),
        ]

        plain = _add(database, SERVICE, *pair)
        merged = _add(database, SERVICE, *pair, merge=True)

        assert plain[0].id is not None
        assert _statuses(plain) == [ADDED, EXISTING]
        assert merged[1] == Outcome(CHANGED, plain[0].id)
        shown = _get(database, ANON, plain[0].id)
        assert [item["external_id"] for item in shown["identifiers"]] == ["1", "2"]
        assert shown["version"] == 2

    def test_a_molecule_that_breaks_a_rule_is_refused_alone(
        self, database: Database, admin: psycopg.Connection
    ) -> None:
        good = factories.numbered_molecules(20)
        nameless = new_molecule("", structure=factories.known_structure("glycerol"))
        endless = new_molecule("x" * 501, structure=factories.known_structure("methanol"))

        outcomes = _add(database, factories.user(), *good[:7], nameless, *good[7:], endless)

        refused = [index for index, outcome in enumerate(outcomes) if outcome.status is REFUSED]
        assert refused == [7, 21]
        assert [(outcomes[index].pointer, outcomes[index].reason) for index in refused] == [
            ("/name", "a name has 1 to 500 characters")
        ] * 2
        assert admin.execute("SELECT count(*) FROM molecules").fetchone() == (20,)

    def test_a_batch_larger_than_one_statement_is_stored_whole(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("database.repositories.outcomes.ROWS_PER_STATEMENT", 3)
        molecules = factories.numbered_molecules(10, identifiers=(identifier("1"), identifier("2")))

        added = _add(database, SERVICE, *molecules, molecules[0])
        again = _add(database, SERVICE, *molecules)

        assert _statuses(added) == [ADDED] * 10 + [EXISTING]
        assert again == [Outcome(EXISTING, outcome.id) for outcome in added[:10]]
        for outcome in added:
            assert outcome.id is not None
            assert len(_get(database, ANON, outcome.id)["identifiers"]) == 2

    def test_two_batches_in_opposite_order_do_not_deadlock(self, database: Database) -> None:
        molecules = factories.numbered_molecules(300)

        with ThreadPoolExecutor(4) as threads:
            batches = [molecules, molecules[::-1], molecules, molecules[::-1]]
            answers = list(threads.map(lambda batch: _add(database, SERVICE, *batch), batches))

        added = [outcome for answer in answers for outcome in answer if outcome.status is ADDED]
        assert len(added) == 300
        assert {outcome.status for answer in answers for outcome in answer} == {ADDED, EXISTING}

    @pytest.mark.parametrize(
        ("changes", "pointer"), [({"project_id": uuid4()}, "/project_id"), ({"is_public": True}, "/is_public")]
    )
    def test_one_that_may_not_be_added_is_forbidden_and_says_why(
        self, database: Database, changes: dict[str, Any], pointer: str
    ) -> None:
        with pytest.raises(ForbiddenError) as refused:
            _add_one(database, factories.user(), new_molecule(**changes))

        assert [fault.pointer for fault in refused.value.faults] == [pointer]

    def test_a_viewer_adds_nothing_to_the_project_and_an_editor_nothing_public(
        self, database: Database, world: World, viewer: Caller, editor: Caller
    ) -> None:
        private = new_molecule("methanol", project_id=world.project)
        public = new_molecule("formamide", project_id=world.project, is_public=True)

        assert _statuses(_add(database, viewer, private, public)) == [REFUSED, REFUSED]
        assert _statuses(_add(database, editor, private, public)) == [ADDED, REFUSED]


class TestExisting:
    """The same structure again: named where the caller may see it, and only there."""

    def test_ones_own_molecule_again_is_a_conflict_with_its_id(self, database: Database, world: World) -> None:
        with pytest.raises(ConflictError) as refused:
            _add_one(database, world.caller, new_molecule("glycerol"))

        assert refused.value.code == "molecule_exists"
        assert refused.value.extra["existing_id"] == str(world.own)

    def test_a_public_molecule_again_is_a_conflict_with_its_id(
        self, database: Database, admin: psycopg.Connection
    ) -> None:
        public = add_public_molecule(admin)

        for caller in (factories.user(), SERVICE):
            with pytest.raises(ConflictError) as refused:
                _add_one(database, caller, new_molecule("glycerol"))

            assert refused.value.extra["existing_id"] == str(public)

    def test_a_projects_molecule_again_is_a_conflict_with_its_id(
        self, database: Database, world: World, editor: Caller
    ) -> None:
        with pytest.raises(ConflictError) as refused:
            _add_one(database, editor, new_molecule("propylene glycol", project_id=world.project))

        assert refused.value.extra["existing_id"] == str(world.shared)

    def test_anothers_private_molecule_is_neither_named_nor_in_the_way(self, database: Database, world: World) -> None:
        stranger = factories.user()

        outcomes = _add(database, stranger, new_molecule("glycerol"), new_molecule("propylene glycol"))

        assert _statuses(outcomes) == [ADDED, ADDED]
        assert not {outcome.id for outcome in outcomes} & world.molecules

    def test_private_molecules_are_not_in_the_way_of_a_public_one(self, database: Database, world: World) -> None:
        outcomes = _add(database, SERVICE, new_molecule("glycerol"), new_molecule("propylene glycol"))

        assert _statuses(outcomes) == [ADDED, ADDED]
        assert not {outcome.id for outcome in outcomes} & world.molecules

    def test_the_same_structure_may_stand_outside_and_inside_a_project(self, database: Database, world: World) -> None:
        outcomes = _add(
            database, world.caller, new_molecule("glycerol", project_id=world.project), new_molecule("propylene glycol")
        )

        assert _statuses(outcomes) == [ADDED, ADDED]

    def test_a_public_row_is_named_before_ones_own(
        self, database: Database, admin: psycopg.Connection, world: World
    ) -> None:
        public = add_public_molecule(admin)

        assert _add(database, world.caller, new_molecule("glycerol")) == [Outcome(EXISTING, public)]

    def test_of_two_who_add_the_same_at_once_the_second_finds_the_firsts(self, database: Database) -> None:
        first_has_inserted = threading.Event()

        def second() -> list[Outcome]:
            first_has_inserted.wait(30)
            return _add(database, SERVICE, new_molecule("glycerol"))

        with ThreadPoolExecutor(1) as threads:
            later = threads.submit(second)
            with database.transaction(SERVICE) as session:
                answer = MoleculeRepository(session).add_many([new_molecule("glycerol")])
                first_has_inserted.set()
                _wait_for_lock(database)

            assert _statuses(answer) == [ADDED]
            assert later.result(30) == [Outcome(EXISTING, answer[0].id)]

    def test_when_the_first_of_two_gives_up_the_second_adds(self, database: Database) -> None:
        with ThreadPoolExecutor(1) as threads:
            with database.transaction(SERVICE, rollback=True) as session:
                MoleculeRepository(session).add_many([new_molecule("glycerol")])
                later = threads.submit(_add, database, SERVICE, new_molecule("glycerol"))
                _wait_for_lock(database)

            assert _statuses(later.result(30)) == [ADDED]


def _wait_for_lock(database: Database) -> None:
    patience = threading.Event()
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
    for _ in range(1000):
        if database.reading(ANON).rows(waiting, {})[0][0]:
            return
        patience.wait(0.01)
    pytest.fail("nobody waits")


class TestPolymers:
    """A polymer has no structure: it is known by its name, and made by the service only."""

    def test_a_polymer_is_stored_without_structure(self, database: Database) -> None:
        record = _get(database, ANON, _add_one(database, SERVICE, new_polymer()))

        assert record["kind"] == "polymer"
        for name in ("canonical_smiles", "inchi", "inchikey", "parent_inchikey", "formula", "molar_mass_g_mol"):
            assert record[name] is None
        assert record["fingerprint"] is None

    def test_polymers_are_the_same_by_name_whatever_its_case(self, database: Database) -> None:
        first, again, other = _add(
            database,
            SERVICE,
            new_polymer("Polyvinyl alcohol"),
            new_polymer("POLYVINYL ALCOHOL"),
            new_polymer("Dextran 40"),
        )

        assert _statuses([first, again, other]) == [ADDED, EXISTING, ADDED]
        assert again.id == first.id
        assert _add(database, SERVICE, new_polymer("polyvinyl alcohol")) == [Outcome(EXISTING, first.id)]

    def test_a_molecule_may_bear_a_polymers_name(self, database: Database) -> None:
        molecule = new_molecule("Dextran 40", structure=factories.known_structure("glycerol"))

        assert _statuses(_add(database, SERVICE, new_polymer("Dextran 40"), molecule)) == [ADDED, ADDED]

    def test_a_user_makes_no_polymer(self, database: Database) -> None:
        with pytest.raises(ForbiddenError):
            _add_one(database, factories.user(), new_polymer())


class TestMerging:
    """An import adds to what is there what is new in its records."""

    def test_what_is_new_is_added_and_raises_the_version_once(self, database: Database) -> None:
        first = new_molecule(identifiers=(identifier("1"),), properties=(density(1261.0),))
        richer = new_molecule(
            identifiers=(identifier("1"), identifier("2")), properties=(density(1261.0), density(1.0))
        )
        ((added,)) = _add(database, SERVICE, first)
        assert added.id is not None

        changed = _add(database, SERVICE, richer, merge=True)
        again = _add(database, SERVICE, richer, merge=True)

        assert changed == [Outcome(CHANGED, added.id)]
        assert again == [Outcome(EXISTING, added.id)]
        record = _get(database, ANON, added.id)
        assert [item["external_id"] for item in record["identifiers"]] == ["1", "2"]
        assert sorted(item["value"] for item in record["properties"]) == [1.0, 1261.0]
        assert record["version"] == 2

    def test_without_merging_what_exists_stays_as_it_is(self, database: Database) -> None:
        ((added,)) = _add(database, SERVICE, new_molecule())
        assert added.id is not None

        outcomes = _add(database, SERVICE, new_molecule(identifiers=(identifier(),), properties=(density(),)))

        assert outcomes == [Outcome(EXISTING, added.id)]
        record = _get(database, ANON, added.id)
        assert (record["identifiers"], record["properties"], record["version"]) == ([], [], 1)

    def test_two_sources_that_disagree_are_two_values(self, database: Database) -> None:
        values = (
            density(1261.0, reference="one"),
            density(1261.0, reference="other"),
            density(1261.0, reference="one"),
        )

        ((added,)) = _add(database, SERVICE, new_molecule(properties=values))

        assert added.id is not None
        properties = _get(database, ANON, added.id)["properties"]
        assert sorted(item["reference"] for item in properties) == ["one", "other"]

    def test_a_batch_of_added_and_changed_is_told_apart(self, database: Database) -> None:
        _add(database, SERVICE, new_molecule("glycerol"), new_molecule("methanol"))

        outcomes = _add(
            database,
            SERVICE,
            new_molecule("glycerol", identifiers=(identifier(),)),
            new_molecule("methanol"),
            new_molecule("formamide", identifiers=(identifier(),)),
            merge=True,
        )

        assert _statuses(outcomes) == [CHANGED, EXISTING, ADDED]


class TestChanging:
    """Changes, and the order of refusals: unseen before not permitted before stale."""

    def test_a_change_raises_the_version_and_leaves_the_rest(self, database: Database, world: World) -> None:
        before = _get(database, world.caller, world.own)

        _do(database, world.caller, lambda molecules: molecules.change(world.own, {"name": "renamed"}, 1))

        after = _get(database, world.caller, world.own)
        moved = {"name", "version", "updated_at"}
        assert (after["name"], after["version"]) == ("renamed", 2)
        assert after["updated_at"] > before["updated_at"]
        assert {key: after[key] for key in after if key not in moved} == {
            key: before[key] for key in before if key not in moved
        }

    def test_a_molecule_goes_into_a_project_and_back_out(self, database: Database, world: World) -> None:
        _do(database, world.caller, lambda molecules: molecules.change(world.own, {"project_id": world.project}, None))
        inside = _get(database, world.caller, world.own)["project_id"]
        _do(database, world.caller, lambda molecules: molecules.change(world.own, {"project_id": None}, None))

        assert inside == str(world.project)
        assert _get(database, world.caller, world.own)["project_id"] is None

    def test_whoever_loses_the_project_loses_sight_of_the_molecule(
        self, database: Database, world: World, viewer: Caller
    ) -> None:
        _do(database, world.caller, lambda molecules: molecules.change(world.shared, {"project_id": None}, None))

        with pytest.raises(NotFoundError):
            _get(database, viewer, world.shared)

    CHANGES: tuple[tuple[str, Callable[[MoleculeRepository, UUID, int | None], None]], ...] = (
        ("rename", lambda molecules, key, version: molecules.change(key, {"name": "renamed"}, version)),
        ("publish", lambda molecules, key, version: molecules.change(key, {"is_public": True}, version)),
        ("remove", lambda molecules, key, version: molecules.remove(key, version)),
        ("put identifiers", lambda molecules, key, version: molecules.put_identifiers(key, [identifier()], version)),
        ("put properties", lambda molecules, key, version: molecules.put_properties(key, [density()], version)),
    )
    each_change = pytest.mark.parametrize(
        "change", [change for _, change in CHANGES], ids=[name for name, _ in CHANGES]
    )
    each_version = pytest.mark.parametrize("version", [None, 1, 99], ids=["any version", "this version", "stale"])

    @each_change
    @each_version
    def test_what_is_unseen_is_not_found(
        self, database: Database, world: World, change: Callable[..., None], version: int | None
    ) -> None:
        for key in (world.own, uuid4()):
            with pytest.raises(NotFoundError):
                _do(database, factories.user(), lambda molecules, key=key: change(molecules, key, version))  # type: ignore[misc]

    @each_change
    @each_version
    @pytest.mark.parametrize("twin", [False, True], ids=["", "with a public twin"])
    def test_what_is_seen_but_not_writable_is_forbidden(  # noqa: PLR0913, PLR0917 - one axis each
        self,
        database: Database,
        admin: psycopg.Connection,
        world: World,
        viewer: Caller,
        change: Callable[..., None],
        version: int | None,
        twin: bool,  # noqa: FBT001 - one of two
    ) -> None:
        if twin:
            add_public_molecule(admin, "propylene glycol")

        with pytest.raises(ForbiddenError):
            _do(database, viewer, lambda molecules: change(molecules, world.shared, version))

        assert _get(database, viewer, world.shared)["version"] == 1

    @each_change
    @pytest.mark.parametrize("twin", [False, True], ids=["", "with a public twin"])
    def test_what_was_changed_meanwhile_is_stale(
        self,
        database: Database,
        admin: psycopg.Connection,
        world: World,
        change: Callable[..., None],
        twin: bool,  # noqa: FBT001 - one of two
    ) -> None:
        if twin:
            add_public_molecule(admin, "propylene glycol")

        with pytest.raises(StaleError, match="its version is 1"):
            _do(database, world.caller, lambda molecules: change(molecules, world.shared, 99))

        assert _get(database, world.caller, world.shared)["version"] == 1

    @each_change
    def test_public_molecules_are_not_everybodys_to_change(
        self, database: Database, admin: psycopg.Connection, change: Callable[..., None]
    ) -> None:
        public = add_public_molecule(admin)

        with pytest.raises(ForbiddenError):
            _do(database, factories.user(), lambda molecules: change(molecules, public, None))

    def test_publishing_where_a_public_row_exists_is_a_conflict_with_its_id(
        self, database: Database, admin: psycopg.Connection, world: World
    ) -> None:
        public = add_public_molecule(admin, "propylene glycol")

        for caller in (world.caller, SERVICE):
            with pytest.raises(ConflictError) as refused:
                _do(database, caller, lambda molecules: molecules.change(world.shared, {"is_public": True}, 1))

            assert refused.value.extra["existing_id"] == str(public)

    def test_an_owner_publishes_and_withdraws(self, database: Database, world: World) -> None:
        _do(database, world.caller, lambda molecules: molecules.change(world.shared, {"is_public": True}, 1))
        shown = _get(database, ANON, world.shared)["name"]
        _do(database, world.caller, lambda molecules: molecules.change(world.shared, {"is_public": False}, 2))

        assert shown == "project glycol"
        with pytest.raises(NotFoundError):
            _get(database, ANON, world.shared)

    @pytest.mark.parametrize("molecule", ["own", "shared"])
    def test_an_editor_does_not_publish(self, database: Database, world: World, editor: Caller, molecule: str) -> None:
        refusals = {"own": (world.caller, world.own), "shared": (editor, world.shared)}
        caller, key = refusals[molecule]

        with pytest.raises(ForbiddenError):
            _do(database, caller, lambda molecules: molecules.change(key, {"is_public": True}, None))

    def test_a_project_that_is_not_the_callers_is_forbidden(
        self, database: Database, admin: psycopg.Connection, world: World
    ) -> None:
        theirs = add_world(admin).project

        for project in (theirs, uuid4()):
            with pytest.raises(ForbiddenError):
                _do(
                    database,
                    world.caller,
                    lambda molecules, project=project: molecules.change(world.own, {"project_id": project}, None),  # type: ignore[misc]
                )

    def test_of_two_changes_of_one_version_one_is_stale(self, database: Database, world: World) -> None:
        outcomes = []
        with ThreadPoolExecutor(2) as threads:

            def rename(name: str) -> str:
                try:
                    _do(database, world.caller, lambda molecules: molecules.change(world.own, {"name": name}, 1))
                except StaleError:
                    return "stale"
                return "changed"

            outcomes = sorted(threads.map(rename, ["one", "other"]))

        assert outcomes == ["changed", "stale"]
        assert _get(database, world.caller, world.own)["version"] == 2

    def test_a_removed_molecule_is_gone_with_its_parts(
        self, database: Database, admin: psycopg.Connection, world: World
    ) -> None:
        _do(database, world.caller, lambda molecules: molecules.remove(world.own, 1))

        for statement in (
            "SELECT FROM molecules WHERE id = %s",
            "SELECT FROM molecule_identifiers WHERE molecule_id = %s",
            "SELECT FROM molecular_properties WHERE molecule_id = %s",
        ):
            assert admin.execute(statement.encode(), (world.own,)).fetchall() == []
        with pytest.raises(NotFoundError):
            _do(database, world.caller, lambda molecules: molecules.remove(world.own, 1))

    def test_an_editor_removes_nothing_whatever_version_is_asked_for(
        self, database: Database, world: World, editor: Caller
    ) -> None:
        for version in (None, 1, 99):
            with pytest.raises(ForbiddenError):
                _do(database, editor, lambda molecules, version=version: molecules.remove(world.shared, version))  # type: ignore[misc]

        assert _get(database, editor, world.shared)["version"] == 1

    def test_the_service_role_changes_anybodys(self, database: Database, world: World) -> None:
        _do(database, SERVICE, lambda molecules: molecules.change(world.own, {"name": "renamed"}, 1))
        _do(database, SERVICE, lambda molecules: molecules.remove(world.shared, 1))

        assert _get(database, world.caller, world.own)["name"] == "renamed"


class TestParts:
    """Identifiers and properties put in the place of those that were there."""

    def test_identifiers_are_replaced_and_raise_the_version(self, database: Database, world: World) -> None:
        new = [identifier("1"), identifier("2"), identifier("2")]

        _do(database, world.caller, lambda molecules: molecules.put_identifiers(world.own, new, 1))

        record = _get(database, world.caller, world.own)
        assert [item["external_id"] for item in record["identifiers"]] == ["1", "2"]
        assert record["version"] == 2
        assert len(record["properties"]) == 1

    def test_properties_of_one_type_are_replaced_and_others_stay(self, database: Database, world: World) -> None:
        viscosity = PropertyValue("viscosity", numeric_value=1.4, unit="Pa.s")

        _do(database, world.caller, lambda molecules: molecules.put_properties(world.own, [viscosity], 1))
        _do(
            database,
            world.caller,
            lambda molecules: molecules.put_properties(world.own, [density(1.0), density(2.0)], 2, "density"),
        )

        version, values = MoleculeReader(database.reading(world.caller)).properties(world.own)
        assert version == 3
        assert sorted((item["property_type"], item["value"]) for item in orjson.loads(values)) == [
            ("density", 1.0),
            ("density", 2.0),
            ("viscosity", 1.4),
        ]

    def test_no_parts_in_the_place_of_some_is_none(self, database: Database, world: World) -> None:
        _do(database, world.caller, lambda molecules: molecules.put_properties(world.own, [], None))
        _do(database, world.caller, lambda molecules: molecules.put_identifiers(world.own, [], None))

        record = _get(database, world.caller, world.own)
        assert (record["properties"], record["identifiers"], record["version"]) == ([], [], 3)

    def test_properties_can_be_asked_for_by_type(self, database: Database, world: World) -> None:
        reader = MoleculeReader(database.reading(world.caller))

        assert len(orjson.loads(reader.properties(world.own, "density")[1])) == 1
        assert orjson.loads(reader.properties(world.own, "viscosity")[1]) == []

    def test_a_refused_part_keeps_all_that_was_there(self, database: Database, world: World) -> None:
        unknown = PropertyValue("no_such_type", numeric_value=1.0)

        with pytest.raises(InvalidError, match="no such property type"):
            _do(database, world.caller, lambda molecules: molecules.put_properties(world.own, [unknown], None))

        record = _get(database, world.caller, world.own)
        assert (len(record["properties"]), record["version"]) == (1, 1)


class TestLookup:
    """Molecules by the names that the world has for them."""

    def test_each_kind_of_name_finds_its_molecule(self, database: Database, admin: psycopg.Connection) -> None:
        public = add_public_molecule(admin)
        wanted = [
            ("id", str(public)),
            ("inchikey", "PEDCQBHIVMGVHV-UHFFFAOYSA-N"),
            ("cas:cas_number", "56-81-5"),
        ]

        matches = MoleculeReader(database.reading(ANON)).lookup(wanted)

        assert [(match.kind, match.value, match.id, match.name) for match in matches] == [
            (kind, value, public, "glycerol") for kind, value in wanted
        ]

    def test_what_is_not_there_is_left_out_and_the_order_kept(
        self, database: Database, admin: psycopg.Connection
    ) -> None:
        public = add_public_molecule(admin)
        wanted = [
            ("pubchem:cid", "56-81-5"),
            ("inchikey", "no such key"),
            ("cas:cas_number", "56-81-5"),
            ("id", str(uuid4())),
            ("id", str(public)),
            ("nothing", "x"),
        ]

        matches = MoleculeReader(database.reading(ANON)).lookup(wanted)

        assert [match.kind for match in matches] == ["cas:cas_number", "id"]

    def test_all_molecules_of_one_name_are_given(self, database: Database, world: World) -> None:
        matches = MoleculeReader(database.reading(world.caller)).lookup([("cas:cas_number", "56-81-5")])

        assert {match.id for match in matches} == world.molecules

    def test_nothing_wanted_is_nothing_found(self, database: Database) -> None:
        assert MoleculeReader(database.reading(ANON)).lookup([]) == []

    def test_a_key_that_is_none_is_invalid(self, database: Database) -> None:
        # In an empty table nothing is compared with it.
        with database.transaction(SERVICE) as session:
            MoleculeRepository(session).add(factories.new_molecule("glycerol"))

        with pytest.raises(InvalidError):
            MoleculeReader(database.reading(ANON)).lookup([("id", "not a key")])


def test_property_types_say_their_unit_and_kind(database: Database) -> None:
    types = MoleculeReader(database.reading(ANON)).property_types()

    assert (types["density"].unit, types["density"].value_kind) == ("kg/m3", "numeric")
    assert types["density_text"].unit is None
