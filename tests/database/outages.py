"""A database that is away for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from database.urls import DatabaseUrls

END_SERVICE_SQL: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'cryoprotect_service' AND datname = %(name)s
"""


@contextmanager
def away(urls: DatabaseUrls, server_url: str) -> Iterator[None]:
    """Let nobody into the database, as if its server were gone."""
    name = urlsplit(urls.admin).path[1:]
    with psycopg.connect(server_url, autocommit=True) as other:
        other.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
        try:
            other.execute(END_SERVICE_SQL, {"name": name})
            yield
        finally:
            other.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(name)))
