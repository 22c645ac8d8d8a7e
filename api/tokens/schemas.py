"""What clients may say of a service token, and what they are told."""

from __future__ import annotations

from typing import Final

from marshmallow import Schema, fields, validate

from api.common.fields import WholeNumber
from api.common.openapi import Answer
from app.domain.tokens import MAX_SERVICE_TTL_S
from app.services.tokens import SCOPES

_SCOPES: Final = {"type": ["array", "null"], "items": {"type": "string", "enum": sorted(SCOPES)}}
RELATED: Final = {"tokens.scopes": _SCOPES}
MINTED_TOKEN: Final = Answer(
    "MintedToken",
    {
        "type": "object",
        "properties": {
            "token": {"type": "string", "description": "Shown once: it is kept nowhere."},
            "jti": {"type": "string"},
            "role": {"type": "string", "enum": ["service_role"]},
            "scopes": _SCOPES,
            "expires_at": {"type": "string", "format": "date-time"},
        },
        "required": ["token", "jti", "role", "scopes", "expires_at"],
        "additionalProperties": False,
    },
)


class RenewalSchema(Schema):
    """A token like the caller's own."""

    ttl = WholeNumber(
        required=True,
        validate=validate.Range(1, MAX_SERVICE_TTL_S),
        metadata={"description": "How long it lives, in seconds; 24 hours at most.", "example": 3600},
    )


class NewTokenSchema(RenewalSchema):
    """A service token to mint."""

    scopes = fields.List(
        fields.String(validate=validate.OneOf(sorted(SCOPES))),
        load_default=None,
        allow_none=True,
        metadata={"description": "All that it may write; without, it is as unlimited as the caller's token must be."},
    )
