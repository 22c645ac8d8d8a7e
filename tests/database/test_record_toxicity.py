"""Parsed toxicity files stored: molecules made or found, replicates kept, and the same again when run again."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest

from app.domain.callers import ANON
from app.domain.toxicity import Assay
from app.importers import ice, tox21, toxcast
from app.importers.toxicity_records import RejectedRow
from app.services.chemistry import ChemistryPool
from app.services.record_toxicity import SOURCES, ToxicityReport, record_toxicity
from database.listing import ListRequest, Sort
from database.repositories.toxicity_scores import RANKING, RankingReader, ScoreReader, Selection
from database.session import Database

RECORDINGS = Path(__file__).parents[1] / "recordings" / "toxicity"
NAMES_SQL = "SELECT name FROM molecules ORDER BY name"
RUNS_SQL = "SELECT added_count, existing_count, refused_count FROM import_runs ORDER BY started_at, id"
MOLECULE_SQL = "SELECT molecule_id FROM molecule_identifiers WHERE external_id = %s"
RESULTS_SQL = "SELECT count(*), count(DISTINCT import_run_id), bool_and(is_public) FROM toxicity_results"


def opened(name: str) -> io.BytesIO:
    return io.BytesIO((RECORDINGS / name).read_bytes())


@pytest.fixture(scope="module")
def chemistry() -> Iterator[ChemistryPool]:
    """Give a process that reads structures."""
    with closing(ChemistryPool(1, time_limit_s=60.0, memory_limit_mib=1024)) as pool:
        yield pool


def load_table(database: Database, chemistry: ChemistryPool) -> ToxicityReport:
    return record_toxicity(database, chemistry, SOURCES["tox21"], tox21.parse_table(opened("tox21_table.csv")))


def toxcast_assays() -> list[Assay]:
    return [row for row in toxcast.parse_assays(opened("toxcast_assays.csv")) if not isinstance(row, RejectedRow)]


def load_matrix(database: Database, chemistry: ChemistryPool) -> ToxicityReport:
    substances = dict(
        row for row in toxcast.parse_substances(opened("toxcast_substances.csv")) if not isinstance(row, RejectedRow)
    )
    rows = toxcast.parse_hit_calls(
        opened("toxcast_matrix.csv"), {assay.name or "": assay for assay in toxcast_assays()}, substances
    )
    return record_toxicity(database, chemistry, SOURCES["toxcast"], rows)


def score(database: Database, admin: psycopg.Connection, external_id: str) -> dict[str, Any]:
    found = admin.execute(MOLECULE_SQL, [external_id]).fetchall()[0][0]
    answer: dict[str, Any] = orjson.loads(ScoreReader(database.reading(ANON)).score(found, Selection()).json)
    return answer


def reasons(report: ToxicityReport) -> dict[int, str]:
    return {fault.index: fault.reason for fault in report.faults}


def test_molecules_are_made_with_their_results_and_what_is_left_out_is_told(
    database: Database, chemistry: ChemistryPool, admin: psycopg.Connection
) -> None:
    report = load_table(database, chemistry)

    assert (report.added, report.existing, sorted(reasons(report))) == (12, 0, [2, 3, 4, 5])
    assert admin.execute(NAMES_SQL).fetchall() == [("IAZDPXIOMUYVGZ-UHFFFAOYSA-N",), ("PEDCQBHIVMGVHV-UHFFFAOYSA-N",)]
    assert admin.execute(RESULTS_SQL).fetchone() == (12, 1, True)
    assert admin.execute(RUNS_SQL).fetchall() == [(12, 0, 4)]
    glycerol = score(database, admin, "TOX9000001")
    assert (glycerol["score"], glycerol["active"], glycerol["inactive"]) == (0.2, 2, 8)


def test_the_same_file_again_adds_nothing(
    database: Database, chemistry: ChemistryPool, admin: psycopg.Connection
) -> None:
    load_table(database, chemistry)

    again = load_table(database, chemistry)

    assert (again.added, again.existing) == (0, 12)
    assert admin.execute(RESULTS_SQL).fetchone() == (12, 1, True)


def test_replicates_of_one_structure_meet_on_one_molecule(
    database: Database, chemistry: ChemistryPool, admin: psycopg.Connection
) -> None:
    assay = tox21.ASSAYS["NR-AhR"]

    report = record_toxicity(
        database, chemistry, SOURCES["tox21"], tox21.parse_challenge(opened("challenge_nr-ahr.tab"), assay)
    )

    assert (report.added, len(report.faults)) == (3, 1)
    found = score(database, admin, "NCGC90000001-02")
    assert (found["score"], found["conflicting"]) == (1, 1)
    assert found["assays"][0]["active_replicates"] == 2


def test_a_structure_that_is_not_what_the_file_states_is_left_out(
    database: Database, chemistry: ChemistryPool, admin: psycopg.Connection
) -> None:
    report = load_matrix(database, chemistry)

    # DMSO's row states glycerol's InChIKey.
    assert report.added == 2
    assert "its structure is IAZDPXIOMUYVGZ-UHFFFAOYSA-N" in reasons(report)[1]
    assert score(database, admin, "DTXSID9000001")["score"] == 1


def test_samples_and_doses_are_added_to_molecules_that_are_there(
    database: Database, chemistry: ChemistryPool, admin: psycopg.Connection
) -> None:
    by_aeid = {assay.external_id or "": assay for assay in toxcast_assays()}

    def load_both() -> list[ToxicityReport]:
        samples, doses = (
            toxcast.parse_ctx(opened("ctx_samples.json"), by_aeid),
            ice.parse_oral_doses(opened("ice_oral.csv")),
        )
        return [
            record_toxicity(database, chemistry, SOURCES["toxcast"], samples),
            record_toxicity(database, chemistry, SOURCES["ice"], doses),
        ]

    early = load_both()
    load_matrix(database, chemistry)
    late = load_both()

    assert [report.added for report in early] == [0, 0]
    assert reasons(early[1])[0] == "no molecule DTXSID9000001 is stored"
    assert [report.added for report in late] == [4, 2]
    glycerol = score(database, admin, "DTXSID9000001")
    # One from the matrix and two of four samples are active, so the majority of five is.
    assert (glycerol["score"], glycerol["conflicting"]) == (1, 1)
    assert [(dose["median"], dose["bounds"]) for dose in glycerol["context"]] == [(12_600, 1)]


def test_what_was_imported_is_ranked_for_everybody(database: Database, chemistry: ChemistryPool) -> None:
    load_table(database, chemistry)

    page = RankingReader(database.reading(ANON)).page(
        ListRequest(filters=RANKING.defaults, order=(Sort("score", descending=True),))
    )

    assert [orjson.loads(record)["score"] for record in page.documents] == [0.2, 0]
