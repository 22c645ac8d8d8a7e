"""The measured values that the models are fitted to and judged by, read in place where they lie beside the project."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from app.science.models import solutes
from app.science.models.fits import Array
from app.science.models.toxicity_kinetics import AGENTS

_PROJECT: Final = Path(__file__).parents[2]
DATA: Final = Path(os.environ.get("CRYOPROTECT_SHARED", _PROJECT.parent / "shared" / "data"))
MEASUREMENTS: Final = DATA.parent / "science" / "measurements.csv"

MOLAR_MASS_G_MOL: Final = {
    solutes.GLYCEROL: 92.094,
    solutes.ETHYLENE_GLYCOL: 62.068,
    solutes.PROPYLENE_GLYCOL: 76.095,
    solutes.METHANOL: 32.042,
    solutes.ETHANOL: 46.069,
    solutes.SODIUM_CHLORIDE: 58.443,
}
_SOLUTES: Final = {
    "glycerol": solutes.GLYCEROL,
    "ethylene glycol": solutes.ETHYLENE_GLYCOL,
    "propylene glycol": solutes.PROPYLENE_GLYCOL,
    "methanol": solutes.METHANOL,
    "ethanol": solutes.ETHANOL,
    "NaCl": solutes.SODIUM_CHLORIDE,
    "sodium chloride": solutes.SODIUM_CHLORIDE,
}
_AGENTS: Final = {
    "Gly": solutes.GLYCEROL,
    "DMSO": solutes.DMSO,
    "PG": solutes.PROPYLENE_GLYCOL,
    "EG": solutes.ETHYLENE_GLYCOL,
    "FA": solutes.FORMAMIDE,
}
_CELSIUS_K: Final = 273.15
_PERCENT: Final = 100.0


@dataclass(frozen=True, slots=True)
class FreezingPoint:
    """One tabulated freezing point of one solute in water."""

    table: str
    solute: str
    mass_fraction: float
    molality_mol_kg: float
    freezing_point_k: float

    @property
    def block(self) -> int:
        """Return the tenth of the composition scale that the row lies in."""
        return round(self.mass_fraction * 10.0)


@dataclass(frozen=True, slots=True)
class Survivals:
    """Survivals of endothelial cells after exposure to one or two agents."""

    molality_mol_kg: Array
    """By row and agent, in the order of AGENTS."""
    exposure_min: Array
    survival: Array

    def pair(self) -> list[tuple[int, ...]]:
        """Return the agents of each row."""
        return [tuple(np.flatnonzero(row).tolist()) for row in self.molality_mol_kg]

    def where(self, chosen: Array) -> Survivals:
        """Return some of the rows."""
        return Survivals(self.molality_mol_kg[chosen], self.exposure_min[chosen], self.survival[chosen])


def freezing_points() -> list[FreezingPoint]:
    """Return the freezing points of Melinder's and VDI's tables, without those of pure water."""
    rows = []
    for row in _rows("FP_"):
        name, percent = row["composition"].rsplit(" ", 1)
        fraction = float(percent) / _PERCENT
        if fraction > 0.0:
            key = _SOLUTES[name]
            molality = 1000.0 * fraction / (1.0 - fraction) / MOLAR_MASS_G_MOL[key]
            table = row["set"].removeprefix("FP_")
            rows.append(FreezingPoint(table, key, fraction, molality, float(row["value"]) + _CELSIUS_K))
    return rows


def survivals() -> Survivals:
    """Return the 300 single and binary survivals of Warner et al. 2022, without the controls, 1 by definition."""
    molality, exposure, survival = [], [], []
    for row in _rows("TOX_Warner_single_binary"):
        if not row["composition"].startswith("control"):
            parts = dict(part.split() for part in row["composition"].split(" + "))
            amounts = {_AGENTS[name]: float(amount) for name, amount in parts.items()}
            molality.append([amounts.get(key, 0.0) for key in AGENTS])
            exposure.append(float(row["time_min"]))
            survival.append(float(row["value"]))
    return Survivals(np.array(molality), np.array(exposure), np.array(survival))


def _rows(prefix: str) -> Iterator[dict[str, str]]:
    with MEASUREMENTS.open(encoding="utf-8", newline="") as lines:
        yield from (row for row in csv.DictReader(lines) if row["set"].startswith(prefix))
