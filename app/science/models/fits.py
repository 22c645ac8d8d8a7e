"""The shape of fitted numbers, which scripts in `benchmarks/science` write as modules of this package."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class VirialFit:
    """One solute's dissociation, B (kg/mol) and C (kg2/mol2), and columns of a square root of their covariance."""

    values: tuple[float, float, float]
    columns: tuple[tuple[float, float, float], ...]
    relative_error: float
    """Standard error of a depression on left-out blocks, as a part of it, beside the parameters' and the floor."""


@dataclass(frozen=True, slots=True)
class KineticsFit:
    """ln(constant / base) of all 41 constants of the toxicity kinetics, and how sure they are; numbers as text."""

    ln_factors: str
    free: str
    """Which of them were fitted."""
    root: str
    """Lower triangle, row by row, of a square root of the covariance of the fitted ones, root @ root.T."""
    model_error: float
    """Standard error of ln(hazard) beside the parameters'."""
    scatter: float
    """Standard error of a measured survival near 1."""

    def factors(self) -> Array:
        """Return ln(constant / base)."""
        return np.array(self.ln_factors.split(), np.float64)

    def columns(self) -> Array:
        """Return columns of a square root of the covariance of all constants; those not fitted have zeros."""
        free = np.array(self.free.split(), np.intp)
        root = np.zeros((len(free), len(free)))
        root[np.tril_indices(len(free))] = np.array(self.root.split(), np.float64)
        columns = np.zeros((len(self.factors()), len(free)))
        columns[free] = root
        return columns
