"""The identity provider's public keys by `kid`: fresh enough to trust, without asking too often.

Three rates meet here. A key that was withdrawn must stop counting soon, so the set is fetched again
before it is ten minutes old. Anybody can send a token with an invented `kid`, so an unknown one buys
at most one fetch in 30 s, and however many requests wait for it, only one makes it. And the provider
may be down for hours while its users' tokens are good, so the last set seen keeps verifying for a day:
long enough for somebody to notice and repair, short enough to bound how long a withdrawn key could
live on behind a blocked connection. A first start without any keys cannot tell, and says so.
"""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import requests
import structlog
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError
from urllib3.exceptions import HTTPError

from app.errors import UnavailableError

MAX_AGE_S: Final = 600.0
REFRESH_AFTER_S: Final = 540.0
"""A minute before `MAX_AGE_S`, so that a busy service has the new set before the old one is too old."""
GRACE_S: Final = 24 * 3600.0
"""How long the last set seen verifies while no new one can be had."""
PAUSE_S: Final = 30.0
"""Between two fetches that an unknown `kid` or a failure asks for."""
COLD_PAUSE_S: Final = 5.0
"""The same while there is no key at all and every user is turned away."""
FETCH_TIMEOUT_S: Final = 3.0
MAX_WAIT_S: Final = 10.0
"""For another request's fetch; beyond its timeout, because looking up a host name has none."""
MAX_BODY_BYTES: Final = 256 * 1024
RSA_BITS: Final = range(2048, 8192 + 1)
KID: Final = re.compile(r"[A-Za-z0-9+/=_-]{1,128}")
"""UUIDs, thumbprints, base64: what providers call their keys."""

_BAD_KEY: Final = (PyJWTError, ValueError, TypeError)
_log = structlog.get_logger(__name__)


class KeySetError(Exception):
    """The key set could not be fetched, or is none."""


@dataclass(frozen=True, slots=True, eq=False)
class VerifyingKey:
    """One public key and the only algorithm that it verifies; each fetch makes new ones."""

    kid: str
    algorithm: Literal["ES256", "RS256"]
    public_key: EllipticCurvePublicKey | RSAPublicKey


@dataclass(frozen=True, slots=True)
class _State:
    """What is known of the keys, replaced as a whole so that readers need no lock."""

    keys: Mapping[str, VerifyingKey] = field(default_factory=dict)
    fetched_at_s: float = -math.inf
    attempted_at_s: float = -math.inf
    failed: bool = False

    def usable(self, kid: str, now_s: float) -> VerifyingKey | None:
        return self.keys.get(kid) if self._within_grace(now_s) else None

    def fetch_is_due(self, kid: str, now_s: float) -> bool:
        outdated = now_s - self.fetched_at_s >= REFRESH_AFTER_S
        return (outdated or kid not in self.keys) and self.pause_left_s(now_s) <= 0

    def fetch_is_worth_waiting_for(self, kid: str, now_s: float) -> bool:
        """Whether to stand in line; not while the provider is down and the old key will do."""
        too_old = now_s - self.fetched_at_s >= MAX_AGE_S and not self.failed
        return too_old or self.usable(kid, now_s) is None

    def pause_left_s(self, now_s: float) -> float:
        pause_s = PAUSE_S if self._within_grace(now_s) else COLD_PAUSE_S
        return self.attempted_at_s + pause_s - now_s

    def _within_grace(self, now_s: float) -> bool:
        return now_s - self.fetched_at_s < GRACE_S


def fetch_key_set(url: str, timeout_s: float = FETCH_TIMEOUT_S) -> bytes:
    """Return the body of the key set; no redirect is followed, and no more is read than the cap.

    Raises:
        KeySetError: No answer in time, another status than 200, or a body over the cap.
    """
    deadline_s = time.monotonic() + timeout_s
    # Uncompressed, so that the cap holds for what is read and for what it would become.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    try:
        with requests.get(url, headers=headers, timeout=timeout_s, allow_redirects=False, stream=True) as answer:
            if answer.status_code != requests.codes.ok:
                msg = f"status {answer.status_code}"
                raise KeySetError(msg)
            return _read_capped(answer, deadline_s)
    except (requests.RequestException, HTTPError, OSError, ValueError) as error:
        raise KeySetError(type(error).__name__) from error


def _read_capped(answer: requests.Response, deadline_s: float) -> bytes:
    body = bytearray()
    # read1 gives what has arrived: a body that comes byte by byte cannot outlast the deadline.
    while chunk := answer.raw.read1(MAX_BODY_BYTES, decode_content=False):
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            msg = f"more than {MAX_BODY_BYTES} bytes"
            raise KeySetError(msg)
        if time.monotonic() > deadline_s:
            msg = "not complete in time"
            raise KeySetError(msg)
    return bytes(body)


class Jwks:
    """The provider's keys for one process, shared by its threads or greenlets."""

    def __init__(
        self,
        url: str,
        fetch: Callable[[str], bytes] = fetch_key_set,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep the keys found at `url`; `fetch` raises KeySetError, `clock` counts seconds."""
        self._url = url
        self._fetch = fetch
        self._clock = clock
        self._state = _State()
        self._fetching = threading.Lock()

    def key(self, kid: str) -> VerifyingKey | None:
        """Return the key of that name, or None when the provider's current set has no such key.

        Raises:
            UnavailableError: The set that would tell cannot be had now.
        """
        state = self._state
        if state.fetch_is_due(kid, self._clock()):
            state = self._refreshed(kid)
        now_s = self._clock()
        key = state.usable(kid, now_s)
        if key is None and state.failed:
            msg = "The keys that verify tokens cannot be fetched at the moment."
            retry_after_s = max(1, math.ceil(state.pause_left_s(now_s)))
            raise UnavailableError(msg, retry_after_s=retry_after_s, code="token_keys_unavailable")
        return key

    def knows(self, kid: str) -> bool:
        """Return whether the keys at hand have that name, without asking the provider."""
        return kid in self._state.keys

    def _refreshed(self, kid: str) -> _State:
        waits = self._state.fetch_is_worth_waiting_for(kid, self._clock())
        if not self._fetching.acquire(timeout=MAX_WAIT_S if waits else 0):
            # Somebody else's fetch is still under way: what is at hand may do, what is not stays open.
            return replace(self._state, failed=True)
        try:
            if self._state.fetch_is_due(kid, self._clock()):
                self._state = self._after_fetch()
            return self._state
        finally:
            self._fetching.release()

    def _after_fetch(self) -> _State:
        try:
            keys = read_key_set(self._fetch(self._url))
        except KeySetError as error:
            _log.warning("jwks_not_fetched", reason=str(error))
            return replace(self._state, attempted_at_s=self._clock(), failed=True)
        now_s = self._clock()
        return _State(keys, fetched_at_s=now_s, attempted_at_s=now_s)


def read_key_set(body: bytes) -> dict[str, VerifyingKey]:
    """Return the usable keys of a JSON Web Key Set by their `kid`; the first of a name counts.

    Keys that are not for verifying ES256 or RS256 signatures are passed over. A set without any is
    valid: a project that still signs with a shared secret publishes none.

    Raises:
        KeySetError: The body is not a key set.
    """
    try:
        document = json.loads(body.decode())
    except (ValueError, RecursionError) as error:
        msg = "not JSON"
        raise KeySetError(msg) from error
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list):
        msg = "no list of keys"
        raise KeySetError(msg)
    keys: dict[str, VerifyingKey] = {}
    for member in members:
        if key := _read_key(member):
            keys.setdefault(key.kid, key)
    return keys


def _read_key(member: object) -> VerifyingKey | None:
    if not isinstance(member, dict) or not _is_for_verifying(member):
        return None
    try:
        if member.get("kty") == "EC" and member.get("alg", "ES256") == "ES256":
            return VerifyingKey(member["kid"], "ES256", _read_ec_key(member))
        if member.get("kty") == "RSA" and member.get("alg", "RS256") == "RS256":
            return VerifyingKey(member["kid"], "RS256", _read_rsa_key(member))
    except _BAD_KEY:
        return None
    return None


def _is_for_verifying(member: Mapping[str, Any]) -> bool:
    kid, operations = member.get("kid"), member.get("key_ops", ["verify"])
    named = isinstance(kid, str) and KID.fullmatch(kid) is not None
    return named and member.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _read_ec_key(member: Mapping[str, Any]) -> EllipticCurvePublicKey:
    if member.get("crv") != "P-256":
        msg = "not on the curve of ES256"
        raise ValueError(msg)
    key = ECAlgorithm.from_jwk({name: member.get(name) for name in ("kty", "crv", "x", "y")})
    if not isinstance(key, EllipticCurvePublicKey):
        msg = "not a public key"
        raise TypeError(msg)
    return key


def _read_rsa_key(member: Mapping[str, Any]) -> RSAPublicKey:
    # Only the public parts: PyJWT would make a private key of a set that gives one away.
    key = RSAAlgorithm.from_jwk({name: member.get(name) for name in ("kty", "n", "e")})
    if not isinstance(key, RSAPublicKey) or key.key_size not in RSA_BITS:
        msg = "not a public key of a length that is both safe and quick"
        raise ValueError(msg)
    return key
