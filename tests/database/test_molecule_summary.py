"""The summary of public molecules: what it counts, who sees it, and that it never shows what was withdrawn."""

from __future__ import annotations

from uuid import UUID

import psycopg
import pytest

from app.domain.callers import ANON, SERVICE, Caller
from database.repositories.maintenance import MaintenanceRepository
from database.session import Database
from database.urls import DatabaseUrls
from tests import factories
from tests.database.acting import REFUSED, acting
from tests.database.clones import migrated_database
from tests.database.worlds import add_public_mixture, add_public_molecule, add_world
from tests.plugins.database import open_database

REFRESH_SQL = "SELECT private.refresh_molecule_summary()"
SEEN_SQL = "SELECT id FROM public.molecule_summary"
KEPT_SQL = "SELECT id FROM private.public_molecule_summary"
COUNTS_SQL = """
SELECT identifier_count, property_count, property_type_count, mixture_count, name, inchikey, formula, molar_mass_g_mol
FROM public.molecule_summary WHERE id = %(id)s
"""
MORE_PROPERTIES_SQL = """
INSERT INTO public.molecular_properties (molecule_id, property_type, numeric_value, unit)
VALUES (%(id)s, 'density', 1260, 'kg/m3'), (%(id)s, 'viscosity', 1.4, 'Pa.s')
"""
POPULATED_SQL = "SELECT relispopulated FROM pg_class WHERE oid = 'private.public_molecule_summary'::regclass"
CALLERS = pytest.mark.parametrize("caller", [ANON, factories.user(), SERVICE], ids=["anon", "user", "service"])


def _refresh(database: Database) -> None:
    with database.transaction(SERVICE) as session:
        session.rows(REFRESH_SQL, {})


def _refresh_if_changed(database: Database) -> bool:
    with database.transaction(SERVICE) as session:
        return MaintenanceRepository(session).refresh_molecule_summary()


def _rows(database: Database, caller: Caller, statement: str = SEEN_SQL) -> list[UUID]:
    return [row[0] for row in database.reading(caller).rows(statement, {})]


@CALLERS
def test_it_holds_public_molecules_alone(database: Database, admin: psycopg.Connection, caller: Caller) -> None:
    public = add_public_molecule(admin)
    world = add_world(admin)

    _refresh(database)

    assert _rows(database, caller) == [public]
    assert _rows(database, world.caller) == [public]
    assert _rows(database, caller, KEPT_SQL) == [public]


def test_it_counts_what_is_public(database: Database, admin: psycopg.Connection) -> None:
    public, bare = add_public_molecule(admin), add_public_molecule(admin, "dimethyl sulfoxide")
    admin.execute("DELETE FROM molecule_identifiers WHERE molecule_id = %s", (bare,))
    admin.execute("DELETE FROM molecular_properties WHERE molecule_id = %s", (bare,))
    admin.execute(MORE_PROPERTIES_SQL, {"id": public})
    add_public_mixture(admin, public)
    add_public_mixture(admin, public)
    with admin.transaction():
        mixture = admin.execute("INSERT INTO mixtures (name) VALUES ('private') RETURNING id").fetchall()[0][0]
        admin.execute(
            "INSERT INTO mixture_components (mixture_id, molecule_id, position, amount, unit) "
            "VALUES (%s, %s, 0, 1, 'mol/L')",
            (mixture, public),
        )

    _refresh(database)

    glycerol = factories.known_structure("glycerol")
    read = database.reading(ANON)
    assert read.rows(COUNTS_SQL, {"id": public}) == [
        (1, 3, 2, 2, "glycerol", glycerol.inchikey, glycerol.formula, glycerol.molar_mass_g_mol)
    ]
    assert read.rows(COUNTS_SQL, {"id": bare})[0][:4] == (0, 0, 0, 0)


@CALLERS
@pytest.mark.parametrize(
    "change", ["UPDATE molecules SET is_public = false WHERE id = %s", "DELETE FROM molecules WHERE id = %s"]
)
def test_what_is_withdrawn_or_deleted_is_gone_before_the_next_refresh(
    database: Database, admin: psycopg.Connection, caller: Caller, change: str
) -> None:
    withdrawn, public = add_public_molecule(admin), add_public_molecule(admin, "dimethyl sulfoxide")
    _refresh(database)

    admin.execute(change.encode(), (withdrawn,))

    kept = [row[0] for row in admin.execute(KEPT_SQL.encode())]
    assert sorted(kept) == sorted([withdrawn, public])
    assert _rows(database, caller) == [public]
    _refresh(database)
    assert [row[0] for row in admin.execute(KEPT_SQL.encode())] == [public]


def test_readers_do_not_wait_for_a_refresh(database: Database, admin: psycopg.Connection) -> None:
    public = add_public_molecule(admin)
    _refresh(database)
    add_public_molecule(admin, "dimethyl sulfoxide")

    with database.transaction(SERVICE) as session:
        session.rows(REFRESH_SQL, {})
        meanwhile = _rows(database, ANON)

    assert meanwhile == [public]
    assert len(_rows(database, ANON)) == 2


def test_an_unpopulated_summary_is_filled(database: Database, admin: psycopg.Connection) -> None:
    public = add_public_molecule(admin)
    _refresh(database)
    admin.execute("REFRESH MATERIALIZED VIEW private.public_molecule_summary WITH NO DATA")
    assert admin.execute(POPULATED_SQL.encode()).fetchone() == (False,)

    assert _refresh_if_changed(database)

    assert _rows(database, ANON) == [public]


@pytest.mark.parametrize("caller", [ANON, factories.user()], ids=["anon", "user"])
def test_only_the_service_refreshes(urls: DatabaseUrls, caller: Caller) -> None:
    with acting(urls, caller) as stranger:
        assert stranger.attempt(REFRESH_SQL) == REFUSED
        assert stranger.attempt("SELECT private.refresh_molecule_summary(if_changed => true)") == REFUSED
        assert stranger.attempt("SELECT FROM private.maintenance_runs") == REFUSED
    with acting(urls, SERVICE) as service:
        assert service.attempt(REFRESH_SQL) == 1


def test_it_is_refreshed_when_its_tables_have_changed_and_only_then(server_url: str, urls: DatabaseUrls) -> None:
    # A database of its own: what other connections did is counted late.
    with migrated_database(server_url, urls, "summary") as own, psycopg.connect(own.admin, autocommit=True) as admin:
        database = open_database(own)
        try:
            first, second = _refresh_if_changed(database), _refresh_if_changed(database)
            public = add_public_molecule(admin)
            admin.execute("SELECT pg_stat_force_next_flush()")
            third, fourth = _refresh_if_changed(database), _refresh_if_changed(database)
            admin.execute("DELETE FROM molecules WHERE id = %s", (public,))
            admin.execute("SELECT pg_stat_force_next_flush()")
            fifth = _refresh_if_changed(database)
        finally:
            database.close()

    assert (first, second, third, fourth, fifth) == (True, False, True, False, True)


def test_a_refresh_says_when_and_how_long(database: Database, admin: psycopg.Connection) -> None:
    with database.transaction(SERVICE) as session:
        session.rows(REFRESH_SQL, {})

    recorded = admin.execute(
        "SELECT finished_at BETWEEN clock_timestamp() - interval '5 s' AND clock_timestamp(), took_ms, error "
        "FROM private.maintenance_runs WHERE task = 'molecule_summary'"
    ).fetchall()
    assert len(recorded) == 1
    assert recorded[0][0] is True
    assert 0 <= recorded[0][1] < 5000
    assert recorded[0][2] is None
