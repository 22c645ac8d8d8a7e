"""What a model is asked: a composition, and the conditions that it is met under."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

from app.errors import InvalidError
from app.science.composition import WATER_NAMES

# What mammals' plasma has, 0.28-0.30; general knowledge, no source read.
ISOTONIC_OSMOL_KG: Final = 0.30
_PROTOCOL: Final = "/conditions/protocol"


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
class Step:
    """A bath: a part of the composition's solutes for some minutes, beside solutes that do not enter the cell.

    The temperature is that of the conditions where the step says none.
    """

    duration_min: float
    fraction: float = 1.0
    """Of each molality of the composition; 0 is none of it, as in a wash."""
    impermeant_osmolality_osmol_kg: float = ISOTONIC_OSMOL_KG
    """Of salts and sugars that stay outside, beside those of the composition; isotonic where nothing is said."""
    temperature_k: float | None = None


@dataclass(frozen=True, slots=True)
class Protocol:
    """Baths that cells go through, one after the other, and what is known of the cells' shape."""

    steps: tuple[Step, ...]
    cell_diameter_um: float | None = None
    """Of a sphere."""
    surface_to_volume_per_um: float | None = None
    """For cells that are no spheres."""
    inactive_volume_fraction: float | None = None
    """Part of the isotonic volume that takes no part in osmosis."""

    def __post_init__(self) -> None:
        """Refuse what is no bath or no cell."""
        for index, step in enumerate(self.steps):
            place = f"{_PROTOCOL}/steps/{index}"
            _above_zero(step.duration_min, f"{place}/duration_min", "a duration")
            _at_least_zero(step.fraction, f"{place}/fraction", "a part")
            _at_least_zero(step.impermeant_osmolality_osmol_kg, f"{place}/impermeant_osmolality_osmol_kg", "osmolality")
            _above_zero(step.temperature_k, f"{place}/temperature_k", "a temperature in kelvin")
        _above_zero(self.cell_diameter_um, f"{_PROTOCOL}/cell_diameter_um", "a diameter")
        _above_zero(self.surface_to_volume_per_um, f"{_PROTOCOL}/surface_to_volume_per_um", "a ratio")
        if self.cell_diameter_um is not None and self.surface_to_volume_per_um is not None:
            pointer = f"{_PROTOCOL}/surface_to_volume_per_um"
            raise InvalidError.at(pointer, "say this or cell_diameter_um, not both")
        inactive = self.inactive_volume_fraction
        if inactive is not None and not 0.0 <= inactive < 1.0:
            pointer = f"{_PROTOCOL}/inactive_volume_fraction"
            raise InvalidError.at(pointer, "a part of the cell is 0 or more, below 1")


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a prediction holds under; None is "not said".

    Raises:
        InvalidError: A time is negative, or a temperature is not above absolute zero.
    """

    temperature_k: float | None = None
    exposure_min: float | None = None
    cell_type: str | None = None
    protocol: Protocol | None = None

    def __post_init__(self) -> None:
        """Refuse what is no time or temperature."""
        if self.exposure_min is not None:
            _at_least_zero(self.exposure_min, "/conditions/exposure_min", "a time")
        _above_zero(self.temperature_k, "/conditions/temperature_k", "a temperature in kelvin")

    def said(self) -> dict[str, Any]:
        """Return what is said, as JSON has it."""
        return _without_none(asdict(self))

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Self:
        """Return the conditions that JSON says.

        Raises:
            InvalidError: It says what is no condition.
        """
        protocol = said.get("protocol")
        if protocol is None:
            return cls(**said)
        steps = tuple(Step(**step) for step in protocol["steps"])
        return cls(**{**said, "protocol": Protocol(**{**protocol, "steps": steps})})


@dataclass(frozen=True, slots=True)
class Case:
    """One question to a model."""

    composition: Composition
    conditions: Conditions = field(default_factory=Conditions)


def _without_none(said: dict[str, Any]) -> dict[str, Any]:
    return {
        name: [_without_none(item) for item in value] if isinstance(value, (list, tuple))
        else _without_none(value) if isinstance(value, dict) else value
        for name, value in said.items()
        if value is not None
    }  # fmt: skip


def _above_zero(value: float | None, pointer: str, what: str) -> None:
    if value is not None and not (math.isfinite(value) and value > 0.0):
        raise InvalidError.at(pointer, f"{what} is a number above zero")


def _at_least_zero(value: float, pointer: str, what: str) -> None:
    if not (math.isfinite(value) and value >= 0.0):
        raise InvalidError.at(pointer, f"{what} is a number, zero or more")
