"""A composition in other units of composition.

Each unit counts a component per whole of one kind: per kilogram, litre or mole of solution, or per kilogram of
solvent. A component converts within one kind of whole by its own molar mass and density. Across kinds the sizes of
the wholes are needed, which follow from all components together: the mass of each is proportional to its whole, and
each whole is a sum over all masses, so they solve as many linear equations as there are wholes. Volumes are taken to
add up, each substance at the density that it has alone.

Reference: definitions of the IUPAC Gold Book: amount concentration, doi:10.1351/goldbook.A00295; molality,
doi:10.1351/goldbook.M03970; mass fraction, doi:10.1351/goldbook.M03722; volume fraction (of volumes before mixing),
doi:10.1351/goldbook.V06643.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from app.domain.mixtures import AmountUnit
from app.errors import Fault, InvalidError
from app.science.carriers import is_carrier

ADDITIVE_VOLUMES: Final = "volumes are additive: each substance keeps the density that it has alone"
WATER_NAMES: Final = frozenset({"water", "h2o", "xlyofnoqvpjjnp-uhfffaoysa-n"})
"""Water as people write it, and as a key."""
_ROUNDING: Final = 1e-9


class Whole(StrEnum):
    """What an amount is counted per."""

    SOLUTION_KG = "kg of solution"
    SOLUTION_L = "L of solution"
    SOLUTION_MOL = "mol of solution"
    SOLVENT_KG = "kg of solvent"


WHOLE_OF: Final = {
    AmountUnit.MOLARITY: Whole.SOLUTION_L,
    AmountUnit.GRAMS_PER_LITRE: Whole.SOLUTION_L,
    AmountUnit.MASS_VOLUME_PERCENT: Whole.SOLUTION_L,
    AmountUnit.VOLUME_PERCENT: Whole.SOLUTION_L,
    AmountUnit.MOLALITY: Whole.SOLVENT_KG,
    AmountUnit.MASS_PERCENT: Whole.SOLUTION_KG,
    AmountUnit.MOLE_FRACTION: Whole.SOLUTION_MOL,
}


@dataclass(frozen=True, slots=True)
class Substance:
    """A component or the solvent, with what is known of it."""

    name: str
    molar_mass_g_mol: float | None = None
    density_kg_m3: float | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A substance and how much of it there is."""

    substance: Substance
    amount: float
    unit: AmountUnit
    pointer: str = "unit"
    """Where a fault of this part is shown to be."""


WATER: Final = Substance("water", molar_mass_g_mol=18.015, density_kg_m3=997.047)
"""At 298.15 K and 101.325 kPa: IAPWS-95, Wagner & Pruss 2002, doi:10.1063/1.1461829."""


def needs_sizes(parts: Sequence[Part], unit: AmountUnit) -> bool:
    """Return whether a conversion goes from one kind of whole to another."""
    return any(WHOLE_OF[part.unit] is not WHOLE_OF[unit] for part in parts)


def adds_volumes(parts: Sequence[Part], unit: AmountUnit) -> bool:
    """Return whether a conversion rests on volumes that add up."""
    return needs_sizes(parts, unit) and Whole.SOLUTION_L in {WHOLE_OF[item] for item in _units(parts, unit)}


def solvent_named(name: str) -> Substance:
    """Return a solvent with what is known of it: carriers count as water; of others only the name is known."""
    if name.strip().casefold() in WATER_NAMES:
        return WATER
    return Substance(name, WATER.molar_mass_g_mol, WATER.density_kg_m3) if is_carrier(name) else Substance(name)


def assumption(parts: Sequence[Part], solvent: Substance, unit: AmountUnit) -> str | None:
    """Return what a conversion rests on, None where it is exact."""
    said = [ADDITIVE_VOLUMES] if adds_volumes(parts, unit) else []
    if needs_sizes(parts, unit) and is_carrier(solvent.name):
        said.append(f"{solvent.name} counts as pure water: what is dissolved in it is neglected")
    return "; ".join(said) or None


def converted(parts: Sequence[Part], solvent: Substance, unit: AmountUnit, pointer: str = "unit") -> list[float]:
    """Return the amount of each part in another unit; `pointer` is where a fault of the whole is shown to be.

    Valid for: ideal volumes of mixing where `adds_volumes` says so; otherwise exact.

    Raises:
        InvalidError: A molar mass or a density is needed and not known, with a fault for each; or the components
            leave no room for each other, or no solvent to count by.
    """
    _refuse_missing(parts, solvent, unit, pointer)
    if not needs_sizes(parts, unit):
        return [part.amount if part.unit is unit else _within_whole(part, unit) for part in parts]
    wholes = _sizes(parts, solvent, unit, pointer)
    masses = [part.amount * _kg(part.substance, part.unit) * wholes[WHOLE_OF[part.unit]] for part in parts]
    solvent_kg = 1 - sum(masses)
    if WHOLE_OF[unit] is Whole.SOLVENT_KG and abs(solvent_kg) <= _ROUNDING:
        raise InvalidError.at(pointer, "no solvent is left to count by")
    if solvent_kg < -_ROUNDING or min(wholes.values()) <= 0:
        raise _crowded(pointer)
    size = wholes[WHOLE_OF[unit]]
    return [_rounded(mass / (_kg(part.substance, unit) * size)) for part, mass in zip(parts, masses, strict=True)]


def _within_whole(part: Part, unit: AmountUnit) -> float:
    return _rounded(part.amount * _kg(part.substance, part.unit) / _kg(part.substance, unit))


def _sizes(parts: Sequence[Part], solvent: Substance, unit: AmountUnit, pointer: str) -> dict[Whole, float]:
    """Return the size of each whole that the conversion knows of, for one kilogram of solution.

    A whole T is the sum of t(j) w(j) over all substances, t being what a kilogram of one adds to it; the mass of a
    component is w(j) = g(j) T'(j), T' being the whole that its own amount is counted per; the rest is solvent.
    """
    wholes = sorted({WHOLE_OF[item] for item in _units(parts, unit)} | {Whole.SOLUTION_KG})
    matrix = [[float(row is column) for column in wholes] for row in wholes]
    right = [1.0 if whole is Whole.SOLUTION_KG else _adds(solvent, whole, is_solvent=True) for whole in wholes]
    for part in parts:
        column = wholes.index(WHOLE_OF[part.unit])
        mass = part.amount * _kg(part.substance, part.unit)
        for row, whole in enumerate(wholes):
            if whole is not Whole.SOLUTION_KG:
                more = _adds(part.substance, whole) - _adds(solvent, whole, is_solvent=True)
                matrix[row][column] -= more * mass
    return dict(zip(wholes, _solved(matrix, right, pointer), strict=True))


def _units(parts: Sequence[Part], unit: AmountUnit) -> set[AmountUnit]:
    return {unit, *(part.unit for part in parts)}


def _kg(substance: Substance, unit: AmountUnit) -> float:
    """Return the kilograms of a substance that one of the unit means, per whole."""
    match unit:
        case AmountUnit.MOLARITY | AmountUnit.MOLALITY | AmountUnit.MOLE_FRACTION:
            return _known(substance.molar_mass_g_mol) / 1000
        case AmountUnit.GRAMS_PER_LITRE:
            return 1 / 1000
        case AmountUnit.MASS_PERCENT | AmountUnit.MASS_VOLUME_PERCENT:
            return 1 / 100
        case AmountUnit.VOLUME_PERCENT:
            return _known(substance.density_kg_m3) / 1000 / 100


def _adds(substance: Substance, whole: Whole, *, is_solvent: bool = False) -> float:
    """Return what a kilogram of a substance adds to a whole."""
    match whole:
        case Whole.SOLUTION_KG:
            return 1.0
        case Whole.SOLUTION_L:
            return 1000 / _known(substance.density_kg_m3)
        case Whole.SOLUTION_MOL:
            return 1000 / _known(substance.molar_mass_g_mol)
        case Whole.SOLVENT_KG:
            return float(is_solvent)


def _known(value: float | None) -> float:
    if value is None:
        msg = "what is missing is refused before"
        raise ValueError(msg)
    return value


def _refuse_missing(parts: Sequence[Part], solvent: Substance, unit: AmountUnit, pointer: str) -> None:
    across = needs_sizes(parts, unit)
    wholes = {WHOLE_OF[item] for item in _units(parts, unit)} if across else set[Whole]()
    faults = []
    stated: list[tuple[Substance, set[AmountUnit], str]] = [
        (part.substance, {part.unit, unit} if across or part.unit is not unit else set(), part.pointer)
        for part in parts
    ]
    for substance, units, place in [*stated, (solvent, set[AmountUnit](), pointer)]:
        by_mole = units & {AmountUnit.MOLARITY, AmountUnit.MOLALITY, AmountUnit.MOLE_FRACTION}
        if (by_mole or Whole.SOLUTION_MOL in wholes) and not substance.molar_mass_g_mol:
            faults.append(Fault(place, f"the molar mass of {substance.name} is not known"))
        if (AmountUnit.VOLUME_PERCENT in units or Whole.SOLUTION_L in wholes) and not substance.density_kg_m3:
            faults.append(Fault(place, f"the density of {substance.name} is not known"))
    if faults:
        missing = "; ".join(fault.detail for fault in faults)
        msg = f"this mixture cannot be given in {unit}: {missing}"
        raise InvalidError(msg, code="missing_data", faults=faults)


def _solved(matrix: list[list[float]], right: list[float], pointer: str) -> list[float]:
    """Return the solution of a few linear equations, by elimination with the largest pivot."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for index in range(len(rows)):
        pivot = max(range(index, len(rows)), key=lambda row: abs(rows[row][index]))
        rows[index], rows[pivot] = rows[pivot], rows[index]
        if abs(rows[index][index]) < _ROUNDING:
            raise _crowded(pointer)
        rows[index] = [value / rows[index][index] for value in rows[index]]
        for row in range(len(rows)):
            if row != index:
                factor = rows[row][index]
                rows[row] = [a - factor * b for a, b in zip(rows[row], rows[index], strict=True)]
    return [row[-1] for row in rows]


def _crowded(pointer: str) -> InvalidError:
    return InvalidError.at(pointer, "together the components would take up more than the whole solution")


def _rounded(value: float) -> float:
    # Twelve digits are more than anybody measures, and hide that 0.1 has no exact form.
    return float(f"{value:.12g}")
