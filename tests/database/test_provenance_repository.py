"""Sources, runs and property types as imports keep them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson
import psycopg
import pytest

from app.domain.callers import ANON, SERVICE
from app.domain.molecules import PropertyType
from app.errors import ForbiddenError
from database import migrate
from database.listing import Shape
from database.repositories.molecules import MoleculeReader, MoleculeRepository
from database.repositories.provenance import ImportFault, ProvenanceRepository, SourceStatement
from database.repositories.system import SystemRepository
from database.session import Database
from tests import factories

SOURCE = SourceStatement("A register", "2026-01", "https://register.example/", "CC BY 4.0")


def test_a_source_is_known_by_name_and_release(database: Database) -> None:
    with database.transaction(SERVICE) as session:
        provenance = ProvenanceRepository(session)
        unknown = provenance.source_id(SOURCE)
        made = provenance.ensure_source(SOURCE)
        again = provenance.ensure_source(SOURCE)
        newer = provenance.ensure_source(SourceStatement("A register", "2026-02"))

    assert unknown is None
    assert made == again
    assert made != newer


def test_a_run_ends_with_its_counts_and_what_it_left_out(database: Database, admin: psycopg.Connection) -> None:
    faults = [ImportFault(3, "CID 1", "no structure"), ImportFault(8, None, "other compound")]

    with database.transaction(SERVICE) as session:
        provenance = ProvenanceRepository(session)
        run_id = provenance.start_run(provenance.ensure_source(SOURCE))
        provenance.finish_run(run_id, added=5, existing=2, faults=faults)

    assert admin.execute(
        "SELECT state, added_count, existing_count, refused_count, finished_at >= started_at FROM import_runs"
    ).fetchall() == [("finished", 5, 2, 2, True)]
    assert admin.execute(
        "SELECT record_index, source_record, reason FROM import_errors ORDER BY record_index"
    ).fetchall() == [(3, "CID 1", "no structure"), (8, None, "other compound")]


def test_an_imported_molecule_points_to_its_source_and_run(database: Database) -> None:
    with database.transaction(SERVICE) as session:
        provenance = ProvenanceRepository(session)
        source_id = provenance.ensure_source(SOURCE)
        run_id = provenance.start_run(source_id)
        molecule_id = MoleculeRepository(session).add(
            factories.new_molecule(data_source_id=source_id, source_record="CID 753", import_run_id=run_id)
        )

    source = _source(database, molecule_id)
    assert source == {
        "name": "A register",
        "release": "2026-01",
        "url": "https://register.example/",
        "licence": "CC BY 4.0",
        "record": "CID 753",
        "import_run_id": str(run_id),
    }


def _source(database: Database, molecule_id: UUID) -> Any:
    document = MoleculeReader(database.reading(ANON)).get(molecule_id, Shape(only=("source",)))
    return orjson.loads(document.json)["source"]


def test_of_a_known_property_type_only_the_description_changes(database: Database) -> None:
    changed = PropertyType("density", "g/L", "numeric", "as changed")

    with database.transaction(SERVICE, rollback=True) as session:
        ProvenanceRepository(session).put_property_types([changed])
        rows = session.rows(
            "SELECT unit, value_kind, description FROM public.property_types WHERE name = 'density'", {}
        )

    assert rows == [("kg/m3", "numeric", "as changed")]


def test_a_user_keeps_no_provenance(database: Database) -> None:
    with pytest.raises(ForbiddenError), database.transaction(factories.user()) as session:
        ProvenanceRepository(session).ensure_source(SOURCE)


def test_the_service_role_knows_the_revision_of_the_schema(database: Database) -> None:
    assert SystemRepository(database.reading(SERVICE)).revision() == migrate.head()
    with pytest.raises(ForbiddenError):
        SystemRepository(database.reading(factories.user())).revision()
