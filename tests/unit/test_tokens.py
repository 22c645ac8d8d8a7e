"""What the verifier accepts and, mostly, what it refuses; every key here is made for the run.

Tokens are put together by hand from raw JSON text, because a library would not write most of them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any, Final, cast
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from app.domain.callers import ANON
from app.errors import InvalidError, TokenError, UnavailableError
from app.services.jwks import GRACE_S, MAX_AGE_S, PAUSE_S, Jwks, KeySetError
from app.services.minting import issue_token
from app.services.tokens import LEEWAY_S, MAX_TOKEN_BYTES, REMEMBERED_TOKENS, SCOPES, TokenVerifier

SECRET: Final = "a-secret-that-only-these-tests-know-of"
ISSUER: Final = "https://project.example/auth/v1"
NOW: Final = 1_800_000_000
USER: Final = "5b6a7c1e-90ab-4cde-8f01-23456789abcd"
EC_KEY: Final = ec.generate_private_key(ec.SECP256R1())
OTHER_EC_KEY: Final = ec.generate_private_key(ec.SECP256R1())
RSA_KEY: Final = rsa.generate_private_key(public_exponent=65537, key_size=2048)

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
Key = str | bytes | PrivateKey
Json = dict[str, Any]
Sign = Callable[..., str]


# --- tokens by hand --------------------------------------------------------------------------------


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(header: Json | bytes, payload: Json | bytes, key: Key = SECRET) -> str:
    """Return a signed token; the key's kind decides how it is signed, the header says what it likes."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    signing_input = ".".join(map(b64, parts))
    if isinstance(key, ec.EllipticCurvePrivateKey):
        signature = jwt.get_algorithm_by_name("ES256").sign(signing_input.encode(), key)
    elif isinstance(key, rsa.RSAPrivateKey):
        signature = jwt.get_algorithm_by_name("RS256").sign(signing_input.encode(), key)
    else:
        secret = key.encode() if isinstance(key, str) else key
        signature = hmac.new(secret, signing_input.encode(), hashlib.sha256).digest()
    return f"{signing_input}.{b64(signature)}"


def user_claims(**changes: object) -> Json:
    """Return what Supabase says in a signed-in user's token."""
    return {
        "iss": ISSUER,
        "sub": USER,
        "aud": "authenticated",
        "exp": NOW + 3600,
        "iat": NOW,
        "email": "somebody@example.org",
        "app_metadata": {"provider": "email"},
        "user_metadata": {"name": "Somebody"},
        "role": "authenticated",
        "aal": "aal1",
        "session_id": "0d3a2d6e-4a52-4a58-9e4b-5d8e6f0a1b2c",
        "is_anonymous": False,
        **changes,
    }


def service_claims(**changes: object) -> Json:
    """Return what our own service tokens say."""
    return {
        "iss": "cryoprotect",
        "aud": "authenticated",
        "role": "service_role",
        "jti": "7a9c3a55-0c33-4f0a-9d7d-1f2e3d4c5b6a",
        "iat": NOW,
        "exp": NOW + 3600,
        **changes,
    }


def without(claims: Json, *names: str) -> Json:
    return {name: value for name, value in claims.items() if name not in names}


def hs256(claims: Json | bytes, key: str | bytes = SECRET, **header: object) -> str:
    return compact({"alg": "HS256", "typ": "JWT", **header}, claims, key)


def es256(claims: Json | bytes, key: PrivateKey = EC_KEY, **header: object) -> str:
    return compact({"alg": "ES256", "typ": "JWT", "kid": "ec", **header}, claims, key)


def rs256(claims: Json | bytes, key: PrivateKey = RSA_KEY, **header: object) -> str:
    return compact({"alg": "RS256", "typ": "JWT", "kid": "rsa", **header}, claims, key)


def with_claim(name: str, json_text: str) -> bytes:
    """Return a user's claims with one given as JSON text, which json.dumps might not write."""
    rest = json.dumps(without(user_claims(), name))
    return f'{rest[:-1]}, "{name}": {json_text}}}'.encode()


# --- the verifier ----------------------------------------------------------------------------------


def ec_jwk(kid: str, key: ec.EllipticCurvePrivateKey = EC_KEY) -> Json:
    return {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "alg": "ES256", "use": "sig"}


def rsa_jwk(kid: str) -> Json:
    return {**RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True), "kid": kid, "alg": "RS256", "use": "sig"}


class Provider:
    """The identity provider: what it publishes, whether it is up, and one clock for it and the verifier."""

    def __init__(self, *members: Json) -> None:
        self.members = members or (ec_jwk("ec"), rsa_jwk("rsa"))
        self.up = True
        self.fetched: list[str] = []
        self.now_s = float(NOW)

    def _fetch(self, url: str) -> bytes:
        self.fetched.append(url)
        if not self.up:
            msg = "ConnectionError"
            raise KeySetError(msg)
        return json.dumps({"keys": self.members}).encode()

    def clock(self) -> float:
        """Return the time that the test says it is."""
        return self.now_s

    def verifier(self, secret: str | None = SECRET, issuer: str | None = ISSUER) -> TokenVerifier:
        """Return a verifier of this provider's tokens and of the secret's."""
        jwks = Jwks("https://project.example/jwks", fetch=self._fetch, clock=self.clock)
        return TokenVerifier(secret, jwks, issuer, clock=self.clock)


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def verifier(provider: Provider) -> TokenVerifier:
    """A project that signs with public keys and still accepts its older shared secret."""
    return provider.verifier()


@pytest.fixture
def embedded() -> TokenVerifier:
    """The service on its own: a secret, no provider, no issuer."""
    return TokenVerifier(SECRET, None, None, clock=lambda: NOW)


def refusal(verifier: TokenVerifier, token: str) -> TokenError:
    with pytest.raises(TokenError) as caught:
        verifier.verify(token)
    return caught.value


# --- what is accepted ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(es256(user_claims()), id="ES256"),
        pytest.param(rs256(user_claims()), id="RS256"),
        pytest.param(hs256(user_claims()), id="HS256"),
        pytest.param(hs256(user_claims(), kid="aB3/xY+9zQ=="), id="HS256 with an older secret's kid"),
    ],
)
def test_a_users_token_gives_the_user(verifier: TokenVerifier, token: str) -> None:
    caller = verifier.verify(token)

    assert caller.role == "authenticated"
    assert caller.user_id == UUID(USER)
    assert caller.scopes is None
    assert caller.jti is None


def test_the_claims_for_postgres_are_the_few_that_policies_read(verifier: TokenVerifier) -> None:
    caller = verifier.verify(es256(user_claims(exp=NOW + 60.9)))

    assert json.loads(caller.claims_json) == {
        "role": "authenticated",
        "sub": USER,
        "aud": "authenticated",
        "exp": NOW + 60,
    }
    assert " " not in caller.claims_json


def test_the_claims_for_postgres_stay_small_whatever_the_token_says(verifier: TokenVerifier) -> None:
    claims = user_claims(
        scope=" ".join(["molecules:write"] * 100), jti="j" * 128, user_metadata={"x": "\x00\ud800" * 100}
    )

    caller = verifier.verify(es256(claims))

    assert len(caller.claims_json) < 600
    assert caller.claims_json.isascii()
    assert "\\u" not in caller.claims_json
    assert caller.scopes == frozenset({"molecules:write"})


@pytest.mark.parametrize("aud", ["authenticated", ["authenticated"], ["other", "authenticated"]])
def test_the_audience_may_be_one_or_several(verifier: TokenVerifier, aud: object) -> None:
    assert verifier.verify(es256(user_claims(aud=aud))).user_id == UUID(USER)


def test_a_subject_in_capitals_is_the_same_user(verifier: TokenVerifier) -> None:
    caller = verifier.verify(es256(user_claims(sub=USER.upper())))

    assert caller.user_id == UUID(USER)
    assert json.loads(caller.claims_json)["sub"] == USER


@pytest.mark.parametrize("issuer", ["supabase", "supabase-demo"])
def test_a_projects_public_key_as_a_token_is_anon_without_sub_and_aud(verifier: TokenVerifier, issuer: str) -> None:
    claims = {"iss": issuer, "ref": "abcdefghijklmnopqrst", "role": "anon", "iat": NOW, "exp": NOW + 315_360_000}

    caller = verifier.verify(hs256(claims))

    assert caller.role == "anon"
    assert caller.user_id is None
    assert json.loads(caller.claims_json) == {"role": "anon", "exp": NOW + 315_360_000}


def test_an_anon_token_brings_no_subject_to_the_policies(verifier: TokenVerifier) -> None:
    caller = verifier.verify(hs256({"iss": "supabase", "role": "anon", "exp": NOW + 60, "sub": USER}))

    assert caller.user_id is None
    assert "sub" not in json.loads(caller.claims_json)


@pytest.mark.parametrize("role", ["authenticated", "anon", "service_role"])
def test_a_token_minted_here_is_accepted_beside_the_providers(verifier: TokenVerifier, role: str) -> None:
    sub = USER if role == "authenticated" else None
    token = issue_token(SECRET, role=role, ttl_s=3600, sub=sub, now=NOW)

    caller = verifier.verify(token)

    assert caller.role == role
    assert caller.jti == jwt.decode(token, options={"verify_signature": False})["jti"]
    assert json.loads(caller.claims_json)["jti"] == caller.jti


def test_a_token_is_the_providers_where_the_provider_issued_it(
    provider: Provider, verifier: TokenVerifier, embedded: TokenVerifier
) -> None:
    minted = issue_token(SECRET, role="authenticated", ttl_s=3600, sub=USER, now=NOW)

    assert verifier.verify(hs256(user_claims())).is_of_provider
    assert verifier.verify(es256(user_claims())).is_of_provider
    assert not verifier.verify(minted).is_of_provider
    # Where none is configured there is nowhere to send a token.
    assert not embedded.verify(hs256(user_claims())).is_of_provider
    assert not embedded.verify(hs256(without(user_claims(), "iss"))).is_of_provider


def test_a_service_token_is_no_user(embedded: TokenVerifier) -> None:
    caller = embedded.verify(hs256(service_claims(sub=USER)))

    assert caller.role == "service_role"
    assert caller.user_id is None
    assert "sub" not in json.loads(caller.claims_json)


def test_the_service_on_its_own_takes_users_of_any_issuer_that_has_its_secret(embedded: TokenVerifier) -> None:
    assert embedded.verify(hs256(user_claims(), kid="any")).user_id == UUID(USER)


# --- algorithms and keys ---------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "NONE", "", None, 0, ["none"], {}])
@pytest.mark.parametrize("signed", [True, False])
def test_a_token_without_signature_algorithm_is_refused(
    verifier: TokenVerifier, algorithm: object, *, signed: bool
) -> None:
    token = compact({"alg": algorithm, "kid": "ec"}, user_claims())

    refusal(verifier, token if signed else token[: token.rindex(".") + 1])


def test_a_token_that_names_no_algorithm_is_refused(verifier: TokenVerifier) -> None:
    refusal(verifier, compact({"typ": "JWT"}, user_claims()))


@pytest.mark.parametrize(
    "algorithm", ["HS384", "HS512", "hs256", "RS384", "RS512", "PS256", "ES384", "ES256K", "EdDSA", "A128KW"]
)
def test_an_algorithm_that_is_not_listed_is_refused(verifier: TokenVerifier, algorithm: str) -> None:
    error = refusal(verifier, compact({"alg": algorithm, "kid": "ec"}, user_claims()))

    assert "ES256, RS256 and HS256" in error.detail


def pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


PUBLIC_KEY_TEXTS: Final = [
    pytest.param(pem(EC_KEY), id="EC PEM"),
    pytest.param(pem(RSA_KEY), id="RSA PEM"),
    pytest.param(pem(RSA_KEY).strip(), id="RSA PEM without its newline"),
    pytest.param(EC_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), id="EC DER"),
    pytest.param(json.dumps(ec_jwk("ec")).encode(), id="EC JWK"),
    pytest.param(json.dumps(rsa_jwk("rsa")).encode(), id="RSA JWK"),
    pytest.param(json.dumps(ec_jwk("ec"), separators=(",", ":")).encode(), id="EC JWK, compact"),
    pytest.param(json.dumps({"keys": [ec_jwk("ec"), rsa_jwk("rsa")]}).encode(), id="the whole key set"),
    pytest.param(b"", id="nothing"),
]


@pytest.mark.parametrize("secret", [SECRET, None])
@pytest.mark.parametrize("header", [{}, {"kid": "ec"}, {"kid": "rsa"}, {"kid": "unknown"}])
@pytest.mark.parametrize("text", PUBLIC_KEY_TEXTS)
def test_hs256_signed_with_a_public_key_is_refused(
    provider: Provider, text: bytes, header: Json, secret: str | None
) -> None:
    verifier = provider.verifier(secret)
    verifier.verify(es256(user_claims()))

    refusal(verifier, hs256(user_claims(), text, **header))


@pytest.mark.parametrize("text", PUBLIC_KEY_TEXTS)
def test_hs256_signed_with_a_public_key_is_refused_before_any_key_was_fetched(provider: Provider, text: bytes) -> None:
    refusal(provider.verifier(), hs256(user_claims(), text, kid="ec"))


@pytest.mark.parametrize("text", [pem(EC_KEY), json.dumps(ec_jwk("ec")).encode(), b"too short", b""])
def test_a_verifier_is_not_made_with_a_public_key_or_a_short_text_as_its_secret(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"key|HMAC"):
        TokenVerifier(text.decode(), None, None)


def test_another_key_under_the_same_kid_is_refused(verifier: TokenVerifier) -> None:
    refusal(verifier, es256(user_claims(), OTHER_EC_KEY))


def test_another_secret_is_refused(verifier: TokenVerifier) -> None:
    refusal(verifier, hs256(user_claims(), SECRET + "!"))


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(hs256(user_claims(), kid="ec"), id="HS256 under an EC key's kid"),
        pytest.param(hs256(user_claims(), kid="rsa"), id="HS256 under an RSA key's kid"),
        pytest.param(rs256(user_claims(), kid="ec"), id="RS256 under an EC key's kid"),
        pytest.param(es256(user_claims(), kid="rsa"), id="ES256 under an RSA key's kid"),
        pytest.param(compact({"alg": "RS256", "kid": "rsa"}, user_claims(), EC_KEY), id="RS256, signed by EC"),
        pytest.param(compact({"alg": "ES256", "kid": "ec"}, user_claims(), RSA_KEY), id="ES256, signed by RSA"),
        pytest.param(compact({"alg": "ES256", "kid": "ec"}, user_claims(), SECRET), id="ES256, signed by the secret"),
    ],
)
def test_the_algorithm_must_be_the_keys(verifier: TokenVerifier, token: str) -> None:
    verifier.verify(es256(user_claims()))

    refusal(verifier, token)


def test_a_token_for_the_secret_is_refused_where_there_is_none(provider: Provider) -> None:
    refusal(provider.verifier(secret=None), hs256(user_claims()))


def test_a_token_for_a_public_key_is_refused_where_there_is_no_provider(embedded: TokenVerifier) -> None:
    refusal(embedded, es256(user_claims()))


def test_a_public_key_token_without_kid_is_refused(verifier: TokenVerifier, provider: Provider) -> None:
    refusal(verifier, compact({"alg": "ES256"}, user_claims(), EC_KEY))

    assert provider.fetched == []


BAD_KIDS: Final = [
    pytest.param('"unknown"', id="unknown"),
    pytest.param(json.dumps("k" * 5_000), id="5 kB"),
    pytest.param(json.dumps("k" * 10_240), id="10 kB"),
    pytest.param('"../../../../dev/null"', id="a path"),
    pytest.param('"file:///dev/null"', id="a file URL"),
    pytest.param('"https://elsewhere.example/keys"', id="a URL"),
    pytest.param("\"ec' OR '1'='1\"", id="SQL"),
    pytest.param('"ec; DROP TABLE molecules"', id="more SQL"),
    pytest.param(r'"ec\u0000"', id="a NUL at the end"),
    pytest.param(r'"\u0000"', id="NUL"),
    pytest.param(r'"\ud800"', id="a lone surrogate"),
    pytest.param('["ec"]', id="an array"),
    pytest.param('{"ec": "ec"}', id="an object"),
    pytest.param("7", id="a number"),
    pytest.param("1e400", id="infinity"),
    pytest.param("true", id="true"),
    pytest.param("null", id="null"),
    pytest.param('""', id="empty"),
    pytest.param('" ec"', id="a space before"),
]


@pytest.mark.parametrize("kid", BAD_KIDS)
def test_a_kid_that_names_no_key_is_refused(verifier: TokenVerifier, kid: str) -> None:
    header = f'{{"alg": "ES256", "kid": {kid}}}'.encode()

    refusal(verifier, compact(header, user_claims(), EC_KEY))


@pytest.mark.parametrize("kid", [kid for kid in BAD_KIDS if kid.id != "unknown"])
def test_a_kid_that_is_no_name_is_refused_with_the_right_secret_too(verifier: TokenVerifier, kid: str) -> None:
    header = f'{{"alg": "HS256", "kid": {kid}}}'.encode()

    refusal(verifier, compact(header, user_claims()))


def test_an_unknown_kid_fetches_the_keys_once_and_not_once_per_token(
    verifier: TokenVerifier, provider: Provider
) -> None:
    for number in range(200):
        refusal(verifier, es256(user_claims(), kid=f"invented-{number}"))

    assert len(provider.fetched) == 1


def test_a_token_for_the_secret_never_fetches_keys(verifier: TokenVerifier, provider: Provider) -> None:
    verifier.verify(hs256(user_claims(), kid="older"))
    refusal(verifier, hs256(user_claims(), "another-secret-of-at-least-32-bytes!", kid="invented"))

    assert provider.fetched == []


@pytest.mark.usefixtures("socket_disabled")
@pytest.mark.parametrize(
    "header",
    [
        {"jku": "http://127.0.0.1:9/keys"},
        {"x5u": "http://127.0.0.1:9/certificate"},
        {"jwk": ec_jwk("ec", OTHER_EC_KEY)},
        {"jwk": ec_jwk("mine", OTHER_EC_KEY), "kid": "mine"},
        {"x5c": ["MIIB"], "x5t": "AAAA"},
    ],
)
def test_a_key_that_the_token_brings_along_is_not_used_and_no_call_is_made(
    verifier: TokenVerifier, provider: Provider, header: Json
) -> None:
    refusal(verifier, es256(user_claims(), OTHER_EC_KEY, **header))

    assert set(provider.fetched) == {"https://project.example/jwks"}


@pytest.mark.parametrize("crit", [["b64"], ["exp"], [], "b64", None, 1])
@pytest.mark.parametrize("b64_header", [{}, {"b64": True}, {"b64": False}])
def test_a_token_that_asks_for_extensions_is_refused(verifier: TokenVerifier, crit: object, b64_header: Json) -> None:
    error = refusal(verifier, es256(user_claims(), crit=crit, **b64_header))

    assert "extensions" in error.detail


def test_a_token_with_an_unencoded_payload_is_refused(verifier: TokenVerifier) -> None:
    refusal(verifier, es256(user_claims(), b64=False))


# --- form ------------------------------------------------------------------------------------------

GOOD: Final = hs256(user_claims())
_HEADER, _PAYLOAD, _SIGNATURE = GOOD.split(".")


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="empty"),
        pytest.param("token", id="a word"),
        pytest.param("..", id="dots"),
        pytest.param(f"{_HEADER}.{_PAYLOAD}", id="two parts"),
        pytest.param(f"{_HEADER}.{_PAYLOAD}.", id="no signature"),
        pytest.param(f"{GOOD}.{_SIGNATURE}", id="four parts"),
        pytest.param(f"{GOOD}..", id="five parts"),
        pytest.param(f" {GOOD}", id="a space before"),
        pytest.param(f"{GOOD}\n", id="a newline after"),
        pytest.param(f"{GOOD}=", id="padding"),
        pytest.param(f"{_HEADER}\x00.{_PAYLOAD}.{_SIGNATURE}", id="NUL"),
        pytest.param(f"{_HEADER}.{_PAYLOAD}\ud800.{_SIGNATURE}", id="a lone surrogate"),
        pytest.param(f"{_HEADER}.{_PAYLOAD}.\N{FULLWIDTH DIGIT ONE}{_SIGNATURE}", id="a wide digit"),
        pytest.param(f"A.{_PAYLOAD}.{_SIGNATURE}", id="a header of one letter"),
        pytest.param(f"{_HEADER}.A.{_SIGNATURE}", id="a payload of one letter"),
        pytest.param(f"{_HEADER}.{_PAYLOAD}.{_SIGNATURE}A", id="a signature with a letter more"),
        pytest.param(f"{_HEADER}.{_PAYLOAD}.{_SIGNATURE[:-1]}", id="a signature with a letter less"),
        pytest.param(f"{_HEADER}.{_PAYLOAD}A.{_SIGNATURE}", id="another payload"),
        pytest.param(compact(b"\xff\xfe", user_claims()), id="a header that is no UTF-8"),
        pytest.param(compact('{"alg":"HS256"}'.encode("utf-16"), user_claims()), id="a header in UTF-16"),
        pytest.param(compact(b"[]", user_claims()), id="a list as header"),
        pytest.param(compact(b"null", user_claims()), id="null as header"),
        pytest.param(compact(b"[" * 5_000, user_claims()), id="a deep header"),
        pytest.param(compact(b'{"alg":"none","alg":"HS256"}', user_claims()), id="two algorithms"),
        pytest.param(hs256(b"[" * 5_000), id="a deep payload"),
        pytest.param(hs256(b"9" * 5_000), id="a long number as payload"),
        pytest.param(hs256(b'"text"'), id="text as payload"),
        pytest.param(hs256(b"null"), id="null as payload"),
        pytest.param(hs256(b""), id="no payload"),
        pytest.param(hs256(b"{}"), id="no claims"),
        pytest.param(hs256(b"\xff\xfe{}"), id="a payload that is no UTF-8"),
        pytest.param(hs256(json.dumps(user_claims()).encode("utf-16")), id="a payload in UTF-16"),
        pytest.param(hs256(b"\xef\xbb\xbf" + json.dumps(user_claims()).encode()), id="a byte order mark"),
        pytest.param(hs256(json.dumps(user_claims())[:-1].encode() + b', "role": "anon"}'), id="two roles"),
        pytest.param(hs256(with_claim("user_metadata", "NaN")), id="NaN in a claim that is not read"),
    ],
)
def test_what_is_no_well_formed_token_is_refused(verifier: TokenVerifier, token: str) -> None:
    refusal(verifier, token)


def test_a_signature_that_spells_the_same_bytes_otherwise_is_refused(verifier: TokenVerifier) -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = GOOD[:-1] + alphabet[alphabet.index(GOOD[-1]) + 1]
    assert base64.urlsafe_b64decode(twin.split(".")[2] + "=") == base64.urlsafe_b64decode(_SIGNATURE + "=")

    refusal(verifier, twin)


def token_of_length(length: int) -> str:
    """Return a good token of exactly that many characters."""
    for padding in range(length * 3 // 4, 0, -1):
        for filler in ("", "x", "xx"):
            token = hs256(user_claims(filler="x" * padding), kid=f"k{filler}")
            if len(token) == length:
                return token
    pytest.fail("no token of that length")


def test_a_token_of_8_kib_is_accepted_and_one_byte_more_is_refused(verifier: TokenVerifier) -> None:
    assert verifier.verify(token_of_length(MAX_TOKEN_BYTES)).user_id == UUID(USER)

    error = refusal(verifier, token_of_length(MAX_TOKEN_BYTES + 1))
    assert error.detail == "The token is longer than 8192 bytes."


@pytest.mark.parametrize("letter", ["x", ".", "\ud800", "\x00", "\N{SNOWMAN}"])
def test_a_token_of_64_kib_is_refused_for_its_length_before_it_is_read(verifier: TokenVerifier, letter: str) -> None:
    error = refusal(verifier, letter * 65_536)

    assert error.detail == "The token is longer than 8192 bytes."


@pytest.mark.parametrize("key", ["sb_publishable_abc123", "sb_secret_abc123"])
def test_a_supabase_api_key_is_refused_with_a_sentence_that_says_what_it_is(verifier: TokenVerifier, key: str) -> None:
    error = refusal(verifier, key)

    assert error.code == "token_is_api_key"
    assert "API key" in error.detail
    assert key not in error.detail


# --- times -----------------------------------------------------------------------------------------


def test_an_expired_token_is_refused(verifier: TokenVerifier) -> None:
    error = refusal(verifier, es256(user_claims(exp=NOW - 3600, iat=NOW - 7200)))

    assert error.code == "token_expired"


def test_a_token_expires_thirty_seconds_after_its_time(verifier: TokenVerifier) -> None:
    assert verifier.verify(es256(user_claims(exp=NOW - LEEWAY_S + 1))).role == "authenticated"
    assert verifier.verify(es256(user_claims(exp=NOW - LEEWAY_S + 0.01))).role == "authenticated"
    assert refusal(verifier, es256(user_claims(exp=NOW - LEEWAY_S))).code == "token_expired"
    assert refusal(verifier, es256(user_claims(exp=NOW - LEEWAY_S - 1))).code == "token_expired"
    assert LEEWAY_S == 30


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_a_token_from_the_future_is_refused(verifier: TokenVerifier, name: str) -> None:
    error = refusal(verifier, es256(user_claims(**{name: NOW + 3600, "exp": NOW + 7200})))

    assert error.code == "token_not_yet_valid"


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_a_token_may_start_thirty_seconds_from_now(verifier: TokenVerifier, name: str) -> None:
    assert verifier.verify(es256(user_claims(**{name: NOW + LEEWAY_S}))).role == "authenticated"

    error = refusal(verifier, es256(user_claims(**{name: NOW + LEEWAY_S + 1})))
    assert error.code == "token_not_yet_valid"


def test_a_token_without_expiry_is_refused(verifier: TokenVerifier) -> None:
    error = refusal(verifier, es256(without(user_claims(), "exp")))

    assert "exp" in error.detail


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "time_text",
    [
        f'"{NOW + 60}"',
        "1e400",
        "-1e400",
        "NaN",
        "Infinity",
        "-Infinity",
        "true",
        "false",
        "null",
        "-1",
        "-1e9",
        "[]",
        f"[{NOW + 60}]",
        "{}",
        "1e300",
        "9" * 30,
        "9" * 5_000,
        "253402300800",
    ],
)
def test_a_time_that_is_none_is_refused(verifier: TokenVerifier, name: str, time_text: str) -> None:
    error = refusal(verifier, es256(with_claim(name, time_text)))

    assert error.code == "token_invalid"


# --- audience, issuer ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "aud", [None, "", "other", "AUTHENTICATED", "authenticated ", [], ["other"], [["authenticated"]], [1], {}, 1, True]
)
def test_another_audience_is_refused(verifier: TokenVerifier, aud: object) -> None:
    error = refusal(verifier, es256(user_claims(aud=aud)))

    assert "audience" in error.detail


def test_an_object_as_audience_is_refused_even_when_it_names_ours(verifier: TokenVerifier) -> None:
    refusal(verifier, es256(user_claims(aud={"authenticated": 1})))


def test_a_users_token_without_audience_is_refused(verifier: TokenVerifier) -> None:
    refusal(verifier, es256(without(user_claims(), "aud")))


def test_a_service_token_without_audience_is_refused(verifier: TokenVerifier) -> None:
    refusal(verifier, hs256(without(service_claims(), "aud")))


def test_an_anon_token_for_another_audience_is_refused(verifier: TokenVerifier) -> None:
    refusal(verifier, hs256({"iss": "supabase", "role": "anon", "exp": NOW + 60, "aud": "other"}))


@pytest.mark.parametrize(
    "iss",
    [
        "https://another.example/auth/v1",
        ISSUER + "/",
        ISSUER.upper(),
        "cryoprotect",
        "supabase",
        "",
        None,
        [ISSUER],
        {"iss": ISSUER},
        1,
    ],
)
def test_a_token_of_another_project_is_refused(verifier: TokenVerifier, iss: object) -> None:
    error = refusal(verifier, es256(user_claims(iss=iss)))

    assert "issued" in error.detail


def test_a_token_without_issuer_is_refused_where_one_is_configured(verifier: TokenVerifier) -> None:
    refusal(verifier, es256(without(user_claims(), "iss")))


@pytest.mark.parametrize("iss", ["https://another.example/auth/v1", "supabase"])
def test_the_secret_does_not_open_for_users_of_another_issuer(verifier: TokenVerifier, iss: str) -> None:
    refusal(verifier, hs256(user_claims(iss=iss)))


def test_an_anon_token_of_another_project_is_refused(verifier: TokenVerifier) -> None:
    refusal(verifier, hs256({"iss": "https://another.example/auth/v1", "role": "anon", "exp": NOW + 60}))


# --- role and subject ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "role",
    [
        "service_role",
        "postgres",
        "authenticator",
        "supabase_admin",
        "cryoprotect_service",
        "Authenticated",
        "authenticated ",
        "",
        None,
        ["authenticated"],
        ["service_role"],
        {"authenticated": 1},
        1,
        True,
    ],
)
@pytest.mark.parametrize("sign", [es256, rs256, hs256])
def test_a_users_token_with_another_role_is_refused(verifier: TokenVerifier, role: object, sign: Sign) -> None:
    error = refusal(verifier, sign(user_claims(role=role)))

    assert error.code == "token_role_refused"


def test_a_token_without_role_is_refused(verifier: TokenVerifier) -> None:
    refusal(verifier, es256(without(user_claims(), "role")))


@pytest.mark.parametrize("place", ["user_metadata", "app_metadata", "amr", "claims"])
@pytest.mark.parametrize("role", ["admin", "service_role"])
def test_a_role_elsewhere_in_the_token_has_no_effect(verifier: TokenVerifier, place: str, role: str) -> None:
    caller = verifier.verify(es256(user_claims(**{place: {"role": role}})))

    assert caller == verifier.verify(es256(user_claims()))
    assert role not in caller.claims_json


@pytest.mark.parametrize(
    "sub",
    [
        None,
        "",
        "somebody@example.org",
        "1",
        1,
        True,
        [USER],
        {"id": USER},
        USER.replace("-", ""),
        f"{{{USER}}}",
        f"urn:uuid:{USER}",
        f" {USER}",
        f"{USER}\n",
        f"{USER}\x00",
        USER.replace("5b6a", "5b_a"),
        USER.replace("5", "\N{ARABIC-INDIC DIGIT FIVE}"),
        "g" + USER[1:],
        f"{USER}' OR '1'='1",
    ],
)
def test_a_subject_that_is_no_uuid_is_refused(verifier: TokenVerifier, sub: object) -> None:
    error = refusal(verifier, es256(user_claims(sub=sub)))

    assert "UUID" in error.detail


def test_a_users_token_without_subject_is_refused(verifier: TokenVerifier) -> None:
    refusal(verifier, es256(without(user_claims(), "sub")))


@pytest.mark.parametrize("jti", [None, 1, [], "", "j" * 129, "a b", "a\x00", "\ud800"])
def test_a_jti_that_is_none_is_refused(verifier: TokenVerifier, jti: object) -> None:
    refusal(verifier, es256(user_claims(jti=jti)))


# --- service tokens --------------------------------------------------------------------------------


@pytest.mark.parametrize("issuer", [ISSUER, None])
@pytest.mark.parametrize("iss", ["supabase", "supabase-demo"])
def test_supabases_long_lived_service_key_is_refused_with_a_sentence_that_says_what_to_do(
    provider: Provider, iss: str, issuer: str | None
) -> None:
    key = {"iss": iss, "ref": "abcdefghijklmnopqrst", "role": "service_role", "iat": NOW, "exp": NOW + 315_360_000}

    error = refusal(provider.verifier(issuer=issuer), hs256(key))

    assert "mint a token with `cryoprotect token issue" in error.detail


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param(service_claims(iss=ISSUER), id="of the provider"),
        pytest.param(service_claims(iss=["cryoprotect"]), id="of a list"),
        pytest.param(without(service_claims(), "iss"), id="of nobody"),
        pytest.param(without(service_claims(), "jti"), id="without jti"),
        pytest.param(service_claims(jti=None), id="with null as jti"),
        pytest.param(without(service_claims(), "iat"), id="without iat"),
        pytest.param(without(service_claims(), "exp"), id="without exp"),
        pytest.param(service_claims(exp=NOW + 86_400 + LEEWAY_S + 1), id="for more than a day"),
        pytest.param(service_claims(iat=NOW - 86_400, exp=NOW + 3600), id="for more than a day, half gone"),
        pytest.param(service_claims(iat=NOW + 86_400, exp=NOW + 2 * 86_400), id="from tomorrow"),
        pytest.param(service_claims(iat=NOW - 7200, exp=NOW - 3600), id="expired"),
        pytest.param(service_claims(aud="other"), id="for another audience"),
    ],
)
@pytest.mark.parametrize("issuer", [ISSUER, None])
def test_a_service_token_that_was_not_minted_here_is_refused(
    provider: Provider, claims: Json, issuer: str | None
) -> None:
    refusal(provider.verifier(issuer=issuer), hs256(claims))


@pytest.mark.parametrize("sign", [es256, rs256])
def test_a_service_token_signed_by_a_public_key_is_refused(provider: Provider, sign: Sign) -> None:
    refusal(provider.verifier(issuer=None), sign(service_claims()))


def test_a_service_token_may_live_for_a_day_and_the_leeway(embedded: TokenVerifier) -> None:
    assert embedded.verify(hs256(service_claims(exp=NOW + 86_400 + LEEWAY_S))).role == "service_role"


def test_a_service_token_is_refused_when_it_has_expired(provider: Provider) -> None:
    verifier = provider.verifier()
    token = issue_token(SECRET, role="service_role", ttl_s=60, now=NOW)
    verifier.verify(token)

    provider.now_s = NOW + 60 + LEEWAY_S

    assert refusal(verifier, token).code == "token_expired"


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        ("molecules:write", {"molecules:write"}),
        ("molecules:write imports:write", {"molecules:write", "imports:write"}),
        ("molecules:write everything:write", {"molecules:write"}),
        ("molecules:write,imports:write", set()),
        ("", set()),
    ],
)
def test_a_scope_narrows_the_token_and_unknown_names_open_nothing(
    embedded: TokenVerifier, scope: str, scopes: set[str]
) -> None:
    assert embedded.verify(hs256(service_claims(scope=scope))).scopes == frozenset(scopes)


@pytest.mark.parametrize("scope", [None, ["molecules:write"], {}, 1, True])
def test_a_scope_that_is_no_text_is_refused(embedded: TokenVerifier, scope: object) -> None:
    refusal(embedded, hs256(service_claims(scope=scope)))


# --- keys come and go ------------------------------------------------------------------------------


def test_a_rotated_key_is_accepted_and_a_revoked_one_refused(verifier: TokenVerifier, provider: Provider) -> None:
    old, new = es256(user_claims()), es256(user_claims(), OTHER_EC_KEY, kid="new")
    assert verifier.verify(old).role == "authenticated"

    provider.members = (*provider.members, ec_jwk("new", OTHER_EC_KEY))
    provider.now_s += PAUSE_S
    assert verifier.verify(new).role == "authenticated"
    assert verifier.verify(old).role == "authenticated"

    provider.members = (ec_jwk("new", OTHER_EC_KEY),)
    provider.now_s += MAX_AGE_S
    assert verifier.verify(new).role == "authenticated"
    assert "not known" in refusal(verifier, old).detail


def test_a_key_that_was_exchanged_under_its_kid_no_longer_counts(verifier: TokenVerifier, provider: Provider) -> None:
    old, new = es256(user_claims()), es256(user_claims(), OTHER_EC_KEY)
    verifier.verify(old)

    provider.members = (ec_jwk("ec", OTHER_EC_KEY),)
    provider.now_s += MAX_AGE_S

    refusal(verifier, old)
    assert verifier.verify(new).role == "authenticated"


def test_cached_keys_verify_while_the_provider_is_down(verifier: TokenVerifier, provider: Provider) -> None:
    verifier.verify(es256(user_claims()))
    provider.up = False

    provider.now_s += GRACE_S - 1
    claims = user_claims(exp=provider.now_s + 60)

    assert verifier.verify(es256(claims)).role == "authenticated"
    provider.now_s += 1
    with pytest.raises(UnavailableError):
        verifier.verify(es256(claims))


def test_a_cold_start_without_the_provider_is_unavailable_and_says_when_to_come_back(provider: Provider) -> None:
    provider.up = False

    with pytest.raises(UnavailableError) as caught:
        provider.verifier().verify(es256(user_claims()))

    assert caught.value.retry_after_s >= 1


def test_a_cold_start_without_the_provider_still_takes_tokens_of_the_secret(provider: Provider) -> None:
    provider.up = False

    assert provider.verifier().verify(hs256(user_claims(), kid="older")).role == "authenticated"


# --- remembered tokens -----------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [es256, hs256])
def test_a_remembered_token_still_expires(verifier: TokenVerifier, provider: Provider, sign: Sign) -> None:
    token = sign(user_claims(exp=NOW + 60))
    verifier.verify(token)

    provider.now_s = NOW + 60 + LEEWAY_S - 1
    assert verifier.verify(token).role == "authenticated"
    provider.now_s = NOW + 60 + LEEWAY_S
    assert refusal(verifier, token).code == "token_expired"


def test_the_same_token_gives_the_same_caller_and_another_token_another(verifier: TokenVerifier) -> None:
    other = str(uuid4())
    tokens = [es256(user_claims()), es256(user_claims(sub=other))] * 3

    callers = [verifier.verify(token) for token in tokens]

    assert [str(caller.user_id) for caller in callers] == [USER, other] * 3
    assert callers[0] is callers[2] is callers[4]


def test_a_refusal_is_not_remembered(provider: Provider) -> None:
    verifier = provider.verifier()
    token = es256(user_claims(nbf=NOW + 60))
    refusal(verifier, token)

    provider.now_s += 60

    assert verifier.verify(token).role == "authenticated"


def test_a_change_of_a_remembered_token_is_not_taken_for_it(verifier: TokenVerifier) -> None:
    verifier.verify(GOOD)

    for place in range(len(GOOD)):
        letter = "A" if GOOD[place] != "A" else "B"
        refusal(verifier, GOOD[:place] + letter + GOOD[place + 1 :])


def test_remembered_tokens_are_bounded_and_those_in_use_stay(embedded: TokenVerifier) -> None:
    kept = embedded.verify(GOOD)
    dropped_token = hs256(user_claims(n="dropped"))
    dropped = embedded.verify(dropped_token)

    for number in range(REMEMBERED_TOKENS - 1):
        embedded.verify(hs256(user_claims(n=number)))
        assert embedded.verify(GOOD) is kept

    assert embedded.verify(dropped_token) is not dropped


# --- what errors say -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token",
    [
        hs256(user_claims(), "another-secret-of-at-least-32-bytes!"),
        es256(user_claims(), OTHER_EC_KEY),
        es256(user_claims(exp=1)),
        es256(user_claims(role="postgres-secret-role")),
        es256(user_claims(sub="somebody@example.org")),
        es256(user_claims(iss="https://another.example/auth/v1")),
        es256(user_claims(), kid="invented-kid-of-somebody"),
        es256(b"somebody@example.org is not JSON"),
        compact(b"somebody@example.org is not JSON", user_claims()),
        hs256(user_claims(role="service_role")),
    ],
)
def test_an_error_shows_nothing_of_the_token_and_hides_its_cause(verifier: TokenVerifier, token: str) -> None:
    error = refusal(verifier, token)

    said = f"{error.detail} {error.code} {error.extra} {error.faults}"
    for secret in (*token.split("."), "somebody", "another.example", "postgres", "invented"):
        assert secret not in said
    assert error.__cause__ is None
    assert error.__suppress_context__
    assert error.detail.endswith((".", "`."))


# --- anything at all -------------------------------------------------------------------------------

JSON_VALUES: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(["authenticated", "service_role", "anon", "cryoprotect", "supabase", ISSUER, USER, NOW + 60]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
HEADERS: Final = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.sampled_from(["HS256", "ES256", "RS256", "none"]) | JSON_VALUES,
        "kid": st.sampled_from(["ec", "rsa"]) | JSON_VALUES,
        **dict.fromkeys(("typ", "cty", "crit", "b64", "jku", "x5u", "jwk", "x5c", "zip", "enc"), JSON_VALUES),
    },
)
PAYLOADS: Final = JSON_VALUES | st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "role", "scope", "user_metadata"), JSON_VALUES
    ),
)
KEYS: Final = st.sampled_from([SECRET, "another-secret-of-at-least-32-bytes!", EC_KEY, RSA_KEY])
ONE_VERIFIER: Final = Provider().verifier()


def check_answer(token: str) -> None:
    try:
        caller = ONE_VERIFIER.verify(token)
    except TokenError:
        return
    assert json.loads(caller.claims_json)["role"] == caller.role
    assert caller.role != "authenticated" or caller.user_id is not None


@settings(max_examples=400, deadline=None)
@given(HEADERS, PAYLOADS, KEYS)
def test_any_header_and_payload_gives_a_caller_or_a_token_error(header: Json, payload: object, key: Key) -> None:
    check_answer(compact(json.dumps(header).encode(), json.dumps(payload).encode(), key))


@settings(max_examples=400, deadline=None)
@given(
    st.dictionaries(st.sampled_from(sorted(user_claims())), JSON_VALUES, max_size=2), st.sampled_from([hs256, es256])
)
def test_any_change_of_a_good_token_gives_a_caller_or_a_token_error(changes: Json, sign: Sign) -> None:
    check_answer(sign(user_claims(**changes)))


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(service_claims())), JSON_VALUES, min_size=1, max_size=2))
def test_any_change_of_a_service_token_gives_a_caller_or_a_token_error(changes: Json) -> None:
    check_answer(hs256(service_claims(**changes)))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.binary(max_size=200), KEYS)
def test_any_bytes_as_header_and_payload_are_a_token_error(header: bytes, payload: bytes, key: Key) -> None:
    refusal(ONE_VERIFIER, compact(header, payload, key))


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=300) | st.text(alphabet="AZaz09-_.=", max_size=300))
def test_any_text_as_a_token_is_a_token_error(text: str) -> None:
    refusal(ONE_VERIFIER, text)


# --- minting ---------------------------------------------------------------------------------------


def test_a_minted_token_says_who_minted_it_for_whom_and_until_when() -> None:
    token = issue_token(SECRET, role="authenticated", ttl_s=3600, sub=UUID(USER), now=NOW)

    said = jwt.decode_complete(
        token,
        SECRET,
        algorithms=["HS256"],
        audience="authenticated",
        issuer="cryoprotect",
        options={"verify_exp": False, "verify_iat": False},
    )

    claims = cast("Json", said["payload"])
    assert UUID(claims.pop("jti")).version == 4
    assert claims == {
        "iss": "cryoprotect",
        "aud": "authenticated",
        "role": "authenticated",
        "sub": USER,
        "iat": NOW,
        "exp": NOW + 3600,
    }
    assert said["header"] == {"alg": "HS256", "typ": "JWT"}


def test_each_minted_token_has_its_own_jti() -> None:
    tokens = {issue_token(SECRET, role="service_role", ttl_s=60, now=NOW) for _ in range(20)}

    assert len(tokens) == 20


def test_a_token_is_minted_for_now_unless_told_otherwise() -> None:
    token = issue_token(SECRET, role="anon", ttl_s=60)

    claims = jwt.decode(token, SECRET, algorithms=["HS256"], audience="authenticated")
    assert abs(claims["iat"] - time.time()) < 60
    assert claims["exp"] - claims["iat"] == 60


def test_minted_scopes_are_the_ones_verified(embedded: TokenVerifier) -> None:
    token = issue_token(
        SECRET, role="service_role", ttl_s=60, scopes=["imports:write", "molecules:write", "imports:write"], now=NOW
    )

    caller = embedded.verify(token)

    assert caller.scopes == frozenset({"imports:write", "molecules:write"})
    assert json.loads(caller.claims_json)["scope"] == "imports:write molecules:write"


def test_a_token_minted_with_no_scope_at_all_may_write_nothing(embedded: TokenVerifier) -> None:
    assert embedded.verify(issue_token(SECRET, role="service_role", ttl_s=60, scopes=[], now=NOW)).scopes == frozenset()
    assert embedded.verify(issue_token(SECRET, role="service_role", ttl_s=60, now=NOW)).scopes is None


def test_the_scopes_are_those_that_views_ask_for() -> None:
    nouns = (
        "molecules",
        "imports",
        "mixtures",
        "experiments",
        "predictions",
        "toxicity",
        "tokens",
        "teams",
        "projects",
    )

    assert {f"{noun}:write" for noun in nouns} == SCOPES


@pytest.mark.parametrize(
    ("wanted", "pointer"),
    [
        ({"role": "postgres", "ttl_s": 60}, "/role"),
        ({"role": "", "ttl_s": 60}, "/role"),
        ({"role": "authenticated", "ttl_s": 60}, "/sub"),
        ({"role": "authenticated", "ttl_s": 60, "sub": "somebody"}, "/sub"),
        ({"role": "authenticated", "ttl_s": 60, "sub": USER.replace("-", "")}, "/sub"),
        ({"role": "service_role", "ttl_s": 60, "sub": USER}, "/sub"),
        ({"role": "anon", "ttl_s": 60, "sub": USER}, "/sub"),
        ({"role": "service_role", "ttl_s": 86_401}, "/ttl"),
        ({"role": "service_role", "ttl_s": 0}, "/ttl"),
        ({"role": "service_role", "ttl_s": -1}, "/ttl"),
        ({"role": "service_role", "ttl_s": True}, "/ttl"),
        ({"role": "service_role", "ttl_s": 60.5}, "/ttl"),
        ({"role": "anon", "ttl_s": 367 * 86_400}, "/ttl"),
        ({"role": "service_role", "ttl_s": 60, "scopes": ["everything:write"]}, "/scopes"),
        ({"role": "service_role", "ttl_s": 60, "scopes": ["molecules:write", ""]}, "/scopes"),
        ({"role": "service_role", "ttl_s": 60, "scopes": "molecules:write"}, "/scopes"),
    ],
)
def test_a_token_that_would_not_do_is_not_minted(wanted: Json, pointer: str) -> None:
    with pytest.raises(InvalidError) as caught:
        issue_token(SECRET, **wanted)

    assert [fault.pointer for fault in caught.value.faults] == [pointer]


def test_a_service_token_of_a_whole_day_is_minted_and_accepted(embedded: TokenVerifier) -> None:
    token = issue_token(SECRET, role="service_role", ttl_s=86_400, now=NOW)

    assert embedded.verify(token).role == "service_role"


@pytest.mark.parametrize("secret", ["", "too short", pem(EC_KEY).decode()])
def test_nothing_is_minted_with_a_secret_that_would_not_verify(secret: str) -> None:
    with pytest.raises(ValueError, match=r"key|HMAC"):
        issue_token(secret, role="anon", ttl_s=60)


def test_no_header_is_anon_without_any_claim_of_a_user() -> None:
    assert ANON.role == "anon"
    assert json.loads(ANON.claims_json) == {"role": "anon"}
