"""The Authorization header: absent is `anon`; present but not acceptable is 401, on public routes too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import request

from app.domain.callers import ANON, Caller
from app.errors import TokenError

if TYPE_CHECKING:
    from app.services.tokens import TokenVerifier


def read_caller(verifier: TokenVerifier) -> Caller:
    """Return who sends this request.

    Raises:
        TokenError: There is a header, but no token that can be accepted.
        UnavailableError: The keys to check the token with cannot be had right now.
    """
    token = bearer_token()
    return ANON if token is None else verifier.verify(token)


def bearer_token() -> str | None:
    """Return the token that this request bears; None where it has no Authorization header.

    Raises:
        TokenError: There is a header, but no token in it.
    """
    header = request.headers.get("Authorization")
    if header is None:
        return None
    # WSGI joins a repeated header with a comma, which no token holds.
    scheme, _, token = header.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or "," in token or " " in token:
        msg = "the Authorization header must be `Bearer <token>`, once"
        raise TokenError(msg, code="token_invalid")
    return token
