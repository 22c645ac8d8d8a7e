"""flask-restful as we use it: resources on blueprints, without its parsing, marshalling or error format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask_restful
from flask import Response, request

from api.common import fallback
from api.common.access import mark_of
from api.common.context import caller, last_good
from api.common.json import unstorable
from api.common.query import refuse_unknown
from api.common.repeating import repeating
from app.errors import NotFoundError, UnavailableError


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
        if name == "get":
            return _read(lambda: view(*args, **kwargs), view, kwargs)
        return repeating(lambda: view(*args, **kwargs))


def _read(read: Callable[[], Response], view: Callable[..., Response], address: dict[str, Any]) -> Response:
    """Return what the view answers or, while the database does not, what else there is for this caller.

    That is the database's answer by another way or, for a visitor, what was answered last.
    """
    copies = last_good() if caller().role == "anon" else None
    try:
        response = _answered(read, view, address)
    except UnavailableError as error:
        copy = copies.instead_of(error) if copies else None
        if copy is None:
            raise
        return copy
    except NotFoundError:
        if copies:
            copies.forget()
        raise
    if copies:
        copies.keep(response)
    return response


def _answered(read: Callable[[], Response], view: Callable[..., Response], address: dict[str, Any]) -> Response:
    try:
        return repeating(read)
    except UnavailableError as error:
        response = fallback.instead_of(error, view, address)
        if response is None:
            raise
        return response
