"""Reads the project's own molecules out of its package, without a database and without chemistry.

A value that nobody has read in a source carries `verified=False` from the file to the reader of the API.
Class and permeation are the project's own judgement: the class of a molecule follows from its structure;
whether it enters cells is general knowledge, and so unverified.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Final, get_args

from app.domain.molecules import Identifier, MoleculeKind, Notation, PropertyType, PropertyValue, ValueKind

DATA_SOURCE_NAME: Final = "CryoProtect seed"

_REGISTERS: Final = (
    ("cas", "cas", "cas_number"),
    ("pubchem_cid", "pubchem", "cid"),
    ("chembl_id", "chembl", "chembl_id"),
    ("dtxsid", "dsstox", "dtxsid"),
)


@dataclass(frozen=True, slots=True)
class SeedMolecule:
    """One cryoprotectant as the seed states it; polymers have no structure."""

    name: str
    kind: MoleculeKind
    notation: Notation | None
    structure_text: str | None
    stated_inchikey: str | None
    """The standardizer's result must be equal to it, or the seed is wrong."""
    identifiers: tuple[Identifier, ...]
    properties: tuple[PropertyValue, ...]
    source: str
    """How structure and register numbers were checked."""


def property_types() -> tuple[PropertyType, ...]:
    """Return every property type that the seed, the importers and the predictions use."""
    return tuple(
        PropertyType(row["name"], row["unit"] or None, _value_kind(row["value_kind"]), row["description"])
        for row in rows_of("property_types.csv")
    )


def seed_molecules() -> tuple[SeedMolecule, ...]:
    """Return the cryoprotectants, each with its identifiers and properties."""
    properties: dict[str, list[PropertyValue]] = {}
    for row in rows_of("properties.csv"):
        properties.setdefault(row["molecule"], []).append(_property(row))
    molecules = tuple(_molecule(row, properties.pop(row["name"], [])) for row in rows_of("molecules.csv"))
    if properties:
        message = f"properties.csv names molecules that molecules.csv does not have: {sorted(properties)}"
        raise ValueError(message)
    return molecules


def rows_of(file_name: str) -> Iterator[dict[str, str]]:
    """Return the rows of one of the package's tables."""
    content = files("app.seed").joinpath(file_name).read_text(encoding="utf-8")
    yield from csv.DictReader(io.StringIO(content), strict=True)


def _value_kind(word: str) -> ValueKind:
    kinds: dict[str, ValueKind] = {kind: kind for kind in get_args(ValueKind)}
    return kinds[word]


def _molecule(row: Mapping[str, str], properties: list[PropertyValue]) -> SeedMolecule:
    smiles = row["smiles"] or None
    return SeedMolecule(
        name=row["name"],
        kind=MoleculeKind(row["kind"]),
        notation="smiles" if smiles else None,
        structure_text=smiles,
        stated_inchikey=row["inchikey"] or None,
        identifiers=tuple(_identifiers(row)),
        properties=(*_judgements(row), *properties),
        source=row["source"],
    )


def _identifiers(row: Mapping[str, str]) -> Iterator[Identifier]:
    for column, source, kind in _REGISTERS:
        if row[column]:
            yield Identifier(source, kind, row[column], verified=_yes(row[f"{column}_verified"]))
    for synonym in filter(None, row["synonyms"].split(";")):
        yield Identifier("name", "synonym", synonym)


def _judgements(row: Mapping[str, str]) -> Iterator[PropertyValue]:
    has_structure = bool(row["smiles"])
    yield PropertyValue(
        "cryoprotectant_class",
        text_value=row["class"],
        method="follows from the structure" if has_structure else "follows from the name",
        reference="assigned by the CryoProtect project",
        verified=has_structure,
    )
    yield PropertyValue(
        "membrane_permeation",
        text_value=row["penetrating"],
        method="not checked against measured permeabilities",
        reference="general knowledge of the field, no source seen",
        verified=False,
    )


def _property(row: Mapping[str, str]) -> PropertyValue:
    return PropertyValue(
        row["property_type"],
        numeric_value=float(row["numeric_value"]) if row["numeric_value"] else None,
        text_value=row["text_value"] or None,
        unit=row["unit"] or None,
        method=row["how"],
        reference=row["source"],
        verified=_yes(row["verified"]),
    )


def _yes(word: str) -> bool:
    return {"yes": True, "no": False}[word]
