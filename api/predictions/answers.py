"""JSON shapes that the predictions' views answer with."""

from __future__ import annotations

from typing import Any, Final

from api.common.openapi import Answer
from api.common.shapes import OPTIONAL_TEXT, TEXT, array, record

_OPTIONAL_NUMBER: Final = {"type": ["number", "null"]}
_FLAG: Final = {"type": "boolean"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_METHOD: Final = record(description=TEXT, equation=OPTIONAL_TEXT, parameters={"type": "object"})
_QUESTION: Final = record(
    conditions=record(
        temperature_k=_OPTIONAL_NUMBER,
        exposure_min=_OPTIONAL_NUMBER,
        cell_type=OPTIONAL_TEXT,
        protocol={"type": ["object", "null"]},
    ),
    properties=array(TEXT),
    models=array(TEXT),
)
RELATED: Final[dict[str, dict[str, Any]]] = {
    "predictions.method": _METHOD,
    "prediction_batch.question": _QUESTION,
    "prediction_batch.refused": array(record(mixture_id=TEXT, detail=TEXT)),
}

_VERSION: Final = record(
    version=TEXT,
    title=TEXT,
    properties=array(record(property_type=TEXT, unit=TEXT, default=_FLAG)),
    equation=TEXT,
    parameters=array(record(subject=TEXT, name=TEXT, value={"type": "number"}, unit=TEXT, source=TEXT, seen=_FLAG)),
    valid_for=TEXT,
    reference=TEXT,
)
_MODEL: Final = record(name=TEXT, versions=array(_VERSION))
MODEL: Final = Answer("Model", _MODEL, has_etag=True)
MODEL_LIST: Final = Answer("ModelList", record(data=array(_MODEL)))
PREDICTION: Final = record(
    property_type=TEXT,
    value=_OPTIONAL_NUMBER,
    unit=TEXT,
    standard_uncertainty=_OPTIONAL_NUMBER,
    model=TEXT,
    version=TEXT,
    in_domain=_FLAG,
    reason=OPTIONAL_TEXT,
    reference=TEXT,
)
_NUMBERS: Final = array({"type": "number"})
# Where a value has a history, as the cell's volume in a protocol has.
PREDICTION["properties"]["curve"] = record(time_min=_NUMBERS, values=_NUMBERS)
EVALUATION: Final = Answer("EvaluationAnswer", record(predictions=array(PREDICTION)))
STORED: Final = Answer(
    "StoredPredictions",
    record(added=_COUNT, existing=_COUNT, data=array({"$ref": "#/components/schemas/Prediction"})),
)
