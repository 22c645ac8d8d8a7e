"""Viability after thawing of cells frozen in a published kind of medium: what papers found with similar ones.

A Gaussian process over compositions, fitted to the literature rows of ML-for-CryoMN (`benchmarks/science`,
docs/science/post_thaw_viability.md). Cells and cooling are not told apart: too few rows say them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from app.science.models import post_thaw_viability_fit as fitted
from app.science.models import solutes
from app.science.models.cases import Case, Composition
from app.science.models.fits import Array
from app.science.models.model import Answer, Model, Parameter

PROPERTY: Final = "post_thaw_viability"
AGENTS: Final = (solutes.DMSO, solutes.ETHYLENE_GLYCOL, solutes.GLYCEROL, solutes.PROPYLENE_GLYCOL)
SUGARS: Final = frozenset({
    solutes.SUCROSE, solutes.TREHALOSE, solutes.GLUCOSE, solutes.RAFFINOSE, solutes.MANNITOL, solutes.MALTOSE,
})  # fmt: skip
OTHERS: Final = frozenset({
    solutes.ACETAMIDE, solutes.PROLINE, solutes.BETAINE, solutes.ECTOINE, solutes.TAURINE, solutes.CREATINE,
})  # fmt: skip
KNOWN: Final = SUGARS | OTHERS | set(AGENTS)
# Chosen on left-out papers from a coarse grid, on which the error hardly changes.
LENGTH: Final = 1.0
SIGNAL: Final = 0.2
NOISE: Final = 0.16
# Of a half-molal amount and more the logarithm counts.
_HALF_MOLAL: Final = 2.0
# Where more than this part of what was uncertain before the fit still is, nothing similar was published.
_UNLIKE: Final = 0.6


def features(molality_mol_kg: dict[str, float]) -> list[float]:
    """Return the composition as seven logarithms: of each agent, of sugars, of the others, of all together."""
    amounts = [molality_mol_kg.get(key, 0.0) for key in AGENTS]
    amounts.append(sum(value for key, value in molality_mol_kg.items() if key in SUGARS))
    amounts.append(sum(value for key, value in molality_mol_kg.items() if key in OTHERS))
    amounts.append(sum(amounts))
    return [math.log1p(_HALF_MOLAL * amount) for amount in amounts]


def covariance(first: Array, second: Array) -> Array:
    """Return the prior covariance of viability at two sets of compositions (Matern 3/2)."""
    distance = np.sqrt(3.0 * ((first[:, None] - second[None]) ** 2).sum(axis=-1)) / LENGTH
    return np.asarray(SIGNAL**2 * (1.0 + distance) * np.exp(-distance), np.float64)


class Process:
    """The process with what it was fitted to: compositions as features, viabilities as fractions.

    Reference: Rasmussen & Williams 2006, Gaussian Processes for Machine Learning, algorithm 2.1.
    """

    def __init__(self, rows: Array, viability: Array) -> None:
        self._rows = rows
        self._mean = float(viability.mean())
        self._root = np.linalg.cholesky(covariance(rows, rows) + NOISE**2 * np.eye(len(rows)))
        self._weights = np.linalg.solve(self._root.T, np.linalg.solve(self._root, viability - self._mean))

    def at(self, rows: Array) -> tuple[Array, Array]:
        """Return the mean viability at compositions, and its variance without the scatter of a measurement."""
        shared = covariance(rows, self._rows)
        explained = (np.linalg.solve(self._root, shared.T) ** 2).sum(axis=0)
        mean = np.clip(self._mean + shared @ self._weights, 0.0, 1.0)
        return mean, np.maximum(SIGNAL**2 - explained, 0.0)


def answers(cases: Sequence[Case]) -> list[dict[str, Answer]]:
    """Return the viability of each case."""
    refusals = [_refusal(case.composition) for case in cases]
    inside = [case.composition for case, refusal in zip(cases, refusals, strict=True) if refusal is None]
    numbers = iter(_numbers(inside))
    return [{PROPERTY: next(numbers) if reason is None else Answer(None, None, reason)} for reason in refusals]


def _refusal(composition: Composition) -> str | None:
    if not composition.is_aqueous:
        return f"the papers froze cells in media of water, not of {composition.solvent}"
    if not composition.molality_mol_kg:
        return "no cryoprotectant, no prediction"
    strange = [composition.named(key) for key in composition.molality_mol_kg if key not in KNOWN]
    if strange:
        return f"no paper that was read froze cells with {', '.join(strange)}"
    return None


def _numbers(compositions: Sequence[Composition]) -> list[Answer]:
    if not compositions:
        return []
    rows = np.array([features(dict(composition.molality_mol_kg)) for composition in compositions])
    means, variances = _PROCESS.at(rows)
    nearest = ((rows[:, None] - _ROWS[None]) ** 2).sum(axis=-1).argmin(axis=1)
    return [
        _answer(mean, variance, index)
        for mean, variance, index in zip(means.tolist(), variances.tolist(), nearest.tolist(), strict=True)
    ]


def _answer(mean: float, variance: float, nearest: int) -> Answer:
    found = f"the nearest published medium had {_VIABILITY[nearest]:.2f} (doi:{_DOIS[nearest]})"
    if variance > _UNLIKE * SIGNAL**2:
        return Answer(None, None, f"unlike any medium that was read; {found}")
    return Answer(mean, float(np.sqrt(variance + NOISE**2)), f"all cells and coolings together; {found}")


def _table() -> tuple[Array, Array, list[str]]:
    """Return features, viabilities and DOIs of the rows that were fitted."""
    lines = [line.split() for line in fitted.ROWS.strip().splitlines()]
    rows = [features(dict(zip(KEYS, map(float, line[:-2]), strict=True))) for line in lines]
    return np.array(rows), np.array([float(line[-2]) for line in lines]), [line[-1] for line in lines]


# One substance stands for its class, which counts by its sum.
KEYS: Final = (*AGENTS, solutes.SUCROSE, solutes.PROLINE)
_ROWS, _VIABILITY, _DOIS = _table()
_PROCESS: Final = Process(_ROWS, _VIABILITY)
_JUDGED: Final = "chosen on papers left out, benchmarks/science"
CRYOMN: Final = Model(
    name="similar_media_viability",
    version="1",
    title="Viability after thawing, by what papers found with similar freezing media",
    properties={PROPERTY: "1"},
    equation=(
        "Gaussian process over log(1 + 2 m) of DMSO, ethylene glycol, glycerol, propylene glycol, sugars, other small "
        "solutes and all together; Matern 3/2 covariance"
    ),
    parameters=(
        Parameter("all", "length", LENGTH, "1", _JUDGED, seen=True),
        Parameter("all", "signal", SIGNAL, "1", _JUDGED, seen=True),
        Parameter("all", "noise", NOISE, "1", _JUDGED, seen=True),
        Parameter("all", "rows", len(_ROWS), "1", "ML-for-CryoMN, raw table of 2026, each row with its DOI", seen=True),
    ),
    valid_for=(
        "media in water of DMSO, ethylene glycol, glycerol, propylene glycol, sugars, acetamide and amino acids or "
        "their kin, like those that were published; mammalian cells of all kinds together, mostly cooled at 1 K/min"
    ),
    reference="ML-for-CryoMN, raw literature table (2026); the paper of the nearest medium stands in the reason",
    default_for=frozenset({PROPERTY}),
    answers=answers,
)
