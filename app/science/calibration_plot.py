"""How well models meet measurements, drawn: predicted against measured by property, and the intervals' coverage."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

from app.science.comparison import Calibration, Point, calibration

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_POINTS: Final = 1000
"""How many points of a series are drawn; its figures are always of all."""
_PANEL_IN: Final = 4.2
_COLUMNS: Final = 3
_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_MARKERS: Final = "os^Dv"


@dataclass(frozen=True, slots=True)
class Drawn:
    """The points of one property and one model, all of one unit."""

    property_type: str
    unit: str
    model: str
    points: Sequence[Point]


def draw_calibration(series: Sequence[Drawn], empty: str) -> str:
    """Return an SVG of series sorted by property; `empty` is what it says where there are none."""
    # 0.6 s and 60 MB that nobody else needs.
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    panels = [[*items] for _, items in groupby(series, key=lambda item: (item.property_type, item.unit))]
    columns = min(_COLUMNS, len(panels) + 1)
    rows = math.ceil((len(panels) + 1) / columns)
    with mpl.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "calibration", "text.parse_math": False, "font.size": 9}
    ):
        figure = Figure(figsize=(_PANEL_IN * columns, _PANEL_IN * rows), layout="constrained")
        if panels:
            first, *rest = figure.subplots(rows, columns, squeeze=False).flat
            _coverage_panel(first, series)
            for axes, items in zip(rest, panels, strict=False):
                _panel(axes, items)
            for axes in rest[len(panels) :]:
                axes.set_axis_off()
        else:
            figure.text(0.5, 0.5, empty, ha="center", va="center", wrap=True)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def _panel(axes: Axes, items: Sequence[Drawn]) -> None:
    for number, item in enumerate(items):
        shown = item.points[:: math.ceil(len(item.points) / MAX_POINTS)]
        colour, marker = _COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)]
        axes.errorbar(
            [point.measured for point in shown],
            [point.predicted for point in shown],
            yerr=[1.645 * (point.standard_uncertainty or 0.0) for point in shown],
            fmt=marker,
            color=colour,
            ecolor=f"{colour}55",
            markersize=3.5,
            linewidth=0.8,
            label=_label(item, calibration(item.points)),
        )
    values = [value for item in items for point in item.points for value in (point.measured, point.predicted)]
    axes.plot([min(values), max(values)], [min(values), max(values)], color="#888888", linewidth=0.8, zorder=0)
    unit = "" if items[0].unit == "1" else f" / {items[0].unit}"
    axes.set_title(items[0].property_type.replace("_", " "))
    axes.set_xlabel(f"measured{unit}")
    axes.set_ylabel(f"predicted{unit}, with interval of 90 %")
    axes.legend(fontsize=7)


def _label(item: Drawn, found: Calibration | None) -> str:
    return item.model if found is None else f"{item.model}: n = {found.n}, RMSE {found.rmse:.3g}"


def _coverage_panel(axes: Axes, series: Sequence[Drawn]) -> None:
    for number, item in enumerate(series):
        found = calibration(item.points)
        known = [level for level in found.coverage if level.observed is not None] if found else []
        axes.plot(
            [level.level for level in known],
            [level.observed or 0.0 for level in known],
            marker=_MARKERS[number % len(_MARKERS)],
            color=_COLOURS[number % len(_COLOURS)],
            markersize=3.5,
            linewidth=0.8,
            label=f"{item.property_type.replace('_', ' ')}: {item.model}",
        )
    axes.plot([0, 1], [0, 1], color="#888888", linewidth=0.8, zorder=0)
    axes.set(xlim=(0, 1), ylim=(-0.02, 1.02), title="coverage of the intervals")
    axes.set_xlabel("part of measurements that an interval should hold")
    axes.set_ylabel("part that it holds")
    axes.legend(fontsize=6, loc="upper left")
