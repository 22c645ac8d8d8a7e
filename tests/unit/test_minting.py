"""What the service mints: within limits, never more than the caller has, and the record fits the token."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.callers import Caller
from app.domain.tokens import MAX_SERVICE_TTL_S
from app.errors import ForbiddenError, InvalidError, NotFoundError
from app.services.minting import Minter, issue_service_token
from app.services.tokens import SCOPES, TokenVerifier

SECRET: Final = "a-secret-that-only-these-tests-know-of"
NOW: Final = 1_800_000_000
SETS: Final = st.none() | st.frozensets(st.sampled_from(sorted(SCOPES)))


def minter() -> Minter:
    return Minter(SECRET, clock=lambda: NOW)


def caller(scopes: frozenset[str] | None = None) -> Caller:
    return Caller("service_role", scopes=scopes, jti="parent")


def claims(text: str) -> dict[str, Any]:
    options: Any = {"verify_exp": False, "verify_iat": False, "verify_aud": False}
    said: dict[str, Any] = jwt.decode(text, SECRET, algorithms=["HS256"], options=options)
    return said


@given(SETS, SETS)
def test_nobody_passes_on_more_than_its_own_scopes(held: frozenset[str] | None, asked: frozenset[str] | None) -> None:
    allowed = held is None or (asked is not None and asked <= held)

    if not allowed:
        with pytest.raises(ForbiddenError) as refusal:
            minter().mint(caller(held), ttl_s=60, scopes=asked)
        assert refusal.value.code == "scope_missing"
        return
    text, kept = minter().mint(caller(held), ttl_s=60, scopes=asked)

    holder = TokenVerifier(SECRET, None, None, clock=lambda: NOW).verify(text)
    assert holder.scopes == asked
    assert kept.scopes == (None if asked is None else sorted(asked))


def test_the_record_says_what_the_token_says_but_not_its_text() -> None:
    text, kept = minter().mint(caller(), ttl_s=3600, scopes=["molecules:write", "molecules:write"])

    said = claims(text)
    assert (kept.jti, kept.parent_jti, kept.scopes) == (said["jti"], "parent", ["molecules:write"])
    assert kept.issued_at == dt.datetime.fromtimestamp(NOW, dt.UTC)
    assert kept.expires_at - kept.issued_at == dt.timedelta(hours=1)
    assert (said["iat"], said["exp"]) == (NOW, NOW + 3600)
    assert not [part for part in text.split(".") if part in repr(kept)]


def test_no_two_tokens_have_the_same_jti() -> None:
    assert len({minter().mint(caller(), ttl_s=60, scopes=None)[1].jti for _ in range(100)}) == 100


@pytest.mark.parametrize("ttl_s", [1, MAX_SERVICE_TTL_S])
def test_a_day_is_the_longest(ttl_s: int) -> None:
    text, _ = minter().mint(caller(), ttl_s=ttl_s, scopes=None)

    assert claims(text)["exp"] == NOW + ttl_s


@pytest.mark.parametrize("ttl_s", [0, -1, MAX_SERVICE_TTL_S + 1, 2**63])
def test_no_time_and_more_than_a_day_are_refused(ttl_s: int) -> None:
    with pytest.raises(InvalidError) as refusal:
        minter().mint(caller(), ttl_s=ttl_s, scopes=None)

    assert [fault.pointer for fault in refusal.value.faults] == ["/ttl"]


def test_an_unknown_scope_is_refused() -> None:
    with pytest.raises(InvalidError) as refusal:
        issue_service_token(SECRET, ttl_s=60, scopes=["everything:write"])

    assert [fault.pointer for fault in refusal.value.faults] == ["/scopes"]


def test_where_no_secret_is_configured_nothing_can_be_minted() -> None:
    with pytest.raises(NotFoundError) as refusal:
        Minter(None).mint(caller(), ttl_s=60, scopes=None)

    assert refusal.value.code == "minting_not_configured"


def test_a_minter_does_not_show_its_secret() -> None:
    assert SECRET not in repr(minter())
