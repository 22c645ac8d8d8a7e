"""Signing in by way of Supabase Auth: a user's e-mail and password, or a refresh token, for a session.

The `supabase` client keeps the last session that it was given and sends its token along from then on,
so every call here has a client of its own; they share the connections beneath. What Supabase says of a
refusal may quote the e-mail, so only its code and status go on from here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import structlog

from app.errors import CredentialsError, CryoProtectError, TooManyAttemptsError, UnavailableError

if TYPE_CHECKING:
    from supabase_auth import AuthResponse, SyncGoTrueClient

TIMEOUT_S: Final = 5.0
"""To connect, and for each answer."""
RETRY_AFTER_S: Final = 5
LONGEST_PAUSE_S: Final = 3600
CONNECTIONS: Final = 20
_REFUSALS: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY})
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class UserSession:
    """A signed-in user's session, as Supabase gives it."""

    access_token: str
    refresh_token: str
    expires_in_s: int
    token_type: str
    user_id: str
    email: str | None


class SupabaseAuth:
    """Supabase Auth of one project, without any session of its own."""

    def __init__(self, url: str, key: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """Speak to the project at `url` with its public (anon or publishable) key."""
        # A second of imports and 40 MB that only those need who have a project.
        import httpx  # noqa: PLC0415
        import supabase  # noqa: PLC0415

        # No redirect is followed: a password goes to the configured address and nowhere else.
        http = httpx.Client(timeout=timeout_s, follow_redirects=False, limits=httpx.Limits(max_connections=CONNECTIONS))
        options = supabase.ClientOptions(auto_refresh_token=False, persist_session=False, httpx_client=http)
        self._http = http
        self._client: Callable[[], SyncGoTrueClient] = lambda: supabase.Client(url, key, options).auth

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def sign_in(self, email: str, password: str) -> UserSession:
        """Return a new session of a user.

        Raises:
            CredentialsError: E-mail and password do not belong together, or the user may not sign in.
            TooManyAttemptsError: Supabase has had too many attempts.
            UnavailableError: Supabase does not answer, or not as it should.
        """
        return self._session(lambda auth: auth.sign_in_with_password({"email": email, "password": password}))

    def refresh(self, refresh_token: str) -> UserSession:
        """Return the session that follows the one with this refresh token.

        Raises:
            CredentialsError: The refresh token is unknown, used or withdrawn.
            TooManyAttemptsError: Supabase has had too many attempts.
            UnavailableError: Supabase does not answer, or not as it should.
        """
        return self._session(lambda auth: auth.refresh_session(refresh_token))

    def _session(self, ask: Callable[[SyncGoTrueClient], AuthResponse]) -> UserSession:
        try:
            answer = ask(self._client())
        except Exception as error:  # noqa: BLE001 - the client lets its parser's and its transport's errors through
            # Not chained: the parser's errors quote what they failed on, tokens included.
            raise _refusal(error) from None
        session = answer.session
        if session is None:
            raise _unavailable()
        return UserSession(
            session.access_token,
            session.refresh_token,
            session.expires_in,
            session.token_type,
            session.user.id,
            session.user.email,
        )


def _refusal(error: Exception) -> CryoProtectError:
    from supabase import AuthApiError  # noqa: PLC0415 - loaded by now

    status, code = getattr(error, "status", None), getattr(error, "code", None)
    if isinstance(error, AuthApiError) and status in _REFUSALS:
        _log.info("sign_in_refused", status=status, code=code)
        return CredentialsError("These credentials are not accepted.", code="credentials_refused")
    _log.warning("supabase_auth_failed", kind=type(error).__name__, status=status, code=code)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        msg = "too many attempts to sign in; wait before the next"
        return TooManyAttemptsError(msg, retry_after_s=_pause_s(error), code="too_many_requests")
    return _unavailable()


def _pause_s(error: Exception) -> int:
    """Return how long Supabase asks to wait; the client keeps its answer as the error's cause."""
    response = getattr(error.__cause__, "response", None)
    text = "" if response is None else response.headers.get("Retry-After", "")
    return min(int(text), LONGEST_PAUSE_S) if text.isascii() and text.isdigit() else RETRY_AFTER_S


def _unavailable() -> UnavailableError:
    return UnavailableError(
        "signing in is not possible at the moment", retry_after_s=RETRY_AFTER_S, code="auth_unavailable"
    )
