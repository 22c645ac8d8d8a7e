"""Fit of the osmotic virial equation's version 2, and both versions' errors.

`python -m benchmarks.science.osmotic_virial` writes app/science/models/osmotic_virial_fit.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from app.science.models import solutes
from app.science.models.fits import Array
from app.science.models.osmotic_virial import PUBLISHED, freezing_point_k, osmolality_osmol_kg
from benchmarks.science.least_squares import Solution, soft, solve
from benchmarks.science.measurements import FreezingPoint, freezing_points

TARGET: Final = Path(__file__).parents[2] / "app" / "science" / "models" / "osmotic_virial_fit.py"
# Rows past these do not lie on an ice liquidus that the equation follows.
FITTED_TO: Final = {
    solutes.GLYCEROL: 0.60,
    solutes.ETHYLENE_GLYCOL: 0.60,
    solutes.PROPYLENE_GLYCOL: 0.60,
    solutes.METHANOL: 0.475,
    solutes.SODIUM_CHLORIDE: 0.232,
}
# The coefficients are drawn to the published ones with these standard deviations (dissociation, B, C); 0 stands still.
# Chosen from a coarse grid by the error on left-out blocks over all solutes.
PRIOR_SD: Final = np.array([0.0, 0.01, 0.0005])
PRIOR_SD_SALT: Final = np.array([0.05, 0.01, 0.0])
# For the weights of rows: reading and rounding of the tables, and a part of the depression.
READING_K: Final = 0.15
READING_RELATIVE: Final = 0.005
# Below these an error is not believed: sources differ by more, however well one table agrees with itself.
FLOOR_K: Final = READING_K
LEAST_RELATIVE: Final = 0.01


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one solute."""

    solute: str
    rows: tuple[FreezingPoint, ...]

    @property
    def molality(self) -> Array:
        """Return the molalities in mol/kg."""
        return np.array([row.molality_mol_kg for row in self.rows])

    @property
    def measured_k(self) -> Array:
        """Return the tabulated freezing points."""
        return np.array([row.freezing_point_k for row in self.rows])

    @property
    def depression_k(self) -> Array:
        """Return how far below 273.15 K they lie."""
        return np.asarray(273.15 - self.measured_k, np.float64)


@dataclass(frozen=True, slots=True)
class Residuals:
    """Errors in K on left-out rows, with the parameters' part of their standard error."""

    error_k: Array
    parameter_error_k: Array


def tables() -> list[Table]:
    """Return the rows that are fitted, by solute."""
    rows = freezing_points()
    return [
        Table(key, tuple(row for row in rows if row.solute == key and row.mass_fraction <= limit))
        for key, limit in FITTED_TO.items()
    ]


def predicted_k(values: Array, molality: Array) -> Array:
    """Return freezing points of one solute by its dissociation, B and C."""
    osmoles = (molality * values[0])[:, None]
    return freezing_point_k(osmolality_osmol_kg(osmoles, values[1:2], values[2:3]))


def published(solute: str) -> Array:
    """Return the published dissociation, B and C."""
    row = PUBLISHED[solute]
    return np.array([row.dissociation, row.b_kg_mol, row.c_kg2_mol2])


def fit(table: Table) -> Solution:
    """Return dissociation, B and C of a solute, and the columns (3 x 2) of a square root of their covariance."""
    prior_sd = PRIOR_SD_SALT if table.solute == solutes.SODIUM_CHLORIDE else PRIOR_SD
    free, centre = prior_sd > 0.0, published(table.solute)
    weight = 1.0 / np.hypot(READING_K, READING_RELATIVE * table.depression_k)

    def values(parameters: Array) -> Array:
        whole = centre.copy()
        whole[free] += parameters * prior_sd[free]
        return whole

    def residuals(parameters: Array) -> Array:
        errors = (predicted_k(values(parameters), table.molality) - table.measured_k) * weight
        return np.concatenate([soft(errors), parameters])

    solution = solve(residuals, np.zeros(int(free.sum())))
    columns = np.zeros((3, int(free.sum())))
    columns[free] = prior_sd[free][:, None] * solution.columns
    return Solution(values(solution.values), columns)


def cross_validated(table: Table) -> Residuals:
    """Return the errors on each tenth of the composition scale by a fit that has not seen it."""
    blocks = np.array([row.block for row in table.rows])
    errors, parameter_errors = np.empty(len(blocks)), np.empty(len(blocks))
    for block in np.unique(blocks):
        seen = fit(Table(table.solute, tuple(row for row in table.rows if row.block != block)))
        out = blocks == block
        here = predicted_k(seen.values, table.molality[out])
        moved = [predicted_k(seen.values + column, table.molality[out]) - here for column in seen.columns.T]
        errors[out] = here - table.measured_k[out]
        parameter_errors[out] = np.sqrt(np.sum(np.square(moved), axis=0))
    return Residuals(errors, parameter_errors)


def published_residuals(table: Table) -> Residuals:
    """Return the errors of the published coefficients, which no row here was used for."""
    errors = predicted_k(published(table.solute), table.molality) - table.measured_k
    return Residuals(errors, np.zeros(len(errors)))


def relative_error(table: Table, residuals: Residuals) -> float:
    """Return the model's error as a part of the depression that makes the errors likeliest."""
    grid = np.linspace(LEAST_RELATIVE, 0.15, 141)
    fixed = FLOOR_K**2 + residuals.parameter_error_k**2
    variance = fixed + (grid[:, None] * table.depression_k) ** 2
    likelihood = -0.5 * (np.log(variance) + residuals.error_k**2 / variance).sum(axis=1)
    return round(float(grid[np.argmax(likelihood)]), 4)


def root_mean_square(errors: Array) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(errors**2)))


def covered(table: Table, residuals: Residuals) -> Array:
    """Return which rows lie within 1.645 standard errors."""
    relative = relative_error(table, residuals)
    deviation = np.sqrt(FLOOR_K**2 + residuals.parameter_error_k**2 + (relative * table.depression_k) ** 2)
    return np.asarray(np.abs(residuals.error_k) <= 1.645 * deviation)


def report() -> list[str]:
    """Return the errors of both versions, a line a solute."""
    lines = [
        "freezing point, K: RMSE of version 1; of version 2 on its rows, on left-out blocks; rows in 90 % intervals"
    ]
    every: dict[str, list[Array]] = {"1": [], "2": [], "out": [], "in1": [], "in2": []}
    for table in tables():
        version_1, version_2 = published_residuals(table), cross_validated(table)
        own = predicted_k(fit(table).values, table.molality) - table.measured_k
        inside = [covered(table, version_1), covered(table, version_2)]
        lines.append(
            f"{solutes.NAMES[table.solute]:18s} n={len(own):2d}  {root_mean_square(version_1.error_k):.2f}  "
            f"{root_mean_square(own):.2f}  {root_mean_square(version_2.error_k):.2f}  "
            f"{inside[0].mean():.0%} {inside[1].mean():.0%}"
        )
        for name, values in zip(every, (version_1.error_k, own, version_2.error_k, *inside), strict=True):
            every[name].append(values)
    joined = {name: np.concatenate(values) for name, values in every.items()}
    rmse = "  ".join(f"{root_mean_square(joined[name]):.2f}" for name in ("1", "2", "out"))
    lines.append(f"{'all':18s} n={len(joined['1'])}  {rmse}  {joined['in1'].mean():.0%} {joined['in2'].mean():.0%}")
    return lines


def source() -> str:
    """Return the module of fitted numbers."""
    lines = [_HEAD.format(floor=FLOOR_K)]
    every = tables()
    lines.append("# Of the published coefficients on the same tables, as a part of the depression.")
    lines.append("PUBLISHED_RELATIVE_ERROR: Final = {")
    lines += [
        f"    solutes.{_constant(table.solute)}: {relative_error(table, published_residuals(table))},"
        for table in every
    ]
    lines.append("}\n\nFITTED: Final = {")
    for table in every:
        solution = fit(table)
        columns = ", ".join(_tuple(column) for column in solution.columns.T)
        relative = relative_error(table, cross_validated(table))
        lines += [
            f"    solutes.{_constant(table.solute)}: VirialFit(",
            f"        values={_tuple(solution.values)},",
            f"        columns=({columns}),",
            f"        relative_error={relative},",
            "    ),",
        ]
    return "\n".join([*lines, "}", ""])


def _constant(key: str) -> str:
    return next(name for name, value in vars(solutes).items() if value == key)


def _tuple(values: Array) -> str:
    return "(" + ", ".join(repr(float(f"{value:.5g}")) for value in values) + ")"


_HEAD: Final = '''"""Osmotic virial coefficients: by `python -m benchmarks.science.osmotic_virial`, not by hand."""

from __future__ import annotations

from typing import Final

from app.science.models import solutes
from app.science.models.fits import VirialFit

# Standard error of a tabulated freezing point, however small the depression.
FLOOR_K: Final = {floor}
'''


if __name__ == "__main__":
    TARGET.write_text(source(), encoding="utf-8")
    print("\n".join(report()))
