"""Tokens that are minted here: how long they live, and what is kept of a service token (all but its text)."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

MAX_SERVICE_TTL_S: Final = 24 * 3600
MAX_TTL_S: Final = 366 * 24 * 3600
"""Of any token: a user's that the command mints."""


@dataclass(frozen=True, slots=True)
class ServiceToken:
    """One token of the service role, by its `jti`."""

    jti: str
    scopes: list[str] | None
    """None where the token is not restricted by scopes."""
    issued_at: dt.datetime
    expires_at: dt.datetime
    parent_jti: str | None = None
    """The token that it was minted or renewed with; None for the command's."""
