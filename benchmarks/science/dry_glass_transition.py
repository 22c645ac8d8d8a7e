"""Fit of the glass transition of pure molecules, and its error on scaffolds that it has not seen.

`python -m benchmarks.science.dry_glass_transition` writes app/science/models/dry_glass_transition_fit.py.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, RDLogger
from rdkit.Chem import rdinchi
from rdkit.Chem.Scaffolds import MurckoScaffold

from app.science.descriptors import descriptors
from app.science.models.dry_glass_transition import features, quadratic
from app.science.models.fits import Array
from benchmarks.science.measurements import DATA

TABLE: Final = DATA / "properties" / "zenodo7319485_small_molecule_Tg_Tm.csv"
TARGET: Final = Path(__file__).parents[2] / "app" / "science" / "models" / "dry_glass_transition_fit.py"
PENALTIES: Final = np.logspace(-1, 3, 17)
_FOLDS: Final = 10
_SHUFFLES: Final = 5
_COVERAGES: Final = ((0.5, 0.6745), (0.8, 1.2816), (0.9, 1.6449), (0.95, 1.96))


@dataclass(frozen=True, slots=True)
class Glasses:
    """Molecules with the median of their measured temperatures."""

    features: Array
    tg_k: Array
    scaffold: NDArray[np.intp]
    """Molecules of one ring system share a number, and so do chains of one length."""
    replicate_error_k: float


@dataclass(frozen=True, slots=True)
class Quadratic:
    """A quadratic form of scaled features."""

    means: Array
    deviations: Array
    coefficients_k: Array
    intercept_k: float

    def predicted(self, features: Array) -> Array:
        """Return temperatures in kelvin."""
        return np.asarray(
            self.intercept_k + quadratic((features - self.means) / self.deviations) @ self.coefficients_k, np.float64
        )


def glasses() -> Glasses:
    """Return the molecules of the table that RDKit reads."""
    found: dict[str, tuple[Chem.Mol, list[float]]] = {}
    for molecule, tg_k in _rows():
        found.setdefault(rdinchi.MolToInchiKey(molecule), (molecule, []))[1].append(tg_k)
    molecules = [molecule for molecule, _ in found.values()]
    scaffolds: dict[str, int] = defaultdict(lambda: len(scaffolds))
    replicates = [np.var(values, ddof=1) for _, values in found.values() if len(values) > 1]
    return Glasses(
        features=np.array([features(descriptors(molecule)) for molecule in molecules]),
        tg_k=np.array([np.median(values) for _, values in found.values()]),
        scaffold=np.array([scaffolds[_scaffold(molecule)] for molecule in molecules]),
        replicate_error_k=float(np.sqrt(np.mean(replicates))),
    )


def fit(features: Array, tg_k: Array, penalty: float) -> Quadratic:
    """Return the form of least squares, its scaled terms drawn to zero by the penalty."""
    means, deviations = features.mean(axis=0), features.std(axis=0)
    terms = quadratic((features - means) / deviations)
    middle, spread = terms.mean(axis=0), terms.std(axis=0)
    scaled = (terms - middle) / spread
    centre = float(tg_k.mean())
    weights = np.linalg.solve(scaled.T @ scaled + penalty * np.eye(scaled.shape[1]), scaled.T @ (tg_k - centre))
    coefficients = weights / spread
    return Quadratic(means, deviations, coefficients, centre - float(middle @ coefficients))


def left_out(data: Glasses, penalty: float) -> Array:
    """Return errors in kelvin on scaffolds left out, a row for each of the shuffles."""
    rng = np.random.default_rng(0)
    errors = np.zeros((_SHUFFLES, len(data.tg_k)))
    for row in errors:
        fold = rng.permutation(data.scaffold.max() + 1)[data.scaffold] % _FOLDS
        for number in range(_FOLDS):
            out = fold == number
            model = fit(data.features[~out], data.tg_k[~out], penalty)
            row[out] = model.predicted(data.features[out]) - data.tg_k[out]
    return errors


def best_penalty(data: Glasses) -> float:
    """Return the penalty with the least error on left-out scaffolds."""
    return float(min(PENALTIES, key=lambda penalty: float((left_out(data, penalty) ** 2).mean())))


def report() -> list[str]:
    """Return the errors as lines of text."""
    data = glasses()
    penalty = best_penalty(data)
    errors = left_out(data, penalty)
    error_k = float(np.sqrt((errors**2).mean()))
    spread = float(data.tg_k.std())
    r2 = 1.0 - float((errors**2).mean()) / spread**2
    covered = ", ".join(f"{name:.0%}: {np.mean(np.abs(errors) <= factor * error_k):.1%}" for name, factor in _COVERAGES)
    return [
        f"dry_glass_transition: {len(data.tg_k)} molecules, {data.scaffold.max() + 1} scaffolds, penalty {penalty:.3g}",
        f"  left-out scaffolds: RMSE {error_k:.1f} K, bias {errors.mean():+.1f} K, R2 {r2:.3f}; all: {spread:.1f} K",
        f"  intervals hold {covered}",
        f"  repeated measurements of one molecule differ by {data.replicate_error_k:.1f} K",
    ]


def write() -> None:
    """Write the fitted numbers as a module."""
    data = glasses()
    penalty = best_penalty(data)
    model = fit(data.features, data.tg_k, penalty)
    error_k = float(np.sqrt((left_out(data, penalty) ** 2).mean()))
    arrays = {
        "FEATURE_MEANS": model.means,
        "FEATURE_DEVIATIONS": model.deviations,
        "FEATURE_LOWEST": data.features.min(axis=0),
        "FEATURE_HIGHEST": data.features.max(axis=0),
        "COEFFICIENTS_K": model.coefficients_k,
    }
    lines = [
        '"""Glass transition of molecules: by `python -m benchmarks.science.dry_glass_transition`, not by hand."""',
        "",
        "from __future__ import annotations",
        "",
        "from typing import Final",
        "",
        "import numpy as np",
        "",
        f"INTERCEPT_K: Final = {model.intercept_k:.6g}",
        f"ERROR_K: Final = {error_k:.3g}",
    ]
    for name, values in arrays.items():
        numbers = [f"{value:.6g}," for value in values]
        rows = [" ".join(numbers[start : start + 9]) for start in range(0, len(numbers), 9)]
        lines += [f"{name}: Final = np.array([", *(f"    {row}" for row in rows), "])  # fmt: skip"]
    TARGET.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _rows() -> Iterator[tuple[Chem.Mol, float]]:
    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
    with TABLE.open(encoding="utf-8-sig", newline="") as lines:
        for row in csv.DictReader(lines, delimiter=";"):
            molecule: Chem.Mol | None = Chem.MolFromSmiles(row["SMILES"])
            if molecule is not None and molecule.GetNumAtoms() and row["Tg / K"]:
                yield molecule, float(row["Tg / K"])


def _scaffold(molecule: Chem.Mol) -> str:
    scaffold = MurckoScaffold.GetScaffoldForMol(molecule)  # type: ignore[no-untyped-call]
    return Chem.MolToSmiles(scaffold) or f"chain of {molecule.GetNumHeavyAtoms()}"


if __name__ == "__main__":
    write()
    print("\n".join(report()))
