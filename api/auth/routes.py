"""Signing in and refreshing a session, passed on to Supabase Auth where a project is configured."""

from __future__ import annotations

from typing import Any, Final

from flask import Blueprint, Response

from api.auth.schemas import SESSION, RefreshSchema, SignInSchema
from api.common import access
from api.common.body import JSON_TYPE, takes
from api.common.context import services
from api.common.effects import unkept
from api.common.json import dumps
from api.common.openapi import describes
from api.common.resource import Api, Resource
from app.errors import NotFoundError
from app.services.supabase_auth import SupabaseAuth, UserSession

blueprint: Final = Blueprint("auth", __name__)
api: Final = Api(blueprint)


class SignInResource(Resource):
    """A new session."""

    @access.public
    @unkept
    @takes(SignInSchema)
    @describes(answer=SESSION, may_be_absent=True)
    def post(self, data: dict[str, Any]) -> Response:
        """Sign in with e-mail and password."""
        return _answer(_supabase_auth().sign_in(data["email"], data["password"]))


class RefreshResource(Resource):
    """The session that follows another."""

    @access.public
    @unkept
    @takes(RefreshSchema)
    @describes(answer=SESSION, may_be_absent=True)
    def post(self, data: dict[str, Any]) -> Response:
        """Go on with a session whose access token ends."""
        return _answer(_supabase_auth().refresh(data["refresh_token"]))


def _supabase_auth() -> SupabaseAuth:
    found = services().supabase_auth
    if found is None:
        msg = "there is nobody to sign in with here: no Supabase project is configured"
        raise NotFoundError(msg, code="auth_not_configured")
    return found


def _answer(session: UserSession) -> Response:
    said = {
        "access_token": session.access_token,
        "refresh_token": session.refresh_token,
        "expires_in": session.expires_in_s,
        "token_type": session.token_type,
        "user": {"id": session.user_id, "email": session.email},
    }
    return Response(dumps(said), content_type=JSON_TYPE)


api.add_resource(SignInResource, "/auth/sign-in")
api.add_resource(RefreshResource, "/auth/refresh")
