"""What the log holds of requests: what happened, and none of what is secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from app.services.minting import issue_token
from config import Settings
from tests.api.telling_secrets import SENT
from tests.plugins.database import SECRET

PROJECT = Path(__file__).parents[2]
FORGED = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSJ9.forged"
EMAIL = "marie@example.org"
PASSWORD = "radium-and-polonium"
# No other test's molecule; valid, so that it is stored.
SMILES = "OCC(O)CSCCNCCF"
NAME = "UNPUBLISHEDAGENT"


def leaked(log: str, secrets: list[str]) -> set[str]:
    """Return which secrets a log holds, whatever their case."""
    return {secret for secret in secrets if secret.lower() in log.lower()}


@pytest.fixture(scope="module")
def secrets() -> list[str]:
    """Give what must not be logged; of a signed token the part that makes it valid."""
    token = issue_token(SECRET, role="authenticated", ttl_s=60, sub=uuid4())
    return [token, FORGED, EMAIL, PASSWORD, SMILES, NAME]


@pytest.fixture
def log(settings: Settings, secrets: list[str], emptied: None) -> str:
    """Give what the service logs, at its most talkative, while it is sent secrets."""
    environment = {
        **os.environ,
        "CRYOPROTECT_DATA_DIR": str(settings.data_dir),
        "DATABASE_URL": settings.database_url or "",
        "SUPABASE_JWT_SECRET": SECRET,
        "RATE_LIMITS": "off",
        "POOL_MAX": "2",
        "LOG_LEVEL": "DEBUG",
        "SECRETS": " ".join(secrets),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.api.telling_secrets"],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    return done.stderr


def test_no_secret_of_a_request_is_logged(log: str, secrets: list[str]):
    lines = [json.loads(line) for line in log.splitlines()]

    assert leaked(log, [*secrets, secrets[0].rpartition(".")[2]]) == set()
    assert sum(line["event"] == "request" for line in lines) == SENT
    (unexpected,) = [line for line in lines if line["event"] == "unexpected error"]
    assert "InvalidTextRepresentation 22P02" in unexpected["exception"]
    assert "RuntimeError" in unexpected["exception"]
    assert "in fail" in unexpected["exception"]


def test_a_log_with_a_secret_is_noticed(secrets: list[str]):
    assert leaked(json.dumps({"path": f"/x/{EMAIL.upper()}"}), secrets) == {EMAIL}
