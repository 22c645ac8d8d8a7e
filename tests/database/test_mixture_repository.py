"""Mixtures stored, found, changed and removed, and the rules that the database keeps for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
import pytest

from app.domain.callers import ANON, SERVICE, Caller
from app.domain.mixtures import Component
from app.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, StaleError
from database.listing import Detail, ListRequest, Shape, Sort
from database.repositories.mixtures import MIXTURES, MIXTURES_OF_MOLECULE, MixtureReader, MixtureRepository
from database.repositories.molecules import MoleculeRepository
from database.session import Database
from tests import factories
from tests.database.worlds import World, add_public_molecule, add_world
from tests.factories import component, new_mixture

WORK = Callable[[MixtureRepository], Any]


def _do(database: Database, caller: Caller, work: WORK) -> Any:
    with database.transaction(caller) as session:
        return work(MixtureRepository(session))


def _add(database: Database, caller: Caller, *components: Component | UUID, **changes: Any) -> UUID:
    mixture_id: UUID = _do(database, caller, lambda mixtures: mixtures.add(new_mixture(*components, **changes)))
    return mixture_id


def _get(database: Database, caller: Caller, mixture_id: UUID, shape: Shape | None = None) -> dict[str, Any]:
    document = MixtureReader(database.reading(caller)).get(mixture_id, shape or Shape(Detail.FULL))
    record: dict[str, Any] = orjson.loads(document.json)
    return record


def _names(database: Database, caller: Caller, request: ListRequest) -> list[str]:
    page = MixtureReader(database.reading(caller)).page(request)
    return [orjson.loads(document)["name"] for document in page.documents]


def _pointers(error: InvalidError) -> list[str]:
    return [fault.pointer for fault in error.faults]


@pytest.fixture
def world(admin: psycopg.Connection, emptied: None) -> World:
    """Give a user with three molecules and a mixture of one of them, shared with the user's project."""
    return add_world(admin)


@pytest.fixture
def glycerol(admin: psycopg.Connection, emptied: None) -> UUID:
    """Give a public molecule."""
    return add_public_molecule(admin)


@pytest.fixture
def dmso(admin: psycopg.Connection, emptied: None) -> UUID:
    """Give another one."""
    return add_public_molecule(admin, "dimethyl sulfoxide")


def _member(admin: psycopg.Connection, world: World, role: str) -> Caller:
    caller = factories.user()
    admin.execute("INSERT INTO user_profiles (id) VALUES (%s)", (caller.user_id,))
    statement = "INSERT INTO team_members (team_id, user_id, role) VALUES (%s, %s, %s)"
    admin.execute(statement, (world.team, caller.user_id, role))
    return caller


class TestAdding:
    """What is stored, and under whose name."""

    def test_a_mixture_is_stored_as_it_was_described(self, database: Database, glycerol: UUID, dmso: UUID) -> None:
        caller = factories.user()
        described = {"name": "VS", "description": "for veins", "solvent": "saline", "reference": "doi:10.1/x"}

        mixture_id = _add(database, caller, component(dmso, 3.1), component(glycerol, 12.5, "%w/v"), **described)

        record = _get(database, caller, mixture_id)
        assert {name: record[name] for name in described} == described
        assert (record["id"], record["version"], record["source"]) == (str(mixture_id), 1, None)
        assert (record["is_public"], record["project_id"], record["created_by"]) == (False, None, str(caller.user_id))
        assert record["components"] == [
            {
                "molecule_id": str(dmso),
                "name": "dimethyl sulfoxide",
                "inchikey": "IAZDPXIOMUYVGZ-UHFFFAOYSA-N",
                "amount": 3.1,
                "unit": "mol/L",
            },
            {
                "molecule_id": str(glycerol),
                "name": "glycerol",
                "inchikey": "PEDCQBHIVMGVHV-UHFFFAOYSA-N",
                "amount": 12.5,
                "unit": "%w/v",
            },
        ]

    def test_components_stay_in_the_order_in_which_they_were_stated(
        self, database: Database, glycerol: UUID, dmso: UUID
    ) -> None:
        for order in ([glycerol, dmso], [dmso, glycerol]):
            mixture_id = _add(database, SERVICE, *order)

            components = _get(database, SERVICE, mixture_id)["components"]
            assert [item["molecule_id"] for item in components] == [str(item) for item in order]

    def test_the_least_and_the_largest_amounts_come_back_as_they_were(self, database: Database, glycerol: UUID) -> None:
        for amount in (5e-324, 1.7976931348623157e308, 0.1 + 0.2):
            mixture_id = _add(database, SERVICE, component(glycerol, amount))

            assert _get(database, SERVICE, mixture_id)["components"][0]["amount"] == amount

    def test_the_services_mixtures_are_public_unless_it_says_otherwise(
        self, database: Database, glycerol: UUID
    ) -> None:
        public, hidden = _add(database, SERVICE, glycerol), _add(database, SERVICE, glycerol, is_public=False)

        assert _get(database, ANON, public)["is_public"]
        with pytest.raises(NotFoundError):
            _get(database, ANON, hidden)

    @pytest.mark.parametrize("role", ["owner", "editor"])
    def test_who_edits_a_project_adds_to_it(
        self, database: Database, admin: psycopg.Connection, world: World, role: str
    ) -> None:
        caller = _member(admin, world, role)

        mixture_id = _add(database, caller, world.shared, project_id=world.project)

        assert _get(database, world.caller, mixture_id)["project_id"] == str(world.project)

    def test_a_viewer_and_a_stranger_add_nothing_to_a_project(
        self, database: Database, admin: psycopg.Connection, world: World, glycerol: UUID
    ) -> None:
        for caller in (_member(admin, world, "viewer"), factories.user()):
            with pytest.raises(ForbiddenError, match="may not add to this project") as raised:
                _add(database, caller, glycerol, project_id=world.project)
            assert raised.value.faults[0].pointer == "/project_id"

    def test_only_an_owner_publishes(
        self, database: Database, admin: psycopg.Connection, world: World, glycerol: UUID
    ) -> None:
        refused: list[tuple[Caller, UUID | None]] = [
            (_member(admin, world, "editor"), world.project),
            (world.caller, None),
        ]
        for caller, project in refused:
            with pytest.raises(ForbiddenError, match="may publish") as raised:
                _add(database, caller, glycerol, project_id=project, is_public=True)
            assert raised.value.faults[0].pointer == "/is_public"

        published = _add(database, world.caller, glycerol, project_id=world.project, is_public=True)
        assert _get(database, ANON, published)["is_public"]


class TestRules:
    """What holds when the transaction ends."""

    def test_a_mixture_has_a_component(self, database: Database) -> None:
        with pytest.raises(InvalidError, match="at least one component") as raised:
            _add(database, SERVICE)
        assert _pointers(raised.value) == ["/components"]

    def test_a_molecule_stands_once(self, database: Database, glycerol: UUID) -> None:
        with pytest.raises(ConflictError, match="stands twice"):
            _add(database, SERVICE, glycerol, glycerol)

    @pytest.mark.parametrize(("amount", "unit"), [(60, "%w/w"), (60, "%v/v"), (0.6, "mole_fraction")])
    def test_shares_add_up_to_no_more_than_the_whole(
        self, database: Database, glycerol: UUID, dmso: UUID, amount: float, unit: str
    ) -> None:
        with pytest.raises(InvalidError, match="more than the whole") as raised:
            _add(database, SERVICE, component(glycerol, amount, unit), component(dmso, amount, unit))
        assert _pointers(raised.value) == ["/components"]

    @pytest.mark.parametrize("amount", [0.0, -1.0])
    def test_an_amount_is_positive(self, database: Database, glycerol: UUID, amount: float) -> None:
        with pytest.raises(InvalidError, match="positive"):
            _add(database, SERVICE, component(glycerol, amount))

    def test_a_public_mixture_has_no_private_molecule(self, database: Database, world: World) -> None:
        with pytest.raises(InvalidError, match="not visible to everybody") as raised:
            _add(database, world.caller, world.shared, project_id=world.project, is_public=True)
        assert _pointers(raised.value) == ["/components"]

    def test_a_projects_mixture_has_no_molecule_of_one_persons_own(self, database: Database, world: World) -> None:
        with pytest.raises(InvalidError, match="not visible to everybody"):
            _add(database, world.caller, world.own, project_id=world.project)

    def test_ones_own_mixture_has_any_molecule_that_one_sees(self, database: Database, world: World) -> None:
        mixture = _add(database, world.caller, world.own, world.shared, world.mixed)

        assert len(_get(database, world.caller, mixture)["components"]) == 3

    def test_the_rules_hold_for_changes_too(self, database: Database, world: World) -> None:
        mixture = _add(database, world.caller, world.own)

        with pytest.raises(InvalidError, match="not visible to everybody"):
            _do(database, world.caller, lambda all_: all_.change(mixture, {"project_id": world.project}, None))
        with pytest.raises(InvalidError, match="at least one component"):
            _do(database, world.caller, lambda all_: all_.put_components(mixture, ()))
        assert _get(database, world.caller, mixture)["version"] == 1

    def test_a_molecule_in_use_is_not_deleted(self, database: Database, world: World) -> None:
        with pytest.raises(ConflictError, match="still refer") as raised, database.transaction(world.caller) as session:
            MoleculeRepository(session).remove(world.mixed, None)
        assert str(world.mixture) not in str(vars(raised.value))


class TestChanging:
    """What changes, what stays, and why a change meets no row."""

    def test_only_what_is_named_changes(self, database: Database, glycerol: UUID) -> None:
        caller = factories.user()
        mixture = _add(database, caller, glycerol, description="old", reference="doi:10.1/x")
        before = _get(database, caller, mixture)

        _do(database, caller, lambda all_: all_.change(mixture, {"name": "new", "description": None}, 1))

        after = _get(database, caller, mixture)
        assert (after["name"], after["description"], after["version"]) == ("new", None, 2)
        same = before.keys() - {"name", "description", "version", "updated_at"}
        assert {name: after[name] for name in same} == {name: before[name] for name in same}

    def test_components_take_the_place_of_all_and_raise_the_version(
        self, database: Database, glycerol: UUID, dmso: UUID
    ) -> None:
        mixture = _add(database, SERVICE, glycerol)

        def put(mixtures: MixtureRepository) -> None:
            mixtures.touch(mixture, 1)
            mixtures.put_components(mixture, [component(dmso, 1.0), component(glycerol, 2.0)])

        _do(database, SERVICE, put)

        record = _get(database, SERVICE, mixture)
        assert [item["amount"] for item in record["components"]] == [1.0, 2.0]
        assert record["version"] == 2

    @pytest.mark.parametrize(
        "work",
        [
            lambda mixtures, key, version: mixtures.change(key, {"name": "x"}, version),
            lambda mixtures, key, version: mixtures.touch(key, version),
            lambda mixtures, key, version: mixtures.remove(key, version),
        ],
        ids=["change", "touch", "remove"],
    )
    def test_unseen_goes_before_not_permitted_before_stale(
        self, database: Database, admin: psycopg.Connection, world: World, work: Callable[..., None]
    ) -> None:
        viewer, stranger = _member(admin, world, "viewer"), factories.user()

        for caller, version, expected in (
            (stranger, 7, NotFoundError),
            (stranger, None, NotFoundError),
            (viewer, 7, ForbiddenError),
            (viewer, None, ForbiddenError),
            (world.caller, 7, StaleError),
        ):
            with pytest.raises(expected), database.transaction(caller) as session:
                work(MixtureRepository(session), world.mixture, version)
        with pytest.raises(NotFoundError):
            _do(database, world.caller, lambda all_: work(all_, uuid4(), 1))
        _do(database, world.caller, lambda all_: work(all_, world.mixture, 2))

    def test_an_editor_changes_but_does_not_delete(
        self, database: Database, admin: psycopg.Connection, world: World
    ) -> None:
        editor = _member(admin, world, "editor")
        mixture = _add(database, world.caller, world.shared, project_id=world.project)

        _do(database, editor, lambda all_: all_.change(mixture, {"name": "ours"}, 1))
        with pytest.raises(ForbiddenError):
            _do(database, editor, lambda all_: all_.remove(mixture, 2))

        assert _get(database, world.caller, mixture)["name"] == "ours"

    def test_a_mixture_is_removed_with_its_components(
        self, database: Database, admin: psycopg.Connection, world: World
    ) -> None:
        _do(database, world.caller, lambda all_: all_.remove(world.mixture, None))

        assert admin.execute("SELECT count(*) FROM mixture_components").fetchone() == (0,)
        assert admin.execute("SELECT count(*) FROM project_mixtures").fetchone() == (0,)


class TestFinding:
    """Lists, for the eyes of each caller."""

    def test_each_level_of_detail_shows_more(self, database: Database, glycerol: UUID) -> None:
        mixture = _add(database, SERVICE, glycerol)
        shown = [set(_get(database, ANON, mixture, Shape(detail))) for detail in Detail]

        assert shown[0] == {"id", "name"}
        assert shown[1] - shown[0] >= {"components", "solvent", "version"}
        assert shown[2] - shown[1] == {"source"}
        assert {item.name for item in MIXTURES.fields} <= shown[1]

    def test_a_search_finds_names_and_descriptions_that_the_caller_sees(
        self, database: Database, world: World, glycerol: UUID
    ) -> None:
        _add(database, world.caller, glycerol, name="Plum", description="for kidneys")
        _add(database, SERVICE, glycerol, name="Pear", description="for kidneys")

        for caller, found in ((ANON, ["Pear"]), (factories.user(), ["Pear"]), (world.caller, ["Pear", "Plum"])):
            assert _names(database, caller, ListRequest(query="kidneys", order=(Sort("name"),))) == found
        assert _names(database, world.caller, ListRequest(query="plum")) == ["Plum"]

    def test_the_mixtures_of_a_molecule_are_those_that_the_caller_sees(
        self, database: Database, world: World, glycerol: UUID, dmso: UUID
    ) -> None:
        _add(database, SERVICE, glycerol, dmso, name="public")
        _add(database, world.caller, glycerol, name="hers")
        _add(database, SERVICE, dmso, name="another")
        request = ListRequest(within=(MIXTURES_OF_MOLECULE, glycerol), order=(Sort("name"),))

        assert _names(database, ANON, request) == ["public"]
        assert _names(database, world.caller, request) == ["hers", "public"]
        page = MixtureReader(database.reading(world.caller)).page(request, "exact")
        assert page.count == 2

    def test_a_molecule_that_is_not_seen_has_no_list_not_even_an_empty_one(
        self, database: Database, world: World
    ) -> None:
        for caller in (ANON, factories.user()):
            with pytest.raises(NotFoundError, match=f"no molecule {world.mixed} is visible"):
                _names(database, caller, ListRequest(within=(MIXTURES_OF_MOLECULE, world.mixed)))
        assert len(_names(database, world.caller, ListRequest(within=(MIXTURES_OF_MOLECULE, world.mixed)))) == 1
        assert _names(database, world.caller, ListRequest(within=(MIXTURES_OF_MOLECULE, world.own))) == []

    def test_who_left_a_project_sees_in_a_mixture_no_more_than_the_key_of_its_molecule(
        self, database: Database, admin: psycopg.Connection, world: World
    ) -> None:
        editor = _member(admin, world, "editor")
        mixture = _add(database, editor, world.shared)

        admin.execute("DELETE FROM team_members WHERE user_id = %s", (editor.user_id,))

        (shown,) = _get(database, editor, mixture)["components"]
        assert (shown["molecule_id"], shown["name"], shown["inchikey"]) == (str(world.shared), None, None)
