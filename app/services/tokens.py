"""Bearer tokens: one verifier for all that the service accepts; `minting` makes the service's own.

PyJWT checks the signature, with a key and an algorithm that the token does not choose. What the claims
must say is decided here, because the library takes `exp` as text, any `role` and any number that int()
takes, and reads the wall clock, so that its edges cannot be tested.

Keys of two kinds never meet: HS256 is verified with the configured secret and nothing else, ES256 and
RS256 with public keys of the provider's key set and nothing else.

Verifying takes about 0.1 ms, a tenth of what a small read costs, and a client sends one token many
times; so callers are remembered by their token's SHA-256. Expiry is looked at each time, and a token
whose key has left the key set, or was fetched anew, is verified again.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from base64 import urlsafe_b64decode
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final, NoReturn, cast
from uuid import UUID

import jwt
from jwt.algorithms import HMACAlgorithm

from app.domain.callers import ANON, Caller, Role
from app.domain.tokens import MAX_SERVICE_TTL_S
from app.errors import TokenError
from app.services.jwks import KID, Jwks, VerifyingKey

__all__ = ["ANON", "SCOPES", "Caller", "TokenVerifier"]

SCOPES: Final = frozenset(
    {
        "molecules:write",
        "teams:write",
        "projects:write",
        "imports:write",
        "mixtures:write",
        "experiments:write",
        "predictions:write",
        "toxicity:write",
        "tokens:write",
    }
)
ISSUER: Final = "cryoprotect"
"""Names the tokens that this service mints."""
AUDIENCE: Final = "authenticated"
MAX_TOKEN_BYTES: Final = 8192
LEEWAY_S: Final = 30
REMEMBERED_TOKENS: Final = 2048
"""At most 2 kB each, 4 MB in all: what is kept of a token is bounded, whatever the token says."""

_PUBLIC_KEY_ISSUERS: Final = frozenset({"supabase", "supabase-demo"})
"""What the projects' long-lived public keys name as their issuer, hosted and local."""
_LAST_SECOND: Final = 253_402_300_799
"""The end of the year 9999; nothing later is a date."""
# Tuples, because a claim or a header may hold a list, which no set can be asked for.
_PUBLIC_KEY_ALGORITHMS: Final = ("ES256", "RS256")
ROLES: Final = ("anon", "authenticated", "service_role")
_COMPACT_JWS: Final = re.compile(r"([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
JTI: Final = re.compile(r"[A-Za-z0-9._~:+/=-]{1,128}")
# UUID() takes braces, underscores and digits of any alphabet; Postgres would not agree on all of them.
UUID_TEXT: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_JWS: Final = jwt.PyJWS(algorithms=["HS256", "ES256", "RS256"])
_HS256: Final = HMACAlgorithm(HMACAlgorithm.SHA256)

Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Verified:
    """A caller, and what must still hold when the same token comes again."""

    caller: Caller
    expires_at_s: float
    key: VerifyingKey | None
    """None for the configured secret."""


class TokenVerifier:
    """Turns a bearer token into the caller that it speaks for."""

    def __init__(
        self,
        secret: str | None,
        jwks: Jwks | None,
        issuer: str | None,
        audience: str = AUDIENCE,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Verify HS256 with `secret` and the rest with `jwks`; None switches either off.

        Raises:
            ValueError: The secret is shorter than 32 bytes, or somebody's public key.
        """
        self._secret = None if secret is None else hmac_key(secret)
        self._jwks = jwks
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._recent = _RecentTokens(REMEMBERED_TOKENS)

    def verify(self, token: str) -> Caller:
        """Return the caller that the token speaks for.

        Raises:
            TokenError: The token cannot be accepted; the sentence says why and never quotes it.
            UnavailableError: The keys that would tell cannot be had now.
        """
        if len(token) > MAX_TOKEN_BYTES:
            _refuse(f"The token is longer than {MAX_TOKEN_BYTES} bytes.")
        digest = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        recent = self._recent.get(digest)
        if recent is not None and self._still_holds(recent):
            return recent.caller
        verified = self._verify(token)
        self._recent.put(digest, verified)
        return verified.caller

    def _still_holds(self, verified: _Verified) -> bool:
        if verified.expires_at_s <= self._clock() - LEEWAY_S:
            return False
        if verified.key is None:
            return True
        return self._jwks is not None and self._jwks.key(verified.key.kid) is verified.key

    def _verify(self, token: str) -> _Verified:
        key = self._key_for(_read_header(token))
        claims = self._signed_claims(token, key)
        role = _accepted_role(claims, key)
        self._check_issuer(claims, role, key)
        self._check_audience(claims, role)
        expires_at_s = self._check_times(claims)
        return _Verified(self._caller(role, claims), expires_at_s, key)

    def _key_for(self, header: Claims) -> VerifyingKey | None:
        """Return the public key to verify with; None stands for the configured secret."""
        if "crit" in header:
            _refuse("The token asks for extensions that are not supported.")
        kid, algorithm = _kid(header), header.get("alg")
        if algorithm == "HS256":
            self._require_secret(kid)
            return None
        if algorithm not in _PUBLIC_KEY_ALGORITHMS:
            _refuse("The token's algorithm is not accepted: ES256, RS256 and HS256 are.")
        return self._public_key(kid, algorithm)

    def _require_secret(self, kid: str | None) -> None:
        # Supabase's older tokens name their shared secret, too, by a kid that no key set lists.
        if self._secret is None or (kid and self._jwks and self._jwks.knows(kid)):
            _refuse("The token's algorithm does not fit the key that signs tokens here.")

    def _public_key(self, kid: str | None, algorithm: str) -> VerifyingKey:
        key = self._jwks.key(kid) if self._jwks and kid else None
        if key is None:
            _refuse("The token was signed with a key that is not known here.")
        if key.algorithm != algorithm:
            _refuse("The token's algorithm does not fit its key.")
        return key

    def _signed_claims(self, token: str, key: VerifyingKey | None) -> Claims:
        try:
            if key is None:
                signed = _JWS.decode_complete(token, cast("bytes", self._secret), algorithms=["HS256"])
            else:
                signed = _JWS.decode_complete(token, key.public_key, algorithms=[key.algorithm])
        except jwt.PyJWTError:
            # Not chained, here and below: the library's errors carry the text that they failed on.
            _refuse("The token's signature does not fit.")
        return _json_object(signed["payload"])

    def _check_issuer(self, claims: Claims, role: Role, key: VerifyingKey | None) -> None:
        if self._issuer is None:
            return
        accepted = {self._issuer}
        if key is None:
            accepted |= {ISSUER} | (_PUBLIC_KEY_ISSUERS if role == "anon" else set())
        issuer = claims.get("iss")
        if not isinstance(issuer, str) or issuer not in accepted:
            _refuse("The token was not issued for this service.")

    def _check_audience(self, claims: Claims, role: Role) -> None:
        if role == "anon" and "aud" not in claims:
            return
        audience = claims.get("aud")
        named = [audience] if isinstance(audience, str) else audience
        if not isinstance(named, list) or self._audience not in named:
            _refuse(f"The token's audience is not {self._audience!r}.")

    def _check_times(self, claims: Claims) -> float:
        now_s = self._clock()
        expires_at_s = _seconds(claims, "exp")
        if expires_at_s <= now_s - LEEWAY_S:
            _refuse("The token has expired.", code="token_expired")
        for name in ("nbf", "iat"):
            if name in claims and _seconds(claims, name) > now_s + LEEWAY_S:
                _refuse("The token is not valid yet.", code="token_not_yet_valid")
        return expires_at_s

    def _caller(self, role: Role, claims: Claims) -> Caller:
        user_id = _user_id(claims) if role == "authenticated" else None
        jti, scopes = _jti(claims), _scopes(claims)
        kept = {
            "role": role,
            "sub": None if user_id is None else str(user_id),
            "aud": self._audience if "aud" in claims else None,
            "exp": int(claims["exp"]),
            "jti": jti,
            "scope": None if scopes is None else " ".join(sorted(scopes)),
        }
        known = {name: value for name, value in kept.items() if value is not None}
        is_of_provider = self._issuer is not None and claims.get("iss") == self._issuer
        return Caller(role, user_id, scopes, jti, json.dumps(known, separators=(",", ":")), is_of_provider)


class _RecentTokens:
    """The tokens verified last, by digest; the one that was not seen for longest makes room."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[bytes, _Verified] = OrderedDict()
        self._lock = Lock()

    def get(self, digest: bytes) -> _Verified | None:
        with self._lock:
            found = self._entries.get(digest)
            if found is not None:
                self._entries.move_to_end(digest)
            return found

    def put(self, digest: bytes, verified: _Verified) -> None:
        with self._lock:
            self._entries[digest] = verified
            self._entries.move_to_end(digest)
            if len(self._entries) > self._limit:
                self._entries.popitem(last=False)


def _refuse(detail: str, *, code: str = "token_invalid") -> NoReturn:
    raise TokenError(detail, code=code) from None


def hmac_key(secret: str) -> bytes:
    try:
        key = _HS256.prepare_key(secret)
    except jwt.InvalidKeyError as error:
        raise ValueError(str(error)) from None
    if too_short := _HS256.check_key_length(key):
        raise ValueError(too_short)
    return key


def _read_header(token: str) -> Claims:
    if token.startswith(("sb_publishable_", "sb_secret_")):
        _refuse(
            "This is a Supabase API key and not a token: send a signed-in user's access token, "
            "or no Authorization header for public data.",
            code="token_is_api_key",
        )
    parts = _COMPACT_JWS.fullmatch(token)
    if parts is None:
        _refuse("The token is not a JSON Web Token.")
    try:
        text = urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
    except ValueError:
        _refuse("The token is not a JSON Web Token.")
    return _json_object(text)


def _kid(header: Claims) -> str | None:
    if "kid" not in header:
        return None
    kid = header["kid"]
    if not isinstance(kid, str) or not KID.fullmatch(kid):
        _refuse("The token's key id is not one.")
    return kid


def _json_object(text: bytes) -> Claims:
    """Return what the text says if it can be read in one way only: no name twice, no NaN, UTF-8."""
    try:
        value = json.loads(text.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        _refuse("The token does not hold a JSON object.")
    if not isinstance(value, dict):
        _refuse("The token does not hold a JSON object.")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        msg = "a name stands twice"
        raise ValueError(msg)
    return members


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _seconds(claims: Claims, name: str) -> float:
    value = cast("float", claims.get(name))
    # The type itself: True is an int to isinstance. Infinities fail the comparison.
    if type(value) not in {int, float} or not 0 <= value <= _LAST_SECOND:
        _refuse(f"The token's {name} is missing or not a time.")
    return value


def _accepted_role(claims: Claims, key: VerifyingKey | None) -> Role:
    role = claims.get("role")
    if role not in ROLES:
        _refuse("The token's role is not accepted: authenticated and anon are.", code="token_role_refused")
    if role == "service_role":
        _check_service_token(claims, key)
    return cast("Role", role)


def _check_service_token(claims: Claims, key: VerifyingKey | None) -> None:
    """Refuse a service token unless it was minted here and for a day at most."""
    ours = key is None and claims.get("iss") == ISSUER and "jti" in claims
    if not ours or _seconds(claims, "exp") - _seconds(claims, "iat") > MAX_SERVICE_TTL_S + LEEWAY_S:
        _refuse(
            "This service key is not accepted: mint a token with `cryoprotect token issue --role service_role`.",
            code="token_role_refused",
        )


def _user_id(claims: Claims) -> UUID:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not UUID_TEXT.fullmatch(subject):
        _refuse("The token's subject is missing or not a UUID.")
    return UUID(subject)


def _jti(claims: Claims) -> str | None:
    if "jti" not in claims:
        return None
    jti = claims["jti"]
    if not isinstance(jti, str) or not JTI.fullmatch(jti):
        _refuse("The token's jti is not one.")
    return jti


def _scopes(claims: Claims) -> frozenset[str] | None:
    """Return the scopes that the token is narrowed to; names that are not known open nothing."""
    if "scope" not in claims:
        return None
    scope = claims["scope"]
    if not isinstance(scope, str):
        _refuse("The token's scope is not a list of names in one text.")
    return SCOPES & frozenset(scope.split(" "))
