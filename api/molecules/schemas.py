"""What clients may say of a molecule."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema

from api.common.fields import Flag, Text, WholeNumber
from app.domain.molecules import Identifier

MAX_STRUCTURE: Final = 200_000
MAX_LOOKUP: Final = 1000
MAX_TEXT_VALUE: Final = 10_000
STRUCTURE_FIELDS: Final = ("smiles", "inchi", "molfile")


def name_field(**kwargs: Any) -> Text:  # noqa: ANN401 - marshmallow's own
    """Return the field for a molecule's name."""
    return Text(validate=validate.Length(1, 500), metadata={"example": "Glycerol"}, **kwargs)


class IdentifierSchema(Schema):
    """A name or number of the molecule in another register."""

    source = fields.String(
        required=True,
        validate=validate.Regexp(r"^[a-z][a-z0-9_]{0,39}\Z"),
        metadata={"description": "Register: cas, pubchem, chembl, dsstox, name.", "example": "cas"},
    )
    kind = fields.String(
        required=True,
        validate=validate.Regexp(r"^[a-z][a-z0-9_]{0,39}\Z"),
        metadata={"description": "cas_number, cid, chembl_id, dtxsid, synonym, iupac_name.", "example": "cas_number"},
    )
    external_id = Text(required=True, validate=validate.Length(1, 500), metadata={"example": "56-81-5"})
    verified = Flag(
        load_default=True,
        metadata={"description": "False for what is only remembered."},
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Identifier:  # noqa: ANN401 - marshmallow's own
        """Return the value object."""
        return Identifier(**data)


def check_value(value: object) -> None:
    """Refuse what is no number, text or truth value.

    Raises:
        ValidationError: Of another kind, or a text of the wrong length.
    """
    if not isinstance(value, (bool, int, float, str)):
        msg = "must be a number, a text or true/false"
        raise ValidationError(msg)
    if isinstance(value, str) and not 1 <= len(value) <= MAX_TEXT_VALUE:
        msg = "a text has 1 to 10,000 characters"
        raise ValidationError(msg)


class PropertyValueSchema(Schema):
    """One value of a property, in any unit that converts to the property's own."""

    value = fields.Raw(
        required=True,
        validate=check_value,
        metadata={"type": ["number", "string", "boolean"], "example": 291.15},
    )
    unit = fields.String(load_default=None, allow_none=True, validate=validate.Length(1, 50), metadata={"example": "K"})
    standard_uncertainty = fields.Float(
        load_default=None, allow_none=True, validate=validate.Range(min=0), metadata={"description": "In `unit`."}
    )
    method = Text(load_default=None, allow_none=True, validate=validate.Length(1, 2000))
    reference = Text(
        load_default=None,
        allow_none=True,
        validate=validate.Length(1, 2000),
        metadata={"description": "Where the value is published, best as doi:..."},
    )
    verified = Flag(load_default=True)


class TypedPropertyValueSchema(PropertyValueSchema):
    """One value together with the name of its property."""

    property_type = fields.String(
        required=True,
        validate=validate.Regexp(r"^[a-z][a-z0-9_]{0,79}\Z"),
        metadata={"example": "melting_point"},
    )


class NewMoleculeSchema(Schema):
    """A molecule to create: a name and one structure."""

    rules: ClassVar = {"oneOf": [{"required": [name]} for name in STRUCTURE_FIELDS]}

    name = name_field(required=True)
    smiles = fields.String(
        validate=validate.Length(1, MAX_STRUCTURE), metadata={"format": "smiles", "example": "OCC(O)CO"}
    )
    inchi = fields.String(validate=validate.Length(1, MAX_STRUCTURE), metadata={"format": "inchi"})
    molfile = fields.String(validate=validate.Length(1, MAX_STRUCTURE), metadata={"format": "molfile"})
    synonyms = fields.List(Text(validate=validate.Length(1, 500)), load_default=list, validate=validate.Length(max=500))
    identifiers = fields.List(fields.Nested(IdentifierSchema), load_default=list, validate=validate.Length(max=500))
    properties = fields.List(
        fields.Nested(TypedPropertyValueSchema), load_default=list, validate=validate.Length(max=500)
    )
    is_public = Flag(load_default=None, metadata={"type": "boolean"})
    project_id = fields.UUID(load_default=None, allow_none=True)

    @validates_schema
    def one_structure(self, data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - marshmallow's own
        """Refuse none, and more than one."""
        if sum(name in data for name in STRUCTURE_FIELDS) != 1:
            msg = "give exactly one of smiles, inchi and molfile"
            raise ValidationError(msg)


class MoleculeChangeSchema(Schema):
    """What may be changed of a molecule; its structure is what it is."""

    rules: ClassVar = {"minProperties": 1}

    name = name_field()
    is_public = Flag()
    project_id = fields.UUID(allow_none=True)
    identifiers = fields.List(
        fields.Nested(IdentifierSchema),
        validate=validate.Length(max=500),
        metadata={"description": "Takes the place of all identifiers, synonyms included."},
    )

    @validates_schema
    def something(self, data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - marshmallow's own
        """Refuse a change of nothing."""
        if not data:
            msg = "name what to change"
            raise ValidationError(msg)


class PropertiesSchema(Schema):
    """Values that take the place of all that the molecule has."""

    properties = fields.List(fields.Nested(TypedPropertyValueSchema), required=True, validate=validate.Length(max=500))


class PropertyValuesSchema(Schema):
    """Values that take the place of all of one type."""

    values = fields.List(fields.Nested(PropertyValueSchema), required=True, validate=validate.Length(max=100))


def _keys(example: str) -> fields.List[str]:
    return fields.List(
        fields.String(validate=validate.Length(1, 500)),
        load_default=list,
        validate=validate.Length(max=MAX_LOOKUP),
        metadata={"example": [example]},
    )


class LookupSchema(Schema):
    """Names to find molecules by, of several kinds in one call."""

    rules: ClassVar = {
        "anyOf": [
            {"required": [name], "properties": {name: {"minItems": 1}}}
            for name in ("ids", "inchikeys", "cids", "chembl_ids", "cas_numbers")
        ]
    }

    ids = fields.List(fields.UUID(), load_default=list, validate=validate.Length(max=MAX_LOOKUP))
    inchikeys = _keys("PEDCQBHIVMGVHV-UHFFFAOYSA-N")
    cids = fields.List(
        WholeNumber(validate=validate.Range(1, 10**12)),
        load_default=list,
        validate=validate.Length(max=MAX_LOOKUP),
        metadata={"example": [753]},
    )
    chembl_ids = _keys("CHEMBL692")
    cas_numbers = _keys("56-81-5")

    @validates_schema
    def some(self, data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - marshmallow's own
        """Refuse an empty call."""
        if not any(data.values()):
            msg = "give at least one key"
            raise ValidationError(msg)
