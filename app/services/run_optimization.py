"""Searches for mixtures as jobs: a worker carries one out, and tells how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final
from uuid import UUID

from app.domain.callers import SERVICE
from app.errors import InvalidError
from app.science.optimization import Progress, front
from app.services.optimize_mixtures import Molecule, Search, Wish
from app.services.predict_batch import OvertakenError
from database.repositories.optimizations import Begun, OptimizationRepository
from database.session import Database, WriteSession

_TELL_EVERY_S: Final = 1.0


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

    It begins anew however far another worker was: the same seed comes to the same.

    Raises:
        OvertakenError: Another worker has begun it, too.
        UnavailableError: The database does not answer.
    """
    with database.transaction(SERVICE) as session:
        begun = OptimizationRepository(session).start(optimization_id)
    if begun is None:
        return True
    telling = _Telling(database, optimization_id, begun.fence, keep_going)
    try:
        telling.end(_outcome(begun, telling.generation))
    except _HandedBackError:
        return False
    except OvertakenError:
        with database.transaction(SERVICE) as session:
            if OptimizationRepository(session).is_open(optimization_id):
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
        with self._database.transaction(SERVICE) as session:
            self._advance(OptimizationRepository(session))
        self._next_s = time.monotonic() + _TELL_EVERY_S

    def end(self, outcome: Mapping[str, Mapping[str, Any]]) -> None:
        with self._database.transaction(SERVICE) as session:
            repository = OptimizationRepository(session)
            self._advance(repository)
            repository.end(self._id, self._fence, **outcome)

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
