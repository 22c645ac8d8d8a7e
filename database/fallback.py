"""Another way to the database: Supabase's REST interface, for reads while the service itself cannot reach it.

One SQL function a resource, `get_<resource>`, gives the records that the service's own statement gives, as the
text of their JSON. Row-level security decides there as it does here, by the same claims: what is sent along is
the caller's own token or, for a visitor, the project's public key. Each call has a client of its own, so that
no token is left for the next; they share the connections beneath.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import structlog

from app.breaker import Breaker, Rules
from app.errors import UnavailableError
from database.exchange import Row
from database.listing import Listing, ListRequest
from database.repositories.base import Document, Page, ReadRepository, page_of, unseen
from database.repositories.experiments import ExperimentReader
from database.repositories.mixtures import MixtureReader
from database.repositories.molecules import MoleculeReader
from database.repositories.predictions import PredictionReader
from database.repositories.toxicity import ResultReader

if TYPE_CHECKING:
    import httpx
    from supabase import Client

FUNCTIONS: Final[Mapping[str, type[ReadRepository]]] = {
    "get_molecules": MoleculeReader,
    "get_mixtures": MixtureReader,
    "get_predictions": PredictionReader,
    "get_experiments": ExperimentReader,
    "get_toxicity": ResultReader,
}
"""By function: whose records it gives."""
TIMEOUT_S: Final = 3.0
"""To connect, and for each answer."""
CONNECTIONS: Final = 20
RULES: Final = Rules(min_volume=1, failed_share=0.0, pause_s=3.0)
"""Opens with the first failure, whatever went well before: who asks here has waited for the database already."""
_BY_LISTING: Final = {reader.listing: (function, reader.noun) for function, reader in FUNCTIONS.items()}
_log = structlog.get_logger(__name__)


class Fallback:
    """The REST interface of one Supabase project."""

    def __init__(self, url: str, key: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """Speak to the project at `url` with its public (anon or publishable) key."""
        # A second of imports and 40 MB that only those need who have a project.
        import httpx  # noqa: PLC0415
        import supabase  # noqa: PLC0415

        # No redirect is followed: a token goes to the configured address and nowhere else.
        http = httpx.Client(
            timeout=timeout_s,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=CONNECTIONS),
            event_hooks={"response": [_refuse_outage]},
        )
        # What one caller is given, no other sends.
        http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=()))

        def client(token: str | None) -> Client:
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            options = supabase.ClientOptions(
                headers=headers, auto_refresh_token=False, persist_session=False, httpx_client=http
            )
            return supabase.Client(url, key, options)

        self._http = http
        self._client: Callable[[str | None], Client] = client
        self._breaker = Breaker("supabase", counts=_is_outage, rules=RULES)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def gives(self, listing: Listing) -> bool:
        """Return whether there is a function for a listing's records."""
        return listing in _BY_LISTING

    def get(self, listing: Listing, record_id: UUID, token: str | None) -> Document:
        """Return one record in its standard shape, as the token's user sees it; without a token as a visitor.

        Raises:
            NotFoundError: No such record is visible to the caller.
            UnavailableError: The interface does not answer, or not as it should.
        """
        function, noun = _BY_LISTING[listing]
        rows = self._rows(function, {"record_id": str(record_id)}, token)
        if not rows:
            raise unseen(noun, record_id)
        return Document(*rows[0])

    def page(self, listing: Listing, request: ListRequest, token: str | None) -> Page:
        """Return one page of records in their standard shape; of the request order, limit and start count.

        Raises:
            UnavailableError: The interface does not answer, or not as it should.
        """
        order = listing.complete_order(request.order)
        arguments: dict[str, Any] = {"order_by": [str(sort) for sort in order], "page_limit": request.limit + 1}
        if request.after is not None:
            arguments["after"] = list(request.after)
        rows = self._rows(_BY_LISTING[listing][0], arguments, token)
        return page_of(rows, request, tuple(sort.name for sort in order))

    def _rows(self, function: str, arguments: dict[str, Any], token: str | None) -> list[Row]:
        def ask() -> list[Row]:
            return _records(self._client(token).rpc(function, arguments).execute().data)

        try:
            return self._breaker.call(ask)
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - the client lets its parser's and its transport's errors through
            # Not chained, and nothing said but this: the client's errors quote what was sent and answered.
            _log.warning("rest_read_failed", function=function, kind=type(error).__name__, code=_code(error))
        msg = "the database does not answer right now, nor does Supabase's REST interface"
        raise UnavailableError(msg, code="supabase_unavailable")


def _refuse_outage(response: httpx.Response) -> None:
    """Raise for what the interface cannot help; what it answers to a single caller goes on."""
    if response.is_server_error or response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        response.raise_for_status()


def _is_outage(error: Exception) -> bool:
    from postgrest import APIError  # noqa: PLC0415 - loaded by now

    return not isinstance(error, APIError)


def _code(error: Exception) -> str | None:
    """Return the code of a refusal, or the status of an answer."""
    response = getattr(error, "response", None)
    return getattr(error, "code", None) if response is None else str(response.status_code)


def _records(answer: Any) -> list[Row]:  # noqa: ANN401 - whatever was sent
    """Return the records of an answer with their versions.

    Raises:
        TypeError, KeyError, AttributeError, ValueError: It is no answer of the function's.
    """
    return [(record["document"].encode(), int(record["version"])) for record in answer["records"]]
