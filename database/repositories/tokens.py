"""Service tokens by their `jti`: which were minted from which, and which are revoked.

Revoking a token takes everything with it that was minted from it. One advisory lock stands between the
two: minting shares it, revoking holds it alone, so that a token mints before its revocation, and the
child is found, or after it, and is refused.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import Final

from app.domain.tokens import MAX_TTL_S, ServiceToken
from app.errors import RevokedError
from database.listing import Detail, Field, Kind, Listing, Related, Sort
from database.repositories.base import ReadRepository
from database.session import WriteSession

TOKENS: Final = Listing(
    name="tokens",
    source="""(
        SELECT t.jti, t.scopes, t.parent_jti, t.issued_at, t.expires_at, r.revoked_at,
            greatest(t.issued_at, r.revoked_at) AS updated_at
        FROM private.service_tokens AS t
        LEFT JOIN private.token_revocations AS r ON r.jti = t.jti
        WHERE t.expires_at > now()
    ) AS t""",
    key="jti",
    default_order=(Sort("issued_at", descending=True),),
    fields=(
        Field("jti", Kind.TEXT, "t.jti", Detail.MINIMAL, sortable=True, description="The token's id."),
        Field(
            "parent_jti",
            Kind.TEXT,
            "t.parent_jti",
            nullable=True,
            description="The token that it was minted or renewed with; null for the command's.",
        ),
        Field("issued_at", Kind.TIMESTAMP, "t.issued_at", sortable=True, description="When it was minted, UTC."),
        Field("expires_at", Kind.TIMESTAMP, "t.expires_at", sortable=True, description="When it ends, UTC."),
        Field(
            "revoked_at",
            Kind.TIMESTAMP,
            "t.revoked_at",
            sortable=True,
            nullable=True,
            description="When it was revoked, UTC.",
        ),
        Field("updated_at", Kind.TIMESTAMP, "t.updated_at", sortable=True, description="Minted or revoked, UTC."),
    ),
    related=(
        Related(
            "scopes",
            "SELECT to_json(t.scopes)",
            Detail.STANDARD,
            description="All that it may write; null for a token without limits.",
        ),
    ),
)

SHARE_TOKENS_SQL: Final = "SELECT pg_advisory_xact_lock_shared(hashtextextended('private.service_tokens', 0))"
LOCK_TOKENS_SQL: Final = "SELECT pg_advisory_xact_lock(hashtextextended('private.service_tokens', 0))"

FIND_REVOCATION_SQL: Final = "SELECT revoked_at FROM private.token_revocations WHERE jti = %(jti)s"
LIST_REVOKED_SQL: Final = "SELECT jti FROM private.token_revocations"

ADD_MINTED_SQL: Final = """
INSERT INTO private.service_tokens (jti, scopes, parent_jti, issued_at, expires_at)
VALUES (%(jti)s, %(scopes)s::text[], %(parent_jti)s, %(issued_at)s, %(expires_at)s)
"""

REVOKE_FAMILY_SQL: Final = """
WITH RECURSIVE family AS (
    SELECT %(jti)s::text AS jti
    UNION
    SELECT t.jti
    FROM private.service_tokens AS t
    JOIN family AS f ON t.parent_jti = f.jti
)
INSERT INTO private.token_revocations (jti, expires_at, revoked_by)
SELECT f.jti, coalesce(t.expires_at, clock_timestamp() + %(longest)s), %(revoked_by)s
FROM family AS f
LEFT JOIN private.service_tokens AS t ON t.jti = f.jti
ON CONFLICT (jti) DO NOTHING
RETURNING jti
"""

PRUNE_TOKENS_SQL: Final = """
WITH RECURSIVE needed AS (
    SELECT t.parent_jti AS jti
    FROM private.service_tokens AS t
    WHERE t.expires_at > clock_timestamp() - interval '1 hour'
    UNION
    SELECT t.parent_jti
    FROM private.service_tokens AS t
    JOIN needed AS n ON t.jti = n.jti
)
DELETE FROM private.service_tokens AS t
WHERE t.expires_at <= clock_timestamp() - interval '1 hour'
    AND NOT EXISTS (SELECT FROM needed AS n WHERE n.jti = t.jti)
RETURNING t.jti
"""

PRUNE_REVOCATIONS_SQL: Final = """
DELETE FROM private.token_revocations
WHERE expires_at <= clock_timestamp() - interval '1 hour'
RETURNING jti
"""


class TokenReader(ReadRepository):
    """Lists the tokens that have not expired."""

    listing = TOKENS
    noun = "token"

    def revoked_jtis(self) -> frozenset[str]:
        """Return the `jti` of every token that is revoked."""
        return frozenset(row[0] for row in self._session.rows(LIST_REVOKED_SQL, {}))


class TokenRepository:
    """Keeps, revokes and prunes tokens inside the caller's transaction; for the service role."""

    def __init__(self, session: WriteSession) -> None:
        self._session = session

    def add(self, token: ServiceToken) -> None:
        """Keep a token that was minted with its parent.

        Raises:
            RevokedError: The parent is revoked.
        """
        self._session.rows(SHARE_TOKENS_SQL, {})
        # A statement of its own, so that it sees what was committed while this one waited for the lock.
        if self._session.rows(FIND_REVOCATION_SQL, {"jti": token.parent_jti}):
            raise RevokedError
        self._session.rows(ADD_MINTED_SQL, asdict(token))

    def revoke(self, jti: str, revoked_by: str | None) -> list[str]:
        """Revoke a token and all that was minted from it; return those that were not revoked before.

        One that is not known here may be a user's, or minted without a database: it stays revoked for as
        long as any token can live.
        """
        self._session.rows(LOCK_TOKENS_SQL, {})
        longest = dt.timedelta(seconds=MAX_TTL_S)
        parameters = {"jti": jti, "longest": longest, "revoked_by": revoked_by}
        return [row[0] for row in self._session.rows(REVOKE_FAMILY_SQL, parameters)]

    def prune(self) -> int:
        """Remove what expired more than an hour ago, and return how many rows that were.

        A token stays while something minted from it has not expired: revoking it has to find that.
        """
        return len(self._session.rows(PRUNE_TOKENS_SQL, {})) + len(self._session.rows(PRUNE_REVOCATIONS_SQL, {}))
