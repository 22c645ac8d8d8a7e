"""What a peer is told through its environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

URL_VARIABLE: Final = "BENCH_DATABASE_URL"
SECRET_VARIABLE: Final = "BENCH_JWT_SECRET"  # noqa: S105 (the name of a variable)
POOL_VARIABLE: Final = "BENCH_POOL_SIZE"


@dataclass(frozen=True, slots=True)
class PeerSettings:
    """Where the database is, how tokens are signed, and how many connections a worker keeps."""

    database_url: str
    jwt_secret: str
    pool_size: int

    @classmethod
    def from_environment(cls) -> PeerSettings:
        """Return what the harness has set."""
        return cls(os.environ[URL_VARIABLE], os.environ[SECRET_VARIABLE], int(os.environ[POOL_VARIABLE]))
