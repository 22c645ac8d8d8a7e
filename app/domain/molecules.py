"""A molecule before it is stored: what a caller, an import record or the seed says of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal
from uuid import UUID

Notation = Literal["smiles", "inchi", "molfile"]
ValueKind = Literal["numeric", "text", "boolean"]


class MoleculeKind(StrEnum):
    """What a row of `molecules` describes; a polymer has no single structure."""

    MOLECULE = "molecule"
    POLYMER = "polymer"


@dataclass(frozen=True, slots=True)
class Structure:
    """A standardized structure and all that is computed from it."""

    canonical_smiles: str
    inchi: str
    inchikey: str
    parent_inchikey: str
    formula: str
    molar_mass_g_mol: float
    descriptors: dict[str, float | int]
    fingerprint: str
    """2048 characters, 0 or 1: Morgan, radius 2."""


@dataclass(frozen=True, slots=True)
class Identifier:
    """A molecule's name in another register; `verified` is False where it is only remembered."""

    source: str
    """cas, pubchem, chembl, dsstox, or name for synonyms."""
    kind: str
    """cas_number, cid, chembl_id, dtxsid, synonym, iupac_name."""
    external_id: str
    verified: bool = True


@dataclass(frozen=True, slots=True)
class PropertyValue:
    """One typed value with its unit and where it comes from.

    Exactly one of the three values is set. `verified` is False for a number that nobody has seen
    in its source; such values are shown as unverified to every reader.
    """

    property_type: str
    numeric_value: float | None = None
    text_value: str | None = None
    boolean_value: bool | None = None
    unit: str | None = None
    standard_uncertainty: float | None = None
    method: str | None = None
    reference: str | None = None
    verified: bool = True


@dataclass(frozen=True, slots=True)
class PropertyType:
    """A kind of property: its unit, and whether its values are numbers, texts or true/false."""

    name: str
    unit: str | None
    """None where the value is not a number; "1" for a number without dimension."""
    value_kind: ValueKind
    description: str = ""


@dataclass(frozen=True, slots=True)
class NewMolecule:
    """A molecule to store; `structure` is None for polymers only."""

    name: str
    structure: Structure | None
    kind: MoleculeKind = MoleculeKind.MOLECULE
    is_public: bool | None = None
    """None: what is usual for the caller's role (service public, user private)."""
    project_id: UUID | None = None
    identifiers: tuple[Identifier, ...] = ()
    properties: tuple[PropertyValue, ...] = ()
    data_source_id: UUID | None = None
    """None for what a person typed."""
    source_record: str | None = None
    """The record's own id in that source."""
    import_run_id: UUID | None = None
