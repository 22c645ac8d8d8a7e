"""What clients may ask to be imported, and what they are told."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from api.common.fields import Table, Text
from app.importers.download import MAX_URL_LENGTH
from app.services.ask_for_import import FILE, SOURCES

MAX_OPTIONS: Final = 50
_OPTIONS: Final = {"type": "object"}
RELATED: Final[dict[str, dict[str, Any]]] = {
    "imports.parameters": _OPTIONS,
    "imports.checkpoint": {"type": ["object", "null"]},
}


class NewImportSchema(Schema):
    """An import to be carried out by a worker."""

    source = fields.String(required=True, validate=validate.OneOf(sorted(SOURCES)))
    release = fields.String(
        load_default="",
        validate=validate.Length(max=200),
        metadata={"description": "The source's release, for instance ChEMBL_36.", "example": "ChEMBL_36"},
    )
    url = Text(
        validate=validate.Length(1, MAX_URL_LENGTH),
        metadata={
            "description": "Of a file: https, on one of the hosts that the service fetches from.",
            "example": "https://ftp.ebi.ac.uk/pub/databases/chembl/ChEMBLdb/latest/chembl_36_chemreps.txt.gz",
        },
    )
    columns = Table(
        keys=Text(validate=validate.Length(1, 100)),
        values=Text(validate=validate.Length(1, 500)),
        validate=validate.Length(1, MAX_OPTIONS),
        metadata={"description": "Of a table: what we call a column, and what its head says."},
    )
    options = Table(
        keys=Text(validate=validate.Length(1, 100)),
        values=fields.Raw(),
        validate=validate.Length(1, MAX_OPTIONS),
        metadata={"description": "Of PubChem, ChEMBL and Tox21: which of their records; all, where it is left out."},
    )
    rules: ClassVar[dict[str, Any]] = {
        "if": {"properties": {"source": {"const": FILE}}},
        "then": {"required": ["url"], "not": {"required": ["options"]}},
        "else": {"not": {"anyOf": [{"required": ["url"]}, {"required": ["columns"]}]}},
    }

    @validates_schema
    def _what_belongs_to_the_source(self, data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - marshmallow's own
        is_file = data.get("source") == FILE
        if is_file and "url" not in data:
            msg = "a file is named by its address"
            raise ValidationError(msg, "url")
        for name in ("options",) if is_file else ("url", "columns"):
            if name in data:
                msg = f"this is not for the source {data.get('source')}"
                raise ValidationError(msg, name)
