"""Print how well the prediction models meet the measured values: `python -m benchmarks.science`."""

from __future__ import annotations

import sys

from benchmarks.science import dry_glass_transition, osmotic_virial, post_thaw_viability, toxicity_kinetics
from benchmarks.science.measurements import MEASUREMENTS

if not MEASUREMENTS.is_file():
    sys.exit(f"the measured values are not here: {MEASUREMENTS}")
print(
    "\n".join(
        [
            *osmotic_virial.report(),
            "",
            *toxicity_kinetics.report(),
            "",
            *dry_glass_transition.report(),
            "",
            *post_thaw_viability.report(),
        ]
    )
)
