"""Settings of one process, read once from the environment.

Only the entry points (`wsgi`, the command, `migrations/env.py`) read this module; everything else
is handed the values that it needs. No secret has a default: where one is missing the process
refuses to start and says which variable to set.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

TRANSACTION_POOLER_PORT: Final = 6543
"""Where Supabase's pooler gives a connection a transaction."""
SECRET_FILE_NAME: Final = "jwt_secret"
MIN_SECRET_BYTES: Final = 32
IMPORT_HOSTS: Final = frozenset(
    {"ftp.ncbi.nlm.nih.gov", "pubchem.ncbi.nlm.nih.gov", "ftp.ebi.ac.uk", "www.ebi.ac.uk", "tripod.nih.gov"}
)
_OTLP: Final = "opentelemetry.exporter.otlp.proto.http"
_N = TypeVar("_N", int, float)
# One URL may name several hosts, with commas of its own.
_BEFORE_URL: Final = re.compile(r",\s*(?=[a-z]+://)|,\s*$")
_ORIGIN: Final = re.compile(r"https?://[^/\s]+")
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?")


class SettingsError(Exception):
    """A variable of the environment is missing or cannot be used."""


@dataclass(frozen=True)
class Settings:
    """What one process of the service needs to know, units in the names."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 2
    log_level: str = "INFO"
    traces_url: str | None = field(default=None, repr=False)
    """OpenTelemetry's collector of traces; none are made where it is not set."""

    database_url: str | None = field(default=None, repr=False)
    """None means the embedded Postgres in `data_dir`."""
    database_direct_url: str | None = field(default=None, repr=False)
    """Past the pooler, for migrations; the same as `database_url` where it is not set."""
    database_replica_urls: tuple[str, ...] = field(default=(), repr=False)
    """Standbys, which answer reads."""
    replica_max_lag_s: float = 10.0
    """A standby that is further behind is not asked."""
    pool_min: int = 2
    pool_max: int | None = None
    """None means this worker's part of `pool_share`."""
    pool_share: float = 0.75
    """Of the connections that the server has for everybody, what all workers may have together."""
    pool_timeout_s: float = 4.0
    transaction_pooler: bool = False

    jwt_secret: str | None = field(default=None, repr=False)
    jwt_issuer: str | None = None
    jwks_url: str | None = None
    supabase_url: str | None = None
    supabase_key: str | None = field(default=None, repr=False)
    supabase_rest: bool = True
    """Whether the project's REST interface answers reads while the database does not; needs URL and key."""

    maintenance_interval_s: float = 60.0
    """How often each worker looks for maintenance that is due; 0 means never."""
    serve_worker: bool = True
    """Whether `serve` runs a worker of the job queue beside the web server."""
    worker_concurrency: int = 2
    """Jobs that one worker of the queue runs at once."""
    worker_heartbeat_s: float = 10.0
    """A worker of the queue that has been silent for three times as long is taken for dead."""
    import_hosts: frozenset[str] = IMPORT_HOSTS
    """Where files to import may be fetched from."""
    max_download_bytes: int = 10 * 1024**3
    download_time_limit_s: float = 3600.0

    cors_origins: tuple[str, ...] = ()
    trusted_proxies: int = 0
    rate_limits: bool = True
    rate_limit_anon_per_min: int = 600
    rate_limit_user_per_min: int = 6000
    ratelimit_storage_uri: str | None = field(default=None, repr=False)
    max_body_bytes: int = 10 * 1024 * 1024
    max_import_bytes: int = 200 * 1024 * 1024

    chemistry_processes: int = 1
    chemistry_time_limit_s: float = 10.0
    chemistry_memory_limit_mib: int = 1024

    def __post_init__(self) -> None:
        """Refuse values that contradict each other.

        Raises:
            SettingsError: It names the variables.
        """
        if self.pool_max is not None and self.pool_min > self.pool_max:
            msg = f"POOL_MIN ({self.pool_min}) must not be more than POOL_MAX ({self.pool_max})"
            raise SettingsError(msg)

    @property
    def embedded(self) -> bool:
        """Whether the service runs on the Postgres that it starts itself."""
        return self.database_url is None

    @property
    def secret_file(self) -> Path:
        """Where `serve` keeps the signing secret that it makes at first start."""
        return self.data_dir / SECRET_FILE_NAME

    @classmethod
    def from_environment(cls, env: Mapping[str, str] | None = None) -> Settings:
        """Return the settings that the environment describes.

        Raises:
            SettingsError: A value is no number, out of range, or a URL of the wrong kind.
        """
        env = os.environ if env is None else env
        data_dir = Path(env.get("CRYOPROTECT_DATA_DIR") or ".cryoprotect").absolute()
        supabase_url = _url(env, "SUPABASE_URL", "http", "https")
        database_url = _url(env, "DATABASE_URL", "postgresql", "postgres")
        return cls(
            data_dir=data_dir,
            host=env.get("HOST") or cls.host,
            port=_number(env, "PORT", cls.port, 0, 65535),
            workers=_number(env, "WEB_CONCURRENCY", max(2, os.cpu_count() or 2), 1, 256),
            log_level=_choice(env, "LOG_LEVEL", cls.log_level, "DEBUG", "INFO", "WARNING", "ERROR"),
            traces_url=_traces_url(env),
            database_url=database_url,
            database_direct_url=_url(env, "DATABASE_DIRECT_URL", "postgresql", "postgres"),
            database_replica_urls=_replica_urls(env, "DATABASE_REPLICA_URLS"),
            replica_max_lag_s=_number(env, "REPLICA_MAX_LAG_S", cls.replica_max_lag_s, 0.0, 3600.0),
            pool_min=_number(env, "POOL_MIN", cls.pool_min, 0, 1000),
            pool_max=_number(env, "POOL_MAX", 1, 1, 1000) if env.get("POOL_MAX") else None,
            pool_share=_number(env, "POOL_SHARE", cls.pool_share, 0.01, 1.0),
            pool_timeout_s=_number(env, "POOL_TIMEOUT_S", cls.pool_timeout_s, 0.01, 300.0),
            transaction_pooler=_switch(
                env, "TRANSACTION_POOLER", default=urlsplit(database_url or "").port == TRANSACTION_POOLER_PORT
            ),
            jwt_secret=_secret(env, data_dir),
            jwt_issuer=f"{supabase_url.rstrip('/')}/auth/v1" if supabase_url else None,
            jwks_url=f"{supabase_url.rstrip('/')}/auth/v1/.well-known/jwks.json" if supabase_url else None,
            supabase_url=supabase_url,
            supabase_key=_public_key(env, "SUPABASE_KEY"),
            supabase_rest=_switch(env, "SUPABASE_REST", default=True),
            maintenance_interval_s=_number(env, "MAINTENANCE_INTERVAL_S", cls.maintenance_interval_s, 0.0, 86400.0),
            serve_worker=_switch(env, "SERVE_WORKER", default=True),
            worker_concurrency=_number(env, "WORKER_CONCURRENCY", cls.worker_concurrency, 1, 64),
            worker_heartbeat_s=_number(env, "WORKER_HEARTBEAT_S", cls.worker_heartbeat_s, 0.1, 600.0),
            import_hosts=_hosts(env),
            max_download_bytes=_number(env, "MAX_DOWNLOAD_BYTES", cls.max_download_bytes, 1024, 10**13),
            download_time_limit_s=_number(env, "DOWNLOAD_TIME_LIMIT_S", cls.download_time_limit_s, 1.0, 86400.0),
            cors_origins=_origins(env),
            trusted_proxies=_number(env, "TRUSTED_PROXIES", cls.trusted_proxies, 0, 10),
            rate_limits=_switch(env, "RATE_LIMITS", default=True),
            rate_limit_anon_per_min=_number(env, "RATE_LIMIT_ANON_PER_MIN", cls.rate_limit_anon_per_min, 1, 10**9),
            rate_limit_user_per_min=_number(env, "RATE_LIMIT_USER_PER_MIN", cls.rate_limit_user_per_min, 1, 10**9),
            ratelimit_storage_uri=env.get("RATELIMIT_STORAGE_URI") or None,
            max_body_bytes=_number(env, "MAX_BODY_BYTES", cls.max_body_bytes, 1024, 10**10),
            max_import_bytes=_number(env, "MAX_IMPORT_BYTES", cls.max_import_bytes, 1024, 10**11),
            chemistry_processes=_number(env, "CHEMISTRY_PROCESSES", cls.chemistry_processes, 1, 64),
            chemistry_time_limit_s=_number(env, "CHEMISTRY_TIME_LIMIT_S", cls.chemistry_time_limit_s, 0.1, 600.0),
            chemistry_memory_limit_mib=_number(
                env, "CHEMISTRY_MEMORY_LIMIT_MIB", cls.chemistry_memory_limit_mib, 256, 65536
            ),
        )

    @property
    def shared_secret(self) -> str:
        """What all processes of an installation know and nobody else: cursors and logins derive from it."""
        return self.jwt_secret or self.require_database_url()

    def require_database_url(self) -> str:
        """Return the database's URL.

        Raises:
            SettingsError: None is set; the embedded database is started by `cryoprotect serve` alone.
        """
        if self.database_url is None:
            msg = "set DATABASE_URL, or start with `cryoprotect serve`, which brings a database of its own"
            raise SettingsError(msg)
        return self.database_url

    def require_token_keys(self) -> None:
        """Refuse to go on where no key could verify a token.

        Raises:
            SettingsError: Neither a signing secret nor a JWKS address is known.
        """
        if self.jwt_secret is None and self.jwks_url is None:
            msg = (
                "no key to verify tokens with: set SUPABASE_URL (keys from its JWKS) or SUPABASE_JWT_SECRET, "
                "or start with `cryoprotect serve`, which makes a secret of its own in the data folder"
            )
            raise SettingsError(msg)


def _number(env: Mapping[str, str], name: str, default: _N, low: float, high: float) -> _N:
    text = env.get(name)
    if not text:
        return default
    try:
        value = type(default)(text)
    except ValueError:
        value = None
    if value is None or not low <= value <= high:
        msg = f"{name} must be a number from {low} to {high}, not {text!r}"
        raise SettingsError(msg)
    return value


def _switch(env: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = (env.get(name) or "").lower()
    if not text:
        return default
    if text not in {"on", "off", "true", "false", "1", "0"}:
        msg = f"{name} must be on or off, not {text!r}"
        raise SettingsError(msg)
    return text in {"on", "true", "1"}


def _choice(env: Mapping[str, str], name: str, default: str, *allowed: str) -> str:
    text = (env.get(name) or default).upper()
    if text not in allowed:
        msg = f"{name} must be one of {', '.join(allowed)}, not {text!r}"
        raise SettingsError(msg)
    return text


def _url(env: Mapping[str, str], name: str, *schemes: str) -> str | None:
    text = env.get(name)
    return _checked_url(name, text, *schemes) if text else None


def _traces_url(env: Mapping[str, str]) -> str | None:
    """Return the address for traces, as OpenTelemetry's own variables say it."""
    own = _url(env, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http", "https")
    of_all = _url(env, "OTEL_EXPORTER_OTLP_ENDPOINT", "http", "https")
    if not (own or of_all) or _switch(env, "OTEL_SDK_DISABLED", default=False):
        return None
    if not _is_installed(_OTLP):
        name = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" if own else "OTEL_EXPORTER_OTLP_ENDPOINT"
        msg = f"{name} is set, and OpenTelemetry is not installed: pip install 'cryoprotect[otel]', or unset it"
        raise SettingsError(msg)
    return own or f"{(of_all or '').rstrip('/')}/v1/traces"


def _is_installed(module: str) -> bool:
    with suppress(ModuleNotFoundError):
        return find_spec(module) is not None
    return False


def _public_key(env: Mapping[str, str], name: str) -> str | None:
    key = env.get(name)
    if not key:
        return None
    # Visitors' reads go out with it, so a key that sees everything would show them everything.
    if key.startswith("sb_secret_") or _role_of(key) not in {None, "anon"}:
        msg = f"{name} must be the project's public key (anon or sb_publishable_...), not a secret one"
        raise SettingsError(msg)
    return key


def _role_of(key: str) -> object:
    """Return the role that a key in the form of a JWT names; None for what is no such key."""
    try:
        payload = key.split(".")[1]
        return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["role"]
    except (IndexError, KeyError, TypeError, ValueError):
        return None


def _replica_urls(env: Mapping[str, str], name: str) -> tuple[str, ...]:
    texts = _BEFORE_URL.split(env.get(name) or "")
    urls = tuple(_checked_url(name, text.strip(), "postgresql", "postgres") for text in texts if text.strip())
    if urls and not env.get("DATABASE_URL"):
        msg = f"{name} needs DATABASE_URL: the embedded database has no standbys"
        raise SettingsError(msg)
    return urls


def _checked_url(name: str, text: str, *schemes: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in schemes and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        msg = f"{name} must start with {' or '.join(f'{scheme}://' for scheme in schemes)}"
        raise SettingsError(msg)
    return text


def _origins(env: Mapping[str, str]) -> tuple[str, ...]:
    origins = tuple(part.strip() for part in (env.get("CORS_ORIGINS") or "").split(",") if part.strip())
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            msg = f"CORS_ORIGINS takes origins such as https://lab.example, not {origin!r}"
            raise SettingsError(msg)
    return origins


def _hosts(env: Mapping[str, str]) -> frozenset[str]:
    text = env.get("IMPORT_HOSTS")
    if text is None:
        return IMPORT_HOSTS
    hosts = frozenset(part.strip().lower() for part in text.split(",") if part.strip())
    for host in hosts:
        if not _HOST.fullmatch(host):
            msg = f"IMPORT_HOSTS takes names such as ftp.ebi.ac.uk, not {host!r}"
            raise SettingsError(msg)
    return hosts


def _secret(env: Mapping[str, str], data_dir: Path) -> str | None:
    text = env.get("SUPABASE_JWT_SECRET")
    if not text:
        file = data_dir / SECRET_FILE_NAME
        text = file.read_text(encoding="ascii").strip() if file.is_file() else None
    if text is not None and len(text.encode()) < MIN_SECRET_BYTES:
        msg = f"SUPABASE_JWT_SECRET must have at least {MIN_SECRET_BYTES} bytes"
        raise SettingsError(msg)
    return text
