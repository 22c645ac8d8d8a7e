"""Bodies in: media type, size, JSON, then a marshmallow schema; faults come back with pointers."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, Final, TypeVar, cast

from flask import g, request
from marshmallow import Schema, ValidationError

from api.common.errors import HttpError
from api.common.json import escape_pointer, loads
from app.errors import Fault, InvalidError, MalformedError

_V = TypeVar("_V", bound=Callable[..., Any])
JSON_TYPE: Final = "application/json"
NDJSON_TYPE: Final = "application/x-ndjson"
_NO_BODY: Final = "the request needs a JSON body"
_SPOOL_BYTES: Final = 10 * 1024 * 1024
_READ_BYTES: Final = 256 * 1024


def read_json() -> Any:  # noqa: ANN401 - JSON is any shape until a schema has seen it
    """Return the request's JSON body.

    Raises:
        HttpError: 413 or 415.
        MalformedError, InvalidError: The body is no usable JSON.
    """
    require_media_type(JSON_TYPE)
    data = request.get_data(cache=True)
    if not data:
        raise MalformedError(_NO_BODY, code="malformed_json")
    return loads(data)


@contextmanager
def read_spooled() -> Iterator[tuple[IO[bytes], bytes]]:
    """Give a body that may be large, as a file, with its SHA-256; beyond 10 MB it lies on the disk.

    Raises:
        HttpError: 413.
        MalformedError: There is no body.
    """
    digest = hashlib.sha256()
    # What was read once cannot be read again: see api/common/repeating.py.
    g.stream_was_read = True
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as file:
        while block := request.stream.read(_READ_BYTES):
            digest.update(block)
            file.write(block)
        if not file.tell():
            raise MalformedError(_NO_BODY, code="malformed_json")
        file.seek(0)
        yield file, digest.digest()


def require_media_type(*allowed: str) -> str:
    """Return the body's media type.

    Raises:
        HttpError: 415; it names the types that are taken.
    """
    kind = request.mimetype
    if kind not in allowed or request.content_encoding not in {None, "", "identity"}:
        names = " or ".join(allowed)
        raise HttpError(415, f"the body must be sent as {names}, not compressed", code="unsupported_media_type")
    return kind


def load(schema: Schema, value: object, pointer: str = "") -> Any:  # noqa: ANN401 - what the schema makes
    """Return what a schema makes of a value.

    Raises:
        InvalidError: With a pointer to each fault.
    """
    if not isinstance(value, dict):
        raise InvalidError.at(pointer, "must be a JSON object")
    try:
        return schema.load(cast("Mapping[str, Any]", value))
    except ValidationError as error:
        faults = flatten(error.messages, pointer)
        raise InvalidError("the values cannot be accepted", code="invalid_values", faults=faults) from error


def flatten(messages: object, pointer: str = "") -> list[Fault]:
    """Return marshmallow's nested messages as faults with pointers."""
    if isinstance(messages, dict):
        return [
            fault
            for key, inner in messages.items()
            for fault in flatten(inner, pointer if key == "_schema" else f"{pointer}/{escape_pointer(str(key))}")
        ]
    if isinstance(messages, list):
        return [fault for inner in messages for fault in flatten(inner, pointer)]
    return [Fault(pointer, str(messages))]


def takes(schema: type[Schema], *, description: str = "") -> Callable[[_V], _V]:
    """Give the view its body as `data`, checked by a schema."""
    checker = schema()

    def decorate(view: _V) -> _V:
        @functools.wraps(view)
        def wrapper(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any view
            return view(*args, data=load(checker, read_json()), **kwargs)

        wrapper.body_schema = schema  # type: ignore[attr-defined]
        wrapper.body_description = description  # type: ignore[attr-defined]
        return cast("_V", wrapper)

    return decorate
