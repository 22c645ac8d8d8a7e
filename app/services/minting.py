"""Tokens that the service mints: HS256, with a `jti` and an end, signed with the configured secret."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Collection
from typing import Any, Final
from uuid import UUID, uuid4

import jwt

from app.domain.callers import Caller
from app.domain.tokens import MAX_SERVICE_TTL_S, MAX_TTL_S, ServiceToken
from app.errors import ForbiddenError, InvalidError, NotFoundError
from app.services.tokens import AUDIENCE, ISSUER, ROLES, SCOPES, UUID_TEXT, hmac_key

_SERVICE_ROLE: Final = "service_role"


class Minter:
    """Mints what a caller may pass on: service tokens with its own scopes, or fewer."""

    def __init__(self, secret: str | None, *, clock: Callable[[], float] = time.time) -> None:
        """Sign with `secret`; None where only somebody else's keys are known."""
        self._secret = secret
        self._clock = clock

    def mint(self, caller: Caller, *, ttl_s: int, scopes: Collection[str] | None) -> tuple[str, ServiceToken]:
        """Return a new token's text, and what is kept of it.

        Raises:
            ForbiddenError: The caller's token lacks a scope that is asked for; no scopes at all stands for all.
            InvalidError: The time to live or a scope is not one to mint for.
            NotFoundError: No secret to sign with is configured.
        """
        if caller.scopes is not None and (scopes is None or not caller.scopes.issuperset(scopes)):
            msg = f"a token passes on its own scopes at most: {', '.join(sorted(caller.scopes)) or 'none'}"
            raise ForbiddenError(msg, code="scope_missing")
        if self._secret is None:
            msg = "no secret to sign tokens with is configured here"
            raise NotFoundError(msg, code="minting_not_configured")
        return issue_service_token(self._secret, ttl_s=ttl_s, scopes=scopes, parent_jti=caller.jti, now=self._clock())


def issue_service_token(
    secret: str,
    *,
    ttl_s: int,
    scopes: Collection[str] | None = None,
    parent_jti: str | None = None,
    now: float | None = None,
) -> tuple[str, ServiceToken]:
    """Return the text of a new token of the service role, and what is kept of it.

    Raises:
        InvalidError: The time to live or a scope is not one to mint for.
        ValueError: The secret is shorter than 32 bytes, or somebody's public key.
    """
    claims = _claims(_SERVICE_ROLE, ttl_s, scopes, now)
    kept = ServiceToken(
        claims["jti"],
        None if scopes is None else sorted(set(scopes)),
        dt.datetime.fromtimestamp(claims["iat"], dt.UTC),
        dt.datetime.fromtimestamp(claims["exp"], dt.UTC),
        parent_jti,
    )
    return _signed(secret, claims), kept


def issue_token(  # noqa: PLR0913 - what a token says; all but the secret by name
    secret: str,
    *,
    role: str,
    ttl_s: int,
    sub: UUID | str | None = None,
    scopes: Collection[str] | None = None,
    now: float | None = None,
) -> str:
    """Return a new token of the role, signed with the secret; `now` is Unix time in seconds.

    Raises:
        InvalidError: The role, the subject, the time to live or a scope is not one to mint for.
        ValueError: The secret is shorter than 32 bytes, or somebody's public key.
    """
    return _signed(secret, _claims(role, ttl_s, scopes, now) | _subject_claim(role, sub))


def _signed(secret: str, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, hmac_key(secret), algorithm="HS256")


def _claims(role: str, ttl_s: int, scopes: Collection[str] | None, now: float | None) -> dict[str, Any]:
    _check_role_and_ttl(role, ttl_s)
    _check_scopes(scopes)
    issued_at_s = int(time.time() if now is None else now)
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "role": role,
        "jti": str(uuid4()),
        "iat": issued_at_s,
        "exp": issued_at_s + ttl_s,
    }
    return claims if scopes is None else claims | {"scope": " ".join(sorted(set(scopes)))}


def _check_role_and_ttl(role: str, ttl_s: int) -> None:
    if role not in ROLES:
        raise InvalidError.at(pointer="/role", detail="The role must be anon, authenticated or service_role.")
    longest_s = MAX_SERVICE_TTL_S if role == _SERVICE_ROLE else MAX_TTL_S
    if type(ttl_s) is not int or not 1 <= ttl_s <= longest_s:
        raise InvalidError.at(pointer="/ttl", detail=f"A token of role {role} lives for 1 to {longest_s} seconds.")


def _subject_claim(role: str, sub: UUID | str | None) -> dict[str, str]:
    if role != "authenticated":
        if sub is not None:
            raise InvalidError.at(pointer="/sub", detail="Only a token of role authenticated has a subject.")
        return {}
    if sub is None or not UUID_TEXT.fullmatch(str(sub)):
        raise InvalidError.at(
            pointer="/sub", detail="A token of role authenticated needs a user's UUID as its subject."
        )
    return {"sub": str(UUID(str(sub)))}


def _check_scopes(scopes: Collection[str] | None) -> None:
    if unknown := sorted(set(scopes or ()) - SCOPES):
        raise InvalidError.at(
            pointer="/scopes", detail=f"Unknown: {', '.join(unknown)}. The scopes are {', '.join(sorted(SCOPES))}."
        )
