"""Access marks: every view says who may call it, or the service does not start.

Rows are the policies' business; a mark says only what kind of caller a view is for and which scope a
token restricted by scopes must have.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

from flask import Flask, request

from api.common.context import caller
from api.common.errors import HttpError
from app.domain.callers import Caller
from app.errors import ForbiddenError

_V = TypeVar("_V", bound=Callable[..., Any])
METHODS: Final = frozenset({"get", "post", "put", "patch", "delete"})


@dataclass(frozen=True, slots=True)
class Mark:
    """Who may call a view."""

    roles: frozenset[str]
    scope: str | None = None

    def admit(self, who: Caller) -> None:
        """Let the caller pass.

        Raises:
            HttpError: 401 where a token is needed and there is none.
            ForbiddenError: The caller's role or scopes do not reach.
        """
        if who.role not in self.roles:
            if who.role == "anon":
                raise HttpError(
                    401, "this needs a token", code="token_required", WWW_Authenticate='Bearer realm="cryoprotect"'
                )
            msg = f"this is not for the role {who.role}"
            raise ForbiddenError(msg, code="role_not_permitted")
        if self.scope and who.scopes is not None and self.scope not in who.scopes:
            msg = f"the token lacks the scope {self.scope}"
            raise ForbiddenError(msg, code="scope_missing")


def public(view: _V) -> _V:
    """Mark a view that everybody may call."""
    return _mark(view, Mark(frozenset({"anon", "authenticated", "service_role"})))


def user(scope: str | None = None) -> Callable[[_V], _V]:
    """Mark a view for signed-in users and the service."""
    return lambda view: _mark(view, Mark(frozenset({"authenticated", "service_role"}), scope))


def service(scope: str | None = None) -> Callable[[_V], _V]:
    """Mark a view for service tokens only."""
    return lambda view: _mark(view, Mark(frozenset({"service_role"}), scope))


def _mark(view: _V, mark: Mark) -> _V:
    view.access_mark = mark  # type: ignore[attr-defined]
    return view


def mark_of(view: Callable[..., Any]) -> Mark | None:
    """Return a view's mark."""
    return getattr(view, "access_mark", None)


def enforce(app: Flask) -> None:
    """Make the app's plain functions keep their marks; resources keep their own."""
    for endpoint, view in app.view_functions.items():
        mark = mark_of(view)
        if mark is not None and not hasattr(view, "view_class"):
            app.view_functions[endpoint] = _guarded(view, mark)


def _guarded(view: _V, mark: Mark) -> _V:
    @functools.wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any view
        # Probes send no token, and whether the keys for tokens can be had is not what they ask.
        if not request.path.startswith("/health"):
            mark.admit(caller())
        return view(*args, **kwargs)

    return cast("_V", wrapper)


def check(app: Flask) -> None:
    """Refuse to start with a view that bears no mark.

    Raises:
        RuntimeError: It names the views.
    """
    bare = [name for endpoint, view in app.view_functions.items() for name in _unmarked(endpoint, view)]
    if bare:
        msg = f"views without an access mark: {', '.join(sorted(bare))}"
        raise RuntimeError(msg)


def _unmarked(endpoint: str, view: Callable[..., Any]) -> list[str]:
    resource = getattr(view, "view_class", None)
    if resource is None:
        return [] if mark_of(view) else [endpoint]
    views = {name: getattr(resource, name) for name in METHODS if hasattr(resource, name)}
    return [f"{endpoint}.{name}" for name, method in views.items() if mark_of(method) is None]
