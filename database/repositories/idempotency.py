"""Answers kept under a caller's Idempotency-Key, for 24 hours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import orjson

from database.session import WriteSession

LOCK_KEY_SQL: Final = "SELECT pg_try_advisory_xact_lock(hashtextextended(%(caller)s || ' ' || %(key)s, 0))"

GET_KEPT_ANSWER_SQL: Final = """
SELECT request_hash, status, headers::json, body
FROM private.idempotency_keys
WHERE caller = %(caller)s AND key = %(key)s AND created_at > clock_timestamp() - interval '24 hours'
"""

REMOVE_OLD_KEYS_SQL: Final = """
DELETE FROM private.idempotency_keys
WHERE caller = %(caller)s AND created_at <= clock_timestamp() - interval '24 hours'
"""

PRUNE_KEYS_SQL: Final = """
WITH removed AS (
    DELETE FROM private.idempotency_keys WHERE created_at <= clock_timestamp() - interval '24 hours' RETURNING 1
)
SELECT count(*) FROM removed
"""

ADD_KEPT_ANSWER_SQL: Final = """
INSERT INTO private.idempotency_keys (caller, key, request_hash, status, headers, body)
VALUES (%(caller)s, %(key)s, %(request_hash)s, %(status)s, %(headers)s, %(body)s)
"""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer as it was first given."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class KeptRequest:
    """What was asked under a key, and what was answered."""

    request_hash: bytes
    answer: KeptAnswer


class IdempotencyRepository:
    """Keeps and finds answers inside the caller's transaction."""

    def __init__(self, session: WriteSession) -> None:
        self._session = session
        self._caller = session.caller.name

    def lock(self, key: str) -> bool:
        """Return whether this transaction now holds the key; False while another does."""
        return bool(self._session.rows(LOCK_KEY_SQL, {"caller": self._caller, "key": key})[0][0])

    def find(self, key: str) -> KeptRequest | None:
        """Return what is kept under the key."""
        rows = self._session.rows(GET_KEPT_ANSWER_SQL, {"caller": self._caller, "key": key})
        if not rows:
            return None
        request_hash, status, headers, body = rows[0]
        return KeptRequest(bytes(request_hash), KeptAnswer(status, orjson.loads(headers), bytes(body)))

    def add(self, key: str, request_hash: bytes, answer: KeptAnswer) -> None:
        """Keep an answer; what this caller kept more than a day ago goes."""
        self._session.rows(REMOVE_OLD_KEYS_SQL, {"caller": self._caller})
        self._session.rows(
            ADD_KEPT_ANSWER_SQL,
            {
                "caller": self._caller,
                "key": key,
                "request_hash": request_hash,
                "status": answer.status,
                "headers": orjson.dumps(answer.headers).decode(),
                "body": answer.body,
            },
        )

    def prune(self) -> int:
        """Remove what any caller, as far as this one sees, kept more than a day ago; return how many answers."""
        return int(self._session.rows(PRUNE_KEYS_SQL, {})[0][0])
