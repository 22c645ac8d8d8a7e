"""Deduplication: the best of what says the same stays with all that referred to the others, and nothing else changes.

The tables' own constraints forbid most of it, so these tests have a database without the ones that do: what an index
that was broken or dropped for a load would leave behind.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from uuid import UUID, uuid4

import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg import sql
from stamina.instrumentation import get_on_retry_hooks, set_on_retry_hooks

from app.cli.db import db
from app.errors import UnavailableError
from database import migrate
from database.errors import DatabaseRefusal
from database.maintenance.deduplicate.references import FOLLOWING, REFERENCES, REFERENCES_SQL
from database.maintenance.deduplicate.repeats import OWN_PARTS
from database.maintenance.deduplicate.run import Choice, Report, deduplicate
from database.session import Database
from database.urls import DatabaseUrls
from tests import factories
from tests.database.clones import migrated_database
from tests.database.rows import (
    add,
    add_experiment,
    add_mixture,
    add_molecule,
    add_scene,
    component,
    insert,
    result,
)
from tests.database.worlds import add_references
from tests.plugins.database import SECRET, open_database

UNKEY_SQL = """
DROP INDEX public.molecules_inchikey_public_key, public.molecules_project_id_inchikey_key,
    public.molecules_created_by_inchikey_key;
ALTER TABLE public.molecule_identifiers
    DROP CONSTRAINT molecule_identifiers_source_kind_external_id_molecule_id_key;
ALTER TABLE public.predictions DROP CONSTRAINT predictions_subject_property_type_method_id_inputs_hash_key;
"""
_T = TypeVar("_T")
DAY = dt.timedelta(days=1)
MOMENT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
SALT = "CCCCCCCCCCCCCC-UHFFFAOYSA-N"


@pytest.fixture(scope="module")
def urls(server_url: str, urls: DatabaseUrls) -> Iterator[DatabaseUrls]:
    """Give the URLs of a database without the constraints that forbid what is to be found."""
    with migrated_database(server_url, urls, "deduplicate") as own:
        with psycopg.connect(own.admin, autocommit=True) as admin:
            admin.execute(UNKEY_SQL)
        yield own


@pytest.fixture(scope="module")
def _own(urls: DatabaseUrls) -> Iterator[Database]:
    database = open_database(urls)
    yield database
    database.close()


@pytest.fixture
def database(_own: Database, emptied: None) -> Database:
    """Give the database layer on tables that are empty before and after."""
    return _own


def _ids(admin: psycopg.Connection, table: str, column: str = "id") -> set[UUID]:
    statement = sql.SQL("SELECT {} FROM public.{}").format(sql.Identifier(column), sql.Identifier(table))
    return {row[0] for row in admin.execute(statement).fetchall()}


def _all_rows(admin: psycopg.Connection) -> dict[str, list[Any]]:
    tables = admin.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'")
    statement = sql.SQL("SELECT to_jsonb(t) FROM public.{} AS t ORDER BY to_jsonb(t)::text")
    return {name: admin.execute(statement.format(sql.Identifier(name))).fetchall() for (name,) in tables.fetchall()}


def _set(admin: psycopg.Connection, table: str, record: UUID, **values: object) -> None:
    """Change columns past the triggers, as time or a load would have set them."""
    admin.execute("SET session_replication_role = replica")
    for column, value in values.items():
        statement = sql.SQL("UPDATE public.{} SET {} = %s WHERE id = %s")
        admin.execute(statement.format(sql.Identifier(table), sql.Identifier(column)), (value, record))
    admin.execute("RESET session_replication_role")


def _figures(report: Report) -> dict[str, tuple[int, int, int, int]]:
    """Return groups, removed, moved and conflicts of each table where there is any."""
    figures = {row.table: (row.groups, row.removed, row.moved, row.conflicts) for row in report.tables}
    return {table: found for table, found in figures.items() if any(found)}


def _finds_nothing_again(database: Database, choice: Choice | None = None) -> bool:
    return _figures(deduplicate(database, choice or Choice())) == {}


def _user(admin: psycopg.Connection) -> UUID:
    user = uuid4()
    add(admin, "user_profiles", id=user)
    return user


def _doubled(admin: psycopg.Connection, name: str = "glycerol", **values: Any) -> tuple[UUID, UUID]:
    """Store a molecule twice and return the record that is the better one, and the other."""
    other, better = (add_molecule(admin, name, **values) for _ in range(2))
    add(admin, "molecule_identifiers", molecule_id=better, source="cas", kind="cas_number", external_id=f"cas {name}")
    return better, other


def _refer(admin: psycopg.Connection, molecule: UUID) -> dict[str, UUID]:
    """Store something of every kind that refers to the public molecule, and return the references' keys."""
    references = add_references(admin)
    other = add_molecule(admin, "methanol", is_public=True)
    keys = references | {
        "mixture": add_mixture(admin, molecule, other, is_public=True),
        "experiment": add_experiment(admin, molecule_id=molecule, is_public=True),
        "involving": add_experiment(admin, involved=(molecule,), molecule_id=other, is_public=True),
        "protein": uuid4(),
    }
    add(admin, "proteins", id=keys["protein"], name="protein")
    add(admin, "molecule_proteins", molecule_id=molecule, protein_id=keys["protein"], source="chembl")
    _add_prediction(admin, references, molecule_id=molecule)
    _add_toxicity(admin, references, molecule)
    scene = add_scene(admin)
    add(admin, "project_molecules", project_id=scene.home, molecule_id=molecule)
    return keys


def _add_prediction(admin: psycopg.Connection, references: dict[str, UUID], **changes: object) -> UUID:
    values: dict[str, object] = {
        "id": uuid4(),
        "property_type": "density",
        "method_id": references["method"],
        "value": 1.0,
        "unit": "kg/m3",
        "in_domain": True,
        "inputs_hash": "0" * 64,
    }
    add(admin, "predictions", **values | changes)
    return UUID(str((values | changes)["id"]))


def _add_toxicity(admin: psycopg.Connection, references: dict[str, UUID], molecule: UUID, **changes: object) -> UUID:
    values: dict[str, object] = {
        "id": uuid4(),
        "molecule_id": molecule,
        "assay_id": references["assay"],
        "endpoint_id": references["endpoint"],
        "hit_call": "active",
    }
    add(admin, "toxicity_results", **values | changes)
    return UUID(str((values | changes)["id"]))


def _add_property(admin: psycopg.Connection, molecule: UUID, **changes: object) -> UUID:
    values: dict[str, object] = {
        "id": uuid4(),
        "molecule_id": molecule,
        "property_type": "melting_point",
        "numeric_value": 291.0,
        "unit": "K",
    }
    add(admin, "molecular_properties", **values | changes)
    return UUID(str((values | changes)["id"]))


def _contradict(admin: psycopg.Connection, first: UUID, second: UUID) -> None:
    """Let one source state two affinities of what may turn out to be one molecule: the table takes one of them."""
    protein = uuid4()
    add(admin, "proteins", id=protein, name="protein")
    for molecule, affinity in ((first, 3.0), (second, 7.0)):
        measured = {"affinity_type": "Ki", "affinity": affinity, "affinity_unit": "nmol/L", "source": "chembl"}
        add(admin, "molecule_proteins", molecule_id=molecule, protein_id=protein, **measured)


class TestReferences:
    """Nothing that refers to a record is forgotten."""

    def test_every_column_that_refers_to_a_record_is_known(self, admin: psycopg.Connection) -> None:
        known = {"public.molecules": set(FOLLOWING.union(REFERENCES))} | {
            table: set(parts) for table, parts in OWN_PARTS.items()
        }

        for table, columns in known.items():
            assert set(admin.execute(REFERENCES_SQL.encode(), {"table": table}).fetchall()) == columns, table

    def test_a_column_that_is_not_known_stops_the_command(self, database: Database, admin: psycopg.Connection) -> None:
        _doubled(admin, is_public=True)
        admin.execute(
            "CREATE TABLE public.newcomers (molecule uuid REFERENCES public.molecules (id) ON DELETE CASCADE)"
        )
        try:
            with pytest.raises(DatabaseRefusal, match=r"public\.newcomers\.molecule"):
                deduplicate(database, Choice())
        finally:
            admin.execute("DROP TABLE public.newcomers")

        assert len(_ids(admin, "molecules")) == 2

    def test_all_that_refers_to_a_record_refers_to_the_one_that_stays(
        self, database: Database, admin: psycopg.Connection
    ) -> None:
        kept, gone = _doubled(admin, is_public=True)
        keys = _refer(admin, gone)

        report = deduplicate(database, Choice())

        assert gone not in _ids(admin, "molecules")
        for table, column in REFERENCES:
            assert kept in _ids(admin, table.removeprefix("public."), column), table
        # Its synonym and its density stood with the other one as well.
        assert _figures(report) == {
            "molecules": (1, 1, 7, 0),
            "molecule_identifiers": (0, 1, 0, 0),
            "molecular_properties": (0, 1, 0, 0),
        }
        versions = {
            table: admin.execute(
                sql.SQL("SELECT version FROM public.{} WHERE id = %s").format(sql.Identifier(table)), (record,)
            ).fetchone()
            for table, record in (
                ("mixtures", keys["mixture"]),
                ("experiments", keys["involving"]),
                ("molecules", kept),
            )
        }
        assert versions == {"mixtures": (2,), "experiments": (2,), "molecules": (2,)}
        assert _finds_nothing_again(database)

    def test_the_audit_log_has_all_of_it_with_its_actor(self, database: Database, admin: psycopg.Connection) -> None:
        kept, gone = _doubled(admin, is_public=True)
        mixture = add_mixture(admin, gone, is_public=True)

        report = deduplicate(database, Choice())

        entries = admin.execute(
            """
            SELECT table_name, action, role, resource_id, before ->> 'molecule_id', after ->> 'molecule_id'
            FROM public.audit_log WHERE request_id = %s ORDER BY id
            """,
            (report.request_id,),
        ).fetchall()
        assert ("mixture_components", "update", "service_role", mixture, str(gone), str(kept)) in entries
        assert ("molecules", "delete", "service_role", gone, None, None) in entries


class TestMolecules:
    """Several records of one structure."""

    def test_of_several_records_the_one_with_more_verified_facts_stays(
        self, database: Database, admin: psycopg.Connection
    ) -> None:
        fuller = add_molecule(admin, is_public=True)
        for number in range(3):
            _add_property(admin, fuller, verified=False, reference=f"source {number}")
        surer = add_molecule(admin, is_public=True)
        _add_property(admin, surer)
        newer = add_molecule(admin, is_public=True)

        report = deduplicate(database, Choice())

        assert _ids(admin, "molecules") == {surer}
        assert fuller != newer
        assert _figures(report)["molecules"] == (1, 2, 3, 0)

    def test_of_two_alike_the_newer_stays_and_is_found_by_both_names(
        self, database: Database, admin: psycopg.Connection
    ) -> None:
        older, newer = (add_molecule(admin, is_public=True) for _ in range(2))
        _set(admin, "molecules", older, name="glycerine", created_at=MOMENT)

        deduplicate(database, Choice())

        assert _ids(admin, "molecules") == {newer}
        assert {"glycerine", "glycerol"} == _ids(admin, "molecule_identifiers", "external_id")

    def test_nobodys_private_record_is_another_ones(self, database: Database, admin: psycopg.Connection) -> None:
        scene = add_scene(admin)
        alice, bob = _user(admin), _user(admin)
        places: list[dict[str, Any]] = [
            {"is_public": True},
            {"created_by": alice},
            {"created_by": bob},
            {"project_id": scene.home, "created_by": alice},
            {"project_id": scene.guest, "created_by": alice},
        ]
        alone = {add_molecule(admin, **place) for place in places}
        before = _all_rows(admin)

        assert _finds_nothing_again(database, Choice(by_parent=True, parents=(_parent(),)))
        assert _all_rows(admin) == before

        doubles = {add_molecule(admin, **place) for place in places}
        report = deduplicate(database, Choice())

        left = admin.execute("SELECT is_public, project_id, created_by FROM public.molecules").fetchall()
        wanted = [(p.get("is_public", False), p.get("project_id"), p.get("created_by")) for p in places]
        assert sorted(map(str, left)) == sorted(map(str, wanted))
        assert _figures(report)["molecules"][:2] == (5, 5)
        assert _ids(admin, "molecules") <= alone | doubles

    def test_what_is_shared_with_different_projects_is_left_and_reported(
        self, database: Database, admin: psycopg.Connection
    ) -> None:
        scene, alice = add_scene(admin), _user(admin)
        better, other = _doubled(admin, created_by=alice)
        add(admin, "project_molecules", project_id=scene.guest, molecule_id=other)

        report = deduplicate(database, Choice())

        assert _ids(admin, "molecules") == {better, other}
        assert [(c.table, set(c.records), c.reason) for c in report.conflicts] == [
            ("molecules", {better, other}, "they are shared with different projects")
        ]
        add(admin, "project_molecules", project_id=scene.guest, molecule_id=better)
        assert deduplicate(database, Choice()).conflicts == []
        assert _ids(admin, "molecules") == {better}
        assert _ids(admin, "project_molecules", "molecule_id") == {better}

    @pytest.mark.parametrize("same_owner", [True, False])
    def test_a_share_opens_no_other_owners_record(
        self, database: Database, admin: psycopg.Connection, *, same_owner: bool
    ) -> None:
        scene, alice, bob = add_scene(admin), _user(admin), _user(admin)
        kept = add_molecule(admin, is_public=True, created_by=alice)
        _add_property(admin, kept)
        gone = add_molecule(admin, is_public=True, created_by=alice if same_owner else bob)
        add(admin, "project_molecules", project_id=scene.guest, molecule_id=gone)
        version = "SELECT version FROM public.projects WHERE id = %s"
        before = admin.execute(version, (scene.guest,)).fetchall()[0][0]

        deduplicate(database, Choice())

        shares = admin.execute("SELECT project_id, molecule_id, opens FROM public.project_molecules").fetchall()
        assert shares == [(scene.guest, kept, same_owner)]
        assert admin.execute(version, (scene.guest,)).fetchall() == [(before + 1,)]
        admin.execute("UPDATE public.molecules SET is_public = false")

        acl = [alice, scene.guest] if same_owner else [alice]
        assert admin.execute("SELECT id, acl FROM public.molecules").fetchall() == [(kept, acl)]

    def test_a_mixture_has_the_molecule_once_with_the_sum_of_its_amounts(
        self, database: Database, admin: psycopg.Connection
    ) -> None:
        kept, gone = _doubled(admin, is_public=True)
        mixture = add_mixture(admin, kept, gone)

        report = deduplicate(database, Choice())

        components = admin.execute("SELECT mixture_id, molecule_id, amount, unit FROM public.mixture_components")
        assert components.fetchall() == [(mixture, kept, 4.6, "mol/L")]
        assert _figures(report)["mixture_components"] == (0, 1, 0, 0)

    def test_two_that_go_are_added_up_in_a_mixture_without_the_one_that_stays(
        self, database: Database, admin: psycopg.Connection
    ) -> None:
        kept, first = _doubled(admin, is_public=True)
        second = add_molecule(admin, is_public=True)
        add_mixture(admin, first, second)

        deduplicate(database, Choice())

        components = admin.execute("SELECT molecule_id, amount FROM public.mixture_components")
        assert components.fetchall() == [(kept, 4.6)]

    def test_units_that_cannot_be_added_up_are_left_and_reported(
        self, database: Database, admin: psycopg.Connection
    ) -> None:
        better, other = _doubled(admin, is_public=True)
        mixture = add_mixture(admin, better)
        table, columns = component(mixture, other, 10, "%w/w")
        add(admin, table, **columns)
        before = admin.execute("SELECT * FROM public.mixture_components ORDER BY unit").fetchall()

        report = deduplicate(database, Choice())

        assert admin.execute("SELECT * FROM public.mixture_components ORDER BY unit").fetchall() == before
        assert _figures(report) == {"molecules": (1, 0, 0, 1)}
        assert str(mixture) in report.conflicts[0].reason

    def test_what_the_database_refuses_is_left_alone_and_hinders_no_other_group(
        self, database: Database, admin: psycopg.Connection
    ) -> None:
        better, other = _doubled(admin, is_public=True)
        fine, _ = _doubled(admin, "formamide", is_public=True)
        _contradict(admin, better, other)

        report = deduplicate(database, Choice())

        assert _ids(admin, "molecules") == {better, other, fine}
        assert [conflict.label for conflict in report.conflicts] == [factories.known_structure("glycerol").inchikey]
        assert "molecule_proteins_molecule_id_protein_id_source_record_key" in report.conflicts[0].reason

    def test_the_scores_are_those_of_the_results_that_moved(
        self, database: Database, admin: psycopg.Connection
    ) -> None:
        kept, gone = _doubled(admin, is_public=True)
        _add_toxicity(admin, add_references(admin), gone)
        scored = "SELECT molecule_id, endpoint, cell_type, score FROM public.toxicity_scores ORDER BY 2, 3"
        before = admin.execute(scored).fetchall()

        deduplicate(database, Choice())

        assert before
        assert admin.execute(scored).fetchall() == [(kept, *rest) for _, *rest in before]


def _parent() -> str:
    inchikey = factories.known_structure("glycerol").inchikey
    assert inchikey is not None
    return inchikey


def _add_forms(admin: psycopg.Connection, **values: Any) -> tuple[UUID, UUID]:
    """Store a molecule and what passes for a salt of it, with more facts, and return both."""
    parent, salt = add_molecule(admin, **values), add_molecule(admin, **values)
    _set(admin, "molecules", salt, inchikey=SALT)
    _add_property(admin, salt)
    return parent, salt


class TestParents:
    """Salts and hydrates are molecules of their own until somebody says otherwise."""

    def test_forms_of_one_parent_are_listed_and_left(self, database: Database, admin: psycopg.Connection) -> None:
        parent, salt = _add_forms(admin, is_public=True)
        before = _all_rows(admin)

        silent, report = deduplicate(database, Choice()), deduplicate(database, Choice(by_parent=True))

        assert silent.parents == []
        assert [(group.label, group.ids) for group in report.parents] == [(_parent(), (parent, salt))]
        assert _figures(report) == {}
        assert report.conflicts == []
        assert _all_rows(admin) == before

    def test_only_the_parents_that_are_named_take_their_forms_in(
        self, database: Database, admin: psycopg.Connection
    ) -> None:
        parent, salt = _add_forms(admin, is_public=True)
        add_mixture(admin, salt)

        deduplicate(database, Choice(by_parent=True, parents=("AAAAAAAAAAAAAA-UHFFFAOYSA-N",)))
        assert _ids(admin, "molecules") == {parent, salt}

        report = deduplicate(database, Choice(by_parent=True, parents=(_parent(),)))
        assert _ids(admin, "molecules") == {parent}
        assert _ids(admin, "mixture_components", "molecule_id") == {parent}
        assert report.parents == []

    def test_a_form_by_its_own_mass_is_not_taken_for_the_parents(
        self, database: Database, admin: psycopg.Connection
    ) -> None:
        parent, salt = _add_forms(admin, is_public=True)
        mixture = uuid4()
        with admin.transaction():
            add(admin, "mixtures", id=mixture, name="mixture")
            table, columns = component(mixture, salt, 10, "g/L")
            add(admin, table, **columns)

        report = deduplicate(database, Choice(parents=(_parent(),)))

        assert _ids(admin, "molecules") == {parent, salt}
        assert [conflict.table for conflict in report.conflicts] == ["molecules"]


class TestIdentifiers:
    """A register's number stands once with a molecule, and with one molecule."""

    def test_of_one_that_stands_twice_the_verified_one_stays(
        self, database: Database, admin: psycopg.Connection
    ) -> None:
        molecule = add_molecule(admin)
        for verified in (True, False):
            number = {"source": "cas", "kind": "cas_number", "external_id": "56-81-5", "verified": verified}
            add(admin, "molecule_identifiers", molecule_id=molecule, **number)

        report = deduplicate(database, Choice())

        found = admin.execute("SELECT verified FROM public.molecule_identifiers WHERE source = 'cas'").fetchall()
        assert found == [(True,)]
        assert _figures(report) == {"molecule_identifiers": (1, 1, 0, 0)}
        assert _finds_nothing_again(database)

    def test_one_number_on_several_molecules_is_reported_and_left(
        self, database: Database, admin: psycopg.Connection
    ) -> None:
        alice = _user(admin)
        molecules = [add_molecule(admin, name, is_public=True) for name in ("glycerol", "methanol")]
        own = add_molecule(admin, created_by=alice)
        for molecule in (*molecules, own):
            for source, kind in (("cas", "cas_number"), ("name", "synonym")):
                number = {"source": source, "kind": kind, "external_id": "56-81-5"}
                add(admin, "molecule_identifiers", molecule_id=molecule, **number)

        report = deduplicate(database, Choice())

        assert [(c.label, set(c.records)) for c in report.conflicts] == [("cas cas_number 56-81-5", set(molecules))]
        assert _figures(report) == {"molecule_identifiers": (0, 0, 0, 1)}


class TestProperties:
    """A value goes where another of the same source says all that it says."""

    @pytest.mark.parametrize(
        ("first", "second", "stays"),
        [
            ({}, {"method": "DSC"}, "second"),
            ({"reference": "Smith"}, {"reference": "Smith", "standard_uncertainty": 0.5}, "second"),
            ({"verified": False}, {"method": "DSC"}, "second"),
            ({"method": "DSC"}, {"method": "visual"}, "both"),
            ({}, {"reference": "Smith"}, "both"),
            ({"reference": "Jones"}, {"reference": "Smith"}, "both"),
            ({}, {"numeric_value": 291.1, "method": "DSC"}, "both"),
            ({}, {"property_type": "density", "method": "DSC"}, "both"),
            # The verified one ranks first, but does not say how it was measured.
            ({}, {"method": "DSC", "verified": False}, "both"),
            ({"method": "DSC"}, {"standard_uncertainty": 0.5}, "both"),
        ],
    )
    def test_of_two_values(
        self,
        database: Database,
        admin: psycopg.Connection,
        first: dict[str, object],
        second: dict[str, object],
        stays: str,
    ) -> None:
        molecule = add_molecule(admin)
        admin.execute("DELETE FROM public.molecular_properties")
        one, other = _add_property(admin, molecule, **first), _add_property(admin, molecule, **second)

        report = deduplicate(database, Choice())

        assert _ids(admin, "molecular_properties") == ({other} if stays == "second" else {one, other})
        assert _figures(report) == ({"molecular_properties": (1, 1, 0, 0)} if stays == "second" else {})
        assert _finds_nothing_again(database)

    def test_two_sources_that_agree_both_stay(self, database: Database, admin: psycopg.Connection) -> None:
        molecule = add_molecule(admin)
        for name, method in (("ChEMBL", None), ("PubChem", "DSC")):
            source, run = uuid4(), uuid4()
            add(admin, "data_sources", id=source, name=name)
            add(admin, "import_runs", id=run, data_source_id=source)
            _add_property(admin, molecule, import_run_id=run, method=method)

        assert _finds_nothing_again(database)


class TestExperiments:
    """The same experiment stored twice."""

    @pytest.mark.parametrize(
        ("changes", "is_repeat"),
        [
            ({}, True),
            ({"name": "tried again"}, True),
            ({"notes": "in full"}, True),
            ({"protocol": "another"}, False),
            ({"conditions": '{"rate_k_min": 2}'}, False),
            ({"started_at": MOMENT + DAY}, False),
            ({"completed_at": MOMENT + DAY}, False),
            ({"outcome": "inconclusive"}, False),
        ],
        ids=str,
    )
    def test_what_differs_makes_two_of_them(
        self, database: Database, admin: psycopg.Connection, changes: dict[str, Any], *, is_repeat: bool
    ) -> None:
        told: dict[str, Any] = {"molecule_id": add_molecule(admin), "protocol": "slow", "started_at": MOMENT}
        first = add_experiment(admin, **told)
        second = add_experiment(admin, **told | changes)

        report = deduplicate(database, Choice())

        assert _ids(admin, "experiments") == ({second} if is_repeat else {first, second})
        assert _figures(report) == ({"experiments": (1, 1, 0, 0)} if is_repeat else {})
        assert _finds_nothing_again(database)

    def test_another_result_reason_molecule_or_maker_makes_another_experiment(
        self, database: Database, admin: psycopg.Connection
    ) -> None:
        molecule, further = add_molecule(admin), add_molecule(admin, "methanol")
        add_experiment(admin, molecule_id=molecule)
        add_experiment(admin, molecule_id=molecule, involved=(further,))
        add_experiment(admin, molecule_id=molecule, created_by=_user(admin))
        more = add_experiment(admin, molecule_id=molecule)
        table, columns = result(more, position=1, value=0.1)
        add(admin, table, **columns)
        reason = add_experiment(admin, molecule_id=molecule)
        add(admin, "experiment_failures", experiment_id=reason, reason="cracks", position=1)

        assert _finds_nothing_again(database)
        assert len(_ids(admin, "experiments")) == 5

    def test_records_that_their_source_tells_apart_stay(self, database: Database, admin: psycopg.Connection) -> None:
        molecule, source = add_molecule(admin), uuid4()
        add(admin, "data_sources", id=source, name="source")
        for record in ("1", "2"):
            add_experiment(admin, molecule_id=molecule, data_source_id=source, source_record=record)

        assert _finds_nothing_again(database)

    def test_the_verified_one_stays_though_the_other_is_newer(
        self, database: Database, admin: psycopg.Connection
    ) -> None:
        molecule = add_molecule(admin)
        seen = add_experiment(admin, molecule_id=molecule, certainty="seen")
        add_experiment(admin, molecule_id=molecule, certainty="memory", verified=False)

        deduplicate(database, Choice())

        assert _ids(admin, "experiments") == {seen}

    def test_what_was_done_with_two_records_of_a_molecule_is_then_seen_to_be_the_same(
        self, database: Database, admin: psycopg.Connection
    ) -> None:
        kept, gone = _doubled(admin, is_public=True)
        for molecule in (kept, gone):
            add_experiment(admin, molecule_id=molecule, is_public=True)

        report = deduplicate(database, Choice())

        assert _figures(report)["experiments"] == (1, 1, 0, 0)
        assert _finds_nothing_again(database)


class TestPredictions:
    """The same model asked the same."""

    def test_the_newer_of_two_stays_and_other_inputs_are_another_prediction(
        self, database: Database, admin: psycopg.Connection
    ) -> None:
        references, molecule = add_references(admin), add_molecule(admin)
        mixture = add_mixture(admin, molecule)
        for subject in ({"molecule_id": molecule}, {"mixture_id": mixture}):
            older = _add_prediction(admin, references, **subject)
            newer = _add_prediction(admin, references, **subject, value=2.0)
            other = _add_prediction(admin, references, **subject, inputs_hash="1" * 64)

            report = deduplicate(database, Choice())

            assert {newer, other} <= _ids(admin, "predictions")
            assert older not in _ids(admin, "predictions")
            assert _figures(report) == {"predictions": (1, 1, 0, 0)}
            assert _finds_nothing_again(database)


class TestToxicity:
    """The same value again, within a while."""

    @pytest.mark.parametrize(
        ("changes", "apart", "left"),
        [
            ({}, 29 * DAY, 1),
            ({}, 31 * DAY, 2),
            ({"source_record": "r1"}, DAY, 1),
            ({"reference": "Smith"}, DAY, 1),
            ({"hit_call": "inactive"}, DAY, 2),
            ({"cell_type": "HepG2"}, DAY, 2),
            ({"flags": ["noisy"]}, DAY, 2),
        ],
        ids=str,
    )
    def test_of_two_values(
        self,
        database: Database,
        admin: psycopg.Connection,
        changes: dict[str, object],
        apart: dt.timedelta,
        left: int,
    ) -> None:
        references, molecule = add_references(admin), add_molecule(admin)
        _add_toxicity(admin, references, molecule, created_at=MOMENT)
        better = _add_toxicity(admin, references, molecule, created_at=MOMENT + apart, **changes)

        deduplicate(database, Choice())

        assert better in _ids(admin, "toxicity_results")
        assert len(_ids(admin, "toxicity_results")) == left
        assert _finds_nothing_again(database)

    def test_the_window_is_as_long_as_said_and_goes_from_one_to_the_next(
        self, database: Database, admin: psycopg.Connection
    ) -> None:
        references, molecule = add_references(admin), add_molecule(admin)
        for day in (0, 5, 10, 30):
            _add_toxicity(admin, references, molecule, created_at=MOMENT + day * DAY)

        deduplicate(database, Choice(window_days=4))
        assert len(_ids(admin, "toxicity_results")) == 4

        deduplicate(database, Choice(window_days=5))
        left = admin.execute("SELECT created_at FROM public.toxicity_results ORDER BY 1").fetchall()
        assert left == [(MOMENT + 10 * DAY,), (MOMENT + 30 * DAY,)]
        assert _finds_nothing_again(database, Choice(window_days=5))

    def test_two_records_of_a_source_are_two_replicates(self, database: Database, admin: psycopg.Connection) -> None:
        references, molecule = add_references(admin), add_molecule(admin)
        for record in ("r1", "r2"):
            _add_toxicity(admin, references, molecule, source_record=record)

        assert _finds_nothing_again(database)


def _add_some_of_each(admin: psycopg.Connection) -> None:
    kept, gone = _doubled(admin, is_public=True)
    keys = _refer(admin, gone)
    add_mixture(admin, kept, gone)
    for molecule in (kept, gone):
        add_experiment(admin, molecule_id=molecule, protocol="slow", is_public=True)
        _add_prediction(admin, keys, molecule_id=molecule, inputs_hash="2" * 64)
        _add_property(admin, molecule, method="DSC" if molecule is gone else None)
        _add_toxicity(admin, keys, molecule)
    better, other = _doubled(admin, "formamide", is_public=True)
    mixture = add_mixture(admin, better)
    table, columns = component(mixture, other, 10, "%w/w")
    add(admin, table, **columns)
    _contradict(admin, *_doubled(admin, "methanol", is_public=True))


def test_a_dry_run_tells_what_a_run_does_and_changes_nothing(database: Database, admin: psycopg.Connection) -> None:
    _add_some_of_each(admin)
    before = _all_rows(admin)

    foretold = deduplicate(database, Choice(dry_run=True))
    untouched = _all_rows(admin)
    done = deduplicate(database, Choice())

    assert untouched == before
    assert (foretold.tables, foretold.conflicts) == (done.tables, done.conflicts)
    assert not foretold.changed
    assert done.changed
    assert {"molecules", "molecular_properties", "experiments", "predictions", "toxicity_results"} <= set(
        _figures(done)
    )
    again = deduplicate(database, Choice())
    assert _figures(again) == {"molecules": (2, 0, 0, 2)}


def test_more_groups_than_a_page_holds_are_all_worked_off(database: Database, admin: psycopg.Connection) -> None:
    admin.execute(
        """
        INSERT INTO public.molecules (
            name, canonical_smiles, inchi, inchikey, parent_inchikey, formula, molar_mass_g_mol, is_public
        )
        SELECT 'molecule ' || n, 'C', 'InChI=1S/' || n, s.inchikey, s.inchikey, 'C', 16, true
        FROM generate_series(1, 250) AS n
        CROSS JOIN generate_series(1, 3)
        CROSS JOIN LATERAL (
            SELECT translate(lpad(n::text, 14, '0'), '0123456789', 'ABCDEFGHIJ') || '-UHFFFAOYSA-N' AS inchikey
        ) AS s
        """
    )

    report = deduplicate(database, Choice())

    assert _figures(report) == {"molecules": (250, 500, 0, 0)}
    assert len(_ids(admin, "molecules")) == 250


def _wait_until_blocked(admin: psycopg.Connection, by: int) -> None:
    """Wait until some session waits for that one."""
    deadline = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=20)
    while dt.datetime.now(dt.UTC) < deadline:
        waiting = admin.execute("SELECT FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))", (by,)).fetchall()
        if waiting:
            return
        time.sleep(0.005)
    pytest.fail("nobody waits")


def test_a_writer_who_comes_in_between_loses_nothing(
    database: Database, admin: psycopg.Connection, urls: DatabaseUrls
) -> None:
    kept, gone = _doubled(admin, is_public=True)

    with psycopg.connect(urls.admin) as writer, ThreadPoolExecutor(1) as threads:
        writer.execute(*_inserted("mixtures", id=(mixture := uuid4()), name="mixture"))
        table, columns = component(mixture, gone)
        writer.execute(*_inserted(table, **columns))
        _add_property(writer, gone, reference="just now")
        running = threads.submit(deduplicate, database, Choice())
        _wait_until_blocked(admin, writer.info.backend_pid)
        writer.commit()
        report = running.result(60)

    assert _figures(report)["molecules"] == (1, 1, 2, 0)
    assert _ids(admin, "molecules") == {kept}
    assert _ids(admin, "mixture_components", "molecule_id") == {kept}
    assert "just now" in _ids(admin, "molecular_properties", "reference")


def test_a_record_that_was_changed_after_it_was_found_stays(
    database: Database, admin: psycopg.Connection, urls: DatabaseUrls
) -> None:
    molecule = add_molecule(admin)
    both = {add_experiment(admin, molecule_id=molecule) for _ in range(2)}

    with psycopg.connect(urls.admin) as writer, ThreadPoolExecutor(1) as threads:
        writer.execute("UPDATE public.experiments SET protocol = 'slow' WHERE id = %s", (min(both),))
        running = threads.submit(deduplicate, database, Choice())
        _wait_until_blocked(admin, writer.info.backend_pid)
        writer.commit()
        report = running.result(60)

    assert _ids(admin, "experiments") == both
    assert _figures(report) == {}


def _meet_in_a_deadlock(admin: psycopg.Connection, urls: DatabaseUrls, work: Callable[[], _T]) -> _T:
    """Return what the work gives that takes two experiments' rows in order, while a writer takes them the other way."""
    molecule = add_molecule(admin)
    first, last = sorted(add_experiment(admin, molecule_id=molecule) for _ in range(2))
    lock = "SELECT FROM public.experiments WHERE id = %s FOR UPDATE"
    with psycopg.connect(urls.admin) as writer, ThreadPoolExecutor(1) as threads:
        # The writer is patient, so that the work is what the server ends.
        writer.execute("SET deadlock_timeout = '60s'")
        writer.execute(lock, (last,))
        running = threads.submit(work)
        _wait_until_blocked(admin, writer.info.backend_pid)
        writer.execute(lock, (first,))
        writer.commit()
        return running.result(60)


def test_a_deadlock_is_tried_again(database: Database, admin: psycopg.Connection, urls: DatabaseUrls) -> None:
    retries: list[str] = []
    before = get_on_retry_hooks()
    set_on_retry_hooks([lambda retry: retries.append(type(retry.caused_by).__name__)])
    try:
        report = _meet_in_a_deadlock(admin, urls, lambda: deduplicate(database, Choice()))
    finally:
        set_on_retry_hooks(before)

    assert retries == ["DeadlockDetected"]
    assert _figures(report) == {"experiments": (1, 1, 0, 0)}


def _inserted(table: str, **columns: object) -> tuple[sql.Composed, dict[str, object]]:
    return insert(table, columns), columns


@pytest.fixture
def command(urls: DatabaseUrls, monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """Let the command find the tests' database."""
    monkeypatch.setenv("DATABASE_URL", urls.admin)
    monkeypatch.setenv("SUPABASE_JWT_SECRET", SECRET)
    monkeypatch.setenv("CRYOPROTECT_DATA_DIR", str(tmp_path))


def _run(*options: str) -> Result:
    return CliRunner().invoke(db, ["deduplicate", *options])


@pytest.mark.usefixtures("database", "command")
class TestCommand:
    """What the command prints, and how it ends."""

    def test_it_tells_what_it_did_in_lines(self, admin: psycopg.Connection) -> None:
        _doubled(admin, is_public=True)

        dry, done = _run("--dry-run"), _run()

        line = "molecules: 2 looked at, 1 groups, 1 removed, 0 references moved, 0 conflicts"
        assert (dry.exit_code, done.exit_code) == (0, 0)
        assert line in dry.stdout.splitlines()
        assert line in done.stdout.splitlines()
        assert dry.stdout.splitlines()[-1] == "undone: this was a dry run"
        assert done.stdout.splitlines()[-1].startswith("in the audit log: deduplicate ")

    def test_what_it_left_is_listed_and_is_its_exit_status(self, admin: psycopg.Connection) -> None:
        parent, salt = _add_forms(admin, is_public=True)
        for molecule in (parent, salt):
            number = {"source": "cas", "kind": "cas_number", "external_id": "56-81-5"}
            add(admin, "molecule_identifiers", molecule_id=molecule, **number)

        lines, said = _run("--by-parent"), _run("--by-parent", "--json")

        assert (lines.exit_code, said.exit_code) == (1, 1)
        assert f"forms of {_parent()}: {parent} {salt}" in lines.stdout
        assert "conflict in molecule_identifiers: cas cas_number 56-81-5 " in lines.stdout
        document = json.loads(said.stdout)
        assert {record for conflict in document["conflicts"] for record in conflict["records"]} == {
            str(parent),
            str(salt),
        }
        assert document["parents"][0]["label"] == _parent()
        assert document["tables"][0] == {
            "table": "molecules",
            "looked_at": 2,
            "groups": 0,
            "removed": 0,
            "moved": 0,
            "conflicts": 0,
        }

    def test_the_summary_of_public_molecules_follows(self, admin: psycopg.Connection) -> None:
        due = "SELECT count(*) FROM private.maintenance_runs WHERE task = 'molecule_summary'"
        assert _run().stdout.splitlines()[-1] == "nothing was changed"
        assert admin.execute(due).fetchall() == [(0,)]
        _doubled(admin, is_public=True)

        _run("--dry-run")
        assert admin.execute(due).fetchall() == [(0,)]
        _run()
        assert admin.execute(due).fetchall() == [(1,)]

    def test_a_retry_is_told_apart_from_the_report(self, admin: psycopg.Connection, urls: DatabaseUrls) -> None:
        done = _meet_in_a_deadlock(admin, urls, lambda: _run("--json"))

        assert json.loads(done.stdout)["tables"][3]["removed"] == 1
        assert done.stderr.startswith("another writer was in the way: trying again in ")

    def test_another_revision_is_refused(self, admin: psycopg.Connection) -> None:
        admin.execute("UPDATE private.alembic_version SET version_num = '0001_platform'")
        try:
            done = _run()
        finally:
            admin.execute("UPDATE private.alembic_version SET version_num = %s", (migrate.head(),))

        assert isinstance(done.exception, UnavailableError)
        assert "cryoprotect db upgrade" in str(done.exception)
