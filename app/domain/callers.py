"""Who is asking, as far as rights go: the outcome of reading a token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

Role = Literal["anon", "authenticated", "service_role"]


@dataclass(frozen=True, slots=True)
class Caller:
    """One caller: a role that Postgres knows, and the claims that its policies read."""

    role: Role
    user_id: UUID | None = None
    scopes: frozenset[str] | None = None
    """None where the token is not restricted by scopes."""
    jti: str | None = None
    claims_json: str = '{"role":"anon"}'
    """Compact JSON, handed to Postgres as `request.jwt.claims`."""
    is_of_provider: bool = False
    """Whether the configured provider issued the token: it may be sent there, and nowhere else."""

    @property
    def name(self) -> str:
        """What tells this caller's idempotency keys and rate limit from others'."""
        return str(self.user_id) if self.user_id else self.role


ANON: Final = Caller(role="anon")
SERVICE: Final = Caller(role="service_role", claims_json='{"role":"service_role"}')
"""The service acting by itself: seeding, commands."""
