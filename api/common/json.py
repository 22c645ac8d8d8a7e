"""JSON out and in: one serializer for every answer, one strict reader for every body.

Answers never hold NaN or an infinity; times are UTC with a Z, in the form that Postgres writes too.
Bodies must be finite JSON without duplicate keys, NUL characters or halves of surrogate pairs, for
none of these can be stored or sent on unchanged.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from enum import Enum
from typing import Any, Final

import orjson
from flask import Response
from flask.json.provider import JSONProvider

from app.errors import Fault, InvalidError, MalformedError

_OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_NON_STR_KEYS


def dumps(value: object) -> bytes:
    """Return a value as JSON.

    Raises:
        TypeError: It holds something that has no JSON form.
    """
    return orjson.dumps(value, default=_default, option=_OPTIONS)


def _default(value: object) -> object:
    if isinstance(value, dt.datetime):
        return iso8601(value)
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value) if value.is_finite() else None
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    msg = f"{type(value).__name__} has no JSON form"
    raise TypeError(msg)


def iso8601(value: dt.datetime) -> str:
    """Return a time in UTC, ISO 8601 with six decimals and a Z, as the database writes it.

    Raises:
        TypeError: The time has no zone, so nobody can say which moment it is.
    """
    if value.tzinfo is None:
        msg = "a time without a zone has no JSON form"
        raise TypeError(msg)
    # Not strftime, which writes the year 987 with three digits.
    return value.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def loads(data: bytes | str) -> Any:  # noqa: ANN401 - JSON is any shape until a schema has seen it
    """Return the value of a JSON text.

    Raises:
        MalformedError: It is no JSON, nests too deep or has a key twice.
        InvalidError: It holds a number or a character that cannot be kept.
    """
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_integer
        )
        # Only an escape can bring these in, so a text without a backslash needs no walk.
        if "\\u" in text:
            _refuse_unstorable(value, "")
    except UnicodeDecodeError as error:
        msg = f"the body is not UTF-8: byte {error.start}"
        raise MalformedError(msg, code="malformed_json") from error
    except RecursionError as error:
        msg = "the JSON nests too deep"
        raise MalformedError(msg, code="malformed_json") from error
    except json.JSONDecodeError as error:
        msg = f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise MalformedError(msg, code="malformed_json") from error
    return value


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        msg = f"the key {twice[:100]!r} stands twice in one object"
        raise MalformedError(msg, code="duplicate_key")
    return result


def _constant(text: str) -> object:
    msg = f"{text} is not a finite number"
    raise InvalidError(msg, code="not_finite", faults=[Fault("", msg)])


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        _constant(text[:50])
    return value


def _integer(text: str) -> int | float:
    if len(text) > 400:  # noqa: PLR2004 - longer than any float8, and int() refuses 4,300 digits
        _constant(text[:20] + "...")
    return int(text)


def _refuse_unstorable(value: object, pointer: str) -> None:
    """Raise for the first text that Postgres could not keep."""
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_text(key, pointer)
            _refuse_unstorable(item, f"{pointer}/{escape_pointer(key)}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_unstorable(item, f"{pointer}/{index}")
    elif isinstance(value, str):
        _refuse_text(value, pointer)


def _refuse_text(text: str, pointer: str) -> None:
    if unstorable(text):
        raise InvalidError.at(pointer, "a text may hold neither NUL nor half a surrogate pair")


def unstorable(text: str) -> bool:
    """Return whether a text holds NUL or half a surrogate pair, which Postgres cannot keep."""
    return "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text)


def escape_pointer(key: str) -> str:
    """Return a key as a part of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


class JsonProvider(JSONProvider):
    """Makes Flask itself write and read JSON the same way."""

    def dumps(self, obj: Any, **_: Any) -> str:  # noqa: ANN401 - Flask's own signature
        """Return a value as JSON text."""
        return dumps(obj).decode()

    def loads(self, s: str | bytes, **_: Any) -> Any:  # noqa: ANN401 - Flask's own signature
        """Return the value of a JSON text."""
        return loads(s)

    def response(self, *args: Any, **kwargs: Any) -> Response:  # noqa: ANN401 - Flask's own signature
        """Return a JSON answer."""
        return Response(dumps(args[0] if args else kwargs), mimetype="application/json")
