"""JSON shapes that the experiments' views answer with."""

from __future__ import annotations

from typing import Final

from api.common.shapes import TEXT, array, record
from api.molecules.answers import SOURCE
from app.domain.experiments import Relation

_RESULT: Final = record(
    property_type=TEXT,
    relation={"type": "string", "enum": [relation.value for relation in Relation]},
    value={"type": "number"},
    unit=TEXT,
    standard_deviation={"type": ["number", "null"]},
    replicates={"type": ["integer", "null"]},
)
RELATED: Final = {
    "experiments.failure_reasons": array(TEXT),
    "experiments.results": array(_RESULT),
    "experiments.source": SOURCE,
}
