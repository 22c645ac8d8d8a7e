"""The addresses of one database for its three users: migrations, requests, the service itself.

An operator gives one URL. The two login roles of the service are derived from it: their names are fixed
by the first migration and their passwords are computed from the secret that every process of an
installation shares, so that there is nothing more to hand around or to keep in step.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

REQUEST_LOGIN: Final = "cryoprotect_request"
SERVICE_LOGIN: Final = "cryoprotect_service"


@dataclass(frozen=True, slots=True, repr=False)
class DatabaseUrls:
    """Connection URLs by purpose; `admin` migrates and is never used to answer a request."""

    admin: str
    request: str
    service: str
    replicas: tuple[str, ...] = ()
    """Of standbys that answer requests' reads."""


def database_urls(base_url: str, direct_url: str | None, secret: str, replica_urls: Sequence[str] = ()) -> DatabaseUrls:
    """Return the URLs of one database; `direct_url` goes past a pooler."""
    return DatabaseUrls(
        admin=direct_url or base_url,
        request=_with_login(base_url, REQUEST_LOGIN, secret),
        service=_with_login(base_url, SERVICE_LOGIN, secret),
        replicas=tuple(_with_login(url, REQUEST_LOGIN, secret) for url in replica_urls),
    )


def login_password(login: str, secret: str) -> str:
    """Return the password of a login role, the same in every process that knows the secret."""
    return hmac.new(secret.encode(), f"postgres login {login}".encode(), hashlib.sha256).hexdigest()


def public_url(url: str) -> str:
    """Return the URL without its password, in the form that psql, psycopg and Supabase's command read."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2] or "localhost"
    query = urlencode([pair for pair in parse_qsl(parts.query) if pair[0] != "password"], safe="/", quote_via=quote)
    return urlunsplit((parts.scheme, f"{parts.username or ''}@{host}", parts.path, query, ""))


def _with_login(url: str, login: str, secret: str) -> str:
    parts = urlsplit(url)
    # Supabase's pooler tells projects apart by what follows the dot in the user's name.
    _, dot, project = unquote(parts.username or "").partition(".")
    host = parts.netloc.rpartition("@")[2]
    user = quote(login + dot + project, safe="")
    return urlunsplit(parts._replace(netloc=f"{user}:{login_password(login, secret)}@{host}"))
