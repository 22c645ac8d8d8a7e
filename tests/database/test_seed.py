# ruff: noqa: RUF001 - the characters are those of the tables
"""The seed in a real database: what is there, what it adds up to, and that a second seed adds nothing."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from app.domain.callers import SERVICE
from app.importers.cryomn import parse
from app.services.chemistry import ChemistryPool
from app.services.literature_records import left_out, seed_measurements, seed_solutions
from app.services.seed_cryomn import add_cryomn
from app.services.seed_literature import LITERATURE, Added, add_literature
from app.services.seed_molecules import SEED_SOURCE, seed
from database.session import Database

SHARED = Path(os.environ.get("CRYOPROTECT_SHARED", Path(__file__).parents[3] / "shared" / "data"))
TABLE = SHARED / "properties" / "cryomn_cryopreservative_data_2026_raw.csv"
needs_table = pytest.mark.skipif(not TABLE.is_file(), reason=f"the raw table is not here: {TABLE}")


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
    totals: dict[str, float] = dict(
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
    values: dict[str, float] = dict(
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
    count, compositions, conditions, replicates, outside = (
        admin.execute(
            """
        SELECT count(*), count(DISTINCT e.mixture_id), count(DISTINCT e.conditions ->> 'exposure_min'),
            min(r.replicates), count(*) FILTER (WHERE r.relation = '~' AND e.conditions ? 'published_value')
        FROM experiments AS e JOIN experiment_results AS r ON r.experiment_id = e.id
        WHERE e.source_record LIKE 'warner-%' AND r.property_type = 'cell_survival' AND r.standard_deviation > 0
            AND r.value BETWEEN 0 AND 1 AND e.conditions ->> 'cell_type' = 'bovine pulmonary artery endothelial'
            AND (e.conditions ->> 'temperature_k')::float8 BETWEEN 295 AND 301
        """
        ).fetchone()
        or (None,) * 5
    )
    published = [
        m.conditions["published_value"]
        for m in seed_measurements()
        if m.key.startswith("warner-") and "published_value" in m.conditions
    ]

    assert (count, compositions, conditions) == (300, 75, 4)
    assert replicates >= 3
    assert outside == len(published)
    assert all(not 0 <= value <= 1 for value in published)


def test_what_is_remembered_or_quoted_is_not_verified(seeded: int, admin: psycopg.Connection) -> None:
    for table in ("mixtures", "experiments"):
        statement = sql.SQL("SELECT DISTINCT certainty, verified FROM {} WHERE is_public").format(sql.Identifier(table))
        pairs = admin.execute(statement).fetchall()
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
    admin.execute("DELETE FROM experiments WHERE source_record = 'm22-rates'")

    assert seed(database, chemistry) == 1
    assert admin.execute("SELECT count(*) FROM experiments WHERE source_record = 'm22-rates'").fetchone() == (1,)
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

    reasons: dict[str, str] = dict(admin.execute("SELECT source_record, reason FROM import_errors").fetchall())
    assert (added.mixtures, added.experiments) == (164, 390)
    assert reasons["l-serine-0p02-sodium-chloride-0p01-molar"] == "a molecule of it is not public"
    assert reasons["hes-tg"] == "its subject is not public"


def test_no_stored_number_is_not_a_number(seeded: int, admin: psycopg.Connection) -> None:
    amounts = [row[0] for row in admin.execute("SELECT amount FROM mixture_components")]

    assert all(math.isfinite(amount) and amount > 0 for amount in amounts)


CRYOMN_HEADER = "All ingredients in cryoprotective solution,DMSO usage,Cooling rate,Viability,Source (DOI link)\n"
CRYOMN_TABLE = CRYOMN_HEADER + (
    "2) 5% DMSO in DMEM/Ham F-12,5%,1°C/min to −80°C,71%,10.1038/srep09596\n"
    "5% DMSO in DMEM/Ham F-12,5%,5°C/min to −80°C,(65.5 ± 2.1)%,10.1038/srep09596\n"
    "MSCs: 300 mM Ethylene glycol + 1 mM Taurine + 1% Ectoine (SEGA 10°C).,10%,Optimal at 1°C/min.,96%,"
    "10.1002/term.2175\n"
    "HES + 5% DMSO,5%,,70%,10.1000/hes\n"
    "10% DMSO,10%,,Not mentioned,10.1000/none\n"
)


def test_another_table_is_put_in_with_a_mixture_for_each_composition_and_its_rows_as_experiments(
    seeded: int, database: Database, admin: psycopg.Connection
) -> None:
    added = add_cryomn(database, parse(CRYOMN_TABLE))

    rows = admin.execute(
        """
        SELECT x.name, x.solvent, r.value, e.conditions, e.reference, e.certainty, e.verified, r.standard_deviation
        FROM experiments AS e JOIN experiment_results AS r ON r.experiment_id = e.id
        JOIN mixtures AS x ON x.id = e.mixture_id JOIN data_sources AS s ON s.id = e.data_source_id
        WHERE s.name = 'ML-for-CryoMN' AND r.property_type = 'post_thaw_viability' ORDER BY x.name, r.value DESC
        """
    ).fetchall()
    dmso = ("5 %v/v Dimethyl sulfoxide in DMEM/Ham F-12", "DMEM/Ham F-12")
    ours = ("doi:10.1038/srep09596", "secondary", False, None)
    assert added == Added(mixtures=2, experiments=3, left_out=2)
    assert rows[1:] == [
        (*dmso, 0.71, {"cooling_rate_k_min": 1.0}, *ours),
        (*dmso, 0.655, {"cooling_rate_k_min": 5.0}, *ours),
    ]
    assert rows[0][2:4] == (0.96, {})


def test_another_table_put_in_twice_adds_nothing_and_keeps_what_it_left_out(
    seeded: int, database: Database, admin: psycopg.Connection
) -> None:
    add_cryomn(database, parse(CRYOMN_TABLE))

    again = add_cryomn(database, parse(CRYOMN_TABLE))

    reasons = admin.execute(
        """
        SELECT o.record_index, o.reason FROM import_errors AS o JOIN import_runs AS i ON i.id = o.import_run_id
        JOIN data_sources AS s ON s.id = i.data_source_id WHERE s.name = 'ML-for-CryoMN' ORDER BY i.id, o.record_index
        """
    ).fetchall()
    assert again == Added(mixtures=0, experiments=0, left_out=2)
    assert reasons == [(3, "recipe not understood: hes"), (4, "no single viability in percent")] * 2


@needs_table
def test_the_whole_table_is_put_in(seeded: int, database: Database, admin: psycopg.Connection) -> None:
    added = add_cryomn(database, parse(TABLE.read_text(encoding="utf-8-sig")))

    assert (added.experiments, added.left_out) == (254, 140)
    assert admin.execute(
        "SELECT count(*), min(r.value) >= 0, max(r.value) <= 1 FROM experiments AS e "
        "JOIN experiment_results AS r ON r.experiment_id = e.id WHERE r.property_type = 'post_thaw_viability'"
    ).fetchone() == (254 + 8, True, True)
