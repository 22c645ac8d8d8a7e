"""What clients may say of teams and their members."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from marshmallow import Schema, fields, validate

from api.common.fields import Text

ROLES: Final = ("owner", "editor", "viewer")
_UUID: Final = {"type": "string", "format": "uuid"}
_OPTIONAL_TEXT: Final = {"type": ["string", "null"]}
_MEMBER: Final = {
    "type": "object",
    "properties": {"user_id": _UUID, "display_name": _OPTIONAL_TEXT, "role": {"type": "string", "enum": list(ROLES)}},
    "required": ["user_id", "display_name", "role"],
    "additionalProperties": False,
}
RELATED: Final[dict[str, dict[str, Any]]] = {"teams.members": {"type": "array", "items": _MEMBER}}


def name_field(example: str) -> Text:
    """Return the field for the name of a team or a project, which is needed."""
    return Text(required=True, validate=validate.Length(1, 200), metadata={"example": example})


class TeamNameSchema(Schema):
    """A team: its name."""

    name = name_field("Tissue bank")


class MemberRoleSchema(Schema):
    """What a user is in a team."""

    role = fields.String(
        required=True,
        validate=validate.OneOf(ROLES),
        metadata={
            "description": "A viewer reads; an editor also creates, changes and shares; an owner also deletes, "
            "publishes and manages members."
        },
    )


class ProfileSchema(Schema):
    """What users say of themselves."""

    rules: ClassVar = {"minProperties": 1}

    display_name = Text(
        required=True,
        allow_none=True,
        validate=validate.Length(1, 200),
        metadata={"description": "Shown to colleagues; null takes it back.", "example": "Ada"},
    )
