"""Writes: one transaction, an answer kept under its Idempotency-Key, a dry run on request.

The key's row is written in the effect's own transaction, so that either both are there or neither. A
transaction-level advisory lock is tried first: a second request with the same key would otherwise wait
inside its INSERT until the first has ended.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from flask import Flask, Response, request

from api.common.context import caller, request_id, services, timing
from api.common.errors import HttpError
from app.errors import InvalidError, MalformedError
from database.repositories.idempotency import IdempotencyRepository, KeptAnswer
from database.session import WriteSession

_V = TypeVar("_V", bound=Callable[..., Any])
KEPT_HEADERS: Final = ("Location", "ETag", "Content-Type")
MAX_KEY_LENGTH: Final = 255
_TX_ROLLBACK: Final = re.compile(r'\s*tx\s*=\s*(?:rollback|"rollback")\s*')
_RESPOND_ASYNC: Final = re.compile(r'\s*respond-async\s*(?:=\s*(?:"")?\s*)?')


@dataclass(slots=True)
class Effect:
    """A write under way: its session, and the answer once the view has made it."""

    session: WriteSession
    answer: Response | None = None


class AnsweredBefore(Exception):  # noqa: N818 - no error: it carries the first answer out of the view
    """The request was carried out before; its answer is sent again."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


def register(app: Flask) -> None:
    """Make the app send kept answers."""
    app.register_error_handler(AnsweredBefore, lambda again: again.response)


@contextmanager
def writing(body_digest: bytes | None = None) -> Iterator[Effect]:
    """Give the effect's session; commit and keep the answer when the block ends well.

    `body_digest` is the SHA-256 of a body that was read as a stream and cannot be read again.
    """
    key, rollback = _key(), _wants_rollback()
    with services().database.transaction(caller(), timing(), rollback=rollback, request_id=request_id()) as session:
        keeper = (
            _Keeper(IdempotencyRepository(session), key, _request_hash(body_digest)) if key and not rollback else None
        )
        if keeper:
            keeper.replay()
        effect = Effect(session)
        yield effect
        if keeper and effect.answer is not None:
            keeper.keep(effect.answer)
    if rollback and effect.answer is not None:
        effect.answer.headers.add("Preference-Applied", "tx=rollback")


def replay_early(body_digest: bytes | None = None) -> None:
    """Send a kept answer before slow work begins; the effect's own transaction looks again.

    Raises:
        AnsweredBefore: The request was carried out before.
    """
    key = _key()
    if key and not _wants_rollback():
        with services().database.transaction(caller(), timing()) as session:
            _Keeper(IdempotencyRepository(session), key, _request_hash(body_digest)).replay()


def is_keyed() -> bool:
    """Return whether the request's effect is kept under a key, so that it happens once however often it is tried."""
    return _key() is not None and not _wants_rollback()


def prefers_async() -> bool:
    """Return whether the client would rather have what takes long done later."""
    return _prefers(_RESPOND_ASYNC)


def unkept(view: _V) -> _V:
    """Mark a view that answers with tokens: nothing of it is kept, so it takes no key and makes no dry run."""

    @functools.wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any view
        if "Idempotency-Key" in request.headers:
            msg = "tokens are never kept, so this cannot be repeated: leave the Idempotency-Key out"
            raise MalformedError(msg, code="idempotency_key_refused")
        if _wants_rollback():
            msg = "there is no dry run of this: a token works as soon as it is sent"
            raise MalformedError(msg, code="dry_run_refused")
        return view(*args, **kwargs)

    wrapper.is_unkept = True  # type: ignore[attr-defined]
    return cast("_V", wrapper)


@dataclass(frozen=True, slots=True)
class _Keeper:
    """Keeps the answer of one request under its key, or sends the one that is kept."""

    repository: IdempotencyRepository
    key: str
    request_hash: bytes

    def replay(self) -> None:
        if not self.repository.lock(self.key):
            raise HttpError(
                409, "a request with this Idempotency-Key is still running", code="request_in_progress", Retry_After="1"
            )
        found = self.repository.find(self.key)
        if found is None:
            return
        if found.request_hash != self.request_hash:
            msg = "this Idempotency-Key was used for another request"
            raise InvalidError(msg, code="idempotency_key_reused")
        response = Response(found.answer.body, found.answer.status, found.answer.headers)
        response.headers["Idempotent-Replayed"] = "true"
        raise AnsweredBefore(response)

    def keep(self, answer: Response) -> None:
        headers = {name: answer.headers[name] for name in KEPT_HEADERS if name in answer.headers}
        self.repository.add(self.key, self.request_hash, KeptAnswer(answer.status_code, headers, answer.get_data()))


def _key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is None or request.method != "POST" or caller().role == "anon":
        return None
    if not key or len(key) > MAX_KEY_LENGTH or not key.isascii() or not key.isprintable():
        msg = f"an Idempotency-Key has 1 to {MAX_KEY_LENGTH} printable ASCII characters"
        raise MalformedError(msg, code="invalid_idempotency_key")
    return key


def _wants_rollback() -> bool:
    return _prefers(_TX_ROLLBACK)


def _prefers(preference: re.Pattern[str]) -> bool:
    # RFC 7240: a value may be quoted or empty, and parameters may follow.
    stated = (part.partition(";")[0].lower() for part in request.headers.get("Prefer", "").split(","))
    return any(preference.fullmatch(part) for part in stated)


def _request_hash(body_digest: bytes | None) -> bytes:
    body = body_digest or hashlib.sha256(request.get_data(cache=True)).digest()
    return hashlib.sha256(f"{request.method} {request.full_path} {request.mimetype}\n".encode() + body).digest()
