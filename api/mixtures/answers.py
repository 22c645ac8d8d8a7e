"""JSON shapes that the mixtures' views answer with."""

from __future__ import annotations

from typing import Final

from api.common.shapes import OPTIONAL_TEXT, UUID_TEXT, array, record
from api.molecules.answers import SOURCE
from app.domain.mixtures import AmountUnit

_COMPONENT: Final = record(
    molecule_id=UUID_TEXT,
    name=OPTIONAL_TEXT,
    inchikey=OPTIONAL_TEXT,
    amount={"type": "number"},
    unit={"type": "string", "enum": [unit.value for unit in AmountUnit]},
)
RELATED: Final = {"mixtures.components": array(_COMPONENT), "mixtures.source": SOURCE}
