"""Query parameters: unknown ones refused; those of views that are no lists declared as a marshmallow schema."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

from flask import request
from marshmallow import Schema, ValidationError

from api.common.body import flatten
from api.common.json import unstorable
from app.errors import Fault, InvalidError, MalformedError

_V = TypeVar("_V", bound=Callable[..., Any])


def parameters(schema: type[Schema]) -> Callable[[_V], _V]:
    """Give the view its query parameters as `arguments`, checked by a schema."""
    checker = schema()
    known = frozenset(checker.fields)

    def decorate(view: _V) -> _V:
        @functools.wraps(view)
        def wrapper(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any view
            refuse_unknown(known)
            return view(*args, arguments=_read(checker), **kwargs)

        wrapper.reads_query = True  # type: ignore[attr-defined]
        wrapper.query_schema = schema  # type: ignore[attr-defined]
        return cast("_V", wrapper)

    return decorate


def refuse_unknown(known: frozenset[str]) -> None:
    """Refuse query parameters outside `known`.

    Raises:
        MalformedError: It names the parameters that exist.
    """
    for name in request.args:
        if name not in known:
            exist = ", ".join(sorted(known)) or "none"
            msg = f"unknown parameter {name[:100]!r}; known: {exist}"
            raise MalformedError(msg, code="unknown_parameter")


def _read(checker: Schema) -> dict[str, Any]:
    for name, texts in request.args.lists():
        if len(texts) > 1:
            msg = f"the parameter {name!r} is given more than once"
            raise MalformedError(msg, code="repeated_parameter")
        if unstorable(texts[0]):
            raise InvalidError.at(name, "a text may hold neither NUL nor half a surrogate pair")
    try:
        return cast("dict[str, Any]", checker.load(request.args.to_dict()))
    except ValidationError as error:
        faults = [Fault(fault.pointer.lstrip("/"), fault.detail) for fault in flatten(error.messages)]
        raise InvalidError("the parameters cannot be accepted", code="invalid_values", faults=faults) from error
