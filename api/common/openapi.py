"""The OpenAPI 3.1 document, made from what the views already declare.

Nothing is written twice: parameters come from the listings and the query schemas, bodies from the body
schemas, records from the listings' fields, summaries from docstrings, security from the access marks.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask
from marshmallow import Schema
from werkzeug.routing import Rule

from api.common.access import METHODS, mark_of
from api.common.body import JSON_TYPE
from api.common.cursor import MAX_CURSOR_LENGTH
from api.common.errors import PROBLEM_JSON
from api.common.formats import Offer
from api.common.listing import COUNTINGS, DETAILS, MAX_LIMIT, MAX_QUERY_TEXT
from api.common.shapes import array, record
from database.listing import ESTIMATE_CAP, MAX_INCLUDED, MAX_INCLUDED_ON_PAGE, Inclusion, Kind, Listing, Many
from database.repositories.inclusions import inclusions_of, names_of

_V = TypeVar("_V", bound=Callable[..., Any])
_CONVERTERS: Final = re.compile(r"<(?:(\w+):)?(\w+)>")
_KINDS: Final[dict[Kind, dict[str, Any]]] = {
    Kind.TEXT: {"type": "string"},
    Kind.UUID: {"type": "string", "format": "uuid"},
    Kind.FLOAT: {"type": "number"},
    Kind.INTEGER: {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.TIMESTAMP: {"type": "string", "format": "date-time"},
    Kind.JSON: {"type": "object"},
}
_UUID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
# What a value of each kind looks like inside a list with commas.
_ITEMS: Final[dict[Kind, str]] = {
    Kind.TEXT: "[^,\\x00]*",
    Kind.UUID: _UUID,
    Kind.FLOAT: "-?[0-9]{1,12}(\\.[0-9]{1,6})?",
    Kind.INTEGER: "-?[0-9]{1,12}",
    Kind.TIMESTAMP: "20[0-9]{2}-0[1-9]-[01][1-9]T[01][0-9]:[0-5][0-9]:[0-5][0-9]Z",
}
_ETAG: Final = {"type": "string", "pattern": '^(\\*|"[0-9]{1,9}-[0-9a-f]{16}")$', "examples": ["*"]}
_ETAG_HEADERS: Final = {"ETag": {"schema": {"type": "string"}, "description": "Version and hash."}}
_KEY: Final = {"type": "string", "pattern": "^[!-~]([ -~]{0,253}[!-~])?$"}
_PREFERENCE: Final = {"type": "string", "examples": ["tx=rollback"]}
_PROBLEMS: Final = {
    400: "The request cannot be read, or names something that does not exist.",
    401: "A token is needed, or the one sent cannot be accepted.",
    403: "The caller may not do this.",
    404: "There is no such record, or none that the caller may see.",
    406: "None of the formats asked for is offered.",
    409: "The request contradicts what is stored.",
    412: "The record was changed meanwhile.",
    413: "The body is too large.",
    414: "The address is too long.",
    415: "The body's media type is not taken.",
    422: "The values cannot be accepted; `errors` points to each.",
    428: "If-Match is needed.",
    429: "Too many requests; see Retry-After.",
    503: "A part that this needs does not answer now; see Retry-After.",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A named JSON shape that a view answers with."""

    name: str
    schema: Mapping[str, Any]
    has_etag: bool = False
    """Whether it is a representation of one record."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a view's declarations do not say by themselves."""

    status: int = 200
    again: int | None = None
    """What a PUT answers where the record was there already."""
    listing: Listing | None = None
    record: Listing | None = None
    answer: Answer | None = None
    formats: Mapping[str, Offer] = field(default_factory=dict)
    media_type: str = JSON_TYPE
    body_many: type[Schema] | None = None
    body_max: int | None = None
    """How many records `body_many` takes."""
    body_any: str | None = None
    """Description of a JSON body that is taken as its source sends it."""
    body_types: tuple[str, ...] = (JSON_TYPE,)
    conditional: bool = False
    """Whether a change asks for If-Match."""
    may_be_conditional: bool = False
    """Whether a change heeds If-Match where it is sent."""
    accepted: Listing | None = None
    """What a POST answers with 202 where its work is done later."""
    effect: bool = True
    """Whether a POST changes anything."""
    may_be_absent: bool = False
    """Whether the view answers 404 where what it needs is not configured."""
    may_be_refused: bool = False
    """Whether a read refuses some of the callers that see the record."""

    @property
    def has_etag(self) -> bool:
        """Whether the view answers with one representation of one record."""
        return bool(self.record or self.media_type != JSON_TYPE or (self.answer and self.answer.has_etag))


def describes(**said: Any) -> Callable[[_V], _V]:  # noqa: ANN401 - the fields of Description
    """Say what a view answers with."""
    description = Description(**said)

    def decorate(view: _V) -> _V:
        view.description = description  # type: ignore[attr-defined]
        return view

    return decorate


def build(app: Flask, version: str, related: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the OpenAPI document of all views under the API's base path.

    `related` gives the JSON schema of each related record by `listing.name`.
    """
    spec = APISpec(
        title="CryoProtect",
        version=version,
        openapi_version="3.1.0",
        plugins=[MarshmallowPlugin()],
        info={"description": "Keep, compare and predict cryoprotectants.", "license": {"name": "MIT"}},
        servers=[{"url": "/"}],
    )
    spec.components.security_scheme("bearer", {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"})
    spec.components.schema("Problem", component=_problem_schema())
    for status, description in _PROBLEMS.items():
        spec.components.response(f"Problem{status}", _problem_response(status, description))
    writer = _Writer(spec, related)
    for rule, methods in _api_rules(app):
        spec.path(path=_path(rule), operations=writer.operations(app, rule, methods), parameters=_path_parameters(rule))
    return spec.to_dict()


class _Writer:
    def __init__(self, spec: APISpec, related: Mapping[str, Mapping[str, Any]]) -> None:
        self._spec = spec
        self._related = related
        self._known: set[str] = set()

    def operations(self, app: Flask, rule: Rule, methods: list[str]) -> dict[str, Any]:
        resource = getattr(app.view_functions[rule.endpoint], "view_class")  # noqa: B009 - Flask's types do not know it
        return {name: self._operation(rule, name, getattr(resource, name)) for name in methods}

    def _operation(self, rule: Rule, name: str, view: Callable[..., Any]) -> dict[str, Any]:
        said: Description = getattr(view, "description", Description())
        mark = mark_of(view)
        assert mark is not None  # noqa: S101 - start-up has checked it
        lines = inspect.cleandoc(view.__doc__ or "").splitlines()
        operation: dict[str, Any] = {
            "operationId": f"{name}_{rule.endpoint.replace('.', '_')}",
            "summary": lines[0].rstrip(".") if lines else "",
            "tags": [rule.endpoint.partition(".")[0]],
            "security": [{}, {"bearer": []}] if "anon" in mark.roles else [{"bearer": []}],
            "parameters": list(self._parameters(view, name, said)),
            "responses": self._responses(rule, view, name, said),
        }
        if mark.scope:
            operation["description"] = f"Scope: `{mark.scope}`."
        body = self._body(view, said)
        if body:
            operation["requestBody"] = {"required": True, "content": body}
        return operation

    def _parameters(self, view: Callable[..., Any], name: str, said: Description) -> Iterator[dict[str, Any]]:
        if listing := getattr(view, "listing", None):
            yield from list_parameters(listing, said.formats)
        if listing := getattr(view, "shape_listing", None):
            yield from shape_parameters(listing)
        if schema := getattr(view, "query_schema", None):
            yield from self._schema_parameters(schema)
        if said.conditional or said.may_be_conditional:
            when = "" if said.conditional else " Heeded where it is sent."
            yield _header("If-Match", f"The record's ETag, or `*`.{when}", _ETAG, required=said.conditional)
        if name == "get" and said.has_etag:
            yield _header("If-None-Match", "An ETag; 304 where the record still is just that.", {"type": "string"})
        repeatable = said.effect and not getattr(view, "is_unkept", False)
        if name == "post" and repeatable:
            yield _header("Idempotency-Key", "Makes a repeated call give the first answer, for 24 hours.", _KEY)
        if name != "get" and repeatable:
            later = " `respond-async` has the work done later." if said.accepted else ""
            yield _header("Prefer", f"`tx=rollback` answers as if done and keeps nothing.{later}", _PREFERENCE)

    def _schema_parameters(self, schema: type[Schema]) -> Iterator[dict[str, Any]]:
        converter = cast("MarshmallowPlugin", self._spec.plugins[0]).converter
        assert converter is not None  # noqa: S101 - made with the spec
        yield from converter.schema2parameters(schema, location="query")

    def _body(self, view: Callable[..., Any], said: Description) -> dict[str, Any]:
        if said.body_any:
            return {JSON_TYPE: {"schema": {"type": ["object", "array"], "description": said.body_any}}}
        schema = getattr(view, "body_schema", None)
        if schema is not None:
            return {JSON_TYPE: {"schema": self._with_rules(schema)}}
        if said.body_many is not None:
            one = self._with_rules(said.body_many)
            many = {"type": "array", "minItems": 1, "maxItems": said.body_max, "items": one}
            lines = {"type": "string", "description": "One JSON record a line."}
            return {kind: {"schema": many if kind == JSON_TYPE else lines} for kind in said.body_types}
        return {}

    def _with_rules(self, schema: type[Schema]) -> Any:  # noqa: ANN401 - what apispec takes
        """Return a body's schema with the rules over several fields that marshmallow cannot tell apispec."""
        rules = getattr(schema, "rules", None)
        return {"allOf": [schema, rules]} if rules else schema

    def _responses(self, rule: Rule, view: Callable[..., Any], name: str, said: Description) -> dict[str, Any]:
        good: dict[str, Any] = {"description": "Done."}
        if content := self._content(said):
            good["content"] = content
        responses: dict[str, Any] = {str(said.status): good}
        if said.has_etag:
            good["headers"] = _ETAG_HEADERS
            if name == "get":
                responses["304"] = {"description": "Not modified."}
        if said.accepted:
            responses["202"] = {
                "description": "To be done.",
                "headers": _ETAG_HEADERS,
                "content": self._content(Description(record=said.accepted)),
            }
        if said.again:
            responses[str(said.again)] = {**good, "description": "Done; it was there already."}
        for status in self._problems(rule, view, name, said):
            responses[str(status)] = f"Problem{status}"
        return responses

    def _content(self, said: Description) -> dict[str, Any]:
        if said.listing:
            return {JSON_TYPE: {"schema": self._page(said.listing)}} | _texts(said.formats)
        if said.record:
            return {JSON_TYPE: {"schema": {"$ref": f"#/components/schemas/{self._record(said.record)}"}}}
        if said.answer:
            if said.answer.name not in self._known:
                self._known.add(said.answer.name)
                self._spec.components.schema(said.answer.name, component=dict(said.answer.schema))
            return {JSON_TYPE: {"schema": {"$ref": f"#/components/schemas/{said.answer.name}"}}} | _texts(said.formats)
        return {said.media_type: {"schema": {"type": "string"}}} if said.media_type != JSON_TYPE else {}

    def _page(self, listing: Listing) -> dict[str, Any]:
        page = {
            "type": "object",
            "required": ["limit", "next", "count"],
            "properties": {
                "limit": {"type": "integer"},
                "next": {"type": ["string", "null"]},
                "count": {"type": ["integer", "null"]},
            },
        }
        items = {"type": "array", "items": {"$ref": f"#/components/schemas/{self._record(listing)}"}}
        return {"type": "object", "required": ["data", "page"], "properties": {"data": items, "page": page}}

    def _record(self, listing: Listing) -> str:
        name = _type_name(listing.name)
        if name not in self._known:
            self._known.add(name)
            properties = {
                item.name: _field_schema(item.kind, item.nullable, item.description) for item in listing.fields
            }
            properties |= {
                item.name: {**self._related[f"{listing.name}.{item.name}"], "description": item.description}
                for item in listing.related
            }
            properties |= {item.name: self._included(item) for item in inclusions_of(listing)}
            self._spec.components.schema(
                name, component={"type": "object", "properties": properties, "additionalProperties": False}
            )
        return name

    def _included(self, item: Inclusion) -> dict[str, Any]:
        one = {"$ref": f"#/components/schemas/{self._record(item.listing)}"}
        parts = ", ".join(part.name for part in item.listing.parts(item.shape))
        if not isinstance(item, Many):
            description = f"The {item.name} with {parts}; null where the caller does not see it."
            return {"anyOf": [one, {"type": "null"}], "description": description}
        description = (
            f"The newest {item.name} with {parts}: {MAX_INCLUDED} at most, and no more than {MAX_INCLUDED_ON_PAGE:,} "
            f"on a page, shared out among its records. Where there are `more`, "
            f"`/{item.scope.parent}s/{{id}}/{item.name}` has all."
        )
        return record(data=array(one), more={"type": "boolean"}) | {"description": description}

    def _problems(self, rule: Rule, view: Callable[..., Any], name: str, said: Description) -> list[int]:
        statuses = {400, 401, 429, 503}
        if rule.arguments or said.may_be_absent:
            statuses.add(404)
        mark = mark_of(view)
        # A user's token may lack a scope, or be none of the service's.
        if mark and (mark.scope or "authenticated" not in mark.roles or said.may_be_refused):
            statuses.add(403)
        if name == "get":
            statuses |= {406} if said.formats else set()
            statuses |= {406, 414, 422} if said.listing else {422} if getattr(view, "reads_query", False) else set()
            return sorted(statuses)
        statuses |= {409, 413, 415, 422}
        if mark and "anon" not in mark.roles:
            statuses.add(403)
        if said.conditional or said.may_be_conditional:
            statuses |= {412, 428} if said.conditional else {412}
        return sorted(statuses)


def _texts(formats: Mapping[str, Offer]) -> dict[str, Any]:
    return {item.media_type: {"schema": {"type": "string"}} for item in formats.values()}


def list_parameters(listing: Listing, formats: Mapping[str, Offer]) -> Iterator[dict[str, Any]]:
    """Give the query parameters of a list."""
    yield from shape_parameters(listing)
    yield _query("limit", {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT}, "Records a page; 50 by default.")
    yield _query("cursor", {"type": "string", "maxLength": MAX_CURSOR_LENGTH}, "`page.next` of the page before.")
    yield _query(
        "order_by",
        _names(listing.sortable, "-?"),
        f"Fields with commas between them, `-` for descending: {', '.join(listing.sortable)}.",
    )
    yield _query(
        "count",
        {"type": "string", "enum": list(COUNTINGS)},
        f"Whether to count all records: `estimated` is exact up to {ESTIMATE_CAP:,} and stops there.",
    )
    yield _query("modified_after", {"type": "string", "format": "date-time"}, "Only records changed after this time.")
    yield _query("format", {"type": "string", "enum": ["json", *formats]}, "Goes before Accept.")
    if listing.search:
        text = {"type": "string", "minLength": 1, "maxLength": MAX_QUERY_TEXT, "pattern": r"\S"}
        yield _query("q", text, "Full-text search over names.")
    for item in listing.fields:
        for operator in item.operators:
            yield _filter_parameter(item.name, operator, item.kind)


def shape_parameters(listing: Listing) -> Iterator[dict[str, Any]]:
    """Give the query parameters that choose parts of records."""
    known = names_of(listing)
    shown = ", ".join(known)
    yield _query("detail", {"type": "string", "enum": list(DETAILS)}, "How much of each record; `standard` by default.")
    yield _query("include", _names(known), f"Further parts, with commas between them: {shown}.")
    yield _query("only", _names(known), f"Just these parts, with commas between them: {shown}.")


def _names(known: tuple[str, ...], prefix: str = "") -> dict[str, Any]:
    one = f"{prefix}({'|'.join(known)})"
    return {"type": "string", "pattern": f"^{one}(,{one})*$", "examples": [known[0]]}


def _filter_parameter(name: str, operator: str, kind: Kind) -> dict[str, Any]:
    label = name if operator == "exact" else f"{name}__{operator}"
    if operator == "isnull":
        return _query(label, {"type": "boolean"}, f"Whether {name} is missing.")
    if operator == "in":
        pattern = f"^{_ITEMS[kind]}(,{_ITEMS[kind]})*$"
        return _query(label, {"type": "string", "pattern": pattern}, f"{name} is one of these, commas between them.")
    if operator == "range":
        pattern = f"^{_ITEMS[kind]},{_ITEMS[kind]}$"
        return _query(label, {"type": "string", "pattern": pattern}, f"{name} lies between two values.")
    return _query(label, _KINDS[kind], f"Filter: {name} {operator}.")


def _query(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"in": "query", "name": name, "schema": dict(schema), "description": description}


def _header(name: str, description: str, schema: dict[str, Any], *, required: bool = False) -> dict[str, Any]:
    return {
        "in": "header",
        "name": name,
        "schema": schema,
        "description": description,
        "required": required,
    }


def _type_name(plural: str) -> str:
    """Return the name of a record's schema: toxicity_results has ToxicityResult."""
    singular = plural.removesuffix("es" if plural.endswith("ches") else "s")
    return "".join(word.capitalize() for word in singular.split("_"))


def _field_schema(kind: Kind, nullable: bool, description: str) -> dict[str, Any]:  # noqa: FBT001
    schema = dict(_KINDS[kind])
    if nullable:
        schema["type"] = [schema["type"], "null"]
    return {**schema, "description": description}


def _problem_schema() -> dict[str, Any]:
    text = {"type": "string"}
    fault = {"type": "object", "required": ["pointer", "detail"], "properties": {"pointer": text, "detail": text}}
    names = ("type", "title", "detail", "instance", "code")
    return {
        "type": "object",
        "description": "RFC 9457.",
        # What the web server refuses before the app sees it has no `instance`.
        "required": ["type", "title", "status", "detail", "code", "request_id"],
        "properties": {
            **dict.fromkeys(names, text),
            "status": {"type": "integer"},
            "request_id": {"type": ["string", "null"]},
            "errors": {"type": "array", "items": fault},
        },
    }


def _problem_response(status: int, description: str) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": description,
        "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in {429, 503}:
        response["headers"] = {"Retry-After": {"schema": {"type": "string"}, "description": "Seconds."}}
    return response


def _api_rules(app: Flask) -> Iterator[tuple[Rule, list[str]]]:
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        view = app.view_functions[rule.endpoint]
        if rule.rule.startswith("/api/") and hasattr(view, "view_class"):
            yield rule, sorted(name for name in METHODS if name.upper() in (rule.methods or set()))


def _path(rule: Rule) -> str:
    return _CONVERTERS.sub(r"{\2}", rule.rule)


def _path_parameters(rule: Rule) -> list[dict[str, Any]]:
    schemas = {"uuid": {"type": "string", "format": "uuid"}}
    return [
        {"in": "path", "name": name, "required": True, "schema": schemas.get(converter, {"type": "string"})}
        for converter, name in _CONVERTERS.findall(rule.rule)
    ]
