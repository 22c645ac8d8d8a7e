"""JSON shapes that the mixtures' views answer with."""

from __future__ import annotations

from typing import Final

from api.common.openapi import Answer
from api.common.shapes import OPTIONAL_TEXT, TEXT, UUID_TEXT, array, record
from api.molecules.answers import SOURCE
from app.domain.mixtures import AmountUnit

_UNIT: Final = {"type": "string", "enum": [unit.value for unit in AmountUnit]}
_OPTIONAL_NUMBER: Final = {"type": ["number", "null"]}
_COMPONENT: Final = record(
    molecule_id=UUID_TEXT,
    name=OPTIONAL_TEXT,
    inchikey=OPTIONAL_TEXT,
    amount={"type": "number"},
    unit=_UNIT,
)
RELATED: Final = {"mixtures.components": array(_COMPONENT), "mixtures.source": SOURCE}
COMPOSITION: Final = Answer(
    "Composition",
    record(
        solvent=TEXT,
        unit=_UNIT,
        assumption={**OPTIONAL_TEXT, "description": "What the conversion rests on; null where it is exact."},
        components=array(
            record(
                molecule_id=UUID_TEXT,
                name=TEXT,
                inchikey=OPTIONAL_TEXT,
                amount={"type": "number"},
                unit=_UNIT,
                molar_mass_g_mol=_OPTIONAL_NUMBER,
                density_kg_m3=_OPTIONAL_NUMBER,
                density_reference=OPTIONAL_TEXT,
                density_verified={"type": ["boolean", "null"]},
            )
        ),
    ),
    has_etag=True,
)
