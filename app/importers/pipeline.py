"""The way of an import run: read a page, standardize it, store it with its checkpoint, go on.

One page is read while the one before it is standardized and the one before that is stored, and no more than these are
ever in memory. Whoever runs this has the run's lease, renewed beside the work; a worker that lost it stops, and what it
had not stored is done again by the other. Nothing but whole pages is stored, so a run can be killed at any moment and
go on elsewhere.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Final, TypeVar
from uuid import UUID

import structlog

from app.domain.callers import SERVICE
from app.errors import CryoProtectError, UnavailableError
from app.importers.known_sources import known_sources
from app.importers.sources import Page, ReleasedSource, Source
from app.importers.upstream import Waiting
from app.services.chemistry import ChemistryPool
from app.services.import_records import ReadyRecord, new_molecule, standardize_records
from app.services.maintenance import refresh_summary_soon
from app.services.persistence import persistently
from database.repositories.imports import (
    LEASE_S,
    Counts,
    ImportRepository,
    Lease,
    LeaseLostError,
    NewPage,
    SetBackError,
    StoredPage,
)
from database.repositories.provenance import ImportFault
from database.session import Database, WriteSession

PATIENCE_S: Final = 900.0
"""How long a run waits for a database that is gone; after that its lease has lapsed, and it goes on elsewhere."""
_RENEW_EVERY_S: Final = LEASE_S / 4
_R = TypeVar("_R")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is, with what earlier workers did."""

    counts: Counts
    done_fraction: float | None


@dataclass(frozen=True, slots=True)
class ImportReport:
    """How a run stands when this worker is done with it."""

    run_id: UUID
    state: str
    """finished, failed or cancelled; queued or running where another worker has it or will."""
    counts: Counts
    failure: str | None
    working_s: float


OnProgress = Callable[[Progress], None]


def run_import(
    database: Database,
    chemistry: ChemistryPool,
    run_id: UUID,
    *,
    on_progress: OnProgress | None = None,
    sources: Mapping[str, Source] | None = None,
) -> ImportReport:
    """Work on a run until it ends and return how it stands; nothing happens where another worker has its lease.

    `sources` are in the place of those that there are.

    Raises:
        NotFoundError: There is no such run.
        UnavailableError: The database, the chemistry or the source does not answer; the run can be taken up again.
    """
    is_set_back = True
    while is_set_back:
        lease = _persistently(database, lambda session: ImportRepository(session).take_lease(run_id))
        if lease is None:
            break
        waiting = Waiting()
        try:
            found = known_sources(database, waiting) if sources is None else sources
            is_set_back = not _Worker(database, chemistry, lease, on_progress or (lambda _: None)).work(found)
        finally:
            # A page that nobody wants any more may be one that a service is asked for with patience.
            waiting.end()
    run = _persistently(database, lambda session: ImportRepository(session).get(run_id))
    return ImportReport(run_id, run.state, run.counts, run.failure, run.working_s)


class _Worker:
    """One process at work on one run."""

    def __init__(self, database: Database, chemistry: ChemistryPool, lease: Lease, on_progress: OnProgress) -> None:
        self._database = database
        self._chemistry = chemistry
        self._lease = lease
        self._on_progress = on_progress
        self._stored_at_s = time.monotonic()

    def work(self, sources: Mapping[str, Source]) -> bool:
        """Bring the run to its end, or as far as this worker may; return False where it has to be taken up anew."""
        try:
            with _renewed(self._database, self._lease):
                self._work(sources)
        except LeaseLostError:
            _log.info("import_taken_over", run_id=str(self._lease.run_id))
        except SetBackError:
            _log.warning("import_set_back", run_id=str(self._lease.run_id))
            self._release()
            return False
        except UnavailableError:
            self._release()
            raise
        except CryoProtectError as error:
            failure = error.detail
            self._close(lambda imports: imports.fail(self._lease, failure))
        except BaseException:
            self._release()
            raise
        return True

    def _work(self, sources: Mapping[str, Source]) -> None:
        cancelled = self._lease.cancel_requested
        if not cancelled:
            source = sources.get(str(self._lease.parameters.get("source")))
            if source is None:
                msg = f"nothing is known to import from {self._lease.parameters.get('source')!r}"
                raise CryoProtectError(msg)
            if isinstance(source, ReleasedSource):
                self._state_release(source.release(self._lease.parameters, self._lease.checkpoint))
            cancelled = self._load_all(source)
        self._close(lambda imports: imports.cancel(self._lease) if cancelled else imports.finish(self._lease))

    def _state_release(self, release: str) -> None:
        lease = self._lease
        self._lease = _persistently(
            self._database, lambda session: ImportRepository(session).state_release(lease, release)
        )

    def _load_all(self, source: Source) -> bool:
        """Store the source's pages; return whether somebody asked to cancel the run."""
        pages = _ahead(source.pages(self._lease.parameters, self._lease.checkpoint, self._lease.sha256))
        ready = _ahead((page, standardize_records(self._chemistry, page.records, patient=True)) for page in pages)
        with closing(ready):
            for page, records in ready:
                stored = self._store(page, records)
                self._on_progress(Progress(stored.totals, page.done_fraction))
                if stored.cancel_requested:
                    return True
        return False

    def _store(self, page: Page, records: list[ReadyRecord]) -> StoredPage:
        now_s = time.monotonic()
        new = NewPage(
            molecules=[
                (record.parsed.index, new_molecule(record, self._lease.source_id, self._lease.run_id))
                for record in records
                if record.structure is not None
            ],
            faults=[
                ImportFault(record.parsed.index, record.parsed.source_record, (record.refusal or "").replace("\0", ""))
                for record in records
                if record.structure is None
            ],
            results=[
                (record.parsed.index, result)
                for record in records
                if record.structure is not None
                for result in record.parsed.results
            ],
            checkpoint=page.checkpoint,
            done_fraction=page.done_fraction,
            worked_s=now_s - self._stored_at_s,
        )
        self._stored_at_s = now_s
        stored = _persistently(self._database, lambda session: ImportRepository(session).load_page(self._lease, new))
        self._lease = replace(self._lease, checkpoint=page.checkpoint)
        return stored

    def _close(self, end: Callable[[ImportRepository], None]) -> None:
        def work(session: WriteSession) -> None:
            end(ImportRepository(session))
            refresh_summary_soon(session)

        try:
            _persistently(self._database, work)
        except LeaseLostError:
            _log.info("import_taken_over", run_id=str(self._lease.run_id))

    def _release(self) -> None:
        # Should this fail, the lease lapses by itself.
        try:
            with self._database.transaction(SERVICE) as session:
                ImportRepository(session).release(self._lease)
        except CryoProtectError as error:
            _log.info("import_not_released", run_id=str(self._lease.run_id), reason=error.detail)


@contextmanager
def _renewed(database: Database, lease: Lease) -> Iterator[None]:
    """Renew the lease beside the work. That it was lost shows at the next page, whose transaction asks."""
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(_RENEW_EVERY_S):
            try:
                with database.transaction(SERVICE) as session:
                    ImportRepository(session).renew(lease)
            except LeaseLostError:
                return
            except CryoProtectError as error:
                _log.info("import_lease_not_renewed", run_id=str(lease.run_id), reason=error.detail)

    thread = threading.Thread(target=renew, name="import lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _ahead(items: Iterator[_R]) -> Generator[_R]:
    """Yield the items, the next of which is being made in a thread while the caller works on the last one."""
    executor = ThreadPoolExecutor(1, thread_name_prefix="import pages")
    try:
        coming = executor.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = executor.submit(next, items, None)
            yield item
    finally:
        # Nobody waits for a page that is not wanted any more: closing the chemistry ends it.
        executor.shutdown(wait=False, cancel_futures=True)


def _persistently(database: Database, work: Callable[[WriteSession], _R]) -> _R:
    return persistently(database, work, PATIENCE_S)
