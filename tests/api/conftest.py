"""Callers that write nothing, and the real web server with the real app on it."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import requests
import structlog
from flask import Flask
from structlog.testing import LogCapture

from app.services.minting import issue_token
from config import Settings
from database.urls import DatabaseUrls
from tests.api.catalogue import HIDDEN, MOLECULES, POLYMERS, PUBLIC_COUNT
from tests.plugins.api import Api
from tests.plugins.database import SECRET

PROJECT = Path(__file__).parents[2]
START_TIMEOUT_S = 60.0
# Without foreign keys and triggers, and row by row: for the few rows of a test ten times faster than TRUNCATE.
EMPTY_SQL = """
DO $$
DECLARE
    name text;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOR name IN
        SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
        WHERE schemaname IN ('public', 'private', 'jobs')
            AND tablename NOT IN ('property_types', 'request_budgets', 'alembic_version')
    LOOP
        EXECUTE 'DELETE FROM ' || name;
    END LOOP;
END
$$
"""


@pytest.fixture
def emptied(urls: DatabaseUrls) -> Iterator[None]:
    """Empty all tables but the property types after the test."""
    yield
    with psycopg.connect(urls.admin, autocommit=True) as connection:
        connection.execute(EMPTY_SQL)


@pytest.fixture
def visitor(app: Flask) -> Api:
    """Give a caller without a token, for tests that write nothing."""
    return Api(app.test_client())


@pytest.fixture
def member(app: Flask) -> Api:
    """Give a signed-in user, for tests that write nothing."""
    user_id = uuid4()
    return Api(app.test_client(), issue_token(SECRET, role="authenticated", ttl_s=3600, sub=user_id), user_id)


@pytest.fixture
def operator(app: Flask) -> Api:
    """Give a caller with an unrestricted service token, for tests that write nothing."""
    return Api(app.test_client(), issue_token(SECRET, role="service_role", ttl_s=3600))


@pytest.fixture
def add_polymer(admin: psycopg.Connection) -> Callable[..., str]:
    """Give a maker of polymers, which no caller can create."""

    def add(name: str, *, is_public: bool = True) -> str:
        statement = "INSERT INTO molecules (name, kind, is_public) VALUES (%s, 'polymer', %s) RETURNING id"
        (molecule_id,) = admin.execute(statement, (name, is_public)).fetchone() or ("",)
        return str(molecule_id)

    return add


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> LogCapture:
    """Give everything that the app's own loggers are told, at every level."""
    capture = LogCapture()
    every_level = structlog.make_filtering_bound_logger(logging.NOTSET)
    for name, module in list(sys.modules.items()):
        for attribute in ("LOG", "_log"):
            if name.startswith(("api.", "app.")) and hasattr(getattr(module, attribute, None), "bind"):
                monkeypatch.setattr(module, attribute, structlog.wrap_logger(None, [capture], every_level))
    return capture


@pytest.fixture(scope="session")
def gunicorn(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of gunicorn, configured as in production, with the real app on the tests' database."""
    log = tmp_path_factory.mktemp("gunicorn") / "log"
    with running_gunicorn(settings, log, "tests.api.breaking_streams:app") as url:
        yield url


@contextmanager
def running_gunicorn(settings: Settings, log: Path, app: str = "wsgi:app", **variables: str) -> Iterator[str]:
    """Give the address of a gunicorn that runs as long as the block."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    environment = {
        **os.environ,
        "CRYOPROTECT_DATA_DIR": str(settings.data_dir),
        "DATABASE_URL": settings.database_url or "",
        "SUPABASE_JWT_SECRET": SECRET,
        "WEB_CONCURRENCY": "1",
        "POOL_MIN": "0",
        "POOL_MAX": "2",
        "RATE_LIMITS": "off",
        # It would write into the tables that other tests look at.
        "MAINTENANCE_INTERVAL_S": "0",
        "LOG_LEVEL": "ERROR",
        **variables,
    }
    command = [sys.executable, "-m", "gunicorn", "--config", "deploy/gunicorn.conf.py"]
    command += ["--bind", f"fd://{listener.fileno()}", app]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=PROJECT, env=environment, pass_fds=(listener.fileno(),), stdout=output, stderr=output
        )
    listener.close()
    try:
        _wait(url, process, log)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=START_TIMEOUT_S)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            requests.get(f"{url}/health/ready", timeout=5).raise_for_status()
        except requests.RequestException:
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"gunicorn did not become ready: {log.read_text(encoding='utf-8', errors='replace')[-2000:]}")


@pytest.fixture(scope="module")
def catalogue(app: Flask, urls: DatabaseUrls) -> Iterator[list[dict[str, Any]]]:
    """Give the public records of a small catalogue, which stays for the whole module: its tests only read."""
    operator = Api(app.test_client(), issue_token(SECRET, role="service_role", ttl_s=3600))
    with psycopg.connect(urls.admin, autocommit=True) as admin:
        operator.post("/molecules/batch?atomic=true", [*MOLECULES, *HIDDEN])
        for name in POLYMERS:
            admin.execute("INSERT INTO molecules (name, kind, is_public) VALUES (%s, 'polymer', true)", (name,))
        records = Api(app.test_client()).get("/molecules?limit=1000&detail=full").get_json()["data"]
        assert len(records) == PUBLIC_COUNT
        yield records
        admin.execute(EMPTY_SQL)
