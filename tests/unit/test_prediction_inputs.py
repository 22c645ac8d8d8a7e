"""The hash that tells one question to the models from another."""

from __future__ import annotations

import re

import pytest

from app.domain.predictions import inputs_hash

MOLALITY = {"A": 1.0, "B": 2.5}
CONDITIONS: dict[str, float | str | None] = {"temperature_k": 298.15, "cell_type": "endothelial"}
SAID = inputs_hash(MOLALITY, "water", CONDITIONS)


def test_it_is_a_sha_256() -> None:
    assert re.fullmatch("[0-9a-f]{64}", SAID)


@pytest.mark.parametrize(
    ("molality", "solvent", "conditions"),
    [
        ({"B": 2.5, "A": 1.0}, "water", CONDITIONS),
        ({"A": 1.0 + 1e-13, "B": 2.5 - 1e-13}, "water", CONDITIONS),
        (MOLALITY, " Water ", CONDITIONS),
        (MOLALITY, "water", {**CONDITIONS, "exposure_min": None}),
        (MOLALITY, "water", {"cell_type": "Endothelial ", "temperature_k": 298.15}),
    ],
)
def test_the_same_said_otherwise_is_the_same(
    molality: dict[str, float], solvent: str, conditions: dict[str, float | str | None]
) -> None:
    assert inputs_hash(molality, solvent, conditions) == SAID


@pytest.mark.parametrize(
    ("molality", "solvent", "conditions"),
    [
        ({"A": 1.0, "B": 2.50001}, "water", CONDITIONS),
        ({"A": 2.5, "B": 1.0}, "water", CONDITIONS),
        ({"A": 1.0}, "water", CONDITIONS),
        (MOLALITY, "ethanol", CONDITIONS),
        (MOLALITY, "water", {}),
        (MOLALITY, "water", {**CONDITIONS, "exposure_min": 0.0}),
        (MOLALITY, "water", {**CONDITIONS, "temperature_k": 298.16}),
    ],
)
def test_anything_else_is_not(
    molality: dict[str, float], solvent: str, conditions: dict[str, float | str | None]
) -> None:
    assert inputs_hash(molality, solvent, conditions) != SAID
