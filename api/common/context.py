"""What belongs to one request: its id, its caller, its clock, its sessions at the database."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from flask import Flask, current_app, g, request

from api.common.auth import read_caller
from api.common.whole_request import WholeRequest
from app.domain.callers import Caller
from database.pool import Timing

if TYPE_CHECKING:
    from api.common.last_good import LastGood
    from api.common.tracing import Tracing
    from api.common.traffic import Traffic
    from api.system.workers import Workers
    from app.importers.download import Allowed
    from app.services.chemistry import ChemistryPool
    from app.services.maintenance import MaintenanceThread
    from app.services.minting import Minter
    from app.services.revocations import Revocations
    from app.services.supabase_auth import SupabaseAuth
    from app.services.tokens import TokenVerifier
    from database.fallback import Fallback
    from database.session import Database, ReadSession

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_EXTENSION: Final = "cryoprotect"


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of the house that views use, made once by the factory."""

    database: Database
    verifier: TokenVerifier
    revocations: Revocations
    minter: Minter
    supabase_auth: SupabaseAuth | None
    """None where no Supabase project is configured."""
    chemistry: ChemistryPool
    maintenance: MaintenanceThread
    """Started by the web server's workers."""
    traffic: Traffic
    workers: Workers
    """What they count is shared where the web server's workers are told so."""
    tracing: Tracing | None
    """None where no collector of traces is configured."""
    cursor_key: bytes
    fallback: Fallback | None
    """Another way to the database; None where no Supabase project is configured, or it is not to be asked."""
    last_good: LastGood
    """What visitors read while the database does not answer."""
    limits: Mapping[str, object]
    """What `GET /limits` publishes."""
    max_import_bytes: int
    downloads: Allowed
    """Where workers may fetch files from."""


def register(app: Flask, services: Services) -> None:
    """Give the app its parts, and each request its id and clock."""
    app.extensions[_EXTENSION] = services
    app.request_class = WholeRequest
    app.before_request(_begin)


def services() -> Services:
    """Return the parts of the house."""
    return cast("Services", current_app.extensions[_EXTENSION])


def last_good() -> LastGood:
    """Return the copies of what visitors were answered."""
    return services().last_good


def _begin() -> None:
    given = request.headers.get("X-Request-ID")
    g.request_id = given if given and _REQUEST_ID.fullmatch(given) else secrets.token_hex(12)
    g.started = time.perf_counter()
    g.timing = Timing()


def request_id() -> str:
    """Return what the client, the log and the audit log call this request."""
    return cast("str", g.request_id)


def timing() -> Timing:
    """Return the request's clock."""
    return cast("Timing", g.timing)


def caller() -> Caller:
    """Return who is asking; the token is read once per request, and each time it is asked whether it was revoked."""
    known = g.get("caller")
    if known is None:
        known = read_caller(services().verifier)
        services().revocations.check(known.jti)
        g.caller = known
    return cast("Caller", known)


def reading() -> ReadSession:
    """Return a session that reads with the caller's eyes; what only reads may do so at a standby."""
    return services().database.reading(caller(), timing(), after=g.get("read_after"))
