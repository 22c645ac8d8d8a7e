"""What clients may ask to be imported, and what they are told."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from api.common.fields import Table, Text
from app.importers.download import MAX_URL_LENGTH
from app.services.ask_for_import import BY_ADDRESS, FILE, SOURCES, TOX21

MAX_OPTIONS: Final = 50
_OPTIONS: Final = {"type": "object"}
_NOT_OF: Final = {FILE: ("options",), TOX21: ("options", "columns")}
_NUMBERS: Final = {"type": "string", "example": "1-1000,2244"}
_PUBCHEM: Final = {
    "type": "object",
    "properties": {
        "cids": _NUMBERS,
        "names": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "inchikeys": {
            "type": "array",
            "items": {"type": "string", "pattern": "^[A-Z]{14}-[A-Z]{10}-[A-Z]$"},
            "minItems": 1,
        },
        "formula": {"type": "string", "pattern": "^[A-Za-z0-9]{1,200}$"},
        "listkey": {"type": "string", "pattern": "^[0-9]{1,30}$"},
        "measurements": {"type": "boolean"},
    },
    "oneOf": [{"required": [kind]} for kind in ("cids", "names", "inchikeys", "formula", "listkey")],
    "additionalProperties": False,
}
_CHEMBL: Final = {
    "type": "object",
    "properties": {"ids": _NUMBERS},
    "required": ["ids"],
    "additionalProperties": False,
}
_FOR_OTHERS: Final = {"anyOf": [{"required": ["url"]}, {"required": ["columns"]}]}
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
            "description": "Of a file, or one of Tox21's: https, on one of the hosts that the service fetches from.",
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
        metadata={
            "description": "Of PubChem: one of `cids`, `names`, `inchikeys`, `formula`, `listkey`, and `measurements`. "
            "Of ChEMBL: `ids`.",
            "example": {"cids": "1-1000,2244"},
        },
    )
    rules: ClassVar[dict[str, Any]] = {
        "oneOf": [
            {"properties": {"source": {"const": FILE}}, "required": ["url"], "not": {"required": ["options"]}},
            {
                "properties": {"source": {"const": TOX21}},
                "required": ["url"],
                "not": {"anyOf": [{"required": ["options"]}, {"required": ["columns"]}]},
            },
            *(
                {
                    "properties": {"source": {"const": name}, "options": what},
                    "required": ["options"],
                    "not": _FOR_OTHERS,
                }
                for name, what in (("pubchem", _PUBCHEM), ("chembl", _CHEMBL))
            ),
        ]
    }

    @validates_schema
    def _what_belongs_to_the_source(self, data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - marshmallow's own
        source = data.get("source")
        is_file = source in BY_ADDRESS
        if is_file and "url" not in data:
            msg = "a file is named by its address"
            raise ValidationError(msg, "url")
        if not is_file and "options" not in data:
            msg = f"say what to import from {source}"
            raise ValidationError(msg, "options")
        for name in _NOT_OF.get(str(source), ("url", "columns")):
            if name in data:
                msg = f"this is not for the source {data.get('source')}"
                raise ValidationError(msg, name)
