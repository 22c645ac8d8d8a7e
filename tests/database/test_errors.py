"""What Postgres refuses, in the service's own terms: by SQLSTATE and constraint name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from app.domain.callers import SERVICE
from app.domain.molecules import Identifier, NewMolecule, PropertyValue
from app.errors import (
    ConflictError,
    CryoProtectError,
    ForbiddenError,
    InvalidError,
    UnavailableError,
)
from database.errors import CONSTRAINTS, is_connection_loss, translate
from database.repositories.molecules import MoleculeRepository
from database.session import Database
from tests import factories
from tests.database.worlds import add_world
from tests.factories import known_structure

# What no client's input can meet, each with its reason.
UNMET = {
    "molecules_pkey": "keys are made by the database",
    "molecules_kind_check": "kinds are the members of an enumeration",
    "molecules_inchikey_check": "RDKit computes it",
    "molecules_parent_inchikey_check": "RDKit computes it",
    "molecules_molar_mass_g_mol_check": "computed from a structure of at least one atom",
    "molecules_descriptors_check": "always an object",
    "molecules_structure_check": "a molecule is stored with all of its structure or, a polymer, with none",
    "molecules_created_by_fkey": "the profile is made when the transaction begins",
    "molecules_data_source_id_fkey": "made in the same transaction",
    "molecules_import_run_id_fkey": "made in the same transaction",
    "molecule_identifiers_pkey": "keys are made by the database",
    "molecule_identifiers_molecule_id_fkey": "the molecule is written in the same transaction",
    "molecule_identifiers_import_run_id_fkey": "made in the same transaction",
    "molecule_identifiers_source_kind_external_id_molecule_id_key": "every insert says ON CONFLICT DO NOTHING",
    "molecular_properties_pkey": "keys are made by the database",
    "molecular_properties_molecule_id_fkey": "the molecule is written in the same transaction",
    "molecular_properties_import_run_id_fkey": "made in the same transaction",
    "molecular_properties_value_check": "a typed value has exactly one value",
    "molecular_properties_unit_check": "the unit is the property type's own",
    "experiments_pkey": "keys are made by the database",
    "experiments_mixture_id_fkey": "the subject is looked up first: old servers call a delete by this name, too",
    "experiments_molecule_id_fkey": "likewise",
    "molecule_experiments_molecule_id_fkey": "likewise",
    "experiments_created_by_fkey": "the profile is made when the transaction begins",
    "experiments_data_source_id_fkey": "made in the same transaction",
    "experiments_import_run_id_fkey": "made in the same transaction",
    "experiments_source_record_check": "imports cut nothing off: a source's own ids are short",
    "experiments_data_source_id_source_record_key": "imports say ON CONFLICT DO NOTHING",
    "experiment_results_pkey": "positions are counted",
    "experiment_results_position_check": "positions are counted",
    "experiment_results_experiment_id_fkey": "the experiment is written in the same transaction",
    "experiment_failures_position_check": "positions are counted",
    "experiment_failures_experiment_id_fkey": "the experiment is written in the same transaction",
    "molecule_experiments_experiment_id_fkey": "the experiment is written in the same transaction",
    "predictions_pkey": "keys are made by the database",
    "predictions_method_id_fkey": "the service stores its models when it starts",
    "predictions_created_by_fkey": "the profile is made when the transaction begins",
    "predictions_conditions_check": "always an object",
    "predictions_value_check": "a model gives a finite number or a reason",
    "predictions_unit_check": "the unit is the property type's own",
    "predictions_standard_uncertainty_check": "a model gives a finite number or a reason",
    "predictions_in_domain_check": "a model gives a value or a reason",
    "predictions_uncertain_value_check": "a model gives a value or a reason",
    "predictions_reason_check": "the models' own sentences",
    "predictions_reference_check": "the models' own references",
    "predictions_inputs_hash_check": "the service computes it",
    "toxicity_results_pkey": "keys are made by the database",
    "toxicity_results_import_run_id_fkey": "made in the same transaction",
    "toxicity_results_created_by_fkey": "the profile is made when the transaction begins",
}
# What clients write, each with the parts that come in the same body.
WRITTEN = (
    "molecules",
    "molecule_identifiers",
    "molecular_properties",
    "experiments",
    "experiment_results",
    "experiment_failures",
    "molecule_experiments",
    "predictions",
    "toxicity_results",
)
NAMES_SQL = """
SELECT c.conname AS name
FROM pg_constraint AS c
WHERE c.conrelid = ANY (%(tables)s::regclass[]) AND c.contype IN ('c', 'u', 'f', 'p')
UNION
SELECT i.indexrelid::regclass::text
FROM pg_index AS i
WHERE i.indisunique AND i.indrelid = ANY (%(tables)s::regclass[])
"""
ALL_NAMES_SQL = """
SELECT conname FROM pg_constraint WHERE connamespace IN ('public'::regnamespace, 'private'::regnamespace)
UNION
SELECT c.relname
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE i.indisunique AND c.relnamespace IN ('public'::regnamespace, 'private'::regnamespace)
UNION
SELECT named[1]
FROM pg_proc
CROSS JOIN regexp_matches(prosrc, 'CONSTRAINT = ''(\\w+)''', 'g') AS named
WHERE pronamespace = 'private'::regnamespace
"""


def _read(database: Database, statement: str) -> None:
    database.reading(SERVICE).rows(statement, {})


def _write(database: Database, statement: str) -> None:
    with database.transaction(SERVICE) as session:
        session.rows(statement, {})


def test_every_constraint_that_a_client_can_meet_has_a_sentence(admin: psycopg.Connection) -> None:
    tables = [f"public.{name}" for name in WRITTEN]
    names = {row[0].removeprefix("public.") for row in admin.execute(NAMES_SQL, {"tables": tables})}

    assert names - set(CONSTRAINTS) - set(UNMET) == set()
    assert set(UNMET) - names == set()
    assert set(UNMET) & set(CONSTRAINTS) == set()


def test_every_constraint_with_a_sentence_exists(admin: psycopg.Connection) -> None:
    names = {row[0] for row in admin.execute(ALL_NAMES_SQL)}

    assert set(CONSTRAINTS) - names == set()


def test_the_sentences_point_to_a_field_or_to_the_whole_and_name_no_table() -> None:
    for pointer, sentence in CONSTRAINTS.values():
        assert pointer == "" or pointer.startswith("/")
        assert "molecular_properties" not in sentence
        assert "_key" not in sentence


def _long(structure_field: str, text: str) -> NewMolecule:
    return factories.new_molecule(structure=replace(known_structure("glycerol"), **{structure_field: text}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("molecule", "name"),
    [
        (factories.new_molecule(project_id=uuid4()), "molecules_project_id_fkey"),
        (factories.new_molecule("x" * 501, structure=known_structure("glycerol")), "molecules_name_check"),
        (factories.new_molecule("", structure=known_structure("glycerol")), "molecules_name_check"),
        (_long("canonical_smiles", "C" * 20_001), "molecules_canonical_smiles_check"),
        (_long("inchi", "InChI=1S/" + "C" * 40_000), "molecules_inchi_check"),
        (_long("formula", "C" * 501), "molecules_formula_check"),
        (
            factories.new_molecule(identifiers=(Identifier("cas", "cas_number", "x" * 501),)),
            "molecule_identifiers_external_id_check",
        ),
        (
            factories.new_molecule(identifiers=(Identifier("Not a word", "cas_number", "1"),)),
            "molecule_identifiers_source_check",
        ),
        (
            factories.new_molecule(identifiers=(Identifier("cas", "Not a word", "1"),)),
            "molecule_identifiers_kind_check",
        ),
        (
            factories.new_molecule(properties=(PropertyValue("no_such_type", numeric_value=1.0),)),
            "molecular_properties_property_type_fkey",
        ),
        (
            factories.new_molecule(properties=(PropertyValue("density_text", text_value="x" * 10_001),)),
            "molecular_properties_text_value_check",
        ),
        (
            factories.new_molecule(properties=(factories.density(method="x" * 2001),)),
            "molecular_properties_method_check",
        ),
        (
            factories.new_molecule(properties=(factories.density(reference="x" * 2001),)),
            "molecular_properties_reference_check",
        ),
        (
            factories.new_molecule(properties=(factories.density(standard_uncertainty=-1.0),)),
            "molecular_properties_standard_uncertainty_check",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_against_a_rule_is_refused_with_the_rules_own_sentence(
    database: Database, admin: psycopg.Connection, molecule: NewMolecule, name: str
) -> None:
    with pytest.raises(InvalidError) as refused, database.transaction(SERVICE) as session:
        MoleculeRepository(session).add(molecule)

    assert [(fault.pointer, fault.detail) for fault in refused.value.faults] == [CONSTRAINTS[name]]
    assert admin.execute("SELECT FROM molecules").fetchall() == []


@pytest.mark.parametrize(
    ("index", "pointer"),
    [
        ("molecules_inchikey_public_key", "/is_public"),
        ("molecules_created_by_inchikey_key", ""),
        ("molecules_name_polymer_key", "/name"),
    ],
)
def test_a_second_row_that_must_be_unique_is_a_conflict(database: Database, index: str, pointer: str) -> None:
    rows = {
        "molecules_inchikey_public_key": ("molecule", "true"),
        "molecules_created_by_inchikey_key": ("molecule", "false"),
        "molecules_name_polymer_key": ("polymer", "false"),
    }
    kind, public = rows[index]
    values = (
        "'CO', 'InChI=1S/CH4O/c1-2/h2H,1H3', 'OKKJLVBELUTLKV-UHFFFAOYSA-N', 'OKKJLVBELUTLKV-UHFFFAOYSA-N', 'CH4O', 32"
    )
    statement = sql.SQL(
        """
        INSERT INTO public.molecules
            (name, kind, is_public, canonical_smiles, inchi, inchikey, parent_inchikey, formula, molar_mass_g_mol)
        VALUES ('twice', {kind}, {public}, {values})
        """
    ).format(
        kind=sql.Literal(kind),
        public=sql.Literal(public),
        values=sql.SQL(values if kind == "molecule" else "NULL, NULL, NULL, NULL, NULL, NULL"),
    )

    with pytest.raises(ConflictError) as refused, database.transaction(SERVICE) as session:
        _twice(session, statement.as_string())

    assert [fault.pointer for fault in refused.value.faults] == [pointer]


def _twice(session: Any, statement: str) -> None:
    for _ in range(2):
        session.rows(statement, {})


@pytest.mark.parametrize("table", ["data_sources", "projects"])
def test_a_record_that_others_refer_to_is_not_deleted_and_this_is_a_conflict(
    database: Database, admin: psycopg.Connection, table: str
) -> None:
    if table == "projects" and admin.info.server_version < 180000:
        pytest.skip("older servers do not tell the two ends of a foreign key apart")
    add_world(admin)
    statement = sql.SQL("DELETE FROM {}").format(sql.Identifier("public", table)).as_string()

    with pytest.raises(ConflictError, match="still refer"):
        _write(database, statement)


@pytest.mark.parametrize(
    ("state", "kind", "code"),
    [
        ("08006", UnavailableError, "database_unavailable"),
        ("57P01", UnavailableError, "database_unavailable"),
        ("57P02", UnavailableError, "database_unavailable"),
        ("57P03", UnavailableError, "database_unavailable"),
        ("53300", UnavailableError, "database_unavailable"),
        ("25P03", UnavailableError, "database_unavailable"),
        ("25P04", UnavailableError, "database_unavailable"),
        ("25006", UnavailableError, "database_busy"),
        ("57014", UnavailableError, "database_busy"),
        ("40001", UnavailableError, "database_busy"),
        ("40P01", UnavailableError, "database_busy"),
        ("55P03", UnavailableError, "database_busy"),
        ("53100", UnavailableError, "database_busy"),
        ("53200", UnavailableError, "database_busy"),
        ("42501", ForbiddenError, "not_permitted"),
        ("22P02", InvalidError, "invalid_value"),
        ("22003", InvalidError, "invalid_value"),
        ("22021", InvalidError, "invalid_value"),
        ("22P05", InvalidError, "invalid_value"),
        ("54000", InvalidError, "invalid_value"),
        ("23505", ConflictError, "constraint"),
        ("23P01", ConflictError, "constraint"),
        ("23514", InvalidError, "constraint"),
        ("23502", InvalidError, "constraint"),
    ],
)
@pytest.mark.parametrize("act", [_read, _write])
def test_a_state_of_the_server_has_the_services_own_error(
    database: Database, state: str, kind: type[CryoProtectError], code: str, act: Callable[[Database, str], None]
) -> None:
    statement = "DO $$ BEGIN RAISE EXCEPTION 'secret text' USING ERRCODE = '{}'; END $$".replace("{}", state)

    with pytest.raises(kind) as refused:
        act(database, statement)

    assert refused.value.code == code
    assert "secret" not in refused.value.detail
    assert state not in refused.value.detail


@pytest.mark.parametrize("state", ["42601", "42P01", "42703", "42883", "P0001", "XX000", "22012", "22023", "25P02"])
def test_a_fault_of_ours_stays_one(database: Database, state: str) -> None:
    statement = "DO $$ BEGIN RAISE EXCEPTION 'ours' USING ERRCODE = '{}'; END $$".replace("{}", state)

    with pytest.raises(psycopg.Error) as raised:
        _write(database, statement)

    assert raised.value.sqlstate == state


@pytest.mark.parametrize("error", [ValueError("x"), psycopg.InterfaceError("x"), psycopg.ProgrammingError("x")])
def test_what_the_server_did_not_say_is_no_loss_of_a_connection(error: Exception) -> None:
    assert not is_connection_loss(error)
    assert translate(error) is None
