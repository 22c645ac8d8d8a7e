"""What the database knows of service tokens, for `cryoprotect token`.

Apart from the commands, because printing a token must not wait for a driver that it may not need.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from app.cli.running import current_database, found_database, open_database
from app.domain.callers import SERVICE
from app.domain.tokens import ServiceToken
from config import Settings
from database.listing import ListRequest
from database.repositories.tokens import TokenReader, TokenRepository


def record(settings: Settings, token: ServiceToken) -> bool:
    """Return whether the token is recorded now; False where no database can be reached."""
    try:
        found = found_database(settings)
        if found is None:
            return False
        with open_database(found) as database, database.transaction(SERVICE) as session:
            TokenRepository(session).add(token)
    except Exception:  # noqa: BLE001 - whatever keeps the record from being written, the token is good
        return False
    return True


def unexpired(settings: Settings, log: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return the recorded tokens that have not expired, newest first.

    Raises:
        UnavailableError: The database is at another revision.
    """
    with current_database(settings, log) as database:
        chunks = TokenReader(database.reading(SERVICE)).stream(ListRequest())
        return [orjson.loads(document) for chunk in chunks for document in chunk]


def revoke(settings: Settings, jti: str, log: Callable[[str], None]) -> list[str]:
    """Revoke a token with all that was minted from it, and return the `jti` of each that was not revoked before.

    Raises:
        UnavailableError: The database is at another revision.
    """
    with current_database(settings, log) as database, database.transaction(SERVICE) as session:
        return TokenRepository(session).revoke(jti, "command")
