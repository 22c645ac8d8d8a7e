"""What clients may say of a mixture."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema

from api.common.fields import Flag, Number, Text
from app.domain.mixtures import AmountUnit, StatedComponent

MAX_COMPONENTS: Final = 100
_REFERENCES: Final = ("molecule_id", "molecule")
_MAX_REFERENCE: Final = 500


class Amount(Number):
    """A positive JSON number: neither "2.3" nor true."""

    def _deserialize(self, *args: Any, **kwargs: Any) -> float:  # noqa: ANN401 - marshmallow's own
        amount = super()._deserialize(*args, **kwargs)
        if amount <= 0:
            msg = "must be a positive number"
            raise ValidationError(msg)
        return amount


class Reference(fields.Field[str]):
    """A text by which a molecule is known, or its PubChem CID as a number."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> str:  # noqa: ANN401 - marshmallow's own
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            msg = "must be an id, an InChIKey, a CID, a ChEMBL id, a CAS number or a name"
            raise ValidationError(msg)
        text = str(value).strip()
        if not 1 <= len(text) <= _MAX_REFERENCE:
            msg = f"has 1 to {_MAX_REFERENCE} characters"
            raise ValidationError(msg)
        return text


class ComponentSchema(Schema):
    """One molecule of a mixture and how much of it there is."""

    molecule_id = fields.UUID(metadata={"description": "The molecule's id; or say `molecule`."})
    molecule = Reference(
        metadata={
            "type": ["string", "integer"],
            "description": "The molecule's id, InChIKey, PubChem CID, ChEMBL id, CAS number or name.",
            "example": "Glycerol",
        }
    )
    amount = Amount(required=True, metadata={"exclusiveMinimum": 0, "example": 2.3})
    unit = fields.String(
        required=True,
        validate=validate.OneOf([unit.value for unit in AmountUnit]),
        metadata={
            "description": "mol/kg is per kg of the solvent; percentages and the mole fraction are of the solution.",
            "example": "mol/L",
        },
    )

    @validates_schema
    def one_reference(self, data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - marshmallow's own
        """Refuse none, and both."""
        if sum(name in data for name in _REFERENCES) != 1:
            msg = "give exactly one of molecule_id and molecule"
            raise ValidationError(msg)

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> StatedComponent:  # noqa: ANN401 - marshmallow's own
        """Return the value object."""
        field = next(name for name in _REFERENCES if name in data)
        return StatedComponent(str(data[field]), field, data["amount"], AmountUnit(data["unit"]))


def _name(**kwargs: Any) -> Text:  # noqa: ANN401 - marshmallow's own
    return Text(validate=validate.Length(1, 500), metadata={"example": "VS55"}, **kwargs)


def _description(**kwargs: Any) -> Text:  # noqa: ANN401 - marshmallow's own
    return Text(allow_none=True, validate=validate.Length(1, 10_000), **kwargs)


def _solvent(**kwargs: Any) -> Text:  # noqa: ANN401 - marshmallow's own
    return Text(validate=validate.Length(1, 200), metadata={"description": "Name of the solvent."}, **kwargs)


def _reference(**kwargs: Any) -> Text:  # noqa: ANN401 - marshmallow's own
    return Text(
        allow_none=True,
        validate=validate.Length(1, 2000),
        metadata={"description": "Where the composition is published, best as doi:..."},
        **kwargs,
    )


def _components() -> fields.List[StatedComponent]:
    return fields.List(fields.Nested(ComponentSchema), required=True, validate=validate.Length(1, MAX_COMPONENTS))


class NewMixtureSchema(Schema):
    """A mixture to create: a name and at least one component."""

    name = _name(required=True)
    description = _description(load_default=None)
    solvent = _solvent(load_default="water")
    reference = _reference(load_default=None)
    components = _components()
    is_public = Flag(load_default=None, metadata={"type": "boolean"})
    project_id = fields.UUID(load_default=None, allow_none=True)


class MixtureChangeSchema(Schema):
    """What may be changed of a mixture beside its components."""

    rules: ClassVar = {"minProperties": 1}

    name = _name()
    description = _description()
    solvent = _solvent()
    reference = _reference()
    is_public = Flag()
    project_id = fields.UUID(allow_none=True)

    @validates_schema
    def something(self, data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - marshmallow's own
        """Refuse a change of nothing."""
        if not data:
            msg = "name what to change"
            raise ValidationError(msg)


class ComponentsSchema(Schema):
    """Components that take the place of all that a mixture has."""

    components = _components()


class CompositionQuerySchema(Schema):
    """The unit that a composition is asked for in."""

    unit = fields.String(
        required=True,
        validate=validate.OneOf([unit.value for unit in AmountUnit]),
        metadata={"description": "A `%` in an address is written `%25`: `%25w/w`.", "example": "mol/kg"},
    )
