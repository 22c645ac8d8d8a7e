"""Many records in one call: read as a JSON array or NDJSON, checked one by one, answered for one by one."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

from flask import Response, request
from marshmallow import Schema, fields

from api.common.body import JSON_TYPE, NDJSON_TYPE, load, read_json, require_media_type
from api.common.json import dumps, loads
from api.common.results import report, result
from app.errors import Fault, InvalidError, MalformedError
from database.repositories.outcomes import Outcome

_T = TypeVar("_T")
MAX_BATCH: Final = 10_000
BATCH_TYPES: Final = (JSON_TYPE, NDJSON_TYPE)
_RECORDS_PER_TURN: Final = 50

Faults = dict[int, list[Fault]]
"""What is wrong with which record."""


class BatchQuerySchema(Schema):
    """Parameters of a batch."""

    atomic = fields.Boolean(load_default=False, metadata={"description": "All or nothing."})


def read_batch() -> list[Any]:
    """Return the records of the request's body.

    Raises:
        HttpError: 413 or 415.
        MalformedError, InvalidError: The body is no usable JSON, or has no record or too many.
    """
    kind = require_media_type(*BATCH_TYPES)
    records = read_json() if kind == JSON_TYPE else _ndjson(request.get_data(cache=True))
    if not isinstance(records, list):
        raise InvalidError.at("", "must be a JSON array, or NDJSON with one record a line")
    if not 1 <= len(records) <= MAX_BATCH:
        raise InvalidError.at("", f"a batch has 1 to {MAX_BATCH:,} records")
    return records


def _ndjson(data: bytes) -> list[Any]:
    records = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            records.append(loads(line))
        except MalformedError as error:
            msg = f"line {number}: {error.detail}"
            raise MalformedError(msg, code=error.code) from error
    return records


def load_each(schema: Schema, records: Iterable[Any], faults: Faults) -> list[tuple[int, Any]]:
    """Return what a schema makes of each record, with its index; what it refuses is put into `faults`."""
    loaded = []
    for index, record in in_turns(enumerate(records)):
        try:
            loaded.append((index, load(schema, record)))
        except InvalidError as error:
            faults[index] = list(error.faults)
    return loaded


def in_turns(items: Iterable[_T]) -> Iterator[_T]:
    """Give the items, and other requests of this worker a turn in between: ten thousand take seconds to check."""
    for number, item in enumerate(items):
        if number % _RECORDS_PER_TURN == 0:
            time.sleep(0)
        yield item


def results_of(
    count: int, tried: Sequence[tuple[int, object]], outcomes: Sequence[Outcome], faults: Faults
) -> list[dict[str, Any]]:
    """Return the result of each of `count` records: an outcome for what was tried, the faults of all others."""
    by_index = {index: outcome for (index, _), outcome in zip(tried, outcomes, strict=True)}
    return [result(index, by_index.get(index), faults.get(index, [])) for index in range(count)]


def refuse_partial(results: Iterable[dict[str, Any]]) -> None:
    """Refuse an atomic batch of which any record was refused.

    Raises:
        InvalidError: With a pointer to each fault.
    """
    faults = [
        Fault(f"/{item['index']}{error['pointer']}", error["detail"]) for item in results for error in item["errors"]
    ]
    if faults:
        msg = "nothing was stored: the batch is atomic and some of its records are refused"
        raise InvalidError(msg, code="batch_refused", faults=faults)


def batch_answer(results: list[dict[str, Any]], *, atomic: bool) -> Response:
    """Return what became of each record.

    Raises:
        InvalidError: The batch is atomic and some of its records are refused.
    """
    if atomic:
        refuse_partial(results)
    return Response(dumps(report(results)), content_type=JSON_TYPE)
