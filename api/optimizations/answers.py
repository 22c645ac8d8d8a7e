"""JSON shapes that the views of searches answer with."""

from __future__ import annotations

from typing import Any, Final

from api.common.openapi import Answer
from api.common.shapes import TEXT, UUID_TEXT, array, record
from api.predictions.answers import PREDICTION

_NUMBER: Final = {"type": "number"}
_OPTIONAL_NUMBER: Final = {"type": ["number", "null"]}
_FRONT: Final = record(
    objective=TEXT,
    traded=TEXT,
    seed={"type": "integer"},
    front=array(
        record(
            components=array(record(molecule_id=UUID_TEXT, name=TEXT, amount=_NUMBER, unit=TEXT)),
            solvent=TEXT,
            total_molality_mol_kg=_NUMBER,
            predictions=array(PREDICTION),
        )
    ),
)
FRONT: Final = Answer("OptimizationAnswer", _FRONT)
RELATED: Final[dict[str, dict[str, Any]]] = {
    "optimizations.request": record(
        candidates=array(record(molecule=TEXT, at_least=_NUMBER, at_most=_NUMBER)),
        objective=TEXT,
        constraints=array(record(quantity=TEXT, at_least=_OPTIONAL_NUMBER, at_most=_OPTIONAL_NUMBER)),
        # Only what was said.
        conditions={"type": "object"},
        solvent=TEXT,
        seed={"type": "integer"},
    ),
    "optimizations.result": {"anyOf": [_FRONT, {"type": "null"}]},
    "optimizations.failure": {
        "anyOf": [
            record(code=TEXT, detail=TEXT, errors=array(record(pointer=TEXT, detail=TEXT))),
            {"type": "null"},
        ]
    },
}
