"""The seed in a real database: what is there, what it adds up to, and that a second seed adds nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator

import psycopg
import pytest

from app.domain.callers import SERVICE
from app.services.chemistry import ChemistryPool
from app.services.literature_records import left_out, seed_measurements, seed_solutions
from app.services.seed_literature import LITERATURE, add_literature
from app.services.seed_molecules import SEED_SOURCE, seed
from database.session import Database


@pytest.fixture(scope="module")
def chemistry() -> Iterator[ChemistryPool]:
    """Give a process that reads structures."""
    pool = ChemistryPool(1, 20.0, 1024)
    yield pool
    pool.close()


@pytest.fixture
def seeded(database: Database, chemistry: ChemistryPool) -> int:
    """Put the seed in, and give how many records were new."""
    return seed(database, chemistry)


def test_a_first_seed_adds_molecules_solutions_and_measurements(seeded: int, admin: psycopg.Connection) -> None:
    counts = admin.execute(
        """
        SELECT (SELECT count(*) FROM molecules WHERE is_public), (SELECT count(*) FROM mixtures WHERE is_public),
            (SELECT count(*) FROM experiments WHERE is_public), (SELECT count(*) FROM experiment_results)
        """
    ).fetchone()

    assert counts == (69, 165, 392, 396)
    assert seeded == 69 + 165 + 392


def test_only_what_the_sources_leave_open_is_left_out(seeded: int, admin: psycopg.Connection) -> None:
    reasons = admin.execute("SELECT source_record, reason FROM import_errors ORDER BY record_index").fetchall()
    states = admin.execute("SELECT DISTINCT state FROM import_runs").fetchall()

    assert reasons == list(left_out())
    assert states == [("finished",)]


def test_every_record_of_the_tables_is_there_and_names_its_source(seeded: int, admin: psycopg.Connection) -> None:
    stored = """
        SELECT r.source_record FROM {} AS r JOIN data_sources AS s ON s.id = r.data_source_id
        JOIN import_runs AS i ON i.id = r.import_run_id AND i.data_source_id = s.id
        WHERE s.name = %s
    """
    mixtures = {row[0] for row in admin.execute(stored.format("mixtures"), [LITERATURE.name])}
    experiments = {row[0] for row in admin.execute(stored.format("experiments"), [LITERATURE.name])}

    assert mixtures == {solution.key for solution in seed_solutions()}
    assert experiments == {measurement.key for measurement in seed_measurements()}


def test_the_published_totals_come_out_of_the_components(seeded: int, admin: psycopg.Connection) -> None:
    totals = dict(
        admin.execute(
            """
            SELECT x.name, sum(CASE c.unit WHEN 'mol/L' THEN c.amount * m.molar_mass_g_mol / 10 ELSE c.amount END)
            FROM mixtures AS x JOIN mixture_components AS c ON c.mixture_id = x.id
            JOIN molecules AS m ON m.id = c.molecule_id
            WHERE x.name IN ('VS55', 'M22', 'VM3') GROUP BY x.name
            """
        ).fetchall()
    )

    assert totals["VS55"] == pytest.approx(55.0, abs=0.1)
    assert totals["M22"] == pytest.approx(64.8, abs=0.001)
    assert totals["VM3"] == pytest.approx(61.0, abs=0.001)


def test_values_are_kept_in_their_own_units(seeded: int, admin: psycopg.Connection) -> None:
    values = dict(
        admin.execute(
            """
            SELECT e.source_record, r.value FROM experiments AS e JOIN experiment_results AS r ON r.experiment_id = e.id
            WHERE r.position = 0
            """
        ).fetchall()
    )

    assert values["fp-melinder-ethylene-glycol-10-ww"] == pytest.approx(273.15 - 3.4)
    assert values["ccr-ethanol-36-ww"] == 60.0
    assert values["m22-thermal"] == pytest.approx(149.15)
    assert values["dmso5-dmem-f12-viability"] == 0.71
    assert values["iri-l-phenylalanine-0p02-sodium-chloride-0p01-molar"] == 0.118


def test_the_survivals_of_warner_are_all_there_with_their_scatter(seeded: int, admin: psycopg.Connection) -> None:
    count, compositions, conditions, replicates, outside = admin.execute(
        """
        SELECT count(*), count(DISTINCT e.mixture_id), count(DISTINCT e.conditions ->> 'exposure_min'),
            min(r.replicates), count(*) FILTER (WHERE r.relation = '~' AND e.conditions ? 'published_value')
        FROM experiments AS e JOIN experiment_results AS r ON r.experiment_id = e.id
        WHERE e.source_record LIKE 'warner-%' AND r.property_type = 'cell_survival' AND r.standard_deviation > 0
            AND r.value BETWEEN 0 AND 1 AND e.conditions ->> 'cell_type' = 'bovine pulmonary artery endothelial'
            AND (e.conditions ->> 'temperature_k')::float8 BETWEEN 295 AND 301
        """
    ).fetchone() or (None,) * 5
    published = [m.conditions["published_value"] for m in seed_measurements() if m.key.startswith("warner-")
                 and "published_value" in m.conditions]

    assert (count, compositions, conditions) == (300, 75, 4)
    assert replicates is not None and replicates >= 3
    assert outside == len(published)
    assert all(not 0 <= value <= 1 for value in published)


def test_what_is_remembered_or_quoted_is_not_verified(seeded: int, admin: psycopg.Connection) -> None:
    for table in ("mixtures", "experiments"):
        pairs = admin.execute(f"SELECT DISTINCT certainty, verified FROM {table} WHERE is_public").fetchall()
        assert set(pairs) == {("seen", True), ("secondary", False), ("memory", False)}


def test_two_sources_that_disagree_are_two_experiments(seeded: int, admin: psycopg.Connection) -> None:
    rates = admin.execute(
        """
        SELECT r.value, e.certainty FROM experiments AS e JOIN experiment_results AS r ON r.experiment_id = e.id
        JOIN mixtures AS x ON x.id = e.mixture_id
        WHERE x.name = 'DP6' AND r.property_type = 'critical_cooling_rate' ORDER BY r.value
        """
    ).fetchall()

    assert rates == [(2.7, "seen"), (40.0, "memory")]


def test_no_published_measurement_passes_or_fails(seeded: int, admin: psycopg.Connection) -> None:
    assert admin.execute("SELECT DISTINCT outcome FROM experiments").fetchall() == [("inconclusive",)]


def test_a_second_seed_adds_nothing(seeded: int, database: Database, chemistry: ChemistryPool) -> None:
    assert seed(database, chemistry) == 0


def test_a_later_release_adds_only_what_is_new(
    seeded: int, database: Database, chemistry: ChemistryPool, admin: psycopg.Connection
) -> None:
    admin.execute("UPDATE data_sources SET release = '2026.11' WHERE name = %s", [SEED_SOURCE.name])
    gone = "FROM experiments WHERE source_record = 'm22-rates'"
    admin.execute(f"DELETE {gone}")

    assert seed(database, chemistry) == 1
    assert admin.execute(f"SELECT count(*) {gone}").fetchone() == (1,)
    assert admin.execute("SELECT count(*) FROM mixture_components").fetchone() == (293,)


def test_what_was_hidden_meanwhile_is_left_out_and_does_not_stop_the_rest(
    database: Database, chemistry: ChemistryPool, admin: psycopg.Connection
) -> None:
    seed(database, chemistry)
    admin.execute("DELETE FROM experiments")
    admin.execute("DELETE FROM mixtures")
    admin.execute("DELETE FROM import_errors")
    admin.execute("DELETE FROM molecules WHERE name IN ('Creatine', 'L-Serine', 'Hydroxyethyl starch')")

    with database.transaction(SERVICE) as session:
        added = add_literature(session)

    reasons = dict(admin.execute("SELECT source_record, reason FROM import_errors").fetchall())
    assert (added.mixtures, added.experiments) == (164, 390)
    assert reasons["l-serine-0p02-sodium-chloride-0p01-molar"] == "a molecule of it is not public"
    assert reasons["hes-tg"] == "its subject is not public"


def test_no_stored_number_is_not_a_number(seeded: int, admin: psycopg.Connection) -> None:
    amounts = [row[0] for row in admin.execute("SELECT amount FROM mixture_components")]

    assert all(math.isfinite(amount) and amount > 0 for amount in amounts)
