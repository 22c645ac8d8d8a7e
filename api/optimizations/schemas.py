"""What clients may have searched for."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema

from api.common.fields import Number, Text
from api.mixtures.schemas import Reference
from api.predictions.schemas import PredictionConditionsSchema
from app.science.models.cases import Conditions
from app.science.optimization import (
    LEAST_MOL_KG,
    MAX_CANDIDATES,
    OBJECTIVES,
    QUANTITIES,
    QUICK_CANDIDATES,
    Constraint,
)
from app.services.optimize_mixtures import StatedCandidate, Wish


def _none_or_enough(amount: float) -> None:
    if 0.0 < amount < LEAST_MOL_KG:
        msg = f"must be 0, or {LEAST_MOL_KG:g} or more"
        raise ValidationError(msg)


class _BoundsSchema(Schema):
    @validates_schema
    def refuse_crossed(self, data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - marshmallow's own
        """Refuse bounds that nothing lies between."""
        low, high = data.get("at_least"), data.get("at_most")
        if low is not None and high is not None and low > high:
            msg = "is less than at_least"
            raise ValidationError(msg, "at_most")


class CandidateSchema(_BoundsSchema):
    """A molecule that the mixture may have."""

    molecule = Reference(
        required=True,
        metadata={
            "type": ["string", "integer"],
            "description": "The molecule's id, InChIKey, PubChem CID, ChEMBL id, CAS number or name.",
            "example": "Glycerol",
        },
    )
    at_least = Number(
        load_default=0.0,
        validate=[validate.Range(min=0), _none_or_enough],
        metadata={"description": f"Least molality, mol/kg of solvent: 0, or {LEAST_MOL_KG:g} or more."},
    )
    at_most = Number(
        required=True,
        validate=[validate.Range(min=0, max=100), _none_or_enough],
        metadata={
            "description": f"Greatest molality, mol/kg of solvent: 0, or {LEAST_MOL_KG:g} or more.",
            "example": 8,
        },
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> StatedCandidate:  # noqa: ANN401 - marshmallow's own
        """Return the value object."""
        return StatedCandidate(**data)


class ConstraintSchema(_BoundsSchema):
    """Bounds of what a model predicts, or of the total molality."""

    quantity = fields.String(
        required=True,
        validate=validate.OneOf(sorted(QUANTITIES), error="nothing computes this; there are {choices}"),
        metadata={"example": "total_molality"},
    )
    at_least = Number(
        load_default=None, allow_none=True, metadata={"description": "In the property's unit; mol/kg.", "example": 6}
    )
    at_most = Number(load_default=None, allow_none=True, metadata={"description": "In the property's unit; mol/kg."})

    @validates_schema
    def refuse_open(self, data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - marshmallow's own
        """Refuse a constraint that holds nothing."""
        if data.get("at_least") is None and data.get("at_most") is None:
            msg = "a constraint says at_least, at_most or both"
            raise ValidationError(msg, "at_least")

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Constraint:  # noqa: ANN401 - marshmallow's own
        """Return the value object."""
        return Constraint(**data)


class NewOptimizationSchema(Schema):
    """What is searched for: the best mixture of some molecules."""

    candidates = fields.List(
        fields.Nested(CandidateSchema),
        required=True,
        validate=validate.Length(1, MAX_CANDIDATES),
        metadata={"description": f"More than {QUICK_CANDIDATES} make the search a job."},
    )
    objective = fields.String(
        load_default="cell_survival",
        validate=validate.OneOf(sorted(OBJECTIVES), error="no search for this; there are {choices}"),
        metadata={
            "description": "The best is the most of it; of toxicity, critical rates and freezing point the least."
        },
    )
    constraints = fields.List(fields.Nested(ConstraintSchema), load_default=tuple, validate=validate.Length(max=10))
    conditions = fields.Nested(PredictionConditionsSchema, load_default=Conditions)
    solvent = Text(load_default="water", validate=validate.Length(1, 200), metadata={"description": "Its name."})
    seed = fields.Integer(
        load_default=0,
        strict=True,
        validate=validate.Range(0, 2**32 - 1),
        metadata={"description": "The same seed gives the same answer."},
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:  # noqa: ANN401 - marshmallow's own
        """Return the body as one value object."""
        return {"wish": Wish(**data)}
