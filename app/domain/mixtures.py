"""A mixture before it is stored: molecules in a solvent, each with an amount in a unit of composition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from app.domain.references import Match, by_key, choose
from app.errors import Fault, InvalidError


class AmountUnit(StrEnum):
    """Units of composition; percentages and the mole fraction are of the whole solution."""

    MOLARITY = "mol/L"
    MOLALITY = "mol/kg"
    """Per kilogram of the solvent that is named."""
    GRAMS_PER_LITRE = "g/L"
    MASS_PERCENT = "%w/w"
    MASS_VOLUME_PERCENT = "%w/v"
    """Grams in 100 mL."""
    VOLUME_PERCENT = "%v/v"
    MOLE_FRACTION = "mole_fraction"


WHOLES: Final = {AmountUnit.MASS_PERCENT: 100.0, AmountUnit.VOLUME_PERCENT: 100.0, AmountUnit.MOLE_FRACTION: 1.0}
"""What shares of one unit add up to at most."""
MOLE_UNITS: Final = frozenset({AmountUnit.MOLARITY, AmountUnit.MOLALITY, AmountUnit.MOLE_FRACTION})
# Shares that are rounded, each in its last digit, may add up to a hair more; the database allows the same.
_SUM_TOLERANCE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class StatedComponent:
    """A component as somebody states it."""

    reference: str
    """The molecule's id, InChIKey, CID, ChEMBL id, CAS number or name."""
    field: str
    """What the reference stands in, for pointers: molecule_id or molecule."""
    amount: float
    unit: AmountUnit


@dataclass(frozen=True, slots=True)
class Component:
    """One molecule of a mixture and how much of it there is."""

    molecule_id: UUID
    amount: float
    unit: AmountUnit


@dataclass(frozen=True, slots=True)
class NewMixture:
    """A mixture to store."""

    name: str
    components: tuple[Component, ...]
    description: str | None = None
    solvent: str = "water"
    reference: str | None = None
    is_public: bool | None = None
    """None: what is usual for the caller's role (service public, user private)."""
    project_id: UUID | None = None


def components_of(stated: Sequence[StatedComponent], matches: Iterable[Match], pointer: str) -> tuple[Component, ...]:
    """Return stated components as they are kept; `matches` is what a lookup of their references has found.

    Raises:
        InvalidError: With a pointer to each component whose molecule is unknown or stands twice, whose unit needs
            a molar mass that the molecule does not have, or with which shares exceed the whole.
    """
    found = by_key(matches)
    components: list[Component] = []
    faults: list[Fault] = []
    excesses = _excesses(stated)
    for index, item in enumerate(stated):
        place = f"{pointer}/{index}"
        if index in excesses:
            faults.append(Fault(f"{place}/amount", excesses[index]))
        try:
            molecule = choose(item.reference, found)
        except InvalidError as error:
            faults.append(Fault(f"{place}/{item.field}", error.detail))
            continue
        if any(other.molecule_id == molecule.id for other in components):
            faults.append(Fault(f"{place}/{item.field}", f"{molecule.name} stands twice in the mixture"))
        if item.unit in MOLE_UNITS and molecule.molar_mass_g_mol is None:
            faults.append(Fault(f"{place}/unit", f"{molecule.name} is a polymer without a molar mass: use a mass unit"))
        components.append(Component(molecule.id, item.amount, item.unit))
    if faults:
        raise InvalidError("the components cannot be accepted", code="invalid_components", faults=faults)
    return tuple(components)


def _excesses(stated: Sequence[StatedComponent]) -> dict[int, str]:
    """Return what is wrong with the component of each unit with which the shares first exceed the whole."""
    sums = dict.fromkeys(WHOLES, 0.0)
    excesses = {}
    for index, item in enumerate(stated):
        whole = WHOLES.get(item.unit)
        if whole is None:
            continue
        limit, before = whole * (1 + _SUM_TOLERANCE), sums[item.unit]
        sums[item.unit] += item.amount
        if before <= limit < sums[item.unit]:
            excesses[index] = f"the {item.unit} add up to {sums[item.unit]:.10g}, more than {whole:g}"
    return excesses
