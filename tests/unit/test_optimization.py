"""Searches for mixtures: what they find, and what they say where there is nothing to find."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from app.errors import InvalidError
from app.science.models import solutes
from app.science.models.cases import Composition, Conditions
from app.science.models.glass_transition import PURE_K
from app.science.models.registry import evaluate
from app.science.optimization import (
    FRONT_LEVELS,
    LEAST_MOL_KG,
    QUICK_CANDIDATES,
    TOTAL_MOLALITY,
    Candidate,
    Constraint,
    Found,
    Problem,
    Progress,
    front,
)

MASSES = {solutes.GLYCEROL: 92.094, solutes.DMSO: 78.134, solutes.FORMAMIDE: 45.041}
ROOM = Conditions(298.15, 30.0, "endothelial")
THREE = tuple(Candidate(key, solutes.NAMES[key], mass, 0.0, 8.0) for key, mass in MASSES.items())
STRONG = Problem(THREE, "cell_survival", (Constraint(TOTAL_MOLALITY, at_least=6.0),), ROOM)


@pytest.fixture(scope="module")
def found() -> list[Found]:
    return front(STRONG)


def survival(found: Found) -> float:
    (answer,) = (item for item in found.predictions if item.property_type == "cell_survival")
    assert answer.value is not None
    assert answer.standard_uncertainty
    return answer.value


def test_the_front_runs_from_the_best_objective_to_the_most_of_what_is_traded(found: list[Found]):
    totals = [item.total_molality_mol_kg for item in found]

    assert len(found) >= 4
    assert totals == sorted(totals)
    assert [survival(item) for item in found] == sorted((survival(item) for item in found), reverse=True)
    assert totals[0] == pytest.approx(6.0, abs=0.01)
    assert totals[-1] == pytest.approx(10.0, abs=0.01)


def test_no_mixture_of_a_grid_beats_the_front(found: list[Found]):
    grid = np.arange(0.0, 8.1, 1.0)
    best = survival(found[0])

    rivals = [
        evaluate(
            Composition(dict(zip(MASSES, point, strict=True)), MASSES), ROOM, ["cell_survival"], ["warner_weibull"]
        )
        for point in np.array(np.meshgrid(grid, grid, grid)).reshape(3, -1).T.tolist()
        if 6.0 <= sum(point) <= 10.0
    ]

    values = [answer.value for (answer,) in rivals if answer.value is not None]
    assert len(values) > 100
    assert best >= max(values)


def test_what_is_said_of_a_mixture_is_what_the_models_say(found: list[Found]):
    (expected,) = evaluate(Composition(found[1].molality_mol_kg, MASSES), ROOM, ["cell_survival"], ["warner_weibull"])

    assert found[1].predictions == (expected,)


def test_the_same_seed_gives_the_same_and_progress_goes_to_the_end():
    small = replace(STRONG, candidates=THREE[:2])
    told: list[Progress] = []

    first, second = front(small, 7, told.append), front(small, 7)

    assert first == second
    assert all(later.done_fraction >= earlier.done_fraction for earlier, later in pairwise(told))
    assert told[-1].done_fraction == 1.0
    assert told[-1].generations > FRONT_LEVELS
    bests = [item.best_objective for item in told if item.best_objective is not None]
    assert bests == sorted(bests)
    assert bests[-1] == pytest.approx(survival(first[0]), abs=1e-6)


def test_more_candidates_are_searched_for_longer_and_told_of_all_the_while():
    solutes_of_a_glass = tuple(PURE_K)[: QUICK_CANDIDATES + 1]
    candidates = tuple(Candidate(key, solutes.NAMES[key], 100.0, 0.0, 2.0) for key in solutes_of_a_glass)
    problem = Problem(candidates, "glass_transition_temperature", (Constraint(TOTAL_MOLALITY, at_most=8.0),), ROOM)
    told: list[Progress] = []

    class EnoughError(Exception):
        pass

    def enough(progress: Progress) -> None:
        told.append(progress)
        if len(told) == 100:
            raise EnoughError

    with pytest.raises(EnoughError):
        front(problem, 0, enough)

    assert [item.generations for item in told] == [*range(1, 101)]
    assert 0.0 < told[-1].done_fraction < 0.1


def test_every_constraint_is_met():
    problem = replace(
        STRONG, constraints=(Constraint("freezing_point", at_most=258.0), Constraint("cell_survival", at_least=0.7)),
        candidates=THREE[:2],
    )  # fmt: skip

    mixtures = front(problem)

    values = [{item.property_type: item.value for item in mixture.predictions} for mixture in mixtures]
    assert all(value["freezing_point"] <= 258.001 and value["cell_survival"] >= 0.7 for value in values)  # type: ignore[operator]


def test_a_constraint_that_cannot_be_met_is_named_with_the_best_that_can():
    problem = replace(STRONG, constraints=(*STRONG.constraints, Constraint("cell_survival", at_least=0.999)))

    with pytest.raises(InvalidError) as refused:
        front(problem)

    (fault,) = refused.value.faults
    assert refused.value.code == "infeasible"
    assert fault.pointer == "/constraints/1"
    assert fault.detail.startswith("cell_survival comes to 0.9")


def test_conditions_that_no_model_holds_for_are_told():
    with pytest.raises(InvalidError, match="range of the models") as refused:
        front(replace(STRONG, conditions=Conditions(310.0, 30.0, "endothelial")))

    assert [fault.detail for fault in refused.value.faults] == [
        "cell_survival: conditions.temperature_k 310 K is outside 295.15-301.15 K"
    ]


@pytest.mark.parametrize("high", [20.0, 100.0])
def test_bounds_beyond_the_range_of_the_models_do_not_keep_a_search_from_what_lies_within(high: float):
    agents = (*MASSES, solutes.ETHYLENE_GLYCOL, solutes.PROPYLENE_GLYCOL)
    candidates = tuple(Candidate(key, solutes.NAMES[key], MASSES.get(key, 70.0), 0.0, high) for key in agents)
    problem = replace(STRONG, candidates=candidates)

    mixtures = front(problem)

    assert survival(mixtures[0]) > 0.98
    assert mixtures[-1].total_molality_mol_kg == pytest.approx(10.0, abs=0.01)
    assert front(problem) == mixtures


def test_a_candidate_that_no_model_knows_is_left_out_where_it_may_be():
    raffinose = Candidate(solutes.RAFFINOSE, "raffinose", 504.4, 0.0, 1.0)

    assert front(replace(STRONG, candidates=(*THREE, raffinose))) == front(STRONG)


def test_a_candidate_that_no_model_knows_is_named_where_it_must_be_in():
    raffinose = Candidate(solutes.RAFFINOSE, "raffinose", 504.4, 0.1, 1.0)

    with pytest.raises(InvalidError, match="must be in the mixture") as refused:
        front(replace(STRONG, candidates=(*THREE, raffinose)))

    (fault,) = refused.value.faults
    assert refused.value.code == "infeasible"
    assert fault.pointer == "/candidates/3"
    assert "raffinose is not among them" in fault.detail


def test_solutes_that_a_model_knows_only_alone_are_told_alone():
    ethanol, glycol = solutes.ETHANOL, solutes.ETHYLENE_GLYCOL
    candidates = (Candidate(ethanol, "ethanol", 46.07, 0.0, 30.0), Candidate(glycol, "glycol", 62.07, 0.0, 50.0))

    mixtures = front(Problem(candidates, "critical_cooling_rate"))

    assert all(len(mixture.molality_mol_kg) == 1 for mixture in mixtures)
    assert mixtures[0].molality_mol_kg == {ethanol: pytest.approx(30.0, abs=0.01)}


def test_an_objective_may_be_of_any_size():
    # Far above a million K/min.
    problem = Problem((Candidate(solutes.ETHANOL, "ethanol", 46.07, 1.2, 1.6),), "critical_cooling_rate")
    told: list[Progress] = []

    (found,) = front(problem, 0, told.append)

    assert found.molality_mol_kg == {solutes.ETHANOL: 1.6}
    (answer,) = found.predictions
    assert answer.value is not None
    assert answer.value > 1e6
    assert told[-1].best_objective == pytest.approx(answer.value)


@pytest.mark.parametrize(("low", "high"), [(1e-7, 1e-7), (LEAST_MOL_KG, LEAST_MOL_KG), (1.23456789, 1.23456791)])
def test_amounts_are_told_within_their_bounds(low: float, high: float):
    candidate = Candidate(solutes.GLYCEROL, "glycerol", 92.094, low, high)

    mixtures = front(Problem((candidate,), "osmolality"))

    assert all(low <= mixture.molality_mol_kg[solutes.GLYCEROL] <= high for mixture in mixtures)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("high", [0.0, LEAST_MOL_KG, 1.0 + 2**-52])
def test_the_narrowest_bounds_are_searched_without_a_warning(high: float):
    narrow = Candidate(solutes.DMSO, "dmso", 78.134, 1.0 if high > 1.0 else 0.0, high)

    assert front(replace(STRONG, candidates=(THREE[0], narrow)))
