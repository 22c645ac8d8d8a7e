"""List parameters: from a query string to a `ListRequest` that the listing allows, and back to links.

Whatever is not declared is refused by name: a parameter, a field, an operator, a sort column. A refusal
says what exists.
"""

from __future__ import annotations

import datetime as dt
import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar, cast
from urllib.parse import urlencode
from uuid import UUID

from flask import request
from werkzeug.datastructures import MultiDict

from api.common import cursor as cursors
from api.common.context import services
from api.common.json import unstorable
from api.common.query import refuse_unknown
from app.errors import Fault, InvalidError, MalformedError
from database.listing import Detail, Field, Filter, Kind, Listing, ListRequest, Scope, Shape, Sort
from database.repositories.base import Counting
from database.repositories.inclusions import inclusions_of, names_of

_V = TypeVar("_V", bound=Callable[..., Any])
DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 1000
MAX_IN_VALUES: Final = 1000
MAX_TEXT: Final = 10_000
MAX_QUERY_TEXT: Final = 500
SHAPE_PARAMETERS: Final = frozenset({"detail", "include", "only"})
LIST_PARAMETERS: Final = SHAPE_PARAMETERS | {"limit", "cursor", "order_by", "count", "modified_after", "format"}
DETAILS: Final = {"minimal": Detail.MINIMAL, "standard": Detail.STANDARD, "full": Detail.FULL}
COUNTINGS: Final[tuple[Counting, ...]] = ("none", "exact", "estimated")
STANDARD_SHAPE: Final = Shape()
_BLANK_BEFORE_ZONE: Final = re.compile(r"(T\S+) (\d{2}(?::?\d{2})?)")


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A list request with what concerns the answer around it."""

    request: ListRequest
    counting: Counting
    limited: bool
    """Whether the client named a limit; streams are whole without one."""


def lists(listing: Listing, scope: Scope | None = None) -> Callable[[_V], _V]:
    """Give the view its list parameters as `query`; of a scope, the parent that the address names is part of it."""

    def decorate(view: _V) -> _V:
        @functools.wraps(view)
        def wrapper(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any view
            within = (scope, kwargs.pop(f"{scope.parent}_id")) if scope else None
            return view(*args, query=read_list(listing, within), **kwargs)

        wrapper.reads_query = True  # type: ignore[attr-defined]
        wrapper.listing = listing  # type: ignore[attr-defined]
        wrapper.scope = scope  # type: ignore[attr-defined]
        return cast("_V", wrapper)

    return decorate


def shapes(listing: Listing) -> Callable[[_V], _V]:
    """Give the view `detail`, `include` and `only` as `shape`."""

    def decorate(view: _V) -> _V:
        @functools.wraps(view)
        def wrapper(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any view
            return view(*args, shape=read_shape(listing), **kwargs)

        wrapper.reads_query = True  # type: ignore[attr-defined]
        wrapper.shape_listing = listing  # type: ignore[attr-defined]
        return cast("_V", wrapper)

    return decorate


def read_shape(listing: Listing) -> Shape:
    """Return which parts of a single record are asked for.

    Raises:
        MalformedError: A parameter or a field is unknown.
    """
    if not request.args:
        return STANDARD_SHAPE
    refuse_unknown(SHAPE_PARAMETERS)
    return _shape(listing, _once(request.args))


def read_list(listing: Listing, within: tuple[Scope, UUID] | None = None) -> ListQuery:
    """Return the list that the query string asks for, within one parent where one is given.

    Raises:
        MalformedError: A parameter, field or operator is unknown, or the cursor is not of this query.
        InvalidError: A value is of the wrong kind or out of range.
    """
    args = _once(request.args)
    known = parameters_of(listing)
    filters = read_filters(listing, {name: text for name, text in args.items() if name not in known}, sorted(known))
    if "modified_after" in args:
        # What never changes has been modified when it was made.
        moment = "updated_at" if "updated_at" in listing.by_name else "created_at"
        filters += (Filter(moment, "gt", _value(Kind.TIMESTAMP, "modified_after", args["modified_after"])),)
    filtered = {item.name for item in filters}
    filters += tuple(item for item in listing.defaults if item.name not in filtered)
    wanted = ListRequest(
        shape=_shape(listing, args),
        filters=filters,
        order=_order(listing, args.get("order_by")),
        limit=_limit(args.get("limit")),
        query=_search(args.get("q")),
        within=within,
    )
    if "cursor" in args:
        after = cursors.unseal(services().cursor_key, listing, wanted, args["cursor"])
        wanted = replace(wanted, after=after)
    return ListQuery(wanted, _counting(args.get("count")), limited="limit" in args)


def parameters_of(listing: Listing) -> frozenset[str]:
    """Return the parameters that a list has beside its filters."""
    return LIST_PARAMETERS | {"q"} if listing.search else LIST_PARAMETERS


def read_filters(listing: Listing, args: Mapping[str, str], beside: Sequence[str] = ()) -> tuple[Filter, ...]:
    """Return the filters that parameters stand for, in the order of their names.

    `beside` are parameters that are no filters and could be meant, too.

    Raises:
        MalformedError: A field or operator is unknown.
        InvalidError: A value is of the wrong kind.
    """
    return tuple(_filter(listing, name, text, beside) for name, text in sorted(args.items()))


def next_link(cursor: str) -> str:
    """Return the address of the next page, with every parameter of this one."""
    args = [(name, text) for name, text in request.args.items(multi=True) if name != "cursor"]
    return f"{request.base_url}?{urlencode([*args, ('cursor', cursor)])}"


def _once(args: MultiDict[str, str]) -> dict[str, str]:
    for name, texts in args.lists():
        if len(texts) > 1:
            msg = f"the parameter {name[:100]!r} is given more than once"
            raise MalformedError(msg, code="repeated_parameter")
        if unstorable(texts[0]):
            raise InvalidError.at(name[:100], "a text may hold neither NUL nor half a surrogate pair")
        if len(texts[0]) > MAX_TEXT:
            raise InvalidError.at(name[:100], f"a value has at most {MAX_TEXT:,} characters")
    return args.to_dict()


def _shape(listing: Listing, args: dict[str, str]) -> Shape:
    detail = args.get("detail", "standard")
    if detail not in DETAILS:
        raise InvalidError.at("detail", f"must be one of {', '.join(DETAILS)}")
    include = _names("include", args.get("include"), listing)
    only = _names("only", args.get("only"), listing)
    inclusions = tuple(item for item in inclusions_of(listing) if item.name in (only or include))
    return Shape(DETAILS[detail], include, only, inclusions)


def _names(parameter: str, text: str | None, listing: Listing) -> tuple[str, ...]:
    if text is None:
        return ()
    known = names_of(listing)
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in known:
            msg = f"{parameter}: unknown field {name[:100]!r}; known: {', '.join(sorted(known))}"
            raise MalformedError(msg, code="unknown_field")
    return names


def _order(listing: Listing, text: str | None) -> tuple[Sort, ...]:
    if text is None:
        return ()
    sorts = tuple(Sort(part.strip().removeprefix("-"), part.strip().startswith("-")) for part in text.split(","))
    names = [sort.name for sort in sorts]
    for name in names:
        if name not in listing.sortable:
            msg = f"order_by: cannot sort by {name[:100]!r}; sortable: {', '.join(listing.sortable)}"
            raise MalformedError(msg, code="unknown_field")
    # A field that is named again changes nothing about the order.
    return tuple(sort for index, sort in enumerate(sorts) if sort.name not in names[:index])


def _limit(text: str | None) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_LIMIT)) and 1 <= int(text) <= MAX_LIMIT):
        raise InvalidError.at("limit", f"must be a whole number from 1 to {MAX_LIMIT}")
    return int(text)


def _counting(text: str | None) -> Counting:
    for counting in COUNTINGS:
        if text == counting:
            return counting
    if text is not None:
        raise InvalidError.at("count", f"must be one of {', '.join(COUNTINGS)}")
    return "none"


def _search(text: str | None) -> str | None:
    if text is None:
        return None
    if not text.strip() or len(text) > MAX_QUERY_TEXT:
        raise InvalidError.at("q", f"must have 1 to {MAX_QUERY_TEXT} characters")
    return text


def _filter(listing: Listing, parameter: str, text: str, beside: Sequence[str]) -> Filter:
    name, marker, operator = parameter.partition("__")
    field = listing.by_name.get(name)
    if field is None or not field.operators:
        known = [*beside, *sorted(item.name for item in listing.fields if item.operators)]
        msg = f"unknown parameter {parameter[:100]!r}; known: {', '.join(known)}"
        raise MalformedError(msg, code="unknown_parameter")
    operator = operator if marker else "exact"
    if operator not in field.operators:
        msg = f"{name} has no operator {operator[:100]!r}; it has {', '.join(field.operators)}"
        raise MalformedError(msg, code="unknown_operator")
    return Filter(name, operator, _operand(field, operator, parameter, text))


def _operand(field: Field, operator: str, parameter: str, text: str) -> object:
    if operator == "isnull":
        return _value(Kind.BOOLEAN, parameter, text)
    if operator in {"in", "range"}:
        values = tuple(_value(field.kind, parameter, part) for part in text.split(","))
        if operator == "in":
            if len(values) > MAX_IN_VALUES:
                raise InvalidError.at(parameter, f"takes at most {MAX_IN_VALUES} values")
            return list(values)
        if len(values) != 2:  # noqa: PLR2004 - a range has two ends
            raise InvalidError.at(parameter, "must be two values with a comma between them")
        return values
    return _value(field.kind, parameter, text)


def _value(kind: Kind, parameter: str, text: str) -> object:
    try:
        return _PARSERS[kind](text)
    except ValueError as error:
        detail = f"must be {_EXPECTED[kind]}"
        raise InvalidError(detail, code="invalid_values", faults=[Fault(parameter, detail)]) from error


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or "_" in text:
        raise ValueError(text)
    return value


def _integer(text: str) -> int:
    value = int(text)
    if not -(2**63) <= value < 2**63 or "_" in text:
        raise ValueError(text)
    return value


def _boolean(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError(text)
    return text.lower() == "true"


def _timestamp(text: str) -> dt.datetime:
    # A plus sign that was not encoded arrives as a blank.
    value = dt.datetime.fromisoformat(_BLANK_BEFORE_ZONE.sub(r"\1+\2", text.strip()))
    value = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
    try:
        return value.astimezone(dt.UTC)
    except OverflowError as error:
        raise ValueError(text) from error


def _uuid(text: str) -> UUID:
    if len(text) != 36:  # noqa: PLR2004 - the usual form only; UUID() takes braces and urn: as well
        raise ValueError(text)
    return UUID(text)


_PARSERS: Final[dict[Kind, Callable[[str], object]]] = {
    Kind.TEXT: str,
    Kind.UUID: _uuid,
    Kind.FLOAT: _float,
    Kind.INTEGER: _integer,
    Kind.BOOLEAN: _boolean,
    Kind.TIMESTAMP: _timestamp,
}
_EXPECTED: Final = {
    Kind.TEXT: "a text",
    Kind.UUID: "a UUID",
    Kind.FLOAT: "a finite number",
    Kind.INTEGER: "a whole number",
    Kind.BOOLEAN: "true or false",
    Kind.TIMESTAMP: "a time such as 2026-01-31T12:00:00Z",
}
