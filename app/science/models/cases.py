"""What a model is asked: a composition, and the conditions that it is met under."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from app.errors import InvalidError
from app.science.composition import WATER_NAMES


@dataclass(frozen=True, slots=True)
class Composition:
    """A solution: molality (mol per kg of solvent) and molar mass (g/mol) of each solute, by full InChIKey.

    Solutes of which there is nothing are left out. `names` is what to call one that is refused.

    Raises:
        InvalidError: An amount is negative or no number, or a solute has no molar mass.
    """

    molality_mol_kg: Mapping[str, float]
    molar_mass_g_mol: Mapping[str, float]
    solvent: str = "water"
    names: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what is no amount."""
        for key, molality in self.molality_mol_kg.items():
            _at_least_zero(molality, f"/molality_mol_kg/{key}", "an amount")
            mass = self.molar_mass_g_mol.get(key)
            if mass is None or not (math.isfinite(mass) and mass > 0.0):
                pointer = f"/molar_mass_g_mol/{key}"
                raise InvalidError.at(pointer, "a molar mass is a number above zero")
        present = {key: molality for key, molality in self.molality_mol_kg.items() if molality > 0.0}
        object.__setattr__(self, "molality_mol_kg", present)

    @property
    def is_aqueous(self) -> bool:
        """Return whether the solvent is water."""
        return self.solvent.strip().casefold() in WATER_NAMES

    def named(self, key: str) -> str:
        """Return what to call a solute."""
        return self.names.get(key, key)

    def mass_fraction(self) -> float:
        """Return the mass of all solutes per mass of solution."""
        solutes_kg = sum(
            molality * self.molar_mass_g_mol[key] / 1000.0 for key, molality in self.molality_mol_kg.items()
        )
        return solutes_kg / (1.0 + solutes_kg)

    def solute_mass_fractions(self) -> dict[str, float]:
        """Return the mass of each solute per mass of solution."""
        masses = {key: molality * self.molar_mass_g_mol[key] / 1000.0 for key, molality in self.molality_mol_kg.items()}
        return {key: mass / (1.0 + sum(masses.values())) for key, mass in masses.items()}


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a prediction holds under; None is "not said".

    Raises:
        InvalidError: A time is negative, or a temperature is not above absolute zero.
    """

    temperature_k: float | None = None
    exposure_min: float | None = None
    cell_type: str | None = None

    def __post_init__(self) -> None:
        """Refuse what is no time or temperature."""
        if self.exposure_min is not None:
            _at_least_zero(self.exposure_min, "/conditions/exposure_min", "a time")
        if self.temperature_k is not None and not (math.isfinite(self.temperature_k) and self.temperature_k > 0.0):
            raise InvalidError.at("/conditions/temperature_k", "a temperature in kelvin is a number above zero")

    def said(self) -> dict[str, float | str]:
        """Return what is said, by name."""
        stated = {
            "temperature_k": self.temperature_k,
            "exposure_min": self.exposure_min,
            "cell_type": self.cell_type,
        }
        return {name: value for name, value in stated.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Case:
    """One question to a model."""

    composition: Composition
    conditions: Conditions = field(default_factory=Conditions)


def _at_least_zero(value: float, pointer: str, what: str) -> None:
    if not (math.isfinite(value) and value >= 0.0):
        raise InvalidError.at(pointer, f"{what} is a number, zero or more")
