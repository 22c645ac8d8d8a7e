"""Whole imports: real files, real chemistry, the real database; workers that die, stall, double, and lose it."""

from __future__ import annotations

import csv
import gzip
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest

from app.domain.callers import SERVICE
from app.domain.molecules import NewMolecule
from app.errors import StructureError, UnavailableError
from app.importers import pipeline
from app.importers.files import FileSource, file_sha256
from app.importers.pipeline import ImportReport, Progress, run_import
from app.importers.sources import Page
from app.services.chemistry import ChemistryPool
from database.repositories.imports import Counts, ImportRepository
from database.repositories.molecules import MoleculeRepository
from database.repositories.provenance import ProvenanceRepository, SourceStatement
from database.session import Database
from database.urls import DatabaseUrls
from tests.database.outages import END_SERVICE_SQL, away
from tests.plugins.database import SECRET, open_database

ROOT: Final = Path(__file__).resolve().parents[2]
DATA: Final = ROOT / ".." / "shared" / "data"
KILLS: Final = 4
PAGE: Final = 10
# All that a run stores, but for keys and moments.
ROWS_SQL: Final = """
SELECT m.name, m.canonical_smiles, m.inchi, m.inchikey, m.parent_inchikey, m.formula, m.molar_mass_g_mol,
    m.descriptors::text, m.fingerprint::text, m.is_public, m.created_by, m.project_id, m.source_record, m.version,
    s.name AS source, (
        SELECT array_agg(i.source || ':' || i.kind || ':' || i.external_id ORDER BY i.source, i.kind, i.external_id)
        FROM molecule_identifiers AS i WHERE i.molecule_id = m.id AND i.import_run_id = m.import_run_id
    ) AS identifiers
FROM molecules AS m
JOIN data_sources AS s ON s.id = m.data_source_id
JOIN import_runs AS r ON r.id = m.import_run_id AND r.data_source_id = s.id
ORDER BY m.inchikey
"""
ERRORS_SQL: Final = "SELECT record_index, source_record, reason FROM import_errors ORDER BY record_index, reason"
COUNTS_SQL: Final = "SELECT state, added_count, existing_count, refused_count FROM import_runs"


@pytest.fixture(scope="module")
def chemistry() -> Iterator[ChemistryPool]:
    pool = ChemistryPool(2, 10.0, 512)
    yield pool
    pool.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a file of 120 ethers, some twice, and some records that are none."""
    rows = [f"{'C' * left}O{'C' * right} ether-{left}-{right}" for left in range(1, 11) for right in range(1, 12)]
    rows[33:33] = ["C1CC unclosed", "not a structure", "CHEMBL25 "]
    made = tmp_path / "ethers.smi"
    made.write_text("\n".join(rows), encoding="ascii")
    return made


@dataclass
class Scene:
    """A file, and all that it takes to import it."""

    database: Database
    admin: psycopg.Connection
    chemistry: ChemistryPool
    path: Path

    def place(self, path: Path | None = None) -> UUID:
        """Return the id of the file's run."""
        path = path or self.path
        with self.database.transaction(SERVICE) as session:
            source_id = ProvenanceRepository(session).ensure_source(SourceStatement("ethers"))
            parameters = {"source": "file", "path": str(path), "columns": {}}
            return ImportRepository(session).create(source_id, parameters, file_sha256(path))[0]

    def run(self, run_id: UUID, **kwargs: Any) -> ImportReport:
        """Work on a run with small pages."""
        usual: dict[str, Any] = {"sources": {"file": FileSource(PAGE)}, "chemistry": self.chemistry}
        return run_import(run_id=run_id, **{"database": self.database, **usual, **kwargs})

    def state(self) -> tuple[list[Any], list[Any], list[Any]]:
        """Return all that runs have stored."""
        rows, errors = self.admin.execute(ROWS_SQL).fetchall(), self.admin.execute(ERRORS_SQL).fetchall()
        return rows, errors, self.counts()

    def counts(self) -> list[Any]:
        """Return the runs' states and counts."""
        return self.admin.execute(COUNTS_SQL).fetchall()

    def lapse(self) -> None:
        """Do what ten seconds of patience would do."""
        self.admin.execute("UPDATE import_runs SET lease_until = clock_timestamp() WHERE state = 'running'")

    def forget(self) -> None:
        """Take back all that was stored."""
        self.admin.execute("SET session_replication_role = replica")
        self.admin.execute("TRUNCATE molecules, molecule_identifiers, import_runs, import_errors, data_sources CASCADE")
        self.admin.execute("RESET session_replication_role")


@pytest.fixture
def scene(database: Database, admin: psycopg.Connection, chemistry: ChemistryPool, path: Path) -> Scene:
    return Scene(database, admin, chemistry, path)


@pytest.fixture
def expected(scene: Scene) -> tuple[list[Any], list[Any], list[Any]]:
    """Give what an import that nothing disturbs leaves behind; it is gone again when the test begins."""
    scene.run(scene.place())
    state = scene.state()
    scene.forget()
    assert len(state[0]) > 50
    assert len(state[1]) == 3
    return state


def test_a_file_is_imported_with_its_counts_its_errors_and_its_progress(scene: Scene) -> None:
    told: list[Progress] = []

    report = scene.run(scene.place(), on_progress=told.append)

    distinct = len({frozenset((left, right)) for left in range(1, 11) for right in range(1, 12)})
    assert report.state == "finished"
    assert report.counts == Counts(added=distinct, existing=110 - distinct, refused=3)
    assert [progress.counts.total for progress in told] == [*range(10, 113, 10), 113]
    assert told[-1].done_fraction == 1.0
    rows, errors, counts = scene.state()
    assert len(rows) == distinct
    assert [error[0] for error in errors] == [34, 35, 36]
    assert all("RDKit cannot read this SMILES" in error[2] for error in errors)
    assert counts == [("finished", *asdict(report.counts).values())]


def test_a_second_start_of_a_finished_run_does_nothing(scene: Scene) -> None:
    first = scene.run(scene.place())

    again = scene.run(scene.place(), sources={})

    assert again == first


@pytest.mark.skipif(not DATA.is_dir(), reason="the collected real files are not beside this checkout")
def test_salts_charges_metals_and_isotopes_are_stored_as_a_single_create_stores_them(
    scene: Scene, tmp_path: Path
) -> None:
    with gzip.open(DATA / "tox21" / "deepchem_tox21.csv.gz", "rt", encoding="utf-8") as file:
        drawn = [row["smiles"] for row in csv.DictReader(file)]
    odd = [text for text in drawn if "." in text or "+" in text or "-]" in text or "S(=O)" in text][:120]
    texts = [*odd, "CS(C)=O", "C[S+](C)[O-]", "[2H]C([2H])([2H])S(=O)C", "[13CH4]", "[Na+].[Cl-]", "O"]
    path = tmp_path / "odd.smi"
    path.write_text("\n".join(texts), encoding="ascii")
    columns = "name, " + ROWS_SQL.partition("m.name, ")[2].partition(", m.created_by")[0]
    asked = f"SELECT {columns} FROM molecules AS m ORDER BY inchikey"  # noqa: S608

    scene.run(scene.place(path))
    imported = scene.admin.execute(asked.encode()).fetchall()
    scene.forget()
    with scene.database.transaction(SERVICE) as session:
        for text in texts:
            try:
                structure = scene.chemistry.standardize("smiles", text)
            except StructureError:
                continue
            MoleculeRepository(session).add_many([NewMolecule(structure.inchikey, structure)])

    assert len(imported) > 100
    assert scene.admin.execute(asked.encode()).fetchall() == imported


def worker(urls: DatabaseUrls, run_id: UUID, size: int = PAGE) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.database.import_worker", urls.admin, SECRET, str(run_id), str(size)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)


def test_a_worker_killed_at_random_moments_costs_no_row_and_doubles_none(
    scene: Scene, urls: DatabaseUrls, expected: Any
) -> None:
    run_id = scene.place()
    dice = random.Random(4)  # noqa: S311 - moments to kill at

    for _ in range(KILLS):
        process = worker(urls, run_id)
        assert process.stdout is not None
        # The first page is waited for: before that it is only Python that starts.
        process.stdout.readline()
        time.sleep(dice.uniform(0.0, 0.15))
        process.kill()
        process.wait()
        process.stdout.close()
        scene.lapse()
    killed = scene.counts()
    report = scene.run(run_id)

    assert killed[0][1] > 0
    assert report.state == "finished"
    assert scene.state() == expected


class Slowly:
    """A file whose every page takes a moment, and the first of a worker until another worker has the run, too."""

    def __init__(self, meeting: threading.Barrier) -> None:
        self._meeting = meeting
        self._has_met = False

    def pages(
        self, parameters: Mapping[str, Any], checkpoint: Mapping[str, Any] | None, sha256: str | None
    ) -> Iterator[Page]:
        if not self._has_met:
            self._has_met = True
            self._meeting.wait(30)
        for page in FileSource(PAGE).pages(parameters, checkpoint, sha256):
            time.sleep(0.03)
            yield page


def test_two_workers_on_one_run_store_no_page_twice(scene: Scene, expected: Any) -> None:
    run_id = scene.place()
    reports: list[ImportReport] = []
    ended = threading.Event()
    meeting = threading.Barrier(2)

    def work() -> None:
        source = Slowly(meeting)
        while not ended.is_set():
            reports.append(scene.run(run_id, sources={"file": source}))
            if reports[-1].state == "finished":
                ended.set()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    while not ended.wait(0.1):
        # Each holds the other for dead, over and over.
        scene.lapse()
    for thread in threads:
        thread.join()

    # Both have had it; whoever had it first could not store what it had read.
    assert scene.admin.execute("SELECT fence FROM import_runs").fetchall()[0][0] > 1
    assert scene.state() == expected


def test_two_imports_of_the_same_structures_store_each_once(scene: Scene, tmp_path: Path, expected: Any) -> None:
    backwards = tmp_path / "backwards.smi"
    rows = scene.path.read_text(encoding="ascii").splitlines()
    backwards.write_text("\n".join(reversed(rows)), encoding="ascii")
    run_ids = [scene.place(), scene.place(backwards)]

    with ThreadPoolExecutor(2) as executor:
        reports = list(executor.map(scene.run, run_ids))

    assert [report.state for report in reports] == ["finished", "finished"]
    assert sum(report.counts.added for report in reports) == len(expected[0])
    assert {report.counts.total for report in reports} == {113}
    stored, _, _ = scene.state()
    # Whose name a structure got is a matter of luck; that it has all names is not.
    assert [row[1:9] for row in stored] == [row[1:9] for row in expected[0]]
    assert scene.admin.execute("SELECT count(*) FROM molecule_identifiers").fetchone() == (110,)


def test_a_cancelled_run_stops_after_a_page_and_goes_on_when_it_is_tried_again(scene: Scene, expected: Any) -> None:
    run_id = scene.place()

    def cancel(progress: Progress) -> None:
        if progress.counts.total == 3 * PAGE:
            with scene.database.transaction(SERVICE) as session:
                ImportRepository(session).request_cancel(run_id)

    cancelled = scene.run(run_id, on_progress=cancel)
    with scene.database.transaction(SERVICE) as session:
        ImportRepository(session).retry(run_id)
    finished = scene.run(run_id)

    assert cancelled.state == "cancelled"
    assert 3 * PAGE < cancelled.counts.total <= 4 * PAGE
    assert finished.state == "finished"
    assert scene.state() == expected


def test_a_run_goes_back_with_a_database_that_has_lost_its_last_pages(scene: Scene, expected: Any) -> None:
    keep = "SELECT checkpoint::text, added_count, existing_count, refused_count FROM import_runs"
    kept: list[tuple[Any, ...]] = []
    lost: list[int] = []

    def lose(progress: Progress) -> None:
        if progress.counts.total == PAGE:
            kept.extend(scene.admin.execute(keep).fetchall())
            scene.admin.execute("CREATE TABLE before AS SELECT id FROM molecules")
        elif progress.counts.total == 5 * PAGE and not lost:
            restore = """
            UPDATE import_runs SET checkpoint = %s::jsonb, added_count = %s, existing_count = %s, refused_count = %s
            """
            scene.admin.execute(restore, kept[0])
            forget = "DELETE FROM molecules WHERE id NOT IN (SELECT id FROM before)"
            lost.append(scene.admin.execute(forget).rowcount)
            scene.admin.execute("DELETE FROM import_errors")

    try:
        report = scene.run(scene.place(), on_progress=lose)
    finally:
        scene.admin.execute("DROP TABLE IF EXISTS before")

    assert lost[0] > PAGE
    assert report.state == "finished"
    assert scene.state() == expected


def test_a_run_goes_on_where_its_connections_were_cut(scene: Scene, expected: Any) -> None:
    def cut(progress: Progress) -> None:
        scene.admin.execute(END_SERVICE_SQL, {"name": scene.admin.info.dbname})

    report = scene.run(scene.place(), on_progress=cut)

    assert report.state == "finished"
    assert scene.state() == expected


def test_a_run_goes_on_when_the_database_is_back(
    scene: Scene, urls: DatabaseUrls, server_url: str, expected: Any
) -> None:
    impatient = open_database(urls, timeout_s=0.2)
    outages = ExitStack()

    def stop(progress: Progress) -> None:
        if progress.counts.total == 3 * PAGE:
            outages.enter_context(away(urls, server_url))
            threading.Timer(1.5, outages.close).start()

    report = scene.run(scene.place(), database=impatient, on_progress=stop)
    impatient.close()

    assert report.state == "finished"
    assert scene.state() == expected


def test_a_database_that_stays_away_is_given_up_and_the_run_goes_on_later(
    scene: Scene, urls: DatabaseUrls, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = scene.place()
    impatient = open_database(urls, timeout_s=0.2)
    monkeypatch.setattr(pipeline, "PATIENCE_S", 1.0)

    with ExitStack() as outages, pytest.raises(UnavailableError):
        scene.run(run_id, database=impatient, on_progress=lambda _: outages.enter_context(away(urls, server_url)))
    impatient.close()
    left = scene.counts()
    scene.lapse()
    report = scene.run(run_id)

    assert left[0][0] == "running"
    assert left[0][1] > 0
    assert report.state == "finished"


def test_a_damaged_file_fails_its_run_and_keeps_what_is_good(scene: Scene, tmp_path: Path) -> None:
    rows = "\n".join(f"{'C' * (1 + n % 40)} name-{n}" for n in range(200))
    path = tmp_path / "cut.smi.gz"
    path.write_bytes(gzip.compress(rows.encode())[:-100])

    report = scene.run(scene.place(path))

    assert report.state == "failed"
    assert report.failure is not None
    assert report.failure.startswith("the gzip file ends too early: it was cut off; what follows line")
    assert report.counts.added == 40
    assert scene.admin.execute("SELECT reason FROM import_errors").fetchall() == [(report.failure,)]


def test_an_unknown_source_fails_its_run(scene: Scene) -> None:
    report = scene.run(scene.place(), sources={})

    assert (report.state, report.failure) == ("failed", "nothing is known to import from 'file'")


def test_a_full_disk_is_said_and_the_run_goes_on_when_there_is_room(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, expected: Any
) -> None:
    run_id = scene.place()
    scene.admin.execute(
        """
        CREATE FUNCTION public.full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE disk_full;
        END
        $$
        """
    )
    scene.admin.execute("CREATE TRIGGER full_disk AFTER INSERT ON molecules EXECUTE FUNCTION public.full_disk()")
    try:
        with pytest.raises(UnavailableError, match="the database's disk is full"):
            scene.run(run_id)
    finally:
        scene.admin.execute("DROP FUNCTION public.full_disk() CASCADE")
    left = scene.counts()

    report = scene.run(run_id)

    # Given up, not lost: the next worker need not wait for the lease to lapse.
    assert left == [("running", 0, 0, 0)]
    assert report.state == "finished"
    assert scene.state() == expected


def test_a_structure_that_breaks_a_limit_is_refused_and_no_other(scene: Scene, make_slow: Callable[[int], str]) -> None:
    scene.path.write_text(f"CCO a\n{make_slow(240)} slow\nCCC b\n", encoding="ascii")
    pool = ChemistryPool(1, 2.0, 512)
    try:
        report = scene.run(scene.place(), chemistry=pool)
    finally:
        pool.close()

    assert (report.state, report.counts) == ("finished", Counts(added=2, refused=1))
    assert scene.admin.execute(ERRORS_SQL).fetchall() == [
        (2, "slow", "the structure cannot be read: The structure takes longer than 2 s to read.")
    ]


@pytest.fixture
def make_slow() -> Callable[[int], str]:
    """Give a maker of rings of stereo centres, which keep the InChI library busy."""
    return lambda pairs: "[C@@H]1(O)" + "[C@H](O)[C@@H](O)" * pairs + "[C@H]1O"
