"""Databases of a test's own, beside the worker's: bare, or cloned from the migrated template."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from database.urls import DatabaseUrls, database_urls
from tests.plugins.database import SECRET, TEMPLATE, named

TEMPLATE_LOCK = 4711


@contextmanager
def own_database(server_url: str, purpose: str, template: str = "template1") -> Iterator[DatabaseUrls]:
    """Give the URLs of a new database, dropped at the end; one per purpose and test worker."""
    name = "{}_{}".format(purpose, os.environ.get("PYTEST_XDIST_WORKER", "main"))
    with psycopg.connect(server_url, autocommit=True) as admin:
        _drop(admin, name)
        # Nobody may be connected to a template while it is copied: workers take turns, as the fixture `urls` does.
        admin.execute("SELECT pg_advisory_lock(%s)", (TEMPLATE_LOCK,))
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        admin.execute("SELECT pg_advisory_unlock(%s)", (TEMPLATE_LOCK,))
        try:
            yield database_urls(named(server_url, name), None, SECRET)
        finally:
            _drop(admin, name)


@contextmanager
def migrated_database(server_url: str, urls: DatabaseUrls, purpose: str) -> Iterator[DatabaseUrls]:
    """Give the URLs of a migrated database; `urls` is asked for because it makes the template."""
    with own_database(server_url, purpose, TEMPLATE) as clone:
        yield clone


def _drop(admin: psycopg.Connection, name: str) -> None:
    admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
