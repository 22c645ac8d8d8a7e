"""Imports from files: their rate beside the bare chemistry's, their memory, and what kills and outages cost.

Each part runs in a PostgreSQL of its own, with the settings that the service gives it. Import and bare chemistry take
turns on the same records, so that what else runs on the machine slows both.
"""

from __future__ import annotations

import gzip
import os
import random
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final
from uuid import UUID

import orjson
import psutil
import psycopg

from app.domain.callers import ANON, SERVICE
from app.domain.molecules import Structure
from app.importers.files import file_sha256
from app.importers.pipeline import Progress, run_import
from app.services.chemistry import LONG_TURN, ChemistryPool
from benchmarks.contestants import ROOT
from benchmarks.import_pages import PageCost, measure_pages
from benchmarks.load import LoadError
from benchmarks.stats import MS_PER_S
from benchmarks.targets import BYTES_PER_MB, Verdict
from database import migrate
from database.embedded import EmbeddedServer
from database.listing import ListRequest
from database.repositories.import_requests import ImportRequestRepository
from database.repositories.imports import ImportRepository
from database.repositories.molecules import MoleculeReader
from database.repositories.provenance import ProvenanceRepository, SourceStatement
from database.session import Database
from database.urls import DatabaseUrls, database_urls

FOLDER: Final = ROOT / ".cryoprotect-bench" / "imports"
FILE: Final = Path("scale") / "combined_unique_825k.tsv.gz"
ALL_RECORDS: Final = 825_011
CORES: Final = 2
SECRET: Final = "of a database that lives as long as the benchmark"  # noqa: S105 - it opens nothing else
LEAST_RATE: Final = 0.8
MOST_MEMORY_MB: Final = 500
MOST_GROWTH_MB: Final = 20
MOST_SECOND_COST: Final = 0.25
MOST_READ_COST: Final = 2.0
_SAMPLE_EVERY_S: Final = 0.5
_START_S: Final = 1.5
_IDLE_READS: Final = 50
_FINISH_WITHIN_S: Final = 300.0

EMPTY_SQL: Final = """
TRUNCATE public.molecules, public.molecule_identifiers, public.molecular_properties, public.import_runs,
    public.import_errors, public.data_sources CASCADE
"""
STORED_SQL: Final = """
SELECT inchikey, canonical_smiles, inchi, parent_inchikey, formula, molar_mass_g_mol, descriptors::text,
    fingerprint::text
FROM public.molecules
"""
# What a run leaves behind, but for keys and moments.
CHECKSUM_SQL: Final = """
SELECT md5(string_agg(x.line, chr(10) ORDER BY x.line)), count(*)
FROM (
    SELECT concat_ws(
        chr(31), m.name, m.canonical_smiles, m.inchi, m.inchikey, m.parent_inchikey, m.formula, m.molar_mass_g_mol,
        m.descriptors, m.fingerprint, m.is_public, m.source_record, m.version, (
            SELECT string_agg(concat_ws(chr(30), i.source, i.kind, i.external_id), chr(29) ORDER BY i.external_id)
            FROM public.molecule_identifiers AS i WHERE i.molecule_id = m.id
        )
    ) AS line
    FROM public.molecules AS m
    UNION ALL
    SELECT concat_ws(chr(31), e.record_index, e.source_record, e.reason) FROM public.import_errors AS e
    UNION ALL
    SELECT concat_ws(chr(31), r.state, r.added_count, r.existing_count, r.refused_count) FROM public.import_runs AS r
) AS x
"""
# What a worker's silence would do half a minute later, but that it counts as no failed attempt: a job has twenty.
PUT_BACK_SQL: Final = """
UPDATE jobs.procrastinate_jobs SET status = 'todo', worker_id = NULL, scheduled_at = NULL
WHERE status IN ('doing', 'todo')
"""
STATE_SQL: Final = "SELECT state FROM public.import_runs"
LAPSE_SQL: Final = "UPDATE public.import_runs SET lease_until = clock_timestamp() WHERE state = 'running'"
SIZES_SQL: Final = """
SELECT sum(pg_relation_size(c.oid)) FILTER (WHERE c.relkind IN ('r', 't')),
    sum(pg_relation_size(c.oid)) FILTER (WHERE c.relkind = 'i')
FROM pg_class AS c
WHERE c.oid IN (
    SELECT t.oid FROM pg_class AS t WHERE t.relname IN ('molecules', 'molecule_identifiers')
    UNION ALL
    SELECT i.indexrelid FROM pg_index AS i
    WHERE i.indrelid IN ('public.molecules'::regclass, 'public.molecule_identifiers'::regclass)
    UNION ALL
    SELECT t.reltoastrelid FROM pg_class AS t WHERE t.relname IN ('molecules', 'molecule_identifiers')
)
"""


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """How much of each."""

    rounds: int
    records_a_round: int
    whole: int
    """Records of the one long import."""
    kills: int
    killed_records: int
    outage_s: float


FULL_PLAN: Final = ImportPlan(
    rounds=4, records_a_round=10_000, whole=ALL_RECORDS, kills=100, killed_records=12_000, outage_s=60.0
)
QUICK_PLAN: Final = ImportPlan(rounds=3, records_a_round=5000, whole=50_000, kills=8, killed_records=6000, outage_s=5.0)


@dataclass(frozen=True, slots=True)
class RateRound:
    """The same records by the bare chemistry and by an import, records a second and processor time a record."""

    chemistry_per_second: float
    import_per_second: float
    chemistry_us: float
    import_us: float


@dataclass(slots=True)
class LongImport:
    """One import by the command, and the same again."""

    records: int
    seconds: float = 0.0
    second_seconds: float = 0.0
    added: int = 0
    second_added: int = 0
    table_bytes: int = 0
    index_bytes: int = 0
    memory_mb: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Process -> its peak in the first and in the second half."""
    read_ms: float = 0.0
    """Median of a list of 50 while the import runs."""
    idle_read_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Disturbed:
    """An import that was disturbed, and whether it left what the undisturbed one leaves."""

    how: str
    times: int
    records: int
    same: bool


@dataclass(frozen=True, slots=True)
class ImportsReport:
    """What was found."""

    rounds: list[RateRound]
    compared: int
    different: int
    long: LongImport
    disturbed: list[Disturbed]
    pages: list[PageCost]
    load_before: float

    @property
    def verdicts(self) -> list[Verdict]:
        """A verdict for each target."""
        rate = statistics.median(one.import_per_second / one.chemistry_per_second for one in self.rounds)
        memory_mb = max(max(peaks) for peaks in self.long.memory_mb.values())
        growth_mb = max(last - first for first, last in self.long.memory_mb.values())
        second = self.long.second_seconds / self.long.seconds
        reads = self.long.read_ms / self.long.idle_read_ms
        return [
            Verdict("import beside bare chemistry", f">= {LEAST_RATE:g}", rate, "x", rate >= LEAST_RATE),
            Verdict("peak memory of a process", f"< {MOST_MEMORY_MB}", memory_mb, "MB", memory_mb < MOST_MEMORY_MB),
            Verdict(
                "its growth in the second half", f"<= {MOST_GROWTH_MB}", growth_mb, "MB", growth_mb <= MOST_GROWTH_MB
            ),
            Verdict(
                "the same file again beside the first time",
                f"< {MOST_SECOND_COST:g}",
                second,
                "x",
                second < MOST_SECOND_COST and not self.long.second_added,
            ),
            Verdict("list of 50 meanwhile beside idle", f"<= {MOST_READ_COST:g}", reads, "x", reads <= MOST_READ_COST),
            Verdict("structures stored unlike a single create", "0", self.different, "", self.different == 0),
            Verdict(
                "disturbed imports that differ",
                "0",
                sum(not one.same for one in self.disturbed),
                "",
                all(one.same for one in self.disturbed),
            ),
            *(one.verdict for one in self.pages),
        ]


def measure_imports(shared: Path, plan: ImportPlan, say: Callable[[str], None]) -> ImportsReport:
    """Return the figures; everything that it starts has ended when it returns.

    Raises:
        LoadError: An import fails.
    """
    load_before = os.getloadavg()[0]
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(mode=0o700)
    server = EmbeddedServer(FOLDER / "data", log=say)
    try:
        with _opened(server, say) as bench:
            lines = _lines(shared / FILE)
            header = next(lines)
            samples = [list(islice(lines, plan.records_a_round)) for _ in range(plan.rounds)]
            rounds, compared, different = bench.rates(header, samples)
            pages = bench.pages(shared, samples[0])
            disturbed = bench.disturbed(header, list(islice(lines, plan.killed_records)), plan)
            return ImportsReport(
                rounds, compared, different, bench.long(shared / FILE, plan.whole), disturbed, pages, load_before
            )
    finally:
        server.stop()
        shutil.rmtree(FOLDER, ignore_errors=True)


class _Bench:
    """A database for imports alone."""

    def __init__(
        self, server: EmbeddedServer, urls: DatabaseUrls, database: Database, say: Callable[[str], None]
    ) -> None:
        self._server = server
        self._urls = urls
        self._database = database
        self._say = say

    def rates(self, header: bytes, samples: Sequence[list[bytes]]) -> tuple[list[RateRound], int, int]:
        """Return the rounds, how many structures were compared with what is stored, and how many differ."""
        rounds, compared, different = [], 0, 0
        with closing(ChemistryPool(CORES, 10.0, 1024)) as chemistry:
            list(chemistry.standardize_many([("smiles", "C")] * 100))
            for number, sample in enumerate(samples):
                self._say(f"imports: bare chemistry and import, round {number + 1} of {len(samples)}")
                path = _written(header, sample, f"round-{number}.tsv")
                texts = [line.split(b"\t")[0].decode() for line in sample]
                used = self._used_s()
                began = time.perf_counter()
                structures = list(
                    chemistry.standardize_many((("smiles", text) for text in texts), items_per_turn=LONG_TURN)
                )
                bare_s, bare_used_s = time.perf_counter() - began, self._used_s() - used
                used, began = self._used_s(), time.perf_counter()
                self._run(chemistry, self._place(path))
                import_s, import_used_s = time.perf_counter() - began, self._used_s() - used
                count = len(sample)
                rounds.append(
                    RateRound(count / bare_s, count / import_s, bare_used_s / count * 1e6, import_used_s / count * 1e6)
                )
                wanted = {one.inchikey: one for one in structures if isinstance(one, Structure)}
                compared += len(wanted)
                different += self._differing(wanted)
        return rounds, compared, different

    def pages(self, shared: Path, sample: Sequence[bytes]) -> list[PageCost]:
        """Return what pages of the services' JSON cost."""
        self._say("imports: pages of PubChem and ChEMBL")
        with closing(ChemistryPool(CORES, 10.0, 1024)) as chemistry:
            list(chemistry.standardize_many([("smiles", "C")] * 100))
            texts = [line.split(b"\t")[0].decode() for line in sample]
            return measure_pages(shared, chemistry, texts, self._used_s)

    def disturbed(self, header: bytes, sample: list[bytes], plan: ImportPlan) -> list[Disturbed]:
        """Return what kills of the command, of a worker, and an outage of the database left."""
        path = _written(header, sample, "disturbed.tsv")
        self._empty()
        self._say("imports: undisturbed")
        began = time.monotonic()
        self._command(path)
        lasts_s = time.monotonic() - began
        wanted = self._checksum()
        self._empty()
        killed = [
            self._kills(
                plan.kills, wanted, lambda: None, lambda: self._kill(path, lasts_s / 2), lambda: self._command(path)
            ),
            self._kills(
                plan.kills, wanted, lambda: self._ask(path), lambda: self._kill_worker(lasts_s / 2), self._end_by_worker
            ),
        ]
        self._say(f"imports: the database is stopped for {plan.outage_s:g} s")
        self._with_outage(path, plan.outage_s)
        return [
            Disturbed("the command killed with SIGKILL", plan.kills, len(sample), killed[0]),
            Disturbed("the worker killed with SIGKILL", plan.kills, len(sample), killed[1]),
            Disturbed(f"the database stopped for {plan.outage_s:g} s", 1, len(sample), self._checksum() == wanted),
        ]

    def long(self, source: Path, records: int) -> LongImport:
        """Return how a long import goes, and the same file once more."""
        path = source
        if records < ALL_RECORDS:
            lines = _lines(source)
            path = _written(next(lines), list(islice(lines, records)), "long.tsv")
        self._empty()
        self._say(f"imports: {records:,} records by the command")
        found = LongImport(records)
        samples: list[tuple[float, dict[str, float]]] = []
        began = time.monotonic()
        with self._importing(path) as process:
            reads_ms: list[float] = []
            while process.poll() is None:
                samples.append((time.monotonic() - began, self._memory_mb(process)))
                reads_ms.append(self._read_ms())
                time.sleep(_SAMPLE_EVERY_S)
            found.added = _report_of(process)["counts"]["added"]
        found.seconds = time.monotonic() - began
        found.memory_mb = _peaks(samples, found.seconds)
        began = time.monotonic()
        found.second_added = self._command(path)["counts"]["added"] - found.added
        found.second_seconds = time.monotonic() - began
        found.read_ms = statistics.median(reads_ms)
        found.idle_read_ms = statistics.median(self._idle_reads_ms())
        with psycopg.connect(self._urls.admin) as admin:
            row = admin.execute(SIZES_SQL).fetchone()
        found.table_bytes, found.index_bytes = (int(row[0]), int(row[1])) if row else (0, 0)
        return found

    def _idle_reads_ms(self) -> Iterator[float]:
        """Yield reads with the pauses of those beside the import: one after the other would find all caches warm."""
        for _ in range(_IDLE_READS):
            time.sleep(_SAMPLE_EVERY_S)
            yield self._read_ms()

    def _read_ms(self) -> float:
        session = self._database.reading(ANON)
        began = time.perf_counter()
        MoleculeReader(session).page(ListRequest())
        return (time.perf_counter() - began) * MS_PER_S

    def _place(self, path: Path) -> UUID:
        with self._database.transaction(SERVICE) as session:
            source_id = ProvenanceRepository(session).ensure_source(SourceStatement(path.name))
            parameters = {"source": "file", "path": str(path), "columns": {}}
            return ImportRepository(session).create(source_id, parameters, file_sha256(path))[0]

    def _run(
        self, chemistry: ChemistryPool, run_id: UUID, on_progress: Callable[[Progress], None] | None = None
    ) -> None:
        report = run_import(self._database, chemistry, run_id, on_progress=on_progress)
        if report.state != "finished":
            msg = f"the import ended as {report.state}: {report.failure}"
            raise LoadError(msg)

    def _used_s(self) -> float:
        """Return the processor time of all that takes part: this process, its children, the server's backends."""
        me = psutil.Process()
        ours = [me, *me.children(recursive=True)]
        return sum(sum(_times_s(process)) for process in [*ours, *self._backends()])

    def _backends(self) -> list[psutil.Process]:
        with psycopg.connect(self._urls.admin) as admin:
            rows = admin.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = 'cryoprotect service'"
            ).fetchall()
        return [psutil.Process(row[0]) for row in rows if psutil.pid_exists(row[0])]

    def _differing(self, wanted: dict[str, Structure]) -> int:
        with psycopg.connect(self._urls.admin) as admin:
            stored = {row[0]: row for row in admin.execute(STORED_SQL)}
        return sum(not _is_stored(stored.get(key), structure) for key, structure in wanted.items())

    def _empty(self) -> None:
        with psycopg.connect(self._urls.admin, autocommit=True) as admin:
            admin.execute("SET session_replication_role = replica")
            admin.execute(EMPTY_SQL)

    def _checksum(self) -> object:
        with psycopg.connect(self._urls.admin) as admin:
            return admin.execute(CHECKSUM_SQL).fetchone()

    @contextmanager
    def _started(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DATABASE_")}
        environment |= {
            "DATABASE_URL": self._urls.admin,
            "SUPABASE_JWT_SECRET": SECRET,
            "CRYOPROTECT_DATA_DIR": str(FOLDER / "command"),
            "CHEMISTRY_PROCESSES": str(CORES),
        }
        with (FOLDER / "said").open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "app.cli.main", *arguments],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE if "--json" in arguments else said,
                stderr=said,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()

    def _importing(self, path: Path) -> AbstractContextManager[subprocess.Popen[bytes]]:
        return self._started("import", "file", str(path), "--json")

    def _working(self) -> AbstractContextManager[subprocess.Popen[bytes]]:
        return self._started("worker", "--queue", "imports")

    def _ask(self, path: Path) -> None:
        with self._database.transaction(SERVICE) as session:
            source_id = ProvenanceRepository(session).ensure_source(SourceStatement(path.name))
            ImportRequestRepository(session).add(source_id, {"source": "file", "path": str(path), "columns": {}})

    def _kill_worker(self, most_s: float) -> None:
        with self._working() as process:
            time.sleep(random.uniform(_START_S, _START_S + most_s))  # noqa: S311 - a moment to kill at
            process.kill()
        with psycopg.connect(self._urls.admin, autocommit=True) as admin:
            admin.execute(LAPSE_SQL)
            admin.execute(PUT_BACK_SQL)

    def _end_by_worker(self) -> None:
        """Let a worker bring the import to its end.

        Raises:
            LoadError: It does not.
        """
        deadline_s = time.monotonic() + _FINISH_WITHIN_S
        with self._working():
            while not self._is_finished():
                if time.monotonic() > deadline_s:
                    msg = f"the worker does not end the import: {(FOLDER / 'said').read_text()[-500:]}"
                    raise LoadError(msg)
                time.sleep(_SAMPLE_EVERY_S)

    def _command(self, path: Path) -> dict[str, dict[str, int]]:
        with self._importing(path) as process:
            return _report_of(process)

    def _kills(
        self,
        count: int,
        wanted: object,
        begin: Callable[[], None],
        kill: Callable[[], None],
        end: Callable[[], object],
    ) -> bool:
        """Return whether kills leave what an undisturbed import does; one that has come to its end is begun anew."""
        is_same = True
        begin()
        for number in range(count):
            self._say(f"imports: kill {number + 1} of {count}")
            if self._is_finished():
                is_same &= self._checksum() == wanted
                self._empty()
                begin()
            kill()
        end()
        is_same &= self._checksum() == wanted
        self._empty()
        return is_same

    def _is_finished(self) -> bool:
        with psycopg.connect(self._urls.admin) as admin:
            return admin.execute(STATE_SQL).fetchall() == [("finished",)]

    def _kill(self, path: Path, most_s: float) -> None:
        with self._importing(path) as process:
            time.sleep(random.uniform(_START_S, _START_S + most_s))  # noqa: S311 - a moment to kill at
            process.kill()
        with psycopg.connect(self._urls.admin, autocommit=True) as admin:
            # What ten seconds of patience would do.
            admin.execute(LAPSE_SQL)

    def _with_outage(self, path: Path, outage_s: float) -> None:
        stopped = threading.Event()

        def stop(_: Progress) -> None:
            if not stopped.is_set():
                stopped.set()
                self._server.stop()
                threading.Timer(outage_s, self._server.start).start()

        with closing(ChemistryPool(CORES, 10.0, 1024)) as chemistry:
            self._run(chemistry, self._place(path), stop)

    def _memory_mb(self, process: subprocess.Popen[bytes]) -> dict[str, float]:
        found: dict[str, float] = {}
        try:
            me = psutil.Process(process.pid)
            found["command"] = _rss_mb(me)
            children = [_rss_mb(child) for child in me.children(recursive=True)]
            found["chemistry"] = max(children, default=0.0)
            found["database backend"] = max((_own_mb(one) for one in self._backends()), default=0.0)
        except psutil.NoSuchProcess:
            return {}
        return found


@contextmanager
def _opened(server: EmbeddedServer, say: Callable[[str], None]) -> Iterator[_Bench]:
    urls = database_urls(server.start(), None, SECRET)
    migrate.upgrade(urls, secret=SECRET, log=say)
    database = Database(urls, min_size=0, max_size=3, timeout_s=5.0, transaction_pooler=False)
    database.open()
    with closing(database):
        yield _Bench(server, urls, database, say)


def _lines(path: Path) -> Iterator[bytes]:
    with gzip.open(path, "rb") as file:
        yield from file


def _written(header: bytes, sample: list[bytes], name: str) -> Path:
    path = FOLDER / name
    path.write_bytes(header + b"".join(sample))
    return path


def _report_of(process: subprocess.Popen[bytes]) -> dict[str, dict[str, int]]:
    said, _ = process.communicate()
    if process.returncode:
        msg = f"the import command ended with {process.returncode}: {(FOLDER / 'said').read_text()[-500:]}"
        raise LoadError(msg)
    report: dict[str, dict[str, int]] = orjson.loads(said)
    return report


def _is_stored(row: tuple[object, ...] | None, structure: Structure) -> bool:
    return (
        row is not None
        and row[1:]
        == (
            structure.canonical_smiles,
            structure.inchi,
            structure.parent_inchikey,
            structure.formula,
            structure.molar_mass_g_mol,
            row[6],
            structure.fingerprint,
        )
        and orjson.loads(str(row[6])) == structure.descriptors
    )


def _times_s(process: psutil.Process) -> tuple[float, float]:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0, 0.0
    return times.user, times.system


def _rss_mb(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / BYTES_PER_MB


def _own_mb(process: psutil.Process) -> float:
    info = process.memory_info()
    # The buffers that all backends share are nobody's growth.
    return float(info.rss - info.shared) / BYTES_PER_MB


def _peaks(samples: list[tuple[float, dict[str, float]]], seconds: float) -> dict[str, tuple[float, float]]:
    names = {name for _, found in samples for name in found}
    # The first tenth is the start: processes that load their libraries grow.
    halves = [
        [found for at, found in samples if low <= at / seconds < high] for low, high in ((0.1, 0.55), (0.55, 1.0))
    ]
    return {
        name: (
            max((found.get(name, 0.0) for found in halves[0]), default=0.0) or 1.0,
            max((found.get(name, 0.0) for found in halves[1]), default=0.0),
        )
        for name in sorted(names)
    }
