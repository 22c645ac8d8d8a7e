"""Searches for mixtures: molecules found by their names, and one search at a time beside the other requests."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

from gevent import get_hub

from app.domain.mixtures import AmountUnit
from app.domain.references import Match, by_key, choose, keys_of
from app.errors import Fault, InvalidError, UnavailableError
from app.science.models.cases import Conditions
from app.science.optimization import QUICK_CANDIDATES, Candidate, Constraint, Found, Problem, front
from app.services.predict_properties import rounded, told
from database.repositories.molecules import MoleculeReader

_RETRY_AFTER_S: Final = 5
# A search takes a processor for seconds; a second one beside it would only make both slower.
_under_way: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class StatedCandidate:
    """A molecule by whatever it is called, with the bounds of its molality in mol/kg."""

    molecule: str
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

    def said(self) -> dict[str, Any]:
        """Return the wish as JSON says it."""
        return asdict(self) | {"conditions": self.conditions.said()}

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """Return the wish that JSON says."""
        return cls(
            candidates=tuple(StatedCandidate(**item) for item in said["candidates"]),
            objective=said["objective"],
            constraints=tuple(Constraint(**item) for item in said["constraints"]),
            conditions=Conditions.of(said["conditions"]),
            solvent=said["solvent"],
            seed=said["seed"],
        )


@dataclass(frozen=True, slots=True)
class Molecule:
    """What the models have to know of a candidate, and what callers know it by."""

    id: str
    name: str
    inchikey: str | None
    molar_mass_g_mol: float

    @property
    def key(self) -> str:
        """Return the key that models know it by."""
        return self.inchikey or self.id


@dataclass(frozen=True, slots=True)
class Search:
    """A wish whose molecules are known: all that its answer depends on."""

    wish: Wish
    molecules: Sequence[Molecule]
    """In the order of the candidates."""

    @property
    def is_quick(self) -> bool:
        """Return whether it takes seconds only."""
        return len(self.molecules) <= QUICK_CANDIDATES

    @property
    def problem(self) -> Problem:
        """Return the search as the science takes it."""
        return Problem(
            tuple(
                Candidate(molecule.key, molecule.name, molecule.molar_mass_g_mol, stated.at_least, stated.at_most)
                for molecule, stated in zip(self.molecules, self.wish.candidates, strict=True)
            ),
            self.wish.objective,
            tuple(self.wish.constraints),
            self.wish.conditions,
            self.wish.solvent,
        )

    def told(self, mixtures: Sequence[Found]) -> dict[str, Any]:
        """Return the front as JSON shows it."""
        known = {molecule.key: molecule for molecule in self.molecules}
        return {
            "objective": self.wish.objective,
            "traded": self.problem.traded,
            "seed": self.wish.seed,
            "front": [
                {
                    "components": [
                        {
                            "molecule_id": known[key].id,
                            "name": known[key].name,
                            "amount": amount,
                            "unit": AmountUnit.MOLALITY,
                        }
                        for key, amount in mixture.molality_mol_kg.items()
                    ],
                    "solvent": self.wish.solvent,
                    "total_molality_mol_kg": mixture.total_molality_mol_kg,
                    "predictions": [told(item) for item in rounded(mixture.predictions)],
                }
                for mixture in mixtures
            ],
        }


def search_for(molecules: MoleculeReader, wish: Wish) -> Search:
    """Return the search for a wish; one round trip finds its molecules.

    Raises:
        InvalidError: With pointers: a molecule is unknown, stands twice or has no molar mass.
    """
    found = molecules.lookup([*dict.fromkeys(key for item in wish.candidates for key in keys_of(item.molecule))])
    matches = by_key(found)
    known: dict[str, Molecule] = {}
    faults: list[Fault] = []
    for index, item in enumerate(wish.candidates):
        pointer = f"/candidates/{index}/molecule"
        try:
            molecule = _molecule(choose(item.molecule, matches))
        except InvalidError as error:
            faults.append(Fault(pointer, error.detail))
            continue
        if molecule.key in known:
            faults.append(Fault(pointer, "this molecule stands twice"))
        known[molecule.key] = molecule
    if faults:
        msg = "some candidates cannot be used"
        raise InvalidError(msg, faults=faults)
    return Search(wish, tuple(known.values()))


def optimize(search: Search) -> dict[str, Any]:
    """Return the front of the mixtures searched for, as JSON shows it.

    Raises:
        InvalidError: Nothing meets the constraints, or no model holds.
        UnavailableError: This process searches for somebody else.
    """
    if not _under_way.acquire(blocking=False):
        msg = "another search is under way"
        raise UnavailableError(msg, code="busy", retry_after_s=_RETRY_AFTER_S)
    try:
        # A thread of its own: the worker's other requests go on meanwhile.
        found = get_hub().threadpool.apply(_searched, (search,))
    finally:
        _under_way.release()
    if isinstance(found, InvalidError):
        raise found
    return search.told(found)


def _searched(search: Search) -> list[Found] | InvalidError:
    """Return the front, or why there is none: what a thread raises is printed as if it were an error of ours."""
    try:
        return front(search.problem, search.wish.seed)
    except InvalidError as error:
        return error


def _molecule(match: Match) -> Molecule:
    if not match.molar_mass_g_mol:
        msg = f"the molar mass of {match.name} is not known"
        raise InvalidError(msg)
    return Molecule(str(match.id), match.name, match.inchikey, match.molar_mass_g_mol)
