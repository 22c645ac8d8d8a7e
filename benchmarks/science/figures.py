"""Figures of docs/science: what the models say beside what was measured.

`python -m benchmarks.science.figures` writes docs/science/figures/*.svg.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from app.science.models import critical_cooling, glass_transition, solutes
from app.science.models.cases import Composition, Conditions, Protocol, Step
from app.science.models.registry import evaluate
from app.science.models.toxicity_kinetics import PUBLISHED, REFITTED, hazard
from benchmarks.science import dry_glass_transition, osmotic_virial, post_thaw_viability
from benchmarks.science.measurements import MOLAR_MASS_G_MOL, freezing_points, survivals

TARGET: Final = Path(__file__).parents[2] / "docs" / "science" / "figures"
_MASSES: Final = MOLAR_MASS_G_MOL | {solutes.TREHALOSE: 342.297, solutes.DMSO: 78.133}
_90: Final = 1.6449


def draw_all() -> None:
    """Write every figure."""
    TARGET.mkdir(exist_ok=True)
    # The same numbers give the same file.
    mpl.rcParams.update({"svg.hashsalt": "cryoprotect", "svg.fonttype": "none", "font.size": 9})
    for name, (draw, panels) in FIGURES.items():
        figure = Figure(figsize=(3.4 * panels + 0.6, 3.2), layout="constrained")
        draw(list(np.atleast_1d(figure.subplots(1, panels))))
        figure.savefig(TARGET / f"{name}.svg", metadata={"Date": None})


def _freezing_points(panels: list[Axes]) -> None:
    (axes,) = panels
    for number, key in enumerate(osmotic_virial.FITTED_TO):
        rows = [row for row in freezing_points() if row.solute == key]
        fractions = np.linspace(0.005, osmotic_virial.FITTED_TO[key], 60)
        values = [_ask("freezing_point", {key: fraction}, "osmotic_virial@2")[0] for fraction in fractions]
        colour = f"C{number}"
        axes.plot(100 * fractions, values, color=colour, label=solutes.NAMES[key])
        axes.plot([100 * row.mass_fraction for row in rows], [row.freezing_point_k for row in rows], ".", color=colour)
    _label(axes, "% w/w in water", "freezing point, K", "lines: version 2; dots: tables")
    axes.legend(fontsize=7)


def _survivals(panels: list[Axes]) -> None:
    data = survivals()
    for axes, (name, constants) in zip(
        panels, {"warner_2022": PUBLISHED, "warner_weibull": REFITTED}.items(), strict=True
    ):
        said = np.exp(-hazard(data.molality_mol_kg, data.exposure_min, constants))
        single = np.count_nonzero(data.molality_mol_kg, axis=1) == 1
        for chosen, label in ((single, "one agent"), (~single, "two agents")):
            axes.plot(said[chosen], data.survival[chosen], ".", markersize=4, label=label)
        _diagonal(axes, 0.0, 1.1)
        _label(axes, "survival predicted", "survival measured", f"{name}, single and binary rows")
        axes.legend(fontsize=7)


def _glass(panels: list[Axes]) -> None:
    (axes,) = panels
    fractions = np.linspace(0.30, 0.999, 60)
    for number, key in enumerate((solutes.GLYCEROL, solutes.ETHYLENE_GLYCOL, solutes.TREHALOSE)):
        said = np.array([_ask("glass_transition_temperature", {key: fraction}) for fraction in fractions])
        axes.plot(100 * fractions, said[:, 0], color=f"C{number}", label=solutes.NAMES[key])
        axes.fill_between(
            100 * fractions, said[:, 0] - _90 * said[:, 1], said[:, 0] + _90 * said[:, 1], alpha=0.15, lw=0
        )
    pair = glass_transition.gordon_taylor_tg_k(np.array([1.0, 0.6]), np.full(2, 360.0))
    axes.plot([100.0, 60.0], pair, "kx", label="Drake 2018, trehalose in saline")
    _label(axes, "% w/w in water", "glass transition, K", "bands: 90 %")
    axes.legend(fontsize=7)


def _cooling(panels: list[Axes]) -> None:
    (axes,) = panels
    fractions = np.linspace(0.05, 0.60, 50)
    for number, (key, one) in enumerate(critical_cooling.ONE_K_S_AT.items()):
        rates = [critical_cooling.critical_cooling_rate_k_min(fraction, one) for fraction in fractions]
        axes.semilogy(100 * fractions, rates, color=f"C{number}", label=solutes.NAMES[key])
        axes.plot([100 * one], [60.0], "o", color=f"C{number}")
    _label(axes, "% w/w in water", "critical cooling rate, K/min", "dots: 1 K/s, read in a figure")
    axes.legend(fontsize=7)


def _volumes(panels: list[Axes]) -> None:
    (axes,) = panels
    protocols = {
        "one step": (Step(10), Step(10, 0.0)),
        "two steps, sugar in the wash": (Step(5, 0.5), Step(5), Step(5, 0.0, 0.8), Step(5, 0.0)),
    }
    glycol = Composition({solutes.ETHYLENE_GLYCOL: 1.5}, _MASSES)
    for label, steps in protocols.items():
        conditions = Conditions(296.65, None, "rhesus monkey MII oocyte", Protocol(steps, cell_diameter_um=110.0))
        curve = evaluate(glycol, conditions, ["cell_volume"])[0].curve
        if curve:
            axes.plot(curve.time_min, curve.values, label=label)
    axes.axhline(1.0, color="grey", lw=0.5)
    _label(axes, "minutes", "volume, isotonic = 1", "oocyte, 1.5 mol/kg ethylene glycol")
    axes.legend(fontsize=7)


def _dry_glass(panels: list[Axes]) -> None:
    (axes,) = panels
    data = dry_glass_transition.glasses()
    errors = dry_glass_transition.left_out(data, dry_glass_transition.best_penalty(data))[0]
    axes.plot(data.tg_k + errors, data.tg_k, ".", markersize=4)
    _diagonal(axes, 50.0, 450.0)
    _label(axes, "predicted, K", "measured, K", "scaffolds left out")


def _viability(panels: list[Axes]) -> None:
    (axes,) = panels
    data = post_thaw_viability.media()
    errors = post_thaw_viability.left_out(data)
    axes.errorbar(
        data.viability + errors.error, data.viability, xerr=_90 * errors.deviation, fmt=".", ms=4, lw=0.3, alpha=0.7
    )
    _diagonal(axes, 0.0, 1.0)
    _label(axes, "predicted, with 90 %", "published", "papers left out")


FIGURES: Final[dict[str, tuple[Callable[[list[Axes]], None], int]]] = {
    "osmotic_virial": (_freezing_points, 1),
    "toxicity_kinetics": (_survivals, 2),
    "glass_transition": (_glass, 1),
    "critical_cooling": (_cooling, 1),
    "membrane_transport": (_volumes, 1),
    "dry_glass_transition": (_dry_glass, 1),
    "post_thaw_viability": (_viability, 1),
}


def _ask(property_type: str, mass_fractions: dict[str, float], model: str | None = None) -> tuple[float, float]:
    water = 1.0 - sum(mass_fractions.values())
    molality = {key: 1000.0 * fraction / water / _MASSES[key] for key, fraction in mass_fractions.items()}
    answer = evaluate(Composition(molality, _MASSES), properties=[property_type], models=[model] if model else [])[0]
    if answer.value is None or answer.standard_uncertainty is None:
        return float("nan"), float("nan")
    return answer.value, answer.standard_uncertainty


def _diagonal(axes: Axes, low: float, high: float) -> None:
    axes.plot([low, high], [low, high], color="grey", lw=0.5)


def _label(axes: Axes, across: str, up: str, title: str) -> None:
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.set_title(title, fontsize=8)


if __name__ == "__main__":
    draw_all()
