"""Rows that viability after thawing is predicted from, and the error on papers left out.

`python -m benchmarks.science.post_thaw_viability` writes app/science/models/post_thaw_viability_fit.py.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from app.domain.mixtures import AmountUnit
from app.errors import InvalidError
from app.importers.cryomn import CryomnRow, parse
from app.science.composition import WATER, Part, Substance, converted
from app.science.descriptors import molar_mass_g_mol
from app.science.models.fits import Array
from app.science.models.post_thaw_viability import AGENTS, KNOWN, NOISE, OTHERS, SUGARS, Process, features
from benchmarks.science.measurements import DATA

TABLE: Final = DATA / "properties" / "cryomn_cryopreservative_data_2026_raw.csv"
_MODELS: Final = Path(__file__).parents[2] / "app" / "science" / "models"
TARGET: Final = _MODELS / "post_thaw_viability_fit.py"
_SEED: Final = Path(__file__).parents[2] / "app" / "seed"
# Of a sugar or an amino acid whose density is not kept: general knowledge, a few per cent of a small volume.
_SOLID_KG_M3: Final = 1550.0
_PERCENT: Final = 100.0
_COVERAGES: Final = ((0.5, 0.6745), (0.8, 1.2816), (0.9, 1.6449), (0.95, 1.96))
_RESAMPLES: Final = 2000


@dataclass(frozen=True, slots=True)
class Media:
    """Published media: the molalities that count, viability as a fraction, and the paper."""

    molality_mol_kg: list[dict[str, float]]
    viability: Array
    doi: list[str]

    def rows(self) -> Array:
        """Return the features."""
        return np.array([features(item) for item in self.molality_mol_kg])

    def paper(self) -> NDArray[np.intp]:
        """Return the number of each row's paper."""
        return np.unique(self.doi, return_inverse=True)[1]


def media() -> Media:
    """Return the rows that were read whole, of molecules that count, with a viability that is a number."""
    molecules = _molecules()
    found = []
    for row in parse(TABLE.read_text(encoding="utf-8")):
        molality = _molality(row, molecules)
        viability = row.viability
        if molality and viability and viability.relation == "=" and not viability.assessed_after_days and row.doi:
            found.append((molality, viability.percent / _PERCENT, row.doi))
    return Media([item[0] for item in found], np.array([item[1] for item in found]), [item[2] for item in found])


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What was predicted of papers that were left out, and by the mean of all others."""

    error: Array
    deviation: Array
    error_of_mean: Array


def left_out(data: Media) -> LeftOut:
    """Return errors on each paper, predicted from all others."""
    rows, paper = data.rows(), data.paper()
    error, deviation, plain = (np.zeros(len(rows)) for _ in range(3))
    for number in range(paper.max() + 1):
        out = paper == number
        mean, variance = Process(rows[~out], data.viability[~out]).at(rows[out])
        error[out] = mean - data.viability[out]
        deviation[out] = np.sqrt(variance + NOISE**2)
        plain[out] = data.viability[~out].mean() - data.viability[out]
    return LeftOut(error, deviation, plain)


def gain(data: Media, errors: LeftOut) -> tuple[float, float, float]:
    """Return by how much the RMSE is less than the mean's: median and 90 % interval over papers drawn anew."""
    rng, paper = np.random.default_rng(0), data.paper()
    by_paper = [np.flatnonzero(paper == number) for number in range(paper.max() + 1)]
    gains = []
    for _ in range(_RESAMPLES):
        drawn = np.concatenate([by_paper[number] for number in rng.integers(0, len(by_paper), len(by_paper))])
        gains.append(_rmse(errors.error_of_mean[drawn]) - _rmse(errors.error[drawn]))
    low, middle, high = np.quantile(gains, [0.05, 0.5, 0.95])
    return float(low), float(middle), float(high)


def report() -> list[str]:
    """Return the errors as lines of text."""
    data = media()
    errors = left_out(data)
    low, middle, high = gain(data, errors)
    paper = data.paper()
    own = np.array([data.viability[paper == number].mean() for number in paper]) - data.viability
    covered = ", ".join(
        f"{name:.0%}: {np.mean(np.abs(errors.error) <= factor * errors.deviation):.1%}" for name, factor in _COVERAGES
    )
    others, own_mean = _rmse(errors.error_of_mean), _rmse(own)
    return [
        f"similar_media_viability: {len(paper)} rows of {paper.max() + 1} papers",
        f"  papers left out: RMSE {_rmse(errors.error):.3f}, bias {errors.error.mean():+.3f}",
        f"  the mean of the other papers: RMSE {others:.3f}; each paper's own mean: {own_mean:.3f}",
        f"  better than the mean by {middle:.3f} (90 %: {low:.3f} to {high:.3f}, papers drawn anew)",
        f"  intervals hold {covered}",
    ]


def write() -> None:
    """Write the rows as a module."""
    data = media()
    lines = []
    for molality, viability, doi in zip(data.molality_mol_kg, data.viability.tolist(), data.doi, strict=True):
        amounts = [molality.get(key, 0.0) for key in AGENTS]
        amounts += [sum(value for key, value in molality.items() if key in group) for group in (SUGARS, OTHERS)]
        lines.append(f"{' '.join(f'{amount:.4g}' for amount in amounts)} {viability:.4g} {doi}")
    head = '"""Published freezing media: by `python -m benchmarks.science.post_thaw_viability`, not by hand."""'
    columns = "# mol/kg: DMSO, ethylene glycol, glycerol, propylene glycol, sugars, others; viability; DOI"
    rows = "\n".join(lines)
    imports = "from __future__ import annotations\n\nfrom typing import Final"
    text = f'{head}\n\n{imports}\n\n{columns}\nROWS: Final = """\n{rows}\n"""\n'
    TARGET.write_text(text, encoding="utf-8")


def _molality(row: CryomnRow, molecules: dict[str, tuple[str, Substance]]) -> dict[str, float] | None:
    if not row.is_read or not row.recipe.parts:
        return None
    known = [molecules.get(part.molecule) for part in row.recipe.parts]
    if any(item is None or item[0] not in KNOWN for item in known):
        return None
    chosen = [item for item in known if item]
    parts = [Part(item[1], part.amount, part.unit) for item, part in zip(chosen, row.recipe.parts, strict=True)]
    try:
        amounts = converted(parts, WATER, AmountUnit.MOLALITY)
    except InvalidError:
        # Pure DMSO and its like: nothing to count by.
        return None
    return {item[0]: amount for item, amount in zip(chosen, amounts, strict=True)}


def _molecules() -> dict[str, tuple[str, Substance]]:
    with (_SEED / "properties.csv").open(encoding="utf-8", newline="") as lines:
        density = {
            row["molecule"]: float(row["numeric_value"])
            for row in csv.DictReader(lines)
            if row["property_type"] == "density"
        }
    with (_SEED / "molecules.csv").open(encoding="utf-8", newline="") as lines:
        return {
            row["name"]: (
                row["inchikey"], Substance(row["name"], _mass(row["smiles"]), density.get(row["name"], _SOLID_KG_M3))
            )
            for row in csv.DictReader(lines)
            if row["inchikey"]
        }  # fmt: skip


def _mass(smiles: str) -> float:
    return molar_mass_g_mol(Chem.MolFromSmiles(smiles))


def _rmse(errors: Array) -> float:
    return float(np.sqrt((errors**2).mean()))


if __name__ == "__main__":
    write()
    print("\n".join(report()))
