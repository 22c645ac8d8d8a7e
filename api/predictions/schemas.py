"""What clients may ask of the models."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema

from api.common.fields import Number, Table, Text
from api.mixtures.schemas import MAX_COMPONENTS, ComponentSchema
from app.science.models.cases import ISOTONIC_OSMOL_KG, Conditions, Protocol, Step
from app.science.models.membrane_transport import MAX_STEPS
from app.science.models.registry import MODELS, PROPERTIES, select
from app.services.predict_properties import Question

MAX_MIXTURES: Final = 10_000
MODEL_NAMES: Final = sorted({name for model in MODELS for name in (model.name, f"{model.name}@{model.version}")})


class StepSchema(Schema):
    """One bath of a protocol."""

    duration_min = Number(
        required=True, validate=validate.Range(min=0, min_inclusive=False), metadata={"description": "In minutes."}
    )
    fraction = Number(
        load_default=1.0,
        validate=validate.Range(min=0),
        metadata={"description": "Part of each molality of the composition; 0 in a wash."},
    )
    impermeant_osmolality_osmol_kg = Number(
        load_default=ISOTONIC_OSMOL_KG,
        validate=validate.Range(min=0),
        metadata={"description": "Of what stays outside the cell beside the composition's own, osmol/kg of water."},
    )
    temperature_k = Number(
        load_default=None,
        allow_none=True,
        validate=validate.Range(min=0, min_inclusive=False),
        metadata={"description": "In kelvin; that of the conditions where none is said."},
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Step:  # noqa: ANN401 - marshmallow's own
        """Return the value object."""
        return Step(**data)


class ProtocolSchema(Schema):
    """Baths that cells go through, one after the other."""

    steps = fields.List(fields.Nested(StepSchema), required=True, validate=validate.Length(1, MAX_STEPS))
    cell_diameter_um = Number(
        load_default=None,
        allow_none=True,
        validate=validate.Range(min=0, min_inclusive=False),
        metadata={"description": "Of a spherical cell, in micrometres."},
    )
    surface_to_volume_per_um = Number(
        load_default=None,
        allow_none=True,
        validate=validate.Range(min=0, min_inclusive=False),
        metadata={"description": "Of a cell that is no sphere, 1/um."},
    )
    inactive_volume_fraction = Number(
        load_default=None,
        allow_none=True,
        validate=validate.Range(min=0, max=1, max_inclusive=False),
        metadata={"description": "Part of the isotonic volume that takes no part in osmosis."},
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Protocol:  # noqa: ANN401 - marshmallow's own
        """Return the value object."""
        return Protocol(**data | {"steps": tuple(data["steps"])})


class PredictionConditionsSchema(Schema):
    """What a prediction holds under; a model that needs to know more says so."""

    temperature_k = Number(
        load_default=None,
        allow_none=True,
        validate=validate.Range(min=0, min_inclusive=False),
        metadata={"description": "Temperature in kelvin.", "example": 298.15},
    )
    exposure_min = Number(
        load_default=None,
        allow_none=True,
        validate=validate.Range(min=0),
        metadata={"description": "Time of exposure in minutes.", "example": 30},
    )
    cell_type = Text(
        load_default=None, allow_none=True, validate=validate.Length(1, 200), metadata={"example": "endothelial"}
    )
    protocol = fields.Nested(
        ProtocolSchema, load_default=None, allow_none=True, metadata={"description": "Baths, for the cell's volume."}
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Conditions:  # noqa: ANN401 - marshmallow's own
        """Return the value object."""
        return Conditions(**data)


class QuestionSchema(Schema):
    """What is asked of the models: all that there is, where nothing is chosen."""

    conditions = fields.Nested(PredictionConditionsSchema, load_default=Conditions)
    properties = fields.List(
        fields.String(
            validate=validate.OneOf(sorted(PROPERTIES), error="no model predicts this; there are models of {choices}")
        ),
        load_default=tuple,
        validate=validate.Length(1, 100),
    )
    models = fields.List(
        fields.String(validate=validate.OneOf(MODEL_NAMES, error="no such model; there are {choices}")),
        load_default=tuple,
        validate=validate.Length(1, 100),
        metadata={"description": "By name, all versions of it, or as name@version."},
    )

    @validates_schema
    def refuse_nothing(self, data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - marshmallow's own
        """Refuse models of which none predicts what is asked."""
        properties = set(data.get("properties", ()))
        if properties and not any(properties & model.properties.keys() for model in select(data.get("models", ()))):
            msg = f"none of these predicts {', '.join(sorted(properties))}"
            raise ValidationError(msg, "models")

    @post_load
    def ask(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:  # noqa: ANN401 - marshmallow's own
        """Return the body with the value object in it."""
        question = Question(data.pop("conditions"), tuple(data.pop("properties")), tuple(data.pop("models")))
        return data | {"question": question}


class EvaluationSchema(QuestionSchema):
    """A composition that the models are asked about."""

    components = fields.List(fields.Nested(ComponentSchema), required=True, validate=validate.Length(1, MAX_COMPONENTS))
    solvent = Text(
        load_default="water", validate=validate.Length(1, 200), metadata={"description": "Name of the solvent."}
    )


class BatchSchema(QuestionSchema):
    """Mixtures that the models are asked about, later: those of a list, or those that a filter lets through."""

    mixture_ids = fields.List(fields.UUID(), validate=validate.Length(1, MAX_MIXTURES))
    filter = Table(
        keys=fields.String(validate=validate.Length(1, 100)),
        values=fields.String(validate=validate.Length(0, 10_000)),
        metadata={
            "description": "Parameters of `GET /mixtures` that filter, such as `project_id` or `name__icontains`.",
            "example": {"name__icontains": "vs55"},
        },
    )
    rules: ClassVar[dict[str, Any]] = {"oneOf": [{"required": ["mixture_ids"]}, {"required": ["filter"]}]}

    @validates_schema
    def _one_of_both(self, data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - marshmallow's own
        if ("mixture_ids" in data) == ("filter" in data):
            msg = "name either mixture_ids or a filter"
            raise ValidationError(msg)


class NewPredictionsSchema(QuestionSchema):
    """A mixture that the models are asked about."""

    mixture_id = fields.UUID(required=True)
