"""Lists and single records as SQL: declared once per resource, composed here and nowhere else.

A `Listing` names the columns that a resource shows, filters and sorts by. From that declaration come the
checks of a request's parameters, the statement, the OpenAPI parameters and the docs. Postgres builds
the JSON of each record, so a page costs one statement whatever its size. That holds for records of other
listings, too, which are shown inside a record where they are asked for by name.

Paging is by key: a cursor holds the sort values of the last record, and the next page starts after
them. Records whose leading sort value is null come last, as a branch of their own, so that each branch
is one plain index scan in either direction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import lru_cache
from typing import Final, LiteralString, TypeAlias
from uuid import UUID

from psycopg import sql

from database.statements import Statement

ESTIMATE_CAP: Final = 10_000
MAX_INCLUDED: Final = 100
"""How many records of one kind are shown inside another record."""
MAX_INCLUDED_ON_PAGE: Final = 10_000
"""How many of one kind a whole page may show; shared out among its records."""
TIMESTAMP_FORMAT: Final = """'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"""


class Kind(StrEnum):
    """What a field holds, named as the Postgres type that its filter values are cast to."""

    TEXT = "text"
    UUID = "uuid"
    FLOAT = "float8"
    INTEGER = "int8"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamptz"
    JSON = "jsonb"


class Detail(IntEnum):
    """How much of a record is shown; each level holds the one before."""

    MINIMAL = 1
    STANDARD = 2
    FULL = 3


_ORDERED: Final = ("exact", "in", "gt", "gte", "lt", "lte", "range", "isnull")
_TEXTUAL: Final = ("iexact", "contains", "icontains", "startswith", "istartswith")
OPERATORS: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.TEXT: (*_ORDERED, *_TEXTUAL),
    Kind.UUID: ("exact", "in", "isnull"),
    Kind.FLOAT: _ORDERED,
    Kind.INTEGER: _ORDERED,
    Kind.BOOLEAN: ("exact", "isnull"),
    Kind.TIMESTAMP: _ORDERED,
    Kind.JSON: (),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a resource: what clients call it and the SQL behind it."""

    name: str
    kind: Kind
    column: LiteralString
    detail: Detail = Detail.STANDARD
    sortable: bool = False
    nullable: bool = False
    filterable: bool = True
    description: str = ""

    @property
    def operators(self) -> tuple[str, ...]:
        """Filter operators that the field takes."""
        return OPERATORS[self.kind] if self.filterable else ()


@dataclass(frozen=True, slots=True)
class Related:
    """Records that hang on a resource, shown inside it: a subquery that gives one JSON value."""

    name: str
    subquery: LiteralString
    detail: Detail = Detail.FULL
    description: str = ""


@dataclass(frozen=True, slots=True)
class Sort:
    """One sort column and its direction."""

    name: str
    descending: bool = False

    def __str__(self) -> str:
        """Return the form that `order_by` takes."""
        return f"-{self.name}" if self.descending else self.name


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition; `value` is typed already, a tuple for `in` and `range`."""

    name: str
    operator: str
    value: object


@dataclass(frozen=True, slots=True)
class Shape:
    """Which parts of a record are shown."""

    detail: Detail = Detail.STANDARD
    include: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    inclusions: tuple[Inclusion, ...] = ()
    """Records of other listings, which belong to no level."""


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """What a listing has within one parent: the members of a team, the molecules of a project."""

    parent: str
    """What the parent is called in sentences and, with `_id` behind it, in addresses."""
    condition: LiteralString
    """Which records belong to the parent, with the placeholder `%(parent)s`."""
    find: LiteralString
    """Statement that gives a row where the caller may see the parent `%(parent)s`."""


@dataclass(frozen=True, slots=True)
class ListRequest:
    """A list as a client asked for it, checked against the listing."""

    shape: Shape = Shape()
    filters: tuple[Filter, ...] = ()
    order: tuple[Sort, ...] = ()
    limit: int = 50
    after: tuple[str | None, ...] | None = None
    """Sort values of the last record of the page before, as Postgres wrote them."""
    query: str | None = None
    within: tuple[Scope, UUID] | None = None
    """The parent that the list is narrowed to."""


# Compared as what it is, one object a resource: its statements are cached, and its fields are many to hash.
@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """All that can be asked of one resource's records."""

    name: str
    source: LiteralString
    fields: tuple[Field, ...]
    related: tuple[Related, ...] = ()
    default_order: tuple[Sort, ...] = (Sort("created_at", descending=True),)
    search: LiteralString | None = None
    """Condition for `q`, with the placeholder `%(q)s`."""
    key: str = "id"
    """The field that tells records apart; every order ends with it."""
    record_version: LiteralString | None = None
    """SQL of the number that grows with each change of a record; the field `version`, where it is not said."""
    defaults: tuple[Filter, ...] = ()
    """Conditions on fields that hold where a request says nothing of them."""
    count_visible: LiteralString | None = None
    """Statement that counts all that a signed-in user sees, where that is quicker than to look at every record."""
    by_name: Mapping[str, Field] = field(init=False, hash=False, compare=False)

    def __post_init__(self) -> None:
        """Index the fields by name."""
        object.__setattr__(self, "by_name", {item.name: item for item in self.fields})

    @property
    def sortable(self) -> tuple[str, ...]:
        """Names that `order_by` takes."""
        return tuple(item.name for item in self.fields if item.sortable)

    @property
    def shown(self) -> tuple[str, ...]:
        """Names that `only` takes."""
        return tuple(item.name for item in self.fields) + tuple(item.name for item in self.related)

    def parts(self, shape: Shape) -> tuple[Field | Related | Inclusion, ...]:
        """Return the fields, parts and records of other listings that a shape shows, in order."""
        every: tuple[Field | Related, ...] = (*self.fields, *self.related)
        if shape.only:
            own = (item for item in every if item.name in shape.only)
        else:
            own = (item for item in every if item.detail <= shape.detail or item.name in shape.include)
        return (*own, *shape.inclusions)

    def complete_order(self, order: tuple[Sort, ...]) -> tuple[Sort, ...]:
        """Return the order with the key behind it, in the same direction so that one index serves both."""
        order = order or self.default_order
        if any(sort.name == self.key for sort in order):
            return order
        return (*order, Sort(self.key, descending=order[-1].descending))


@dataclass(frozen=True, slots=True, eq=False)
class Many:
    """The newest of another listing's records within a record: `{"data": [...], "more": false}`."""

    name: str
    listing: Listing
    scope: Scope
    """Which records; the same as in the list of its own within this parent."""
    shape: Shape = Shape(Detail.MINIMAL)


@dataclass(frozen=True, slots=True, eq=False)
class One:
    """Another listing's record that a field of a record refers to; null where the caller does not see it."""

    name: str
    listing: Listing
    key: str
    """The field that holds the other's key."""
    shape: Shape = Shape(Detail.MINIMAL)


Inclusion: TypeAlias = Many | One


@dataclass(frozen=True, slots=True)
class Plan:
    """A statement and the values it is run with."""

    statement: Statement
    parameters: dict[str, object]
    keys: tuple[str, ...] = ()
    """Fields of the record that a cursor is made of; none where further columns hold its values."""


@lru_cache(maxsize=512)
def compose_one(listing: Listing, shape: Shape, scope: Scope | None = None) -> Statement:
    """Return the statement that gives (json, version) of the record with `%(id)s`, of `%(parent)s` in a scope."""
    statement = sql.SQL("SELECT {document}, {version} FROM {source} WHERE {id} = %(id)s{within}")
    composed = statement.format(
        document=_document(listing, shape, MAX_INCLUDED),
        version=sql.SQL(listing.record_version) if listing.record_version else _column(listing, "version"),
        source=sql.SQL(listing.source),
        id=_column(listing, listing.key),
        within=sql.SQL(" AND ({})").format(sql.SQL(scope.condition)) if scope else sql.SQL(""),
    )
    return Statement(composed.as_string(), f"{listing.name}.one")


def compose_page(listing: Listing, request: ListRequest) -> Plan:
    """Return the statement for one page, one record more than asked for.

    Its rows are (json), where the record shows all that it is sorted by, else (json, sort value, ...).
    """
    parameters = _parameters(request)
    # Postgres keeps no plan for a LIMIT that it is not told, and would plan each such page anew. Where values filter
    # it had better: a plan for any value is not the one for these.
    limit = None if request.filters or request.within or request.query is not None else request.limit + 1
    order = listing.complete_order(request.order)
    statement = _page_statement(
        listing,
        request.shape,
        _filter_keys(request),
        order,
        None if request.after is None else tuple(value is None for value in request.after),
        has_query=request.query is not None,
        limit=limit,
        included=_included(request),
        scope=_scope(request),
    )
    keys = tuple(sort.name for sort in order) if _shows_order(listing, request.shape, order) else ()
    if limit is None:
        parameters["limit"] = request.limit + 1
    return Plan(statement, parameters, keys)


def _included(request: ListRequest) -> int:
    # What shows no other records is one statement whatever its limit.
    return min(MAX_INCLUDED, MAX_INCLUDED_ON_PAGE // request.limit) if request.shape.inclusions else 0


def _shows_order(listing: Listing, shape: Shape, order: tuple[Sort, ...]) -> bool:
    return {sort.name for sort in order} <= {item.name for item in listing.parts(shape)}


def compose_count(listing: Listing, request: ListRequest, *, signed_in: bool = False) -> Plan:
    """Return the statement that counts the records which the filters let through, for a signed-in user the quickest."""
    if signed_in and listing.count_visible and not (request.filters or request.query is not None or request.within):
        return Plan(Statement(listing.count_visible, f"{listing.name}.count"), {})
    return _counting("count", "SELECT count(*) FROM {source}{where}", listing, request)


def compose_estimate(listing: Listing, request: ListRequest) -> Plan:
    """Return the statement that counts up to `ESTIMATE_CAP` of the records which the filters let through.

    The planner's estimate would be quicker, but it speaks of rows that the caller may not see.
    """
    counted: LiteralString = "SELECT count(*) FROM (SELECT FROM {source}{where} LIMIT %(cap)s) AS capped"
    return _counting("estimate", counted, listing, request, cap=ESTIMATE_CAP)


def compose_parent(scope: Scope, parent: UUID) -> Plan:
    """Return the statement that gives a row where the caller may see the parent of a list."""
    return Plan(_find_statement(scope), {"parent": parent})


@lru_cache(maxsize=64)
def _find_statement(scope: Scope) -> Statement:
    return Statement(scope.find, f"{scope.parent}.find")


def _counting(name: str, template: LiteralString, listing: Listing, request: ListRequest, **more: object) -> Plan:
    conditions = _conditions(listing, _filter_keys(request), has_query=request.query is not None, scope=_scope(request))
    statement = sql.SQL(template).format(source=sql.SQL(listing.source), where=_where(conditions))
    return Plan(Statement(statement.as_string(), f"{listing.name}.{name}"), _parameters(request) | more)


def _scope(request: ListRequest) -> Scope | None:
    return request.within[0] if request.within else None


def _filter_keys(request: ListRequest) -> tuple[tuple[str, str], ...]:
    return tuple((item.name, item.operator) for item in request.filters)


def _parameters(request: ListRequest) -> dict[str, object]:
    values: dict[str, object] = {}
    for index, item in enumerate(request.filters):
        if item.operator == "range":
            values[f"f{index}_low"], values[f"f{index}_high"] = item.value  # type: ignore[misc]
        else:
            values[f"f{index}"] = _pattern(item) if item.operator in _TEXTUAL else item.value
    for index, value in enumerate(request.after or ()):
        values[f"k{index}"] = value
    if request.query is not None:
        values["q"] = request.query
    if request.within is not None:
        values["parent"] = request.within[1]
    return values


def _pattern(item: Filter) -> str:
    text = str(item.value)
    if item.operator == "iexact":
        return text
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%" if item.operator.endswith("contains") else f"{escaped}%"


@lru_cache(maxsize=1024)
def _page_statement(  # noqa: PLR0913 - all that tells one statement from another
    listing: Listing,
    shape: Shape,
    filters: tuple[tuple[str, str], ...],
    order: tuple[Sort, ...],
    after: tuple[bool, ...] | None,
    *,
    has_query: bool,
    limit: int | None,
    included: int,
    scope: Scope | None,
) -> Statement:
    rows = sql.Placeholder("limit") if limit is None else sql.Literal(limit)
    conditions = _conditions(listing, filters, has_query=has_query, scope=scope)
    leading = listing.by_name[order[0].name]
    branches: list[tuple[sql.Composable, ...]]
    if not leading.nullable:
        branches = [tuple(_after(listing, order, after))]
    else:
        not_null = sql.SQL("{} IS NOT NULL").format(sql.SQL(leading.column))
        null = sql.SQL("{} IS NULL").format(sql.SQL(leading.column))
        branches = [(null, *_after_null(listing, order, after))]
        if after is None or not after[0]:
            branches.insert(0, (not_null, *_after(listing, order, after)))
    document = _document(listing, shape, included)
    shown = _shows_order(listing, shape, order)
    columns = [document] if shown else [document, *_keys(listing, order)]
    selects = [_select(listing, columns, [*conditions, *branch], order, rows) for branch in branches]
    name = f"{listing.name}.page"
    if len(selects) == 1:
        return Statement(selects[0].as_string(), name)
    # Each branch is in order and the first is read whole before the second, so the union needs no sort and
    # no more rows of the second branch are read than are missing.
    return Statement(sql.SQL("({}) UNION ALL ({}) LIMIT {}").format(*selects, rows).as_string(), name)


def _keys(listing: Listing, order: tuple[Sort, ...]) -> list[sql.Composed]:
    return [sql.SQL("{}::text").format(_column(listing, sort.name)) for sort in order]


def _select(
    listing: Listing,
    columns: Sequence[sql.Composable],
    conditions: Sequence[sql.Composable],
    order: tuple[Sort, ...],
    rows: sql.Composable,
) -> sql.Composed:
    return sql.SQL("SELECT {columns} FROM {source}{where} ORDER BY {order} LIMIT {rows}").format(
        columns=sql.SQL(", ").join(columns),
        source=sql.SQL(listing.source),
        where=_where(conditions),
        order=_order_by(listing, order),
        rows=rows,
    )


def _order_by(listing: Listing, order: tuple[Sort, ...]) -> sql.Composed:
    return sql.SQL(", ").join(_sort(listing, sort, leading=index == 0) for index, sort in enumerate(order))


def _sort(listing: Listing, sort: Sort, *, leading: bool) -> sql.Composed:
    # The leading column is never null inside a branch, so its nulls need no place and its index serves.
    place = "" if leading or not listing.by_name[sort.name].nullable else " NULLS LAST"
    return sql.SQL("{}{}{}").format(
        _column(listing, sort.name), sql.SQL(" DESC" if sort.descending else ""), sql.SQL(place)
    )


def _after(listing: Listing, order: tuple[Sort, ...], after: tuple[bool, ...] | None) -> list[sql.Composable]:
    """Return what holds for records behind the cursor, whose leading value is not null."""
    if after is None:
        return []
    bound = sql.SQL("{} {} {}").format(
        _column(listing, order[0].name), sql.SQL("<=" if order[0].descending else ">="), _key(listing, order, 0)
    )
    return [bound, _beyond(listing, order, after, 0)]


def _after_null(listing: Listing, order: tuple[Sort, ...], after: tuple[bool, ...] | None) -> list[sql.Composable]:
    if after is None or not after[0]:
        return []
    return [_beyond(listing, order, after, 1)]


def _beyond(listing: Listing, order: tuple[Sort, ...], after: tuple[bool, ...], start: int) -> sql.Composed:
    """Return the lexicographic comparison with the cursor, from the column `start` on."""
    alternatives = [
        sql.SQL(" AND ").join(
            [
                *(_equal(listing, order, after, before) for before in range(start, index)),
                _strictly(listing, order, index),
            ]
        )
        for index in range(start, len(order))
        if not after[index]
    ]
    return sql.SQL("({})").format(sql.SQL(" OR ").join(alternatives))


def _strictly(listing: Listing, order: tuple[Sort, ...], index: int) -> sql.Composed:
    column, sort = _column(listing, order[index].name), order[index]
    condition = sql.SQL("{} {} {}").format(
        column, sql.SQL("<" if sort.descending else ">"), _key(listing, order, index)
    )
    if index > 0 and listing.by_name[sort.name].nullable:
        return sql.SQL("({} OR {} IS NULL)").format(condition, column)
    return condition


def _equal(listing: Listing, order: tuple[Sort, ...], after: tuple[bool, ...], index: int) -> sql.Composed:
    column = _column(listing, order[index].name)
    if after[index]:
        return sql.SQL("{} IS NULL").format(column)
    return sql.SQL("{} = {}").format(column, _key(listing, order, index))


def _key(listing: Listing, order: tuple[Sort, ...], index: int) -> sql.Composed:
    return _cast(sql.Placeholder(f"k{index}"), listing.by_name[order[index].name].kind)


def _cast(value: sql.Composable, kind: Kind, *, array: bool = False) -> sql.Composed:
    return sql.SQL("{}::{}{}").format(value, sql.SQL(kind.value), sql.SQL("[]" if array else ""))


def _conditions(
    listing: Listing, filters: tuple[tuple[str, str], ...], *, has_query: bool, scope: Scope | None
) -> list[sql.Composable]:
    conditions: list[sql.Composable] = [
        _condition(listing.by_name[name], operator, index) for index, (name, operator) in enumerate(filters)
    ]
    if has_query and listing.search is not None:
        conditions.append(sql.SQL(listing.search))
    if scope is not None:
        conditions.append(sql.SQL("({})").format(sql.SQL(scope.condition)))
    return conditions


_COMPARISONS: Final[Mapping[str, LiteralString]] = {"exact": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_LIKES: Final[Mapping[str, LiteralString]] = {
    "contains": "LIKE",
    "startswith": "LIKE",
    "icontains": "ILIKE",
    "istartswith": "ILIKE",
}


def _condition(item: Field, operator: str, index: int) -> sql.Composed:
    column = sql.SQL(item.column)
    value = sql.Placeholder(f"f{index}")
    if operator in _COMPARISONS:
        return sql.SQL("{} {} {}").format(column, sql.SQL(_COMPARISONS[operator]), _cast(value, item.kind))
    if operator in _LIKES:
        return sql.SQL("{} {} {}").format(column, sql.SQL(_LIKES[operator]), _cast(value, Kind.TEXT))
    if operator == "iexact":
        return sql.SQL("lower({}) = lower({})").format(column, _cast(value, Kind.TEXT))
    if operator == "in":
        return sql.SQL("{} = ANY ({})").format(column, _cast(value, item.kind, array=True))
    if operator == "range":
        low, high = (_cast(sql.Placeholder(f"f{index}_{end}"), item.kind) for end in ("low", "high"))
        return sql.SQL("{} BETWEEN {} AND {}").format(column, low, high)
    # The value decides between two statements without becoming part of either.
    return sql.SQL("({} IS NULL) = {}").format(column, _cast(value, Kind.BOOLEAN))


def _where(conditions: Sequence[sql.Composable]) -> sql.Composable:
    return sql.SQL(" WHERE {}").format(sql.SQL(" AND ").join(conditions)) if conditions else sql.SQL("")


def _column(listing: Listing, name: str) -> sql.SQL:
    return sql.SQL(listing.by_name[name].column)


def _document(listing: Listing, shape: Shape, included: int) -> sql.Composed:
    """Return the expression that builds one record's JSON, with so many of each other listing's records at most."""
    columns = [
        sql.SQL("{} AS {}").format(_shown(listing, item, included), sql.Identifier(item.name))
        for item in listing.parts(shape)
    ]
    return sql.SQL("(SELECT row_to_json(d) FROM (SELECT {}) AS d)").format(sql.SQL(", ").join(columns))


def _shown(listing: Listing, item: Field | Related | Inclusion, included: int) -> sql.Composable:
    if isinstance(item, Related):
        return sql.SQL("({})").format(sql.SQL(item.subquery))
    if isinstance(item, Many):
        return _many(listing, item, included)
    if isinstance(item, One):
        return _one(listing, item)
    if item.kind is Kind.TIMESTAMP:
        return sql.SQL("to_char({} AT TIME ZONE 'UTC', {})").format(sql.SQL(item.column), sql.SQL(TIMESTAMP_FORMAT))
    return sql.SQL(item.column)


# Two listings may call their tables alike: as `parent` the outer record's key is told from all of the inner one's.
def _many(listing: Listing, item: Many, included: int) -> sql.Composed:
    inner = item.listing
    # One more than is shown tells whether there are more.
    newest = sql.SQL(
        "SELECT {document} AS document FROM (SELECT {key} AS id) AS parent, {source} WHERE ({within})"
        " ORDER BY {order} LIMIT {rows}"
    ).format(
        document=_document(inner, item.shape, included),
        key=_column(listing, listing.key),
        source=sql.SQL(inner.source),
        within=sql.SQL(item.scope.condition.replace("%(parent)s", "parent.id")),
        order=_order_by(inner, inner.complete_order(())),
        rows=sql.Literal(included + 1),
    )
    return sql.SQL(
        "(SELECT row_to_json(d) FROM ("
        "SELECT coalesce(array_to_json((array_agg(n.document))[:{included}]), '[]') AS data,"
        " count(*) > {included} AS more FROM ({newest}) AS n) AS d)"
    ).format(included=sql.Literal(included), newest=newest)


def _one(listing: Listing, item: One) -> sql.Composed:
    inner = item.listing
    return sql.SQL("(SELECT {document} FROM (SELECT {key} AS id) AS parent, {source} WHERE {id} = parent.id)").format(
        document=_document(inner, item.shape, MAX_INCLUDED),
        key=_column(listing, item.key),
        source=sql.SQL(inner.source),
        id=_column(inner, inner.key),
    )
