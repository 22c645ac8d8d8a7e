"""Viability after thawing, by what papers found with similar media."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.science.models import post_thaw_viability as model
from app.science.models import solutes
from app.science.models.cases import Composition
from app.science.models.model import Prediction
from app.science.models.registry import evaluate

MASSES = dict.fromkeys([*model.KNOWN, solutes.FORMAMIDE], 100.0)


def viability(solvent: str = "water", **amounts: float) -> Prediction:
    molality = {getattr(solutes, name): amount for name, amount in amounts.items()}
    (answer,) = evaluate(Composition(molality, MASSES, solvent, solutes.NAMES), properties=["post_thaw_viability"])
    return answer


def test_the_usual_medium_has_the_viability_that_papers_report_with_their_scatter():
    # 10 % v/v of DMSO: some 1.56 molal, the best known medium of all.
    answer = viability(DMSO=1.56)

    assert answer.value == pytest.approx(0.72, abs=0.08)
    assert answer.standard_uncertainty == pytest.approx(0.165, abs=0.02)
    assert re.search(r"nearest published medium had 0\.\d\d \(doi:10\.\d{4}/", answer.reason or "")


def test_a_little_sugar_alone_keeps_fewer_cells_alive():
    sugar, dmso = viability(TREHALOSE=0.27), viability(DMSO=1.56)

    assert sugar.value is not None
    assert dmso.value is not None
    assert sugar.value < dmso.value - 0.1


def test_sugars_count_as_one():
    assert viability(DMSO=0.8, SUCROSE=0.2).value == pytest.approx(viability(DMSO=0.8, TREHALOSE=0.2).value)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (viability(), "no cryoprotectant"),
        (viability(FORMAMIDE=1.0), "no paper that was read froze cells with formamide"),
        (viability("ethanol", DMSO=1.0), "not of ethanol"),
        (viability(PROPYLENE_GLYCOL=9.0, GLYCEROL=9.0), "unlike any medium that was read; the nearest"),
    ],
)
def test_what_no_paper_froze_cells_in_is_refused(answer: Prediction, reason: str):
    assert (answer.value, answer.standard_uncertainty, answer.in_domain) == (None, None, False)
    assert reason in (answer.reason or "")


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0.0, 20.0), min_size=7, max_size=7))
def test_a_viability_is_a_fraction_and_its_variance_at_most_what_it_was_before_the_fit(row: list[float]):
    mean, variance = model.Process(np.eye(7), np.linspace(0.0, 1.0, 7)).at(np.array([row]))

    assert 0.0 <= mean[0] <= 1.0
    assert 0.0 <= variance[0] <= model.SIGNAL**2


def test_the_process_is_near_what_it_was_fitted_to_and_far_away_the_mean():
    process = model.Process(np.zeros((30, 7)), np.full(30, 0.9))
    mixed = model.Process(np.array([[0.0] * 7] * 30 + [[50.0] * 7] * 30), np.array([0.9] * 30 + [0.3] * 30))

    assert process.at(np.zeros((1, 7)))[0][0] == pytest.approx(0.9)
    assert mixed.at(np.zeros((1, 7)))[0][0] == pytest.approx(0.9, abs=0.02)
    assert mixed.at(np.full((1, 7), 25.0))[0][0] == pytest.approx(0.6, abs=1e-6)
