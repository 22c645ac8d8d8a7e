"""What clients may ask of the comparison of predictions with experiments."""

from __future__ import annotations

from marshmallow import Schema, fields, validate

from api.predictions.schemas import MODEL_NAMES
from app.science.models.registry import PROPERTIES


class CalibrationQuerySchema(Schema):
    """Which models and properties, and as what."""

    property_type = fields.String(
        load_default=None,
        validate=validate.OneOf(sorted(PROPERTIES), error="no model predicts this; there are models of {choices}"),
        metadata={"description": "Only this property.", "example": "freezing_point"},
    )
    model = fields.String(
        load_default=None,
        validate=validate.OneOf(MODEL_NAMES, error="no such model; there are {choices}"),
        metadata={"description": "Only this model: by name, all versions of it, or as name@version."},
    )
    format = fields.String(
        load_default=None, validate=validate.OneOf(["json", "svg"]), metadata={"description": "Goes before Accept."}
    )
