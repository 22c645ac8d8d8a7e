"""Service tokens: mint, renew, list, revoke."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from flask import Blueprint, Response
from flask.blueprints import BlueprintSetupState
from werkzeug.routing import BaseConverter

from api.common import access
from api.common.body import JSON_TYPE, takes
from api.common.context import caller, reading, services
from api.common.effects import unkept, writing
from api.common.formats import CSV, NDJSON, answer_list
from api.common.json import dumps
from api.common.listing import ListQuery, lists
from api.common.openapi import describes
from api.common.resource import Api, Resource
from api.common.results import done
from api.tokens.schemas import MINTED_TOKEN, NewTokenSchema, RenewalSchema
from app.services.tokens import JTI
from database.repositories.tokens import TOKENS, TokenReader, TokenRepository


class JtiConverter(BaseConverter):
    """A `jti` in an address, as the verifier takes it; the words of our own addresses are none."""

    part_isolating = False
    regex = rf"(?!renew\Z){JTI.pattern}"


def _add_converter(state: BlueprintSetupState) -> None:
    state.app.url_map.converters["jti"] = JtiConverter


blueprint: Final = Blueprint("tokens", __name__)
# Before the rules that need it.
blueprint.record(_add_converter)
api: Final = Api(blueprint)
_SCOPE: Final = "tokens:write"
_FORMATS: Final = {"ndjson": NDJSON, "csv": CSV}


class TokensResource(Resource):
    """All service tokens."""

    @access.service(_SCOPE)
    @lists(TOKENS)
    @describes(listing=TOKENS, formats=_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """List the service tokens that have not expired, without their text."""
        return answer_list(TokenReader(reading()), query, _FORMATS)

    @access.service(_SCOPE)
    @unkept
    @takes(NewTokenSchema)
    @describes(answer=MINTED_TOKEN, status=201)
    def post(self, data: dict[str, Any]) -> Response:
        """Mint a service token with the caller's scopes or fewer."""
        return _minted(data["ttl"], data["scopes"])


class RenewalResource(Resource):
    """The caller's own token."""

    @access.service(_SCOPE)
    @unkept
    @takes(RenewalSchema)
    @describes(answer=MINTED_TOKEN, status=201)
    def post(self, data: dict[str, Any]) -> Response:
        """Mint a token with the caller's own scopes; the caller's token stays good until it ends."""
        return _minted(data["ttl"], caller().scopes)


class TokenResource(Resource):
    """One token."""

    @access.service(_SCOPE)
    @describes(status=204)
    def delete(self, jti: str) -> Response:
        """Revoke a token and all that was minted from it, in every process within ten seconds."""
        with writing() as effect:
            TokenRepository(effect.session).revoke(jti, caller().jti)
            effect.answer = Response(status=204)
        services().revocations.look_again()
        return done(effect)


def _minted(ttl_s: int, scopes: Collection[str] | None) -> Response:
    text, token = services().minter.mint(caller(), ttl_s=ttl_s, scopes=scopes)
    with writing() as effect:
        TokenRepository(effect.session).add(token)
    said = {
        "token": text,
        "jti": token.jti,
        "role": "service_role",
        "scopes": token.scopes,
        "expires_at": token.expires_at,
    }
    return Response(dumps(said), 201, content_type=JSON_TYPE)


api.add_resource(TokensResource, "/tokens")
api.add_resource(RenewalResource, "/tokens/renew")
api.add_resource(TokenResource, "/tokens/<jti:jti>")
