"""flask-restful as we use it: resources on blueprints, without its parsing, marshalling or error format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask_restful
from flask import Response, request

from api.common.access import mark_of
from api.common.context import caller, last_good
from api.common.json import unstorable
from api.common.repeating import repeating
from app.errors import MalformedError, NotFoundError, UnavailableError


class Api(flask_restful.Api):  # type: ignore[misc] # the library has no types
    """Leaves errors to the app, so that they are problems like all others."""

    def error_router(self, original_handler: Callable[[Exception], Any], e: Exception) -> Any:  # noqa: ANN401
        """Hand the error back to Flask."""
        return original_handler(e)


class Resource(flask_restful.Resource):  # type: ignore[misc] # the library has no types
    """A set of views on one path; each view bears an access mark and returns a ready answer."""

    def dispatch_request(self, *args: Any, **kwargs: Any) -> Response:  # noqa: ANN401 - Flask's own signature
        """Admit the caller, refuse parameters that nobody declared, and call the view."""
        name = "get" if request.method == "HEAD" else request.method.lower()
        view = getattr(self, name)
        mark = mark_of(view)
        if mark is None:
            msg = f"{type(self).__name__}.{name} has no access mark"
            raise RuntimeError(msg)
        mark.admit(caller())
        if any(isinstance(part, str) and unstorable(part) for part in kwargs.values()):
            msg = "there is nothing at this address"
            raise NotFoundError(msg)
        if request.args and not getattr(view, "reads_query", False):
            refuse_unknown(frozenset())
        if name == "get" and caller().role == "anon":
            return _or_copy(lambda: view(*args, **kwargs))
        return repeating(lambda: view(*args, **kwargs))


def _or_copy(view: Callable[[], Response]) -> Response:
    """Return what the view answers a visitor or, while the database does not answer, what it answered last."""
    copies = last_good()
    try:
        response = repeating(view)
    except UnavailableError as error:
        copy = copies.instead_of(error)
        if copy is None:
            raise
        return copy
    except NotFoundError:
        copies.forget()
        raise
    copies.keep(response)
    return response


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
