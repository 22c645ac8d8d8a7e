"""`create_app`: the only place where everything is wired together."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from api import registry
from api.common import context, effects, errors, freshness, headers, limits, service_reads
from api.common.batch import MAX_BATCH
from api.common.json import JsonProvider
from api.common.last_good import LastGood
from api.common.listing import DEFAULT_LIMIT, MAX_LIMIT
from api.common.traffic import Traffic
from api.system import measures
from api.system.workers import Workers
from app.importers.download import Allowed
from app.logging import configure_logging
from app.services.chemistry import ChemistryPool
from app.services.jwks import Jwks
from app.services.maintenance import MaintenanceThread
from app.services.minting import Minter
from app.services.revocations import Revocations
from app.services.supabase_auth import SupabaseAuth
from app.services.tokens import TokenVerifier
from config import Settings
from database.errors import MAX_OPEN_JOBS
from database.fallback import Fallback
from database.migrate import head
from database.session import Database
from database.urls import database_urls

if TYPE_CHECKING:
    from api.common.tracing import Tracing


class _SynchronousFlask(Flask):
    """Flask for views that are all plain functions: it looks for no coroutine, five times a request."""

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function itself."""
        return func


def create_app(settings: Settings) -> Flask:
    """Return the application; its pools open with the first use in each process.

    Raises:
        SettingsError: No key could verify a token, or no database is named.
    """
    settings.require_token_keys()
    tracing = _tracing(settings)
    # No static folder: its view would bear no access mark.
    app = _SynchronousFlask(__name__, static_folder=None)
    app.json = JsonProvider(app)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.config["MIGRATION_HEAD"] = head()
    if settings.trusted_proxies:
        count = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=count)  # type: ignore[method-assign]
    services = _services(settings, tracing)
    if tracing is not None:
        tracing.register(app, services.database.pools)
    context.register(app, services)
    errors.register(app)
    effects.register(app)
    if settings.rate_limits:
        limits.register(app, _allowance(settings))
    if settings.database_replica_urls:
        freshness.register(app)
    headers.register(app, settings.cors_origins, services.traffic)
    service_reads.register(app)
    registry.register(app)
    return app


def _tracing(settings: Settings) -> Tracing | None:
    """Set up the log, and traces where they are wanted."""
    if settings.traces_url is None:
        configure_logging(settings.log_level)
        return None
    from api.common.tracing import Tracing, add_trace_id  # noqa: PLC0415 - OpenTelemetry, which most do without

    configure_logging(settings.log_level, add_trace_id)
    return Tracing(settings.traces_url)


def _services(settings: Settings, tracing: Tracing | None) -> context.Services:
    urls = database_urls(
        settings.require_database_url(),
        settings.database_direct_url,
        settings.shared_secret,
        settings.database_replica_urls,
    )
    database = Database(
        urls,
        min_size=settings.pool_min,
        max_size=settings.pool_max,
        timeout_s=settings.pool_timeout_s,
        transaction_pooler=settings.transaction_pooler,
        share=settings.pool_share,
        workers=settings.workers,
        max_lag_s=settings.replica_max_lag_s,
    )
    database.open()
    traffic = Traffic()
    return context.Services(
        database=database,
        verifier=TokenVerifier(
            settings.jwt_secret, Jwks(settings.jwks_url) if settings.jwks_url else None, settings.jwt_issuer
        ),
        revocations=Revocations(database),
        minter=Minter(settings.jwt_secret),
        supabase_auth=_supabase_auth(settings),
        chemistry=ChemistryPool(
            settings.chemistry_processes, settings.chemistry_time_limit_s, settings.chemistry_memory_limit_mib
        ),
        maintenance=MaintenanceThread(database, settings.maintenance_interval_s),
        traffic=traffic,
        workers=Workers(
            lambda: measures.counted(traffic, database), lambda: measures.standing(database), measures.GREATEST
        ),
        tracing=tracing,
        fallback=_fallback(settings),
        last_good=LastGood(),
        cursor_key=hmac.new(settings.shared_secret.encode(), b"cursors", hashlib.sha256).digest(),
        limits=_published_limits(settings),
        max_import_bytes=settings.max_import_bytes,
        downloads=Allowed(settings.import_hosts, settings.max_download_bytes, settings.download_time_limit_s),
    )


def _supabase_auth(settings: Settings) -> SupabaseAuth | None:
    if settings.supabase_url is None or settings.supabase_key is None:
        return None
    return SupabaseAuth(settings.supabase_url, settings.supabase_key)


def _fallback(settings: Settings) -> Fallback | None:
    if settings.supabase_url is None or settings.supabase_key is None or not settings.supabase_rest:
        return None
    return Fallback(settings.supabase_url, settings.supabase_key)


def _allowance(settings: Settings) -> limits.Allowance:
    return limits.Allowance(
        anon_per_min=settings.rate_limit_anon_per_min,
        user_per_min=settings.rate_limit_user_per_min,
        workers=settings.workers,
        storage_uri=settings.ratelimit_storage_uri,
    )


def _published_limits(settings: Settings) -> dict[str, object]:
    on = settings.rate_limits
    return {
        "requests_per_min": {
            "anon": settings.rate_limit_anon_per_min if on else None,
            "authenticated": settings.rate_limit_user_per_min if on else None,
            "service_role": None,
        },
        "body_bytes": settings.max_body_bytes,
        "import_bytes": settings.max_import_bytes,
        "page": {"default": DEFAULT_LIMIT, "max": MAX_LIMIT},
        "batch_records": MAX_BATCH,
        "jobs_of_one_user": MAX_OPEN_JOBS,
        "structure_time_limit_s": settings.chemistry_time_limit_s,
    }
