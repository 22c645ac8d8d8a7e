"""What somebody signs in with, and the session that follows."""

from __future__ import annotations

from typing import Final

from marshmallow import Schema, fields, validate

from api.common.openapi import Answer

_TEXT: Final = {"type": "string"}
_USER: Final = {
    "type": "object",
    "properties": {"id": _TEXT, "email": {"type": ["string", "null"]}},
    "required": ["id", "email"],
    "additionalProperties": False,
}
SESSION: Final = Answer(
    "Session",
    {
        "type": "object",
        "properties": {
            "access_token": _TEXT,
            "refresh_token": _TEXT,
            "expires_in": {"type": "integer", "description": "How long the access token lives, in seconds."},
            "token_type": _TEXT,
            "user": _USER,
        },
        "required": ["access_token", "refresh_token", "expires_in", "token_type", "user"],
        "additionalProperties": False,
    },
)


class SignInSchema(Schema):
    """A user's e-mail and password."""

    email = fields.String(required=True, validate=validate.Length(1, 320), metadata={"example": "somebody@lab.example"})
    password = fields.String(required=True, validate=validate.Length(1, 1000), metadata={"format": "password"})


class RefreshSchema(Schema):
    """The refresh token of a session; each can be used once."""

    refresh_token = fields.String(required=True, validate=validate.Length(1, 1000))
