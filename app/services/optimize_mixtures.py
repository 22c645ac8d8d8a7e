"""Searches for mixtures: molecules found by their names, and one search at a time beside the other requests."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from gevent import get_hub

from app.domain.references import Match, by_key, choose, keys_of
from app.errors import Fault, InvalidError, UnavailableError
from app.science.models.cases import Conditions
from app.science.optimization import Candidate, Constraint, Found, Problem, front
from database.repositories.molecules import MoleculeReader

_RETRY_AFTER_S: Final = 5
# A search takes a processor for seconds; a second one beside it would only make both slower.
_under_way: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class StatedCandidate:
    """A molecule by whatever it is called, with the bounds of its molality in mol/kg."""

    reference: str
    at_least: float
    at_most: float


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller wants searched."""

    candidates: Sequence[StatedCandidate]
    objective: str
    constraints: Sequence[Constraint] = ()
    conditions: Conditions = field(default_factory=Conditions)
    solvent: str = "water"
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Front:
    """The mixtures found, and the molecules that they are made of, by the models' key."""

    problem: Problem
    mixtures: Sequence[Found]
    molecules: dict[str, Match]


def optimize(molecules: MoleculeReader, wish: Wish) -> Front:
    """Return the front of the mixtures wished for; one round trip finds their molecules.

    Raises:
        InvalidError: A molecule is unknown, stands twice or has no molar mass, or nothing meets the constraints.
        UnavailableError: This process searches for somebody else.
    """
    known = _candidates(molecules, wish.candidates)
    problem = Problem(
        tuple(
            Candidate(key, match.name, match.molar_mass_g_mol or 0.0, stated.at_least, stated.at_most)
            for (key, match), stated in zip(known.items(), wish.candidates, strict=True)
        ),
        wish.objective,
        tuple(wish.constraints),
        wish.conditions,
        wish.solvent,
    )
    if not _under_way.acquire(blocking=False):
        msg = "another search is under way"
        raise UnavailableError(msg, code="busy", retry_after_s=_RETRY_AFTER_S)
    try:
        # A thread of its own: the worker's other requests go on meanwhile.
        found = get_hub().threadpool.apply(_searched, (problem, wish.seed))
    finally:
        _under_way.release()
    if isinstance(found, InvalidError):
        raise found
    return Front(problem, found, known)


def _searched(problem: Problem, seed: int) -> list[Found] | InvalidError:
    """Return the front, or why there is none: what a thread raises is printed as if it were an error of ours."""
    try:
        return front(problem, seed)
    except InvalidError as error:
        return error


def _candidates(molecules: MoleculeReader, stated: Sequence[StatedCandidate]) -> dict[str, Match]:
    found = molecules.lookup([*dict.fromkeys(key for item in stated for key in keys_of(item.reference))])
    matches = by_key(found)
    known: dict[str, Match] = {}
    faults: list[Fault] = []
    for index, item in enumerate(stated):
        pointer = f"/candidates/{index}/molecule"
        try:
            match = choose(item.reference, matches)
        except InvalidError as error:
            faults.append(Fault(pointer, error.detail))
            continue
        key = match.inchikey or str(match.id)
        if key in known:
            faults.append(Fault(pointer, "this molecule stands twice"))
        elif not match.molar_mass_g_mol:
            faults.append(Fault(pointer, f"the molar mass of {match.name} is not known"))
        known[key] = match
    if faults:
        msg = "some candidates cannot be used"
        raise InvalidError(msg, faults=faults)
    return known
