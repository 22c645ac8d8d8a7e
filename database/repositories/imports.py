"""Import runs: who works on one, how far it is, and its pages, each stored once.

A run is worked on under a lease, which is short and renewed. Taking it raises the run's fence; a page is stored
under the fence that its worker was given, in one transaction with the checkpoint behind the page. So a worker that
stalled and was overtaken stores nothing any more, and one that died has stored whole pages and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final
from uuid import UUID

import orjson
import psycopg

from app.domain.molecules import NewMolecule
from app.domain.toxicity import NewToxicityResult
from app.errors import ConflictError, NotFoundError, UnavailableError
from database.exchange import Row
from database.repositories.molecules import TOUCH_MOLECULES_SQL
from database.repositories.outcomes import OutcomeStatus, refused_by
from database.repositories.provenance import ADD_ERRORS_SQL, ImportFault
from database.repositories.toxicity import ResultRepository
from database.session import Session, WriteSession

LEASE_S: Final = 10.0
MAX_ERRORS_KEPT: Final = 100_000
"""Of a run; what it left out beyond that is counted only."""
MAX_FAILURE_LENGTH: Final = 1000
_PAGE_TIME_LIMIT_MS: Final = "60000"
# A worker that is stopped in the middle of a page holds locks on what it has added.
_PAGE_STALL_LIMIT_MS: Final = "10000"

# The same file with the same columns is the same run; only where it lies may have changed.
CREATE_RUN_SQL: Final = """
INSERT INTO public.import_runs AS r (data_source_id, state, parameters, sha256)
VALUES (%(source_id)s, 'queued', %(parameters)s::jsonb, %(sha256)s)
ON CONFLICT (sha256, (parameters -> 'columns')) WHERE sha256 IS NOT NULL DO UPDATE
SET parameters = excluded.parameters
RETURNING id, xmax = 0, state
"""
# What is asked of a service again may have changed, so only a run that has not come to its end is the same one.
FIND_OPEN_RUN_SQL: Final = """
SELECT id FROM public.import_runs
WHERE parameters = %(parameters)s::jsonb AND sha256 IS NULL AND state <> 'finished'
ORDER BY id DESC
LIMIT 1
"""
ADD_RELEASE_SQL: Final = """
INSERT INTO public.data_sources (name, release, url, licence, retrieved_at)
SELECT d.name, %(release)s, d.url, d.licence, clock_timestamp() FROM public.data_sources AS d
WHERE d.id = %(source_id)s
ON CONFLICT (name, release) DO NOTHING
"""
STATE_RELEASE_SQL: Final = """
UPDATE public.import_runs AS r
SET data_source_id = n.id
FROM public.data_sources AS o
JOIN public.data_sources AS n ON n.name = o.name AND n.release = %(release)s
WHERE o.id = %(source_id)s AND r.id = %(id)s AND r.fence = %(fence)s AND r.state = 'running'
RETURNING r.data_source_id
"""
GET_RUN_SQL: Final = """
SELECT r.id, r.state, r.parameters, r.checkpoint, r.added_count, r.existing_count, r.refused_count,
    r.cancel_requested, r.failure, r.done_fraction, r.working_s,
    greatest(0.0, extract(epoch FROM r.lease_until - clock_timestamp()))::float8
FROM public.import_runs AS r
WHERE r.id = %(id)s
"""
TAKE_LEASE_SQL: Final = """
UPDATE public.import_runs
SET state = 'running', fence = fence + 1, lease_until = clock_timestamp() + %(lease_s)s * interval '1 second'
WHERE id = %(id)s
    AND (state = 'queued' OR state = 'running' AND coalesce(lease_until, '-infinity') <= clock_timestamp())
RETURNING fence, data_source_id, parameters, sha256, checkpoint, added_count, existing_count, refused_count,
    cancel_requested
"""
RENEW_LEASE_SQL: Final = """
UPDATE public.import_runs
SET lease_until = clock_timestamp() + %(lease_s)s * interval '1 second'
WHERE id = %(id)s AND fence = %(fence)s AND state = 'running'
RETURNING cancel_requested
"""
# Whoever has the lease gives it up at once, so that the next need not wait until it lapses.
RELEASE_LEASE_SQL: Final = """
UPDATE public.import_runs
SET lease_until = clock_timestamp()
WHERE id = %(id)s AND fence = %(fence)s AND state = 'running'
"""
END_RUN_SQL: Final = """
UPDATE public.import_runs
SET state = %(state)s, failure = %(failure)s, finished_at = clock_timestamp(), lease_until = NULL,
    done_fraction = CASE %(state)s WHEN 'finished' THEN 1 ELSE done_fraction END
WHERE id = %(id)s AND fence = %(fence)s AND state = 'running'
RETURNING id
"""
# A run that nobody works on ends here and now; one that somebody does, after its page.
REQUEST_CANCEL_SQL: Final = """
UPDATE public.import_runs
SET cancel_requested = true,
    state = CASE WHEN coalesce(lease_until, '-infinity') <= clock_timestamp() THEN 'cancelled' ELSE state END,
    finished_at = CASE WHEN coalesce(lease_until, '-infinity') <= clock_timestamp() THEN clock_timestamp() END
WHERE id = %(id)s AND state IN ('queued', 'running')
RETURNING state
"""
RETRY_RUN_SQL: Final = """
UPDATE public.import_runs
SET state = 'queued', cancel_requested = false, failure = NULL, finished_at = NULL
WHERE id = %(id)s AND state IN ('failed', 'cancelled')
RETURNING id
"""
LIST_ERRORS_SQL: Final = """
SELECT record_index, source_record, reason
FROM public.import_errors
WHERE import_run_id = %(id)s
ORDER BY record_index
LIMIT %(limit)s
"""

# The page is as durable as its checkpoint, for both are one commit: it need not wait for the disk. A server that
# crashes may forget the last pages; who stores the next one finds the checkpoint farther back, and goes back, too.
LIMIT_PAGE_SQL: Final = """
SELECT set_config('statement_timeout', %(limit_ms)s, true),
    set_config('idle_in_transaction_session_timeout', %(stall_ms)s, true),
    set_config('synchronous_commit', 'off', true)
"""
HOLD_RUN_SQL: Final = """
SELECT checkpoint, added_count, existing_count, refused_count, cancel_requested FROM public.import_runs
WHERE id = %(id)s AND fence = %(fence)s AND state = 'running'
FOR NO KEY UPDATE
"""
CHECKPOINT_RUN_SQL: Final = """
UPDATE public.import_runs
SET checkpoint = %(checkpoint)s::jsonb, added_count = added_count + %(added)s,
    existing_count = existing_count + %(existing)s, refused_count = refused_count + %(refused)s,
    done_fraction = %(done_fraction)s, working_s = working_s + %(worked_s)s,
    lease_until = clock_timestamp() + %(lease_s)s * interval '1 second'
WHERE id = %(id)s AND fence = %(fence)s AND state = 'running'
RETURNING id
"""

# COPY does not enter a table behind row-level security, and a temporary one costs no write-ahead log.
STAGE_TABLE_SQL: Final = """
CREATE TEMPORARY TABLE molecule_staging (
    position int NOT NULL, name text, canonical_smiles text, inchi text, inchikey text, parent_inchikey text,
    formula text, molar_mass_g_mol float8, descriptors jsonb, fingerprint bit(2048), source_record text,
    identifiers jsonb, properties jsonb
) ON COMMIT DROP
"""
EMPTY_STAGE_SQL: Final = "TRUNCATE pg_temp.molecule_staging"
COPY_TO_STAGE_SQL: Final = """
COPY pg_temp.molecule_staging (
    position, name, canonical_smiles, inchi, inchikey, parent_inchikey, formula, molar_mass_g_mol, descriptors,
    fingerprint, source_record, identifiers, properties
) FROM STDIN
"""
MERGE_MOLECULES_SQL: Final = """
INSERT INTO public.molecules (
    name, canonical_smiles, inchi, inchikey, parent_inchikey, formula, molar_mass_g_mol, descriptors, fingerprint,
    is_public, data_source_id, source_record, import_run_id
)
SELECT DISTINCT ON (s.inchikey) s.name, s.canonical_smiles, s.inchi, s.inchikey, s.parent_inchikey, s.formula,
    s.molar_mass_g_mol, s.descriptors, s.fingerprint, true, %(source_id)s, s.source_record, %(run_id)s
FROM pg_temp.molecule_staging AS s
WHERE NOT EXISTS (
    SELECT FROM public.molecules AS m
    WHERE m.inchikey = s.inchikey AND (m.is_public OR m.project_id IS NULL AND m.created_by IS NULL)
)
-- Two imports that share structures take their index entries in the same order, and so never deadlock.
ORDER BY s.inchikey, s.position
ON CONFLICT DO NOTHING
RETURNING id
"""
OWNERS_SQL: Final = """
SELECT DISTINCT ON (s.position) s.position, m.id
FROM pg_temp.molecule_staging AS s
JOIN public.molecules AS m ON m.inchikey = s.inchikey
WHERE m.is_public OR m.project_id IS NULL AND m.created_by IS NULL
ORDER BY s.position, m.is_public DESC, m.id
"""

MERGE_IDENTIFIERS_SQL: Final = """
INSERT INTO public.molecule_identifiers (molecule_id, source, kind, external_id, verified, import_run_id)
SELECT o.molecule_id, i.source, i.kind, i.external_id, i.verified, %(run_id)s
FROM unnest(%(positions)s::int[], %(owners)s::uuid[]) AS o (position, molecule_id)
JOIN pg_temp.molecule_staging AS s ON s.position = o.position
CROSS JOIN jsonb_to_recordset(s.identifiers) AS i (source text, kind text, external_id text, verified boolean)
WHERE NOT EXISTS (
    SELECT FROM public.molecule_identifiers AS k
    WHERE (k.source, k.kind, k.external_id, k.molecule_id) = (i.source, i.kind, i.external_id, o.molecule_id)
)
-- Each row locks its molecule: two imports that add to the same ones take them in the same order.
ORDER BY o.molecule_id
ON CONFLICT (source, kind, external_id, molecule_id) DO NOTHING
RETURNING molecule_id
"""
MERGE_PROPERTIES_SQL: Final = """
INSERT INTO public.molecular_properties (
    molecule_id, property_type, numeric_value, text_value, boolean_value, unit, standard_uncertainty, method, reference,
    verified, import_run_id
)
SELECT o.molecule_id, p.property_type, p.numeric_value, p.text_value, p.boolean_value, p.unit, p.standard_uncertainty,
    p.method, p.reference, p.verified, %(run_id)s
FROM unnest(%(positions)s::int[], %(owners)s::uuid[]) AS o (position, molecule_id)
JOIN pg_temp.molecule_staging AS s ON s.position = o.position
CROSS JOIN jsonb_to_recordset(s.properties) AS p (
    property_type text, numeric_value float8, text_value text, boolean_value boolean, unit text,
    standard_uncertainty float8, method text, reference text, verified boolean
)
ORDER BY o.molecule_id
ON CONFLICT (molecule_id, property_type, content_hash) DO NOTHING
RETURNING molecule_id
"""


class LeaseLostError(ConflictError):
    """Another worker has taken the run over; what this one does is not kept."""

    def __init__(self) -> None:
        super().__init__("another worker has taken this import over", code="lease_lost")


class SetBackError(UnavailableError):
    """The database has lost pages that it had stored: the run goes on behind the last one that it has."""

    def __init__(self) -> None:
        super().__init__("the database has lost what it had stored last", code="import_set_back")


@dataclass(frozen=True, slots=True)
class Counts:
    """How many records of a run, or of a page, were added, existed already, and were left out."""

    added: int = 0
    existing: int = 0
    refused: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Return the sums."""
        return Counts(self.added + other.added, self.existing + other.existing, self.refused + other.refused)

    @property
    def total(self) -> int:
        """All records."""
        return self.added + self.existing + self.refused


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it stands in the database."""

    id: UUID
    state: str
    parameters: dict[str, Any]
    checkpoint: Any
    counts: Counts
    cancel_requested: bool
    failure: str | None
    done_fraction: float | None
    working_s: float
    lease_left_s: float | None
    """How long its worker's lease lasts; None where nobody has had it."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to store a run's pages, and where to go on."""

    run_id: UUID
    fence: int
    source_id: UUID
    parameters: dict[str, Any]
    sha256: str | None
    checkpoint: Any
    """As the source gave it with the last page that was stored; None at the beginning."""
    counts: Counts
    cancel_requested: bool


@dataclass(frozen=True, slots=True)
class StoredPage:
    """What became of a page's records."""

    totals: Counts
    """Of the whole run."""
    owners: dict[int, UUID]
    """Record index -> the molecule that it belongs to, added or existing."""
    cancel_requested: bool


@dataclass(frozen=True, slots=True)
class NewPage:
    """A page to store: molecules by record index, what is left out, and where to go on behind it."""

    molecules: Sequence[tuple[int, NewMolecule]]
    faults: Sequence[ImportFault]
    checkpoint: object
    done_fraction: float | None = None
    worked_s: float = 0.0
    results: Sequence[tuple[int, NewToxicityResult]] = ()
    """What assays say of the molecules, by record index."""


class ImportRepository:
    """Keeps import runs and stores their pages, inside a transaction of the service role."""

    def __init__(self, session: WriteSession) -> None:
        self._session = session

    def create(self, source_id: UUID, parameters: Mapping[str, object], sha256: str | None = None) -> tuple[UUID, bool]:
        """Return the id of a queued run, and whether it is new: a file, by its SHA-256, is one run."""
        given = {"source_id": source_id, "parameters": _json(parameters), "sha256": sha256}
        run_id, is_new, _ = self._session.rows(CREATE_RUN_SQL, given)[0]
        return run_id, is_new

    def create_or_resume(self, source_id: UUID, parameters: Mapping[str, object]) -> tuple[UUID, bool]:
        """Return the id of a service's run that has not come to its end, or of a new one, and whether it is new."""
        rows = self._session.rows(FIND_OPEN_RUN_SQL, {"parameters": _json(parameters)})
        return (rows[0][0], False) if rows else self.create(source_id, parameters)

    def get(self, run_id: UUID) -> Run:
        """Return a run.

        Raises:
            NotFoundError: There is none.
        """
        return get_run(self._session, run_id)

    def take_lease(self, run_id: UUID) -> Lease | None:
        """Return the lease of a run that waits or whose worker's lease has lapsed; None where it is neither."""
        rows = self._session.rows(TAKE_LEASE_SQL, {"id": run_id, "lease_s": LEASE_S})
        if not rows:
            return None
        fence, source_id, parameters, sha256, checkpoint, added, existing, refused, cancel_requested = rows[0]
        counts = Counts(added, existing, refused)
        return Lease(
            run_id, fence, source_id, _loaded(parameters), sha256, _loaded(checkpoint), counts, cancel_requested
        )

    def state_release(self, lease: Lease, release: str) -> Lease:
        """Return the lease of the run, which is of this release of its source from now on.

        Raises:
            LeaseLostError: Another worker has the run.
        """
        given = {"source_id": lease.source_id, "release": release}
        self._session.rows(ADD_RELEASE_SQL, given)
        rows = self._session.rows(STATE_RELEASE_SQL, {"id": lease.run_id, "fence": lease.fence, **given})
        if not rows:
            raise LeaseLostError
        return replace(lease, source_id=rows[0][0])

    def renew(self, lease: Lease) -> bool:
        """Let the lease last on and return whether somebody asked to cancel the run.

        Raises:
            LeaseLostError: Another worker has the run.
        """
        return self._held(RENEW_LEASE_SQL, lease, {"lease_s": LEASE_S})

    def release(self, lease: Lease) -> None:
        """Give the run up, for another worker to go on with at once."""
        self._session.rows(RELEASE_LEASE_SQL, {"id": lease.run_id, "fence": lease.fence})

    def finish(self, lease: Lease) -> None:
        """Close a run that has come to its end.

        Raises:
            LeaseLostError: Another worker has the run.
            SetBackError: What the lease says was stored last is not there any more.
        """
        _require_up_to(self._hold(lease)[0], lease)
        self._end(lease, "finished", None)

    def cancel(self, lease: Lease) -> None:
        """Close a run that somebody asked to cancel.

        Raises:
            LeaseLostError: Another worker has the run.
        """
        self._end(lease, "cancelled", None)

    def fail(self, lease: Lease, failure: str) -> None:
        """Close a run that cannot go on; it can be tried again from its checkpoint.

        Raises:
            LeaseLostError: Another worker has the run.
        """
        self._end(lease, "failed", failure[:MAX_FAILURE_LENGTH] or "for no known reason")

    def request_cancel(self, run_id: UUID) -> str:
        """Ask for a run's end and return its state: `cancelled`, or `running` until the page under way is stored.

        Raises:
            NotFoundError: There is no such run.
            ConflictError: It has ended.
        """
        rows = self._session.rows(REQUEST_CANCEL_SQL, {"id": run_id})
        if not rows:
            msg = f"the import has ended: it is {self.get(run_id).state}"
            raise ConflictError(msg, code="import_ended")
        return str(rows[0][0])

    def retry(self, run_id: UUID) -> None:
        """Let a run that failed or was cancelled wait for a worker again, to go on from its checkpoint.

        Raises:
            NotFoundError: There is no such run.
            ConflictError: It neither failed nor was cancelled.
        """
        if not self._session.rows(RETRY_RUN_SQL, {"id": run_id}):
            msg = f"only what failed or was cancelled is tried again; the import is {self.get(run_id).state}"
            raise ConflictError(msg, code="import_not_failed")

    def load_page(self, lease: Lease, page: NewPage) -> StoredPage:
        """Store a page with the checkpoint behind it; both are there when the transaction is committed, or neither.

        The molecules are public reference rows that point to the run. What exists already gains the identifiers and
        properties that are new to it.

        Raises:
            LeaseLostError: Another worker has the run; nothing of the page may be kept.
            SetBackError: What the lease says was stored last is not there any more; nor may this page be kept.
        """
        self._session.rows(LIMIT_PAGE_SQL, {"limit_ms": _PAGE_TIME_LIMIT_MS, "stall_ms": _PAGE_STALL_LIMIT_MS})
        checkpoint = _json(page.checkpoint)
        stored_up_to, added, existing, refused, cancel_requested = self._hold(lease)
        totals = Counts(added, existing, refused)
        if _loaded(stored_up_to) == orjson.loads(checkpoint):
            # It was stored by this worker, whom the answer to its COMMIT did not reach.
            return StoredPage(totals, {}, cancel_requested)
        _require_up_to(stored_up_to, lease)
        stored = _Staging(self._session, lease).store(page.molecules)
        refused_results = self._add_results(lease.run_id, page.results, stored.owners)
        faults = [*page.faults, *stored.faults, *refused_results]
        self._add_errors(lease.run_id, faults, kept_already=refused)
        counts = Counts(stored.added, len(page.molecules) - stored.added - len(stored.faults), len(faults))
        progress = {"checkpoint": checkpoint, "done_fraction": page.done_fraction, "worked_s": page.worked_s}
        self._held(CHECKPOINT_RUN_SQL, lease, {**asdict(counts), **progress, "lease_s": LEASE_S})
        return StoredPage(totals + counts, stored.owners, cancel_requested)

    def errors(self, run_id: UUID, limit: int) -> list[ImportFault]:
        """Return what a run left out, in the order of its records."""
        return [ImportFault(*row) for row in self._session.rows(LIST_ERRORS_SQL, {"id": run_id, "limit": limit})]

    def _end(self, lease: Lease, state: str, failure: str | None) -> None:
        self._held(END_RUN_SQL, lease, {"state": state, "failure": failure})

    def _hold(self, lease: Lease) -> Row:
        rows = self._session.rows(HOLD_RUN_SQL, {"id": lease.run_id, "fence": lease.fence})
        if not rows:
            raise LeaseLostError
        return rows[0]

    def _held(self, statement: str, lease: Lease, parameters: Mapping[str, object]) -> bool:
        rows = self._session.rows(statement, {"id": lease.run_id, "fence": lease.fence, **parameters})
        if not rows:
            raise LeaseLostError
        return bool(rows[0][0])

    def _add_results(
        self, run_id: UUID, results: Sequence[tuple[int, NewToxicityResult]], owners: Mapping[int, UUID]
    ) -> list[ImportFault]:
        """Store what assays say of molecules and return what of it is left out; what is there already stays."""
        owned = [
            (index, replace(result, molecule=str(owners[index]), import_run_id=run_id))
            for index, result in results
            if index in owners
        ]
        if not owned:
            return []
        outcomes = ResultRepository(self._session).add_many([result for _, result in owned])
        return [
            ImportFault(index, result.source_record, f"{result.assay.name}: {outcome.reason}")
            for (index, result), outcome in zip(owned, outcomes, strict=True)
            if outcome.status is OutcomeStatus.REFUSED
        ]

    def _add_errors(self, run_id: UUID, faults: Sequence[ImportFault], *, kept_already: int) -> None:
        rows = [asdict(fault) for fault in faults[: max(0, MAX_ERRORS_KEPT - kept_already)]]
        if rows:
            self._session.rows(ADD_ERRORS_SQL, {"run_id": run_id, "rows": _json(rows)})


@dataclass(slots=True)
class _Stored:
    added: int
    owners: dict[int, UUID]
    faults: list[ImportFault]


class _Staging:
    """The way of a page's molecules into the tables: copied beside them, then merged by whole sets."""

    def __init__(self, session: WriteSession, lease: Lease) -> None:
        self._session = session
        self._given = {"run_id": lease.run_id, "source_id": lease.source_id}

    def store(self, molecules: Sequence[tuple[int, NewMolecule]]) -> _Stored:
        """Return what became of the molecules."""
        if not molecules:
            return _Stored(0, {}, [])
        self._session.rows(STAGE_TABLE_SQL, {})
        return self._store_part(molecules)

    def _store_part(self, molecules: Sequence[tuple[int, NewMolecule]]) -> _Stored:
        # One row that breaks a constraint takes all others of its statement with it, so the page is halved until
        # it stands alone.
        try:
            with self._session.savepoint():
                return self._merge(molecules)
        except (psycopg.IntegrityError, psycopg.DataError) as error:
            if len(molecules) == 1:
                ((index, molecule),) = molecules
                reason = refused_by(error).reason or ""
                return _Stored(0, {}, [ImportFault(index, molecule.source_record, reason)])
        middle = len(molecules) // 2
        first = self._store_part(molecules[:middle])
        self._session.rows(EMPTY_STAGE_SQL, {})
        second = self._store_part(molecules[middle:])
        self._session.rows(EMPTY_STAGE_SQL, {})
        return _Stored(first.added + second.added, first.owners | second.owners, first.faults + second.faults)

    def _merge(self, molecules: Sequence[tuple[int, NewMolecule]]) -> _Stored:
        self._session.copy(COPY_TO_STAGE_SQL, _staged(molecules))
        added = {row[0] for row in self._session.rows(MERGE_MOLECULES_SQL, self._given)}
        owners: dict[int, UUID] = dict(self._session.rows(OWNERS_SQL, {}))
        parts = {**self._given, "positions": list(owners), "owners": list(owners.values())}
        changed: set[UUID] = set()
        if any(molecule.identifiers for _, molecule in molecules):
            changed |= {row[0] for row in self._session.rows(MERGE_IDENTIFIERS_SQL, parts)}
        if any(molecule.properties for _, molecule in molecules):
            changed |= {row[0] for row in self._session.rows(MERGE_PROPERTIES_SQL, parts)}
        if changed := changed - added:
            self._session.rows(TOUCH_MOLECULES_SQL, {"ids": sorted(changed), "version": None})
        found = {index: owners[position] for position, (index, _) in enumerate(molecules) if position in owners}
        faults = [
            # Taken by a row that went while this page was stored.
            ImportFault(index, molecule.source_record, "this molecule cannot be stored now")
            for index, molecule in molecules
            if index not in found
        ]
        return _Stored(len(added), found, faults)


def get_run(session: Session, run_id: UUID) -> Run:
    """Return a run, seen with any session.

    Raises:
        NotFoundError: There is none that the caller may see.
    """
    rows = session.rows(GET_RUN_SQL, {"id": run_id})
    if not rows:
        msg = f"there is no import {run_id}"
        raise NotFoundError(msg)
    key, state, parameters, checkpoint, added, existing, refused, *rest = rows[0]
    return Run(key, state, _loaded(parameters), _loaded(checkpoint), Counts(added, existing, refused), *rest)


def _staged(molecules: Sequence[tuple[int, NewMolecule]]) -> Iterator[tuple[object, ...]]:
    for position, (_, molecule) in enumerate(molecules):
        structure = molecule.structure
        if structure is None:
            msg = "an import stores structures only"
            raise TypeError(msg)
        yield (
            position,
            molecule.name,
            structure.canonical_smiles,
            structure.inchi,
            structure.inchikey,
            structure.parent_inchikey,
            structure.formula,
            structure.molar_mass_g_mol,
            orjson.dumps(structure.descriptors).decode(),
            structure.fingerprint,
            molecule.source_record,
            _json(molecule.identifiers) if molecule.identifiers else None,
            _json(molecule.properties) if molecule.properties else None,
        )


def _require_up_to(checkpoint: bytes | None, lease: Lease) -> None:
    if _loaded(checkpoint) != orjson.loads(_json(lease.checkpoint)):
        raise SetBackError


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _loaded(value: bytes | None) -> Any:  # noqa: ANN401 - any JSON
    return None if value is None else orjson.loads(value)
