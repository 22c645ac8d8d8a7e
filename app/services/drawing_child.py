"""A process that draws one calibration plot: series in JSON on stdin, an SVG on stdout."""

from __future__ import annotations

import json
import sys

from app.science.calibration_plot import Drawn, draw_calibration
from app.science.comparison import Point


def main() -> None:
    """Draw what the parent sends."""
    asked = json.load(sys.stdin)
    series = [
        Drawn(property_type, unit, model, [Point(*point) for point in points])
        for property_type, unit, model, points in asked["series"]
    ]
    sys.stdout.write(draw_calibration(series, asked["empty"]))


if __name__ == "__main__":
    main()
