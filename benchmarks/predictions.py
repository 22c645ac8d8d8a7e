"""What the models cost: one mixture and a thousand, each model alone and all of them together, in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from rich.console import Console

from app.science.models import solutes
from app.science.models.cases import Case, Composition, Conditions
from app.science.models.registry import MODELS, evaluate_many
from app.services.predict_mixtures import PAGE_MIXTURES
from benchmarks.report import table_for
from benchmarks.stats import MS_PER_S

MIXTURES: Final = 1000
MOST_ALL_MS: Final = 1000.0
_MOLAR_MASS_G_MOL: Final = {solutes.DMSO: 78.136, solutes.GLYCEROL: 92.094, solutes.ETHYLENE_GLYCOL: 62.068}
_ROOM: Final = Conditions(298.15, 30.0, "endothelial")


@dataclass(frozen=True, slots=True)
class Cost:
    """Median times of one model, or of all."""

    name: str
    one_ms: float
    many_ms: float


@dataclass(frozen=True, slots=True)
class PredictionsReport:
    """What each model costs, the last row being all of them together."""

    rounds: int
    costs: tuple[Cost, ...]

    @property
    def all_ms(self) -> float:
        """Return the time of all mixtures by all models."""
        return self.costs[-1].many_ms


def measure_predictions(rounds: int, say: Callable[[str], None]) -> PredictionsReport:
    """Return the median times over interleaved rounds; nothing is stored."""
    say(f"{MIXTURES:,} mixtures of three agents by {len(MODELS)} models")
    cases = _cases()
    chosen = {f"{model.name}@{model.version}": [f"{model.name}@{model.version}"] for model in MODELS} | {"all": []}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in chosen}
    # The first round warms up.
    for number in range(rounds + 1):
        for name, models in chosen.items():
            found = _ms(cases[:1], models), _ms(cases, models)
            if number:
                times[name].append(found)
    return PredictionsReport(
        rounds, tuple(Cost(name, *map(statistics.median, zip(*found, strict=True))) for name, found in times.items())
    )


def to_json(report: PredictionsReport) -> dict[str, object]:
    """Return the report as what a JSON document holds."""
    return {
        "rounds": report.rounds,
        "mixtures": MIXTURES,
        "costs": [{"model": one.name, "one_ms": one.one_ms, "many_ms": one.many_ms} for one in report.costs],
        "targets": [{"name": "all models", "limit": MOST_ALL_MS, "measured": report.all_ms}],
    }


def print_tables(report: PredictionsReport, console: Console) -> None:
    """Print the report for a person; a target that was missed is marked."""
    console.print(
        f"The models over {MIXTURES:,} mixtures, in pages of {PAGE_MIXTURES}: medians of {report.rounds} rounds."
    )
    table = table_for(console, "model", "one mixture, ms", f"{MIXTURES:,} mixtures, ms")
    for one in report.costs:
        table.add_row(one.name, f"{one.one_ms:.2f}", f"{one.many_ms:.1f}")
    console.print(table)
    verdict = "met" if report.all_ms < MOST_ALL_MS else "MISSED"
    console.print(f"target: all models in less than {MOST_ALL_MS:,.0f} ms: {verdict}")


def _cases() -> list[Case]:
    amounts = np.random.default_rng(1).uniform(0.3, 2.0, (MIXTURES, len(_MOLAR_MASS_G_MOL)))
    return [
        Case(Composition(dict(zip(_MOLAR_MASS_G_MOL, row, strict=True)), _MOLAR_MASS_G_MOL), _ROOM)
        for row in amounts.tolist()
    ]


def _ms(cases: Sequence[Case], models: Sequence[str]) -> float:
    began_s = time.perf_counter()
    for start in range(0, len(cases), PAGE_MIXTURES):
        evaluate_many(cases[start : start + PAGE_MIXTURES], models=models)
    return (time.perf_counter() - began_s) * MS_PER_S
