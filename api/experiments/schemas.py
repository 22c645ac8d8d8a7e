"""What clients may say of an experiment."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import orjson
from marshmallow import INCLUDE, Schema, ValidationError, fields, validate, validates_schema

from api.common.fields import Flag, Moment, Number, Text, WholeNumber
from app.domain.experiments import ExperimentOutcome, Relation, contradictions

MAX_RESULTS: Final = 100
MAX_FAILURE_REASONS: Final = 100
MAX_CONDITIONS_BYTES: Final = 20_000
_MAX_DEPTH: Final = 10
_SAFE_INTEGER: Final = 2**53 - 1
_MAX_REPLICATES: Final = 2**31 - 1
_SUBJECTS: Final = ("mixture_id", "molecule_id")


def _number(description: str, *, above_zero: bool = False) -> Number:
    low: dict[str, Any] = {"exclusiveMinimum": 0} if above_zero else {"minimum": 0}
    return Number(
        validate=validate.Range(min=0, min_inclusive=not above_zero), metadata={"description": description, **low}
    )


class ConditionsSchema(Schema):
    """Under which conditions an experiment was made; what is not known here is kept as it is."""

    class Meta:
        """Take further keys."""

        unknown = INCLUDE

    temperature_k = _number("Temperature of exposure or storage, K.")
    exposure_min = _number("Time of exposure, minutes.")
    cell_type = Text(validate=validate.Length(1, 200), metadata={"description": "Cells or tissue under test."})
    cooling_rate_k_min = _number("Cooling rate as a positive number, K/min.", above_zero=True)
    warming_rate_k_min = _number("Warming rate as a positive number, K/min.", above_zero=True)
    rate_context = fields.String(
        validate=validate.OneOf(["solution", "tissue"]), metadata={"description": "What the rates were measured in."}
    )
    plunge = Flag(metadata={"description": "Whether it was plunged, not cooled at a controlled rate."})

    @validates_schema
    def storable(self, data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - marshmallow's own
        """Refuse what would not come back as it was sent."""
        further = {name: value for name, value in data.items() if name not in self.fields}
        if faults := _unsafe(further):
            raise ValidationError(faults)
        if len(orjson.dumps(data)) > MAX_CONDITIONS_BYTES:
            msg = f"conditions take at most {MAX_CONDITIONS_BYTES:,} bytes"
            raise ValidationError(msg)


def _unsafe(value: object, depth: int = 1) -> Any:  # noqa: ANN401 - marshmallow's nested messages, or nothing
    """Return what in a JSON value other programs would read otherwise than it was written."""
    if isinstance(value, (dict, list)):
        if depth > _MAX_DEPTH:
            return [f"nests deeper than {_MAX_DEPTH} levels"]
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {key: faults for key, item in items if (faults := _unsafe(item, depth + 1))}
    if isinstance(value, int) and abs(value) > _SAFE_INTEGER:
        return [f"a whole number lies in -{_SAFE_INTEGER} to {_SAFE_INTEGER}"]
    return []


class ResultSchema(Schema):
    """One measured value, in any unit that converts to the property's own."""

    property_type = fields.String(
        required=True,
        validate=validate.Regexp(r"^[a-z][a-z0-9_]{0,79}\Z"),
        metadata={"example": "post_thaw_viability"},
    )
    value = Number(required=True, metadata={"example": 82})
    unit = fields.String(
        required=True,
        validate=validate.Length(1, 50),
        metadata={"description": "1 for a number without dimension; in percent a value lies in 0-100.", "example": "%"},
    )
    relation = fields.String(
        load_default=Relation.EQUAL.value,
        validate=validate.OneOf([relation.value for relation in Relation]),
        metadata={"description": "How the true value lies to this one: `<` where only an upper bound is known."},
    )
    standard_deviation = Number(
        load_default=None,
        allow_none=True,
        validate=validate.Range(min=0),
        metadata={"description": "In `unit`.", "minimum": 0},
    )
    replicates = WholeNumber(load_default=None, allow_none=True, validate=validate.Range(1, _MAX_REPLICATES))


def _name(**kwargs: Any) -> Text:  # noqa: ANN401 - marshmallow's own
    return Text(allow_none=True, validate=validate.Length(1, 500), **kwargs)


def _outcome(**kwargs: Any) -> fields.String:  # noqa: ANN401 - marshmallow's own
    return fields.String(validate=validate.OneOf([outcome.value for outcome in ExperimentOutcome]), **kwargs)


def _unique(reasons: list[str]) -> None:
    twice = {index: ["stands twice"] for index, reason in enumerate(reasons) if reason in reasons[:index]}
    if twice:
        raise ValidationError(twice)


def _failure_reasons(**kwargs: Any) -> fields.List[str]:  # noqa: ANN401 - marshmallow's own
    return fields.List(
        Text(validate=validate.Length(1, 500)),
        validate=[validate.Length(max=MAX_FAILURE_REASONS), _unique],
        metadata={
            "description": "At least one where the outcome is `fail`, none where it is `pass`.",
            "uniqueItems": True,
        },
        **kwargs,
    )


def _moment(**kwargs: Any) -> Moment:  # noqa: ANN401 - marshmallow's own
    return Moment(allow_none=True, metadata={"example": "2026-01-31T12:00:00Z"}, **kwargs)


def _text(limit: int, description: str, **kwargs: Any) -> Text:  # noqa: ANN401 - marshmallow's own
    return Text(allow_none=True, validate=validate.Length(1, limit), metadata={"description": description}, **kwargs)


def _protocol(**kwargs: Any) -> Text:  # noqa: ANN401 - marshmallow's own
    return _text(20_000, "What was done.", **kwargs)


def _reference(**kwargs: Any) -> Text:  # noqa: ANN401 - marshmallow's own
    return _text(2000, "Where it is published, best as doi:...", **kwargs)


def _notes(**kwargs: Any) -> Text:  # noqa: ANN401 - marshmallow's own
    return _text(10_000, "Remarks.", **kwargs)


def _results(**kwargs: Any) -> fields.List[dict[str, Any]]:  # noqa: ANN401 - marshmallow's own
    return fields.List(fields.Nested(ResultSchema), validate=validate.Length(1, MAX_RESULTS), **kwargs)


def _refuse_contradictions(data: dict[str, Any]) -> None:
    messages: dict[str, list[str]] = {}
    for fault in contradictions(data):
        messages.setdefault(fault.pointer.removeprefix("/"), []).append(fault.detail)
    if messages:
        raise ValidationError(messages)


class NewExperimentSchema(Schema):
    """An experiment to create: its subject, its outcome and at least one result."""

    rules: ClassVar = {"oneOf": [{"required": [name]} for name in _SUBJECTS]}

    mixture_id = fields.UUID(metadata={"description": "The mixture under test; or say `molecule_id`."})
    molecule_id = fields.UUID(metadata={"description": "The molecule under test; or say `mixture_id`."})
    name = _name(load_default=None)
    outcome = _outcome(required=True)
    failure_reasons = _failure_reasons(load_default=list)
    started_at = _moment(load_default=None)
    completed_at = _moment(load_default=None)
    protocol = _protocol(load_default=None)
    conditions = fields.Nested(ConditionsSchema, load_default=dict)
    reference = _reference(load_default=None)
    notes = _notes(load_default=None)
    results = _results(required=True)
    is_public = Flag(load_default=None, metadata={"type": "boolean"})
    project_id = fields.UUID(load_default=None, allow_none=True)

    @validates_schema
    def one_subject(self, data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - marshmallow's own
        """Refuse none, and both."""
        if sum(name in data for name in _SUBJECTS) != 1:
            msg = "give exactly one of mixture_id and molecule_id"
            raise ValidationError(msg)

    @validates_schema
    def consistent(self, data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - marshmallow's own
        """Refuse what contradicts itself."""
        _refuse_contradictions(data)


class ExperimentChangeSchema(Schema):
    """What may be changed of an experiment; on another subject it would be another one."""

    rules: ClassVar = {"minProperties": 1}

    name = _name()
    outcome = _outcome()
    failure_reasons = _failure_reasons()
    started_at = _moment()
    completed_at = _moment()
    protocol = _protocol()
    conditions = fields.Nested(
        ConditionsSchema, metadata={"description": "Take the place of all conditions that the experiment has."}
    )
    reference = _reference()
    notes = _notes()
    results = _results(metadata={"description": "Take the place of all results that the experiment has."})
    is_public = Flag()
    project_id = fields.UUID(allow_none=True)

    @validates_schema
    def something(self, data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - marshmallow's own
        """Refuse a change of nothing, and what contradicts itself."""
        if not data:
            msg = "name what to change"
            raise ValidationError(msg)
        _refuse_contradictions(data)
