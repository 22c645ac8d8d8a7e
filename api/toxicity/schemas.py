"""What clients may say of a toxicity result, and ask of scores."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema

from api.common.fields import Flag, Number, Table, Text
from app.domain.experiments import Relation
from app.domain.toxicity import Assay, Endpoint, HitCall, NewToxicityResult, called, contradictions
from app.science.models.cases import Conditions
from database.repositories.toxicity_scores import ALL, Selection

MAX_FLAGS: Final = 50
MAX_ENDPOINTS: Final = 20
MAX_ANNOTATIONS: Final = 100
_MAX_EXPOSURE_H: Final = 1e6


def _text(limit: int, description: str, **kwargs: Any) -> Text:  # noqa: ANN401 - marshmallow's own
    return Text(
        **{"load_default": None, **kwargs},
        allow_none=True,
        validate=validate.Length(1, limit),
        metadata={"description": description},
    )


def _number(description: str, low: float | None = None, *, above: bool = False) -> Number:
    limits: dict[str, Any] = {} if low is None else {"exclusiveMinimum" if above else "minimum": low}
    return Number(
        load_default=None,
        allow_none=True,
        validate=[] if low is None else validate.Range(min=low, min_inclusive=not above),
        metadata={"description": description, **limits},
    )


class EndpointSchema(Schema):
    """What an assay tells of."""

    name = fields.String(
        required=True,
        validate=validate.Regexp(r"^[a-z][a-z0-9_]{0,79}\Z"),
        metadata={"example": "nuclear_receptor"},
    )
    description = Text(required=True, validate=validate.Length(1, 10_000))
    is_scored = Flag(load_default=True, metadata={"description": "False for doses, which are no hit or miss."})

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Endpoint:  # noqa: ANN401 - marshmallow's own
        """Return the value object."""
        return Endpoint(**data)


class AssaySchema(Schema):
    """An assay by its name or number in its source; the rest makes one that is not known yet (service role)."""

    rules: ClassVar = {"anyOf": [{"required": ["name"]}, {"required": ["external_id"]}]}

    source = fields.String(
        required=True, validate=validate.Regexp(r"^[a-z][a-z0-9_]{0,39}\Z"), metadata={"example": "tox21"}
    )
    name = Text(load_default=None, validate=validate.Length(1, 200), metadata={"example": "NR-AhR"})
    external_id = Text(load_default=None, validate=validate.Length(1, 200), metadata={"example": "806"})
    description = _text(10_000, "What is done.")
    organism = _text(200, "Organism that the cells come from.")
    tissue = _text(200, "Tissue that the cells come from.")
    cell_type = _text(200, "Cells that are exposed.")
    target = _text(200, "What is to be met.")
    gene_symbol = _text(100, "Gene of the target.")
    signal_direction = fields.String(
        load_default=None, allow_none=True, validate=validate.OneOf(["gain", "loss", "bidirectional"])
    )
    exposure_h = Number(
        load_default=None,
        allow_none=True,
        validate=validate.Range(0, _MAX_EXPOSURE_H),
        metadata={"description": "Time of exposure, hours."},
    )
    annotations = Table(
        keys=fields.String(validate=validate.Length(1, 100)),
        values=Text(validate=validate.Length(1, 10_000)),
        load_default=dict,
        validate=validate.Length(max=MAX_ANNOTATIONS),
        metadata={"description": "What the source says further, as texts."},
    )
    reference = _text(2000, "Where it is described.")
    endpoints = fields.List(
        fields.Nested(EndpointSchema), load_default=list, validate=validate.Length(max=MAX_ENDPOINTS)
    )

    @validates_schema
    def named(self, data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - marshmallow's own
        """Refuse an assay without a name and a number."""
        if data.get("name") is None and data.get("external_id") is None:
            msg = "give the assay's name or external_id"
            raise ValidationError(msg)

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> Assay:  # noqa: ANN401 - marshmallow's own
        """Return the value object."""
        return Assay(**{**data, "endpoints": tuple(data["endpoints"])})


class NewToxicityResultSchema(Schema):
    """One replicate's result: a hit call, a potency, or both."""

    rules: ClassVar = {
        "anyOf": [{"required": [name]} for name in ("hit_call", "continuous_hit_call", "potency")],
    }

    molecule = Text(
        required=True,
        validate=validate.Length(1, 500),
        metadata={
            "description": "Its id, InChIKey, CID, ChEMBL id, CAS number, DTXSID or name.",
            "example": "PEDCQBHIVMGVHV-UHFFFAOYSA-N",
        },
    )
    assay = fields.Nested(AssaySchema, required=True)
    endpoint = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Regexp(r"^[a-z][a-z0-9_]{0,79}\Z"),
        metadata={"description": "Needed where the assay has several."},
    )
    hit_call = fields.String(
        load_default=None, allow_none=True, validate=validate.OneOf([call.value for call in HitCall])
    )
    continuous_hit_call = Number(
        load_default=None,
        allow_none=True,
        validate=validate.Range(-1, 1),
        metadata={"description": "ToxCast's; the hit call follows from it: active from 0.9 on."},
    )
    potency_type = _text(50, "AC50, LD50 and others.")
    potency_relation = fields.String(
        load_default=Relation.EQUAL.value, validate=validate.OneOf([relation.value for relation in Relation])
    )
    potency = _number("In potency_unit.", 0, above=True)
    potency_unit = _text(50, "uM for what scores are to show; mg/kg and others.")
    concentration_min = _number("Lowest concentration tested.", 0)
    concentration_max = _number("Highest concentration tested.", 0)
    concentration_unit = _text(50, "Unit of both.")
    cell_type = _text(200, "Cells exposed, where they are not the assay's.")
    flags = fields.List(
        Text(validate=validate.Length(1, 500)), load_default=list, validate=validate.Length(max=MAX_FLAGS)
    )
    reference = _text(2000, "Where it is published, best as doi:...")
    source_record = _text(200, "The replicate's id in its source: sent again, it is the same result.")

    @validates_schema
    def consistent(self, data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - marshmallow's own
        """Refuse what contradicts itself."""
        messages: dict[str, list[str]] = {}
        for fault in contradictions(data):
            messages.setdefault(fault.pointer.removeprefix("/") or "_schema", []).append(fault.detail)
        if messages:
            raise ValidationError(messages)

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> NewToxicityResult:  # noqa: ANN401 - marshmallow's own
        """Return the value object."""
        call, continuous = data["hit_call"], data["continuous_hit_call"]
        if call is None and continuous is not None:
            call = called(continuous)
        return NewToxicityResult(
            **{
                **data,
                "hit_call": HitCall(call) if call else None,
                "potency_relation": Relation(data["potency_relation"]),
                "flags": tuple(data["flags"]),
            }
        )


def _selection(endpoint: str | None, cell_type: str | None) -> Selection:
    # Answers and the ranking say `all` where nothing is chosen, so clients say it, too.
    return Selection(None if endpoint == ALL else endpoint, None if cell_type == ALL else cell_type)


class SelectionQuerySchema(Schema):
    """Which assays a score rests on."""

    endpoint = fields.String(
        load_default=None,
        validate=validate.Length(1, 80),
        metadata={"description": "Only assays of this endpoint; all scored ones if not said, or `all`."},
    )
    cell_type = fields.String(
        load_default=None,
        validate=validate.Length(1, 200),
        metadata={"description": "Only assays on these cells; all if not said, or `all`."},
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:  # noqa: ANN401 - marshmallow's own
        """Return the value object under its name."""
        return {"selection": _selection(data["endpoint"], data["cell_type"])}


class MixtureScoreQuerySchema(Schema):
    """Which assays a mixture's score rests on, and the exposure that its survival is asked for."""

    endpoint = SelectionQuerySchema().fields["endpoint"]
    assay_cell_type = fields.String(
        load_default=None,
        validate=validate.Length(1, 200),
        metadata={"description": "Only assays on these cells; all if not said, or `all`."},
    )
    cell_type = fields.String(
        load_default=None,
        validate=validate.Length(1, 200),
        metadata={"description": "Cells whose survival is asked for.", "example": "endothelial"},
    )
    exposure_min = fields.Float(
        load_default=None, validate=validate.Range(min=0), metadata={"description": "Time of exposure, minutes."}
    )
    temperature_k = fields.Float(
        load_default=None,
        validate=validate.Range(min=0, min_inclusive=False),
        metadata={"description": "Temperature of the exposure, K."},
    )

    @post_load
    def make(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:  # noqa: ANN401 - marshmallow's own
        """Return the value objects under their names."""
        return {
            "selection": _selection(data["endpoint"], data["assay_cell_type"]),
            "conditions": Conditions(
                temperature_k=data["temperature_k"], exposure_min=data["exposure_min"], cell_type=data["cell_type"]
            ),
        }
