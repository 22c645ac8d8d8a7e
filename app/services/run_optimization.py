"""Searches for mixtures as jobs: a worker carries one out, and tells how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final
from uuid import UUID

import structlog

from app.domain.callers import SERVICE
from app.errors import CryoProtectError, InvalidError, UnavailableError
from app.science.optimization import Progress, front
from app.services.optimize_mixtures import Molecule, Search, Wish
from app.services.persistence import persistently
from app.services.predict_batch import OvertakenError
from database.repositories.optimizations import Begun, OptimizationRepository
from database.session import Database, WriteSession

PATIENCE_S: Final = 120.0
"""How long an outcome waits for a database that is gone, before it is searched for again."""
_TELL_EVERY_S: Final = 1.0
_log = structlog.get_logger(__name__)


class _HandedBackError(Exception):
    """The worker stops."""


def ask_for_optimization(session: WriteSession, search: Search) -> UUID:
    """Put a search into the queue and return its id.

    Raises:
        ConflictError: The caller has too many jobs that wait or run.
    """
    molecules = [asdict(molecule) for molecule in search.molecules]
    return OptimizationRepository(session).add(search.wish.said(), molecules)


def run_optimization(database: Database, optimization_id: UUID, keep_going: Callable[[], bool]) -> bool:
    """Search, and return whether the search has ended; False where `keep_going` said no before.

    It begins anew however far another worker was, but not while that is at it: the same seed comes to the same.

    Raises:
        OvertakenError: Another worker is at it.
        UnavailableError: The database does not answer, at the beginning or for long at the end.
    """
    with database.transaction(SERVICE) as session:
        repository = OptimizationRepository(session)
        begun = repository.start(optimization_id)
        if begun is None:
            if repository.is_open(optimization_id):
                raise OvertakenError
            return True
    telling = _Telling(database, optimization_id, begun.fence, keep_going)
    try:
        telling.end(_outcome(begun, telling.generation))
    except OvertakenError:
        with database.transaction(SERVICE) as session:
            if OptimizationRepository(session).is_open(optimization_id):
                raise
    except _HandedBackError:
        telling.hand_back()
        return False
    except BaseException:
        telling.hand_back()
        raise
    return True


class _Telling:
    """Keeps how far a search is, now and then, and ends it where nobody wants it from this worker any more."""

    def __init__(self, database: Database, optimization_id: UUID, fence: int, keep_going: Callable[[], bool]) -> None:
        self._database = database
        self._id = optimization_id
        self._fence = fence
        self._keep_going = keep_going
        self._next_s = 0.0
        self._last = Progress(0.0, 0, None)

    def generation(self, progress: Progress) -> None:
        self._last = progress
        if not self._keep_going():
            raise _HandedBackError
        if time.monotonic() < self._next_s:
            return
        try:
            with self._database.transaction(SERVICE) as session:
                self._advance(OptimizationRepository(session))
        except UnavailableError as error:
            # What was searched is not lost with it: it is told again, and a lease that lapsed meanwhile shows then.
            _log.info("optimization_not_told", optimization_id=str(self._id), reason=error.detail)
        self._next_s = time.monotonic() + _TELL_EVERY_S

    def end(self, outcome: Mapping[str, Mapping[str, Any]]) -> None:
        def work(session: WriteSession) -> None:
            repository = OptimizationRepository(session)
            self._advance(repository)
            repository.end(self._id, self._fence, **outcome)

        persistently(self._database, work, PATIENCE_S)

    def hand_back(self) -> None:
        # Should this fail, the next worker waits until this one has been silent for long enough.
        try:
            with self._database.transaction(SERVICE) as session:
                OptimizationRepository(session).hand_back(self._id, self._fence)
        except CryoProtectError as error:
            _log.info("optimization_not_handed_back", optimization_id=str(self._id), reason=error.detail)

    def _advance(self, repository: OptimizationRepository) -> None:
        if not repository.advance(self._id, self._fence, **asdict(self._last)):
            raise OvertakenError


def _outcome(begun: Begun, on_progress: Callable[[Progress], None]) -> dict[str, Mapping[str, Any]]:
    """Return what was found, or why there is nothing to find."""
    search = Search(Wish.of(begun.request), tuple(Molecule(**item) for item in begun.molecules))
    try:
        return {"result": search.told(front(search.problem, search.wish.seed, on_progress))}
    except InvalidError as error:
        faults = [asdict(fault) for fault in error.faults]
        return {"failure": {"code": error.code or "invalid_values", "detail": error.detail, "errors": faults}}
