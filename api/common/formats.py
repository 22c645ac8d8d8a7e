"""Answers in the format that the client asks for; whole result sets are streamed in constant memory.

A stream is fed page by page, each page a transaction of its own, so that a slow reader holds no
connection. When a page fails, the stream ends without its final chunk and the client can tell.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import orjson
from flask import Response, request
from werkzeug.datastructures import MIMEAccept

from api.common import cursor as cursors
from api.common.body import JSON_TYPE, NDJSON_TYPE
from api.common.context import services
from api.common.errors import HttpError
from api.common.listing import ListQuery, next_link
from app.errors import InvalidError
from database.listing import Listing, Shape
from database.repositories.base import Page, ReadRepository

CSV_TYPE: Final = "text/csv"
_ANYTHING: Final = frozenset({None, "*/*", JSON_TYPE})
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")

Chunks = Iterator[list[bytes]]


@dataclass(frozen=True, slots=True)
class Offer:
    """A media type that something is given in beside JSON, and what `format=` calls it."""

    name: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Format(Offer):
    """How a list is written: its media type, and the writer that turns records into bytes."""

    extension: str
    write: Callable[[Listing, Shape, Chunks], Iterable[bytes]]
    needs: tuple[str, ...] = ()
    """Fields that the writer reads, whether the client asks to see them or not."""


def _ndjson(_listing: Listing, _shape: Shape, chunks: Chunks) -> Iterator[bytes]:
    for documents in chunks:
        if documents:
            yield b"\n".join(documents) + b"\n"


def _csv(listing: Listing, shape: Shape, chunks: Chunks) -> Iterator[bytes]:
    names = shown_fields(listing, shape)
    yield _csv_lines([names])
    for documents in chunks:
        yield _csv_lines([_cell(record[name]) for name in names] for record in map(orjson.loads, documents))


def shown_fields(listing: Listing, shape: Shape) -> list[str]:
    """Return the names of what the shape shows, in order."""
    return [item.name for item in listing.parts(shape)]


def _csv_lines(rows: Iterable[Iterable[object]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerows(rows)
    return buffer.getvalue().encode()


def _cell(value: object) -> object:
    if isinstance(value, str):
        # A spreadsheet would run such a text as a formula.
        return f"'{value}" if value.startswith(_FORMULA_STARTS) else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return orjson.dumps(value).decode()
    return value


_O = TypeVar("_O", bound=Offer)

NDJSON: Final = Format("ndjson", NDJSON_TYPE, "ndjson", _ndjson)
CSV: Final = Format("csv", CSV_TYPE, "csv", _csv)
TABLE_FORMATS: Final = {"ndjson": NDJSON, "csv": CSV}
"""What every list is given in."""


def chosen(formats: Mapping[str, _O]) -> _O | None:
    """Return the format that the client asks for; None for plain JSON.

    Raises:
        HttpError: 406; it names the formats that exist.
        InvalidError: `format=` names none of them.
    """
    named = request.args.get("format")
    if named is not None:
        if named != "json" and named not in formats:
            raise InvalidError.at("format", f"must be one of {', '.join(['json', *formats])}")
        return formats.get(named)
    if request.headers.get("Accept") in _ANYTHING:
        return None
    accept = request.accept_mimetypes
    if not accept:
        return None
    by_type = {item.media_type: item for item in formats.values()}
    best = _best(accept, [JSON_TYPE, *by_type])
    return by_type.get(best)


def _best(accept: MIMEAccept, offered: list[str]) -> str:
    best = accept.best_match(offered)
    if best is None:
        raise HttpError(406, f"this is given as {', '.join(offered)}", code="not_acceptable")
    return best


def answer_list(repository: ReadRepository, query: ListQuery, formats: Mapping[str, Format]) -> Response:
    """Return a list as JSON with its page, or as a stream in another format."""
    style = chosen(formats)
    if style is None:
        return json_page(repository.listing, query, repository.page(query.request, query.counting))
    wanted = replace(query.request, shape=_with_fields(query.request.shape, style.needs))
    headers = {"Content-Disposition": f'attachment; filename="{repository.listing.name}.{style.extension}"'}
    if query.limited:
        page = repository.page(wanted)
        chunks = iter([page.documents])
        headers |= _link(_cursor(repository.listing, query, page))
    else:
        # The first chunk is read before the answer starts, so that a fault at the outset is still a clean 503.
        rest = repository.stream(wanted)
        chunks = itertools.chain([next(rest)], rest)
    body = iter(style.write(repository.listing, query.request.shape, chunks))
    # So is one of the writer's own.
    body = itertools.chain([next(body, b"")], body)
    return Response(body, content_type=_content_type(style.media_type), headers=headers)


def _with_fields(shape: Shape, names: tuple[str, ...]) -> Shape:
    if shape.only:
        return replace(shape, only=(*shape.only, *names))
    return replace(shape, include=(*shape.include, *names))


def _content_type(media_type: str) -> str:
    return f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type


def json_page(listing: Listing, query: ListQuery, page: Page) -> Response:
    """Return a page as JSON, with the way to the next."""
    following = _cursor(listing, query, page)
    tail = orjson.dumps({"limit": query.request.limit, "next": following, "count": page.count})
    body = b'{"data":[' + b",".join(page.documents) + b'],"page":' + tail + b"}"
    return Response(body, content_type=JSON_TYPE, headers=_link(following))


def _link(following: str | None) -> dict[str, str]:
    return {} if following is None else {"Link": f'<{next_link(following)}>; rel="next"'}


def _cursor(listing: Listing, query: ListQuery, page: Page) -> str | None:
    if page.next_after is None:
        return None
    return cursors.seal(services().cursor_key, listing, query.request, page.next_after)
