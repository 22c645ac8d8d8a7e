"""Glass transitions of pure molecules from their structure."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem

from app.science.descriptors import descriptors
from app.science.models import dry_glass_transition_fit as fitted
from app.science.models.dry_glass_transition import DRY_GLASS, quadratic
from app.science.models.model import Prediction


def prediction(smiles: str) -> Prediction:
    return DRY_GLASS.prediction(descriptors(Chem.MolFromSmiles(smiles)))


@pytest.mark.parametrize(
    ("smiles", "tg_k"),
    [
        # Remembered temperatures of cryoprotectants that the fit has not seen.
        ("OCCO", 154.0),
        ("CC(O)CO", 170.0),
        # Among the measured ones.
        ("OCC(O)CO", 190.0),
        ("OC[C@H]1O[C@H](O[C@H]2O[C@H](CO)[C@@H](O)[C@H](O)[C@H]2O)[C@H](O)[C@@H](O)[C@@H]1O", 386.0),
        ("OCC(O)C(O)C(O)C(O)CO", 268.0),
    ],
)
def test_known_glass_formers_lie_within_two_standard_errors(smiles: str, tg_k: float):
    found = prediction(smiles)

    assert found.in_domain
    assert found.standard_uncertainty == fitted.ERROR_K
    assert found.value == pytest.approx(tg_k, abs=2 * fitted.ERROR_K)
    assert found.reason == "estimated from the structure alone"


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("[Na+].[Cl-]", "neutral molecules"),
        ("CC(=O)[O-]", "neutral molecules"),
        ("O.CCO", "neutral molecules"),
        ("O", "heavy_atom_count"),
        ("C" * 120, "heavy_atom_count"),
        ("N#N", "unlike the molecules that were measured"),
        ("NC(N)=O", "tpsa_a2 per heavy atom"),
    ],
)
def test_what_is_unlike_the_measured_molecules_is_refused(smiles: str, reason: str):
    found = prediction(smiles)

    assert (found.value, found.standard_uncertainty, found.in_domain) == (None, None, False)
    assert reason in (found.reason or "")


def test_the_quadratic_terms_are_each_feature_and_each_product():
    assert quadratic(np.array([2.0, 3.0])).tolist() == [2.0, 3.0, 4.0, 6.0, 9.0]
    assert quadratic(np.ones((4, 10))).shape == (4, len(fitted.COEFFICIENTS_K))
