"""What clients may say of projects and of the teams that work on them."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from api.common.fields import Text
from api.teams.schemas import name_field

INVITED_ROLES: Final = ("editor", "viewer")
_INVITED: Final = {
    "type": "object",
    "properties": {
        "team_id": {"type": "string", "format": "uuid"},
        "name": {"type": ["string", "null"]},
        "role": {"type": "string", "enum": list(INVITED_ROLES)},
    },
    "required": ["team_id", "name", "role"],
    "additionalProperties": False,
}
RELATED: Final[dict[str, dict[str, Any]]] = {"projects.teams": {"type": "array", "items": _INVITED}}


def _description(**kwargs: Any) -> Text:  # noqa: ANN401 - marshmallow's own
    return Text(allow_none=True, validate=validate.Length(1, 10_000), **kwargs)


class NewProjectSchema(Schema):
    """A project to make: its name and its team, which it stays with."""

    name = name_field("Kidney slices")
    team_id = fields.UUID(required=True)
    description = _description(load_default=None)


class ProjectChangeSchema(Schema):
    """What may be changed of a project."""

    rules: ClassVar = {"minProperties": 1}

    name = Text(validate=validate.Length(1, 200), metadata={"example": "Kidney slices"})
    description = _description()

    @validates_schema
    def something(self, data: dict[str, Any], **_: Any) -> None:  # noqa: ANN401 - marshmallow's own
        """Refuse a change of nothing."""
        if not data:
            msg = "name what to change"
            raise ValidationError(msg)


class InvitedRoleSchema(Schema):
    """What an invited team may do in a project, at most."""

    role = fields.String(
        required=True,
        validate=validate.OneOf(INVITED_ROLES),
        metadata={"description": "Each member has the lesser of this and its own role in the team."},
    )
