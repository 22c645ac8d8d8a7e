"""Search for mixtures: the best of a predicted property within bounds and constraints, and the price of more.

The answer is a front: mixtures of which none is better than another in the objective and in the first constraint's
quantity at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Final

import numpy as np
from scipy.optimize import Bounds, OptimizeResult, differential_evolution

from app.errors import Fault, InvalidError
from app.science.models.cases import Case, Composition, Conditions
from app.science.models.fits import Array
from app.science.models.model import Prediction
from app.science.models.registry import default_model, evaluate_many

TOTAL_MOLALITY: Final = "total_molality"
# What the models give by formula, thousands of times a second.
OBJECTIVES: Final = frozenset({
    "cell_survival", "toxicity_rate", "freezing_point", "osmolality", "glass_transition_temperature",
    "critical_cooling_rate",
})  # fmt: skip
QUANTITIES: Final = OBJECTIVES | {TOTAL_MOLALITY}
MAX_CANDIDATES: Final = 20
QUICK_CANDIDATES: Final = 6
"""So many are searched within seconds; more take minutes."""
# Better is less of these, more of all others.
_LESS_IS_BETTER: Final = frozenset({"toxicity_rate", "critical_cooling_rate", "freezing_point"})
FRONT_LEVELS: Final = 6
# For the best, for the most of what is traded, and for the best at each level.
_SEARCHES: Final = FRONT_LEVELS + 2
_GENERATIONS: Final = 60
# The best glass transition of twelve solutes is 184.9 K after 60 generations, 190.8 after 200, 191.6 after 600.
_GENERATIONS_EACH: Final = 40
_POPULATION: Final = 15
# What lies outside the models' ranges is worse than what breaks every constraint, and that worse than any value. The
# evolution goes on as long as a cost is infinite: points of which nothing is known are alike, but not at an end.
_BROKEN: Final = 1e100
_UNKNOWN: Final = float("inf")
LEAST_MOL_KG: Final = 1e-9
"""A bound of a molality is zero, or this or more."""
_DIGITS: Final = 7
# A part of the upper bound. Without it no search would ever come to a mixture without an optional candidate.
_NEGLIGIBLE: Final = 1e-6
# Of a solute alone, to learn whether a model knows it: every model's range has some of these.
_TRIED_MOL_KG: Final = tuple(np.geomspace(1e-3, 1e3, 25).tolist())
# The parts of the bounds that points are drawn from where the models hold for smaller amounts only.
_SMALLEST_LN_SCALE: Final = math.log(1e-4)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A solute that the mixture may have, with the bounds of its molality in mol per kg of solvent.

    One that may be left out is left out where the models do not know it. A bound is zero, or `LEAST_MOL_KG` or more.
    """

    key: str
    name: str
    molar_mass_g_mol: float
    low_mol_kg: float
    high_mol_kg: float


@dataclass(frozen=True, slots=True)
class Constraint:
    """Bounds of a predicted property in its own unit, or of the total molality in mol/kg; None is open."""

    quantity: str
    at_least: float | None = None
    at_most: float | None = None

    def violation(self, values: Array) -> Array:
        """Return by how much values are outside, as a part of the bound (or of 1, where that is more)."""
        below = 0.0 if self.at_least is None else (self.at_least - values) / max(abs(self.at_least), 1.0)
        above = 0.0 if self.at_most is None else (values - self.at_most) / max(abs(self.at_most), 1.0)
        return np.asarray(np.maximum(np.maximum(below, above), 0.0), np.float64)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is searched for: the best objective, a property, of mixtures of the candidates in one solvent."""

    candidates: tuple[Candidate, ...]
    objective: str
    constraints: tuple[Constraint, ...] = ()
    conditions: Conditions = field(default_factory=Conditions)
    solvent: str = "water"

    @property
    def traded(self) -> str:
        """Return the quantity that the front trades the objective for."""
        return next((item.quantity for item in self.constraints if item.quantity != self.objective), TOTAL_MOLALITY)

    @property
    def properties(self) -> list[str]:
        """Return what models have to predict."""
        quantities = {self.objective, self.traded, *(item.quantity for item in self.constraints)}
        return sorted(quantities - {TOTAL_MOLALITY})


@dataclass(frozen=True, slots=True)
class Found:
    """One mixture of the front, with what its models say of objective and constraints."""

    molality_mol_kg: Mapping[str, float]
    predictions: tuple[Prediction, ...]
    total_molality_mol_kg: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a search is."""

    done_fraction: float
    """0 to 1; a search within the search that finds no better may end before its time."""
    generations: int
    """How many have been tried, of all searches within the search."""
    best_objective: float | None
    """The best so far of what meets every constraint, in the property's unit; None before there is any."""


def front(problem: Problem, seed: int = 0, on_progress: Callable[[Progress], None] | None = None) -> list[Found]:
    """Return mixtures from the best objective to the most of the traded quantity; the same seed gives the same.

    Each is the outcome of differential evolution (Storn & Price 1997, doi:10.1023/A:1008202821328) with the traded
    quantity held above a level. `on_progress` hears of each generation; what it raises ends the search.

    Raises:
        InvalidError: No mixture of the candidates meets the constraints (it says which), the models do not know a
            candidate that must be in it, or no model holds for any.
    """
    search = _Search(_of_known(problem), seed, on_progress or (lambda _: None))
    best = search.best(problem.objective, ())
    far = search.best(problem.traded, ())
    begin, end = search.value(best, problem.traded), search.value(far, problem.traded)
    levels = np.linspace(begin, end, FRONT_LEVELS + 1)[1:].tolist()
    beyond = [search.best(problem.objective, (_beyond(problem.traded, level),), start=far) for level in levels]
    return search.found([best, *beyond])


def _of_known(problem: Problem) -> Problem:
    """Return the problem without the optional candidates that a model does not know."""
    reasons = [_unknown(problem, item) for item in problem.candidates]
    if all(reasons):
        raise _out_of_range(reason for reason in dict.fromkeys(reasons) if reason)
    asked = list(zip(problem.candidates, reasons, strict=True))
    faults = [
        Fault(f"/candidates/{index}", reason)
        for index, (item, reason) in enumerate(asked)
        if reason and item.low_mol_kg > 0.0
    ]
    if faults:
        msg = "the models do not know candidates that must be in the mixture"
        raise InvalidError(msg, code="infeasible", faults=faults)
    return replace(problem, candidates=tuple(item for item, reason in asked if reason is None))


def _unknown(problem: Problem, candidate: Candidate) -> str | None:
    """Return why a model holds for no amount of a candidate alone; None where each of them holds for some."""
    key = candidate.key
    masses, names = {key: candidate.molar_mass_g_mol}, {key: candidate.name}
    cases = [
        Case(Composition({key: amount}, masses, problem.solvent, names), problem.conditions) for amount in _TRIED_MOL_KG
    ]
    for name in problem.properties:
        answers = [answer for (answer,) in evaluate_many(cases, [name], [_identity(name)])]
        if all(answer.value is None for answer in answers):
            return f"{name}: {answers[0].reason}"
    return None


def _beyond(quantity: str, level: float) -> Constraint:
    slack = 1e-6 * max(abs(level), 1.0)
    if quantity in _LESS_IS_BETTER:
        return Constraint(quantity, at_most=level + slack)
    return Constraint(quantity, at_least=level - slack)


class _Telling:
    """Adds the generations of one search after the other up to one progress."""

    def __init__(self, problem: Problem, on_progress: Callable[[Progress], None]) -> None:
        many = len(problem.candidates)
        self.generations = _GENERATIONS if many <= QUICK_CANDIDATES else _GENERATIONS_EACH * many
        self._objective = problem.objective
        self._tell = on_progress
        self._searches = self._tried = 0
        self._best: float | None = None

    def generation(self, quantity: str, number: int, cost: float) -> None:
        """Tell of a generation of the search under way."""
        # What comes later trades the objective for something.
        if not self._searches and quantity == self._objective and cost < _BROKEN:
            self._best = cost if quantity in _LESS_IS_BETTER else -cost
        self._say((self._searches + number / self.generations) / _SEARCHES, self._tried + number)

    def end(self, generations: int) -> None:
        """Tell that the search under way has ended."""
        self._searches += 1
        self._tried += generations
        self._say(self._searches / _SEARCHES, self._tried)

    def _say(self, fraction: float, generations: int) -> None:
        self._tell(Progress(min(fraction, 1.0), generations, self._best))


class _Search:
    def __init__(self, problem: Problem, seed: int, on_progress: Callable[[Progress], None]) -> None:
        self._problem = problem
        self._seed = seed
        self._telling = _Telling(problem, on_progress)
        self._properties = problem.properties
        self._models = sorted({_identity(name) for name in self._properties})
        self._low = np.array([item.low_mol_kg for item in problem.candidates])
        self._high = np.array([item.high_mol_kg for item in problem.candidates])

    def best(self, quantity: str, constraints: tuple[Constraint, ...], start: Array | None = None) -> Array:
        """Return the molalities of the best mixture."""
        every = self._problem.constraints + constraints

        def costs(points: Array) -> Array:
            return self._costs(self._amounts(points), quantity, every)

        def by_column(columns: Array) -> Array:
            return costs(np.atleast_2d(columns.T))

        numbers = count(1)

        def told(intermediate_result: OptimizeResult) -> None:
            self._telling.generation(quantity, next(numbers), float(intermediate_result.fun))

        solution = differential_evolution(
            by_column,  # type: ignore[arg-type] # the stubs do not know functions of many points
            Bounds(self._low, self._high),
            maxiter=self._telling.generations,
            tol=1e-6,
            rng=self._seed,
            polish=False,
            vectorized=True,
            updating="deferred",
            init=self._first_points(costs, start),
            callback=told,
        )
        self._telling.end(int(solution.nit))
        found = self._amounts(np.asarray(solution.x, np.float64))
        if solution.fun >= _BROKEN:
            raise self._refusal(found, every)
        return found

    def value(self, molality: Array, quantity: str) -> float:
        """Return a quantity of one mixture."""
        return float(self._values(molality[None, :])[quantity][0])

    def found(self, points: Sequence[Array]) -> list[Found]:
        """Return the mixtures that no other of them beats in both quantities, in the order of the objective."""
        rows = np.unique(np.array(points), axis=0)
        values = self._values(rows)
        merits = np.column_stack(
            [_merit(name, values[name]) for name in (self._problem.objective, self._problem.traded)]
        )
        kept = [
            index for index, merit in enumerate(merits)
            if not np.any((merits >= merit).all(axis=1) & (merits > merit).any(axis=1))
        ]  # fmt: skip
        kept.sort(key=lambda index: -merits[index, 0])
        answers = self._predictions(rows[kept])
        return [
            Found(
                {item.key: float(amount) for item, amount in zip(self._problem.candidates, row, strict=True) if amount},
                tuple(answer),
                float(_rounded(row.sum())),
            )
            for row, answer in zip(rows[kept], answers, strict=True)
        ]

    def _first_points(self, costs: Callable[[Array], Array], start: Array | None) -> Array:
        """Return the points to begin with: all over the bounds, or fewer candidates and less where nothing is known."""
        from scipy.stats import qmc  # noqa: PLC0415 - 0.3 s and 20 MB, of which most processes need nothing

        width = self._high - self._low
        many = _POPULATION * max(1, int(np.count_nonzero(width)))
        shares = qmc.Sobol(len(width), rng=self._seed).random_base2(math.ceil(math.log2(many)))
        points = self._low + shares * width
        rng = np.random.default_rng(self._seed)
        rank = rng.permuted(np.tile(np.arange(len(width)), (len(points), 1)), axis=1)
        present = rank < rng.integers(1, len(width), size=(len(points), 1), endpoint=True)
        scale = np.exp(_SMALLEST_LN_SCALE * rng.random((len(points), 1)))
        unknown = np.isinf(costs(points))[:, None]
        points = np.where(unknown, self._low + shares * present * scale * width, points)
        if start is not None:
            points[0] = start
        return np.asarray(points, np.float64)

    def _amounts(self, points: Array) -> Array:
        """Return the amounts that points stand for, as they are told: rounded, within bounds, and none of a trace."""
        amounts = np.clip(_rounded(points), self._low, self._high)
        trace = (self._low == 0.0) & (amounts < _NEGLIGIBLE * self._high)
        return np.asarray(np.where(trace, 0.0, amounts), np.float64)

    def _costs(self, molality: Array, quantity: str, constraints: Sequence[Constraint]) -> Array:
        values = self._values(molality)
        cost = -_merit(quantity, values[quantity])
        broken = sum((item.violation(values[item.quantity]) for item in constraints), np.zeros(len(molality)))
        cost = np.where(broken > 0.0, _BROKEN * (1.0 + broken), cost)
        unknown = np.isnan(np.array(list(values.values()))).any(axis=0)
        return np.asarray(np.where(unknown, _UNKNOWN, cost), np.float64)

    def _values(self, molality: Array) -> dict[str, Array]:
        """Return each quantity by mixture; NaN outside a model's range."""
        values = {TOTAL_MOLALITY: molality.sum(axis=1)}
        answers = self._predictions(molality)
        for column, name in enumerate(self._properties):
            values[name] = np.array([_number(row[column].value) for row in answers])
        return values

    def _predictions(self, molality: Array) -> list[list[Prediction]]:
        """Return what the models say of each mixture, in the order of the properties."""
        masses = {item.key: item.molar_mass_g_mol for item in self._problem.candidates}
        names = {item.key: item.name for item in self._problem.candidates}
        cases = [
            Case(
                Composition(dict(zip(masses, row, strict=True)), masses, self._problem.solvent, names),
                self._problem.conditions,
            )
            for row in molality.tolist()
        ]
        if not self._properties:
            return [[] for _ in cases]
        answers = evaluate_many(cases, self._properties, self._models)
        defaults = {(name, _identity(name)) for name in self._properties}
        return [
            sorted(
                (item for item in row if (item.property_type, f"{item.model}@{item.version}") in defaults),
                key=lambda item: item.property_type,
            )
            for row in answers
        ]

    def _refusal(self, nearest: Array, constraints: Sequence[Constraint]) -> InvalidError:
        """Return what stands in the way of the mixture that comes nearest."""
        (answers,) = self._predictions(nearest[None, :])
        unknown = [f"{item.property_type}: {item.reason}" for item in answers if item.value is None]
        if unknown:
            return _out_of_range(unknown)
        values = self._values(nearest[None, :])
        faults = [
            Fault(f"/constraints/{index}", f"{item.quantity} comes to {values[item.quantity][0]:.6g} at best")
            for index, item in enumerate(constraints)
            if item.violation(values[item.quantity])[0] > 0.0
        ]
        msg = "no mixture of the candidates meets the constraints together"
        return InvalidError(msg, code="infeasible", faults=faults)


def _out_of_range(reasons: Iterable[str]) -> InvalidError:
    msg = "no mixture of the candidates within these bounds lies in the range of the models"
    return InvalidError(msg, code="infeasible", faults=[Fault("", reason) for reason in reasons])


def _identity(property_type: str) -> str:
    model = default_model(property_type)
    return f"{model.name}@{model.version}"


def _merit(quantity: str, values: Array) -> Array:
    return -values if quantity in _LESS_IS_BETTER else values


def _rounded(amounts: Array) -> Array:
    """Return amounts of so many significant digits."""
    size = np.floor(np.log10(np.maximum(amounts, LEAST_MOL_KG)))
    factor = 10.0 ** (_DIGITS - 1 - size)
    return np.asarray(np.rint(amounts * factor) / factor, np.float64)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
