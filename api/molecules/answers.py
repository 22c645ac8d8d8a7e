"""JSON shapes that the molecules' views answer with."""

from __future__ import annotations

from typing import Final

from api.common.openapi import Answer
from api.common.shapes import OPTIONAL_TEXT, OPTIONAL_UUID, TEXT, UUID_TEXT, array, record
from database.repositories.outcomes import OutcomeStatus

_COUNT: Final = {"type": "integer", "minimum": 0}
_VALUE: Final = record(
    property_type=TEXT,
    value={"type": ["number", "string", "boolean"]},
    unit=OPTIONAL_TEXT,
    standard_uncertainty={"type": ["number", "null"]},
    method=OPTIONAL_TEXT,
    reference=OPTIONAL_TEXT,
    verified={"type": "boolean"},
)
_IDENTIFIER: Final = record(source=TEXT, kind=TEXT, external_id=TEXT, verified={"type": "boolean"})
SOURCE: Final = {
    **record(
        name=TEXT,
        release=TEXT,
        url=OPTIONAL_TEXT,
        licence=OPTIONAL_TEXT,
        record=OPTIONAL_TEXT,
        import_run_id=OPTIONAL_UUID,
    ),
    "type": ["object", "null"],
}
RELATED: Final = {
    "molecules.source": SOURCE,
    "molecules.identifiers": array(_IDENTIFIER),
    "molecules.properties": array(_VALUE),
}
PROPERTY_VALUES: Final = Answer("PropertyList", record(data=array(_VALUE)), has_etag=True)
_RESULT: Final = record(
    index=_COUNT,
    status={"type": "string", "enum": [status.value for status in OutcomeStatus]},
    id=OPTIONAL_UUID,
    errors=array(record(pointer=TEXT, detail=TEXT)),
)
_COUNTS: Final = {status.value: _COUNT for status in OutcomeStatus}
BATCH_REPORT: Final = Answer("BatchReport", record(**_COUNTS, results=array(_RESULT)))
IMPORT_REPORT: Final = Answer("ImportReport", record(import_run_id=UUID_TEXT, **_COUNTS, results=array(_RESULT)))
LOOKUP_REPORT: Final = Answer(
    "LookupReport",
    record(
        data=array(record(kind=TEXT, value=TEXT, id=UUID_TEXT, name=TEXT, inchikey=OPTIONAL_TEXT)),
        missing=array(record(kind=TEXT, value=TEXT)),
    ),
)
