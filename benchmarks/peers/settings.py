"""What a peer is told through its environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

URL_VARIABLE: Final = "BENCH_DATABASE_URL"
SECRET_VARIABLE: Final = "BENCH_JWT_SECRET"  # noqa: S105 (the name of a variable)
POOL_VARIABLE: Final = "BENCH_POOL_SIZE"
REMEMBERS_VARIABLE: Final = "BENCH_REMEMBERS_TOKENS"


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """Where the database is, how tokens are signed, and how many connections a worker keeps."""

    database_url: str
    jwt_secret: str
    pool_size: int
    remembers_tokens: bool
    """Whether a token that was verified before is only asked for its expiry, as in the service."""

    @classmethod
    def from_environment(cls) -> PeerSettings:
        """Return what the harness has set."""
        return cls(
            database_url=os.environ[URL_VARIABLE],
            jwt_secret=os.environ[SECRET_VARIABLE],
            pool_size=int(os.environ[POOL_VARIABLE]),
            remembers_tokens=os.environ.get(REMEMBERS_VARIABLE) == "on",
        )
