"""JSON shapes that the molecules' views answer with."""

from __future__ import annotations

from typing import Any, Final

from api.common.openapi import Answer
from database.repositories.molecules import OutcomeStatus

_TEXT: Final = {"type": "string"}
_OPTIONAL_TEXT: Final = {"type": ["string", "null"]}
_UUID: Final = {"type": "string", "format": "uuid"}
_OPTIONAL_UUID: Final = {"type": ["string", "null"], "format": "uuid"}
_COUNT: Final = {"type": "integer", "minimum": 0}


def _object(**properties: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON schemas
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_VALUE: Final = _object(
    property_type=_TEXT,
    value={"type": ["number", "string", "boolean"]},
    unit=_OPTIONAL_TEXT,
    standard_uncertainty={"type": ["number", "null"]},
    method=_OPTIONAL_TEXT,
    reference=_OPTIONAL_TEXT,
    verified={"type": "boolean"},
)
_IDENTIFIER: Final = _object(source=_TEXT, kind=_TEXT, external_id=_TEXT, verified={"type": "boolean"})
_SOURCE: Final = {
    **_object(
        name=_TEXT,
        release=_TEXT,
        url=_OPTIONAL_TEXT,
        licence=_OPTIONAL_TEXT,
        record=_OPTIONAL_TEXT,
        import_run_id=_OPTIONAL_UUID,
    ),
    "type": ["object", "null"],
}
RELATED: Final = {
    "molecules.source": _SOURCE,
    "molecules.identifiers": _array(_IDENTIFIER),
    "molecules.properties": _array(_VALUE),
}
PROPERTY_VALUES: Final = Answer("PropertyList", _object(data=_array(_VALUE)))
_RESULT: Final = _object(
    index=_COUNT,
    status={"type": "string", "enum": [status.value for status in OutcomeStatus]},
    id=_OPTIONAL_UUID,
    errors=_array(_object(pointer=_TEXT, detail=_TEXT)),
)
_COUNTS: Final = {status.value: _COUNT for status in OutcomeStatus}
BATCH_REPORT: Final = Answer("BatchReport", _object(**_COUNTS, results=_array(_RESULT)))
IMPORT_REPORT: Final = Answer("ImportReport", _object(import_run_id=_UUID, **_COUNTS, results=_array(_RESULT)))
LOOKUP_REPORT: Final = Answer(
    "LookupReport",
    _object(
        data=_array(_object(kind=_TEXT, value=_TEXT, id=_UUID, name=_TEXT, inchikey=_OPTIONAL_TEXT)),
        missing=_array(_object(kind=_TEXT, value=_TEXT)),
    ),
)
