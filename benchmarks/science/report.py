"""How well the prediction models meet the measured values that they are judged by: `cryoprotect bench --science`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console

from benchmarks.dataset import DataError
from benchmarks.science import (
    dry_glass_transition,
    osmotic_virial,
    post_thaw_viability,
    toxicity_kinetics,
)
from benchmarks.science.measurements import MEASUREMENTS


def measure_science(say: Callable[[str], None] = lambda _: None) -> list[str]:
    """Return the errors of every model as lines of text.

    Raises:
        DataError: The measured values are not there.
    """
    if not MEASUREMENTS.is_file():
        msg = f"the measured values are not here: {MEASUREMENTS}"
        raise DataError(msg)
    lines: list[str] = []
    for model in (osmotic_virial, toxicity_kinetics, dry_glass_transition, post_thaw_viability):
        say(f"{model.__name__.rpartition('.')[2]} on what it was not fitted to")
        lines += [*model.report(), ""]
    return lines[:-1]


def print_lines(lines: Sequence[str], console: Console) -> None:
    """Print the report as it is."""
    console.print("\n".join(lines), markup=False, soft_wrap=True)
