"""What is read by way of Supabase's REST interface while the database does not answer: single records and plain lists.

A plain list is a page in an order, without filters, counts or other shapes. Whoever is signed in is read for with
their own token, and only where Supabase issued it: no token of ours goes to another host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import UUID

from flask import Response

from api.common.auth import bearer_token
from api.common.conditional import answer
from api.common.context import caller, services
from api.common.formats import chosen, json_page
from api.common.last_good import WARNING
from api.common.listing import STANDARD_SHAPE, read_list, read_shape
from app.errors import UnavailableError
from database.fallback import Fallback
from database.listing import Listing, ListRequest

View = Callable[..., Any]
NAME: Final = "fallback"


def instead_of(error: UnavailableError, view: View, address: Mapping[str, UUID]) -> Response | None:
    """Return what Supabase answers to a GET; None where it is not asked, or does not answer either.

    `address` is what the view takes from its address.

    Raises:
        NotFoundError: No such record is visible to the caller.
    """
    fallback, who = services().fallback, caller()
    may_ask = who.role == "anon" or (who.role == "authenticated" and who.is_of_provider)
    if fallback is None or error.code != "database_unavailable" or not may_ask:
        return None
    token = bearer_token() if who.role == "authenticated" else None
    try:
        response = _one(fallback, view, address, token) or _list(fallback, view, token)
    except UnavailableError:
        return None
    if response is not None:
        response.headers["Warning"] = WARNING
        response.headers["X-Degraded"] = NAME
        response.headers["Cache-Control"] = "no-store"
    return response


def one_of(view: View) -> Listing | None:
    """Return the listing that a view gives one record of."""
    listing: Listing | None = getattr(view, "shape_listing", None)
    return listing


def list_of(view: View) -> Listing | None:
    """Return the listing that a view gives all records of."""
    listing: Listing | None = getattr(view, "listing", None)
    return listing if getattr(view, "scope", None) is None else None


def _one(fallback: Fallback, view: View, address: Mapping[str, UUID], token: str | None) -> Response | None:
    listing = one_of(view)
    if listing is None or not fallback.gives(listing) or read_shape(listing) != STANDARD_SHAPE:
        return None
    (record_id,) = address.values()
    return answer(fallback.get(listing, record_id, token))


def _list(fallback: Fallback, view: View, token: str | None) -> Response | None:
    listing, said = list_of(view), getattr(view, "description", None)
    if listing is None or said is None or not fallback.gives(listing) or chosen(said.formats) is not None:
        return None
    query = read_list(listing)
    wanted = query.request
    plain = ListRequest(order=wanted.order, limit=wanted.limit, after=wanted.after)
    if wanted != plain or query.counting != "none":
        return None
    return json_page(listing, query, fallback.page(listing, wanted, token))
