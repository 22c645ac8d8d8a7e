"""Imports from PubChem, ChEMBL and Tox21's files as a whole: played services, real chemistry, the real database."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs
from uuid import UUID

import psycopg
import pytest
import requests
import requests_mock
from click.testing import CliRunner, Result

from app.cli.main import cryoprotect
from app.domain.callers import SERVICE
from app.errors import UnavailableError
from app.importers import chembl_source, known_sources, pubchem_source, tox21_source
from app.importers.pipeline import ImportReport, Progress, run_import
from app.importers.upstream import Upstream, breaker
from app.services.ask_for_import import SOURCES, service_wanted
from app.services.chemistry import ChemistryPool
from database.repositories.imports import Counts, ImportRepository
from database.repositories.provenance import ProvenanceRepository
from database.session import Database
from database.urls import DatabaseUrls
from tests.plugins.clock import Clock
from tests.plugins.database import SECRET
from tests.plugins.upstream import Budget

ROOT: Final = Path(__file__).resolve().parents[2]
RECORDINGS: Final = ROOT / "tests" / "recordings" / "toxicity"
DATA: Final = ROOT / ".." / "shared" / "data" / "tox21"
TABLE: Final = re.compile(rf"{pubchem_source.ADDRESS}/pug/compound/cid/property/.*")
STATUS: Final = f"{chembl_source.ADDRESS}/status.json"
LIST: Final = f"{chembl_source.ADDRESS}/molecule.json"
MOLECULES_SQL: Final = """
SELECT m.name, i.external_id, s.name || ' ' || s.release, m.import_run_id IS NOT NULL
FROM molecules AS m
JOIN data_sources AS s ON s.id = m.data_source_id
JOIN molecule_identifiers AS i ON i.molecule_id = m.id AND i.kind IN ('cid', 'chembl_id')
ORDER BY i.external_id::text COLLATE "C"
"""
ERRORS_SQL: Final = "SELECT record_index, source_record, reason FROM import_errors ORDER BY record_index"
RUNS_SQL: Final = """
SELECT s.name, s.release, r.state, r.added_count, r.existing_count, r.refused_count
FROM import_runs AS r JOIN data_sources AS s ON s.id = r.data_source_id
ORDER BY r.id
"""


@pytest.fixture(scope="module")
def chemistry() -> Iterator[ChemistryPool]:
    pool = ChemistryPool(1, 10.0, 512)
    yield pool
    pool.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test breakers of its own, and small pages."""
    monkeypatch.setattr(known_sources, "_BREAKERS", {name: breaker(name) for name in ("pubchem", "chembl")})
    monkeypatch.setattr(pubchem_source, "CIDS_PER_BATCH", 4)
    monkeypatch.setattr(chembl_source, "IDS_PER_PAGE", 4)


def pubchem_answers(request: Any, context: Any) -> dict[str, Any]:
    """Play a PubChem of unbranched alkanes, which has no CID that ends in 3."""
    cids = [int(cid) for cid in parse_qs(request.text)["cid"][0].split(",")]
    rows = [{"CID": cid, "Title": f"Alkane {cid}", "SMILES": "C" * cid} for cid in cids if cid % 10 != 3]
    context.status_code = 200 if rows else 404
    return {"PropertyTable": {"Properties": rows}} if rows else {"Fault": {"Code": "PUGREST.NotFound"}}


def chembl_answers(request: Any, _: Any) -> dict[str, Any]:
    """Play a ChEMBL of alcohols, whose even numbers are assays."""
    words = parse_qs(request.query)["molecule_chembl_id__in"][0].split(",")
    numbers = [int(word.removeprefix("chembl")) for word in words]
    rows = [
        {"molecule_chembl_id": f"CHEMBL{n}", "molecule_structures": {"canonical_smiles": "C" * n + "O"}}
        for n in numbers
        if n % 2
    ]
    return {"molecules": rows, "page_meta": {"total_count": len(rows)}}


def place(database: Database, source: str, options: dict[str, Any]) -> UUID:
    wanted = service_wanted(source, options)
    with database.transaction(SERVICE) as session:
        source_id = ProvenanceRepository(session).ensure_source(wanted.source)
        return ImportRepository(session).create_or_resume(source_id, wanted.parameters)[0]


def run(database: Database, chemistry: ChemistryPool, run_id: UUID, **more: Any) -> ImportReport:
    return run_import(database, chemistry, run_id, **more)


def test_compounds_of_pubchem_are_stored_once_and_the_others_reported(
    database: Database, admin: psycopg.Connection, chemistry: ChemistryPool, answers: requests_mock.Mocker
) -> None:
    answers.post(TABLE, json=pubchem_answers)
    told: list[Progress] = []

    report = run(database, chemistry, place(database, "pubchem", {"cids": "1-10"}), on_progress=told.append)

    assert (report.state, report.counts) == ("finished", Counts(added=9, existing=0, refused=1))
    assert [progress.done_fraction for progress in told] == [0.4, 0.8, 1.0]
    stored = admin.execute(MOLECULES_SQL).fetchall()
    assert stored[0] == ("Alkane 1", "1", "PubChem ", True)
    assert [row[1] for row in stored] == sorted(str(cid) for cid in range(1, 11) if cid != 3)
    assert admin.execute(ERRORS_SQL).fetchall() == [(3, "3", "PubChem has no compound with CID 3.")]

    again = run(database, chemistry, place(database, "pubchem", {"cids": "1-10"}))

    assert again.run_id != report.run_id
    assert again.counts == Counts(added=0, existing=9, refused=1)


def test_a_run_whose_service_goes_away_goes_on_behind_its_last_page(
    database: Database,
    admin: psycopg.Connection,
    chemistry: ChemistryPool,
    answers: requests_mock.Mocker,
    clock: Clock,
) -> None:
    asked: list[str] = []

    def dying(request: Any, context: Any) -> dict[str, Any]:
        asked.append(parse_qs(request.text)["cid"][0])
        if len(asked) > 1 and "9" not in asked:
            raise requests.ConnectionError
        return pubchem_answers(request, context)

    def sleep(seconds: float) -> None:
        clock.now_s += seconds

    answers.post(TABLE, json=dying)
    upstream = Upstream(pubchem_source.ADDRESS, breaker("pubchem", clock), Budget(), sleep)
    sources = {"pubchem": pubchem_source.PubChemSource(upstream, sleep)}
    run_id = place(database, "pubchem", {"cids": "1-8"})

    with pytest.raises(UnavailableError, match="pubchem"):
        run(database, chemistry, run_id, sources=sources)
    assert admin.execute("SELECT state, checkpoint FROM import_runs").fetchall() == [("running", {"after": 4})]

    answers.post(TABLE, json=pubchem_answers)
    assert place(database, "pubchem", {"cids": "1-8"}) == run_id
    report = run(database, chemistry, run_id)

    assert (report.state, report.counts) == ("finished", Counts(added=7, existing=0, refused=1))
    assert set(asked) == {"1,2,3,4", "5,6,7,8"}
    assert asked.count("1,2,3,4") == 1


def test_a_worker_that_is_killed_leaves_what_an_undisturbed_one_leaves(
    database: Database, urls: DatabaseUrls, admin: psycopg.Connection
) -> None:
    def started(run_id: UUID) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.database.service_worker", urls.admin, SECRET, str(run_id)]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    run_id = place(database, "pubchem", {"cids": "1-60"})
    done: list[int] = []
    for pages in (1, 2, 3):
        process = started(run_id)
        assert process.stdout is not None
        for _ in range(pages):
            assert process.stdout.readline() == "page\n"
        process.kill()
        process.communicate()
        done.append(admin.execute("SELECT (checkpoint ->> 'after')::int FROM import_runs").fetchall()[0][0])
        admin.execute("UPDATE import_runs SET lease_until = clock_timestamp()")
    process = started(run_id)
    process.communicate()

    assert process.returncode == 0
    assert 0 < done[0] < done[1] < done[2] < 60
    assert admin.execute(RUNS_SQL).fetchall() == [("PubChem", "", "finished", 54, 0, 6)]
    assert sorted(int(row[1]) for row in admin.execute(MOLECULES_SQL)) == [n for n in range(1, 61) if n % 10 != 3]
    assert [row[0] for row in admin.execute(ERRORS_SQL)] == [3, 13, 23, 33, 43, 53]


def test_molecules_of_chembl_are_of_the_release_that_it_serves(
    database: Database, admin: psycopg.Connection, chemistry: ChemistryPool, answers: requests_mock.Mocker
) -> None:
    answers.get(STATUS, json={"chembl_db_version": "ChEMBL_37"})
    answers.get(LIST, json=chembl_answers)
    answers.get(f"{chembl_source.ADDRESS}/molecule/CHEMBL20.json", status_code=404)

    report = run(database, chemistry, place(database, "chembl", {"ids": "CHEMBL1-CHEMBL8,CHEMBL19,CHEMBL20"}))

    assert (report.state, report.counts) == ("finished", Counts(added=5, existing=0, refused=1))
    assert admin.execute(RUNS_SQL).fetchall() == [("ChEMBL", "ChEMBL_37", "finished", 5, 0, 1)]
    assert {row[2] for row in admin.execute(MOLECULES_SQL).fetchall()} == {"ChEMBL ChEMBL_37"}
    assert admin.execute(ERRORS_SQL).fetchall() == [(20, "CHEMBL20", "ChEMBL has no molecule CHEMBL20.")]


def test_a_run_of_another_release_fails_and_says_why(
    database: Database, admin: psycopg.Connection, chemistry: ChemistryPool, answers: requests_mock.Mocker
) -> None:
    answers.get(STATUS, json={"chembl_db_version": "ChEMBL_38"})
    run_id = place(database, "chembl", {"ids": "1-8"})
    admin.execute("UPDATE import_runs SET checkpoint = %s", (json.dumps({"after": 4, "release": "ChEMBL_37"}),))

    report = run(database, chemistry, run_id)

    assert report.state == "failed"
    assert "ChEMBL serves ChEMBL_38 now, and this import is of ChEMBL_37" in str(report.failure)


def test_all_of_one_process_ask_a_service_through_its_one_budget(
    database: Database, admin: psycopg.Connection, chemistry: ChemistryPool, answers: requests_mock.Mocker
) -> None:
    yellow = "Request Count status: Yellow (60%), Request Time status: Green (0%), Service status: Green (20%)"
    answers.post(TABLE, json=pubchem_answers, headers={"X-Throttling-Control": yellow})

    run(database, chemistry, place(database, "pubchem", {"cids": "1-4"}))

    budgets = admin.execute(
        "SELECT name, slowness, next_at > '-infinity' FROM private.request_budgets ORDER BY name"
    ).fetchall()
    assert budgets == [("chembl", 1.0, False), ("pubchem", 2.0, True)]


# --- Tox21


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "tox21"
    made.mkdir()
    shutil.copy(RECORDINGS / "tox21_table.csv", made / "tox21.csv")
    shutil.copy(RECORDINGS / "challenge_nr-ahr.tab", made)
    (made / "README.txt").write_text("not one of them")
    return made


def place_tox21(database: Database, folder: Path) -> UUID:
    sha256 = tox21_source.folder_sha256(tox21_source.files_of(folder))
    with database.transaction(SERVICE) as session:
        source_id = ProvenanceRepository(session).ensure_source(SOURCES["tox21"])
        parameters = {"source": "tox21", "release": "", "path": str(folder)}
        return ImportRepository(session).create(source_id, parameters, sha256)[0]


def toxicity(admin: psycopg.Connection) -> list[Any]:
    return admin.execute(
        """
        SELECT m.inchikey, a.name, t.hit_call, t.source_record, t.import_run_id = m.import_run_id
        FROM toxicity_results AS t JOIN molecules AS m ON m.id = t.molecule_id
        JOIN toxicity_assays AS a ON a.id = t.assay_id
        ORDER BY m.inchikey, a.name, t.source_record
        """
    ).fetchall()


def test_tox21_is_stored_with_its_molecules_and_their_results(
    database: Database, admin: psycopg.Connection, chemistry: ChemistryPool, folder: Path
) -> None:
    report = run(database, chemistry, place_tox21(database, folder))

    assert report.state == "finished"
    results = toxicity(admin)
    assert len(results) > 10
    assert {"NR-AhR"} < {row[1] for row in results}
    ((molecules,),) = admin.execute("SELECT count(*) FROM molecules").fetchall()
    assert report.counts.added == molecules > 1
    ((errors,),) = admin.execute("SELECT count(*) FROM import_errors").fetchall()
    assert errors == report.counts.refused > 0


@pytest.mark.parametrize("stop_at", [1, 2, 3, 5])
def test_tox21_goes_on_at_any_page_and_stores_no_result_twice(
    database: Database, admin: psycopg.Connection, chemistry: ChemistryPool, folder: Path, stop_at: int
) -> None:
    sources = {"tox21": tox21_source.Tox21Source(page_records=2)}
    whole = run(database, chemistry, place_tox21(database, folder), sources=sources)
    expected = toxicity(admin)
    admin.execute("SET session_replication_role = replica")
    admin.execute("TRUNCATE molecules, import_runs, toxicity_results CASCADE")
    admin.execute("RESET session_replication_role")
    run_id, pages = place_tox21(database, folder), 0

    def stop(_: Progress) -> None:
        nonlocal pages
        pages += 1
        if pages == stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(database, chemistry, run_id, sources=sources, on_progress=stop)
    assert toxicity(admin) != expected or stop_at > 4
    report = run(database, chemistry, run_id, sources=sources)

    assert report.counts == whole.counts
    assert toxicity(admin) == expected


def test_files_that_changed_are_not_gone_on_with(database: Database, chemistry: ChemistryPool, folder: Path) -> None:
    run_id = place_tox21(database, folder)
    with (folder / "tox21.csv").open("a") as file:
        file.write("\n")

    report = run(database, chemistry, run_id)

    assert report.state == "failed"
    assert "does not hold the files" in str(report.failure)


def test_a_damaged_file_gives_what_is_before_the_damage(
    database: Database, admin: psycopg.Connection, chemistry: ChemistryPool, tmp_path: Path
) -> None:
    if not DATA.is_dir():
        pytest.skip("the collected real files are not beside this checkout")
    packed = (DATA / "challenge_nr-ahr.tab.gz").read_bytes()
    cut = tmp_path / "challenge_nr-ahr.tab.gz"
    cut.write_bytes(packed[: len(packed) // 2])
    sources = {"tox21": tox21_source.Tox21Source(page_records=50)}
    with database.transaction(SERVICE) as session:
        source_id = ProvenanceRepository(session).ensure_source(SOURCES["tox21"])
        run_id, _ = ImportRepository(session).create(source_id, {"source": "tox21", "path": str(cut)})

    report = run(database, chemistry, run_id, sources=sources)

    assert report.state == "failed"
    assert "challenge_nr-ahr.tab.gz is damaged" in str(report.failure)
    assert report.counts.added >= 50
    assert len(toxicity(admin)) >= 50


# --- the command


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, urls: DatabaseUrls, emptied: None) -> Any:
    monkeypatch.setenv("CRYOPROTECT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SUPABASE_JWT_SECRET", SECRET)
    monkeypatch.setenv("DATABASE_URL", urls.admin)

    def invoke(*words: object) -> Result:
        return CliRunner().invoke(cryoprotect, ["import", *map(str, words)])

    return invoke


def test_the_command_imports_from_pubchem_and_reports(command: Any, answers: requests_mock.Mocker) -> None:
    answers.post(TABLE, json=pubchem_answers)

    done = command("pubchem", "--cids", "1-4")

    assert done.exit_code == 0, done.output
    assert "added                3" in done.stdout
    assert "record 3: PubChem has no compound with CID 3." in done.stdout


def test_the_report_stands_alone_on_standard_output(command: Any, answers: requests_mock.Mocker) -> None:
    answers.post(
        TABLE, [{"status_code": 503}, {"json": {"PropertyTable": {"Properties": [{"CID": 1, "SMILES": "C"}]}}}]
    )

    done = command("pubchem", "--cids", "1", "--json")

    assert json.loads(done.stdout)["counts"]["added"] == 1


def test_the_command_takes_numbers_names_and_keys_from_files(
    command: Any, answers: requests_mock.Mocker, tmp_path: Path
) -> None:
    rows = {
        "PropertyTable": {"Properties": [{"CID": 753, "SMILES": "OCC(O)CO", "InChIKey": "PEDCQBHIVMGVHV-UHFFFAOYSA-N"}]}
    }
    answers.post(re.compile(f"{pubchem_source.ADDRESS}/pug/compound/.*"), json=rows)
    contents = {"cids": "# ours\n753\n", "names": "glycerol\n", "inchikeys": "PEDCQBHIVMGVHV-UHFFFAOYSA-N\n"}
    for kind, content in contents.items():
        file = tmp_path / kind
        file.write_text(content)

        done = command("pubchem", f"--{kind}-file", file, "--json")

        assert done.exit_code == 0, done.output
        counts = json.loads(done.stdout)["counts"]
        assert (counts["added"] + counts["existing"], counts["refused"]) == (1, 0)


def test_the_command_imports_from_chembl(
    command: Any, admin: psycopg.Connection, answers: requests_mock.Mocker
) -> None:
    answers.get(STATUS, json={"chembl_db_version": "ChEMBL_37"})
    answers.get(LIST, json=chembl_answers)

    done = command("chembl", "--ids", "CHEMBL1-CHEMBL8")

    assert done.exit_code == 0, done.output
    assert admin.execute(RUNS_SQL).fetchall() == [("ChEMBL", "ChEMBL_37", "finished", 4, 0, 0)]


def test_the_command_imports_tox21_once(command: Any, admin: psycopg.Connection, folder: Path) -> None:
    done = command("tox21", folder)

    assert done.exit_code == 0, done.output
    results = toxicity(admin)
    assert results

    again = command("tox21", folder)

    assert "imported already" in again.stderr
    assert toxicity(admin) == results


@pytest.mark.parametrize(
    "words",
    [
        ("pubchem",),
        ("pubchem", "--cids", "x"),
        ("pubchem", "--cids", "1", "--formula", "C3H8O3"),
        ("pubchem", "--sdf", __file__, "--cids", "1"),
        ("chembl",),
        ("chembl", "--ids", "CHEMBLx"),
        ("tox21", str(ROOT / "docs")),
    ],
)
def test_the_command_refuses_what_names_nothing(command: Any, words: tuple[str, ...]) -> None:
    done = command(*words)

    assert done.exit_code == 2
    assert "Error" in done.output


def test_a_service_that_is_away_is_said_in_a_sentence(
    command: Any, answers: requests_mock.Mocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.importers.upstream.ATTEMPTS", 1)
    answers.get(STATUS, exc=requests.ConnectionError)

    done = command("chembl", "--ids", "1")

    # Of these the command prints the sentence, and ends with 1.
    assert isinstance(done.exception, UnavailableError)
    assert done.exception.detail == "chembl does not answer (ConnectionError)"
