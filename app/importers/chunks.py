"""Large bodies piece by piece: the same records in envelopes of a thousand, as the parsers take them.

A page of 200 MB as Python objects would be ten times that. The array that holds the records is found by
reading events up to its start; then its items come one by one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from typing import IO, Any, Final

import ijson  # type: ignore[import-untyped] # the library has no types

from app.errors import MalformedError

RECORDS_PER_CHUNK: Final = 1000
MAX_DEPTH: Final = 100
"""PubChem's views, the deepest of the known bodies, nest about 20 deep."""
_EVENTS_PER_TURN: Final = 20_000
_OPENING: Final = frozenset({"start_map", "start_array"})
_CLOSING: Final = frozenset({"end_map", "end_array"})
_ARRAYS: Final = ("molecules", "PropertyTable.Properties", "PC_Compounds", "InformationList.Information", "")


def chunks(body: IO[bytes]) -> Iterator[tuple[int, object]]:
    """Give (index of its first record, payload) for each piece of a body.

    A body without a known array of records comes back as one piece.

    Raises:
        MalformedError: It is no JSON.
    """
    try:
        _refuse_deep(body)
        body.seek(0)
        array = _array(body)
        body.seek(0)
        if array is None:
            yield 0, next(ijson.items(body, "", use_float=True))
            return
        records = ijson.items(body, f"{array}.item" if array else "item", use_float=True)
        first = 0
        while chunk := list(islice(records, RECORDS_PER_CHUNK)):
            yield first, _envelope(array, chunk)
            first += len(chunk)
        if first == 0:
            yield 0, _envelope(array, [])
    except (ijson.JSONError, UnicodeDecodeError, RecursionError, OverflowError, StopIteration) as error:
        msg = f"the body is not JSON: {str(error).splitlines()[0][:200] if str(error) else 'it ends too early'}"
        raise MalformedError(msg, code="malformed_json") from error


def _refuse_deep(body: IO[bytes]) -> None:
    """Refuse what nests too deep, before ijson keeps a path for each level: its memory grows with their square."""
    depth = 0
    for number, (event, _) in enumerate(ijson.basic_parse(body, use_float=True)):
        if event in _OPENING:
            depth += 1
            if depth > MAX_DEPTH:
                msg = f"the JSON nests deeper than {MAX_DEPTH} levels"
                raise MalformedError(msg, code="malformed_json")
        elif event in _CLOSING:
            depth -= 1
        if number % _EVENTS_PER_TURN == 0:
            # A large body must not keep the worker's other requests waiting.
            time.sleep(0)


def _array(body: IO[bytes]) -> str | None:
    for prefix, event, _ in ijson.parse(body):
        if event == "start_array":
            return prefix if prefix in _ARRAYS else None
    return None


def _envelope(array: str, records: list[Any]) -> object:
    payload: object = records
    for name in reversed(array.split(".") if array else []):
        payload = {name: payload}
    return payload
