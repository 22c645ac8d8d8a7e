"""`cryoprotect token issue` without a database: what it prints, and what it says where it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import jwt
import pytest
from click.testing import CliRunner, Result

from app.cli.token import token
from app.services.tokens import SCOPES, TokenVerifier

PROJECT = Path(__file__).parents[2]
SECRET = "a-secret-that-only-these-tests-know-of"
USER = "5b6a7c1e-90ab-4cde-8f01-23456789abcd"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CRYOPROTECT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SUPABASE_JWT_SECRET", SECRET)
    monkeypatch.delenv("DATABASE_URL", raising=False)


def not_recorded(printed: str) -> str:
    jti = claims(printed)["jti"]
    return f"The database cannot be reached, so the token is not recorded. It can be revoked by its jti: {jti}\n"


def issue(*options: str) -> Result:
    return CliRunner().invoke(token, ["issue", *options])


def claims(printed: str) -> dict[str, Any]:
    said: dict[str, Any] = jwt.decode(printed.strip(), SECRET, algorithms=["HS256"], audience="authenticated")
    return said


def lifetime_s(printed: str) -> int:
    return int(claims(printed)["exp"]) - int(claims(printed)["iat"])


def test_a_token_and_nothing_else_is_printed() -> None:
    done = issue("--role", "service_role", "--ttl", "1h")

    assert done.exit_code == 0
    assert done.stderr == not_recorded(done.stdout)
    assert done.stdout.count("\n") == 1
    assert TokenVerifier(SECRET, None, None).verify(done.stdout.rstrip("\n")).role == "service_role"


def test_a_users_token_names_the_user_and_is_not_recorded_anywhere() -> None:
    done = issue("--role", "authenticated", "--sub", USER)

    assert done.stderr == ""
    assert TokenVerifier(SECRET, None, None).verify(done.stdout.strip()).user_id == UUID(USER)


def test_an_anon_token_needs_no_subject() -> None:
    done = issue("--role", "anon")

    assert TokenVerifier(SECRET, None, None).verify(done.stdout.strip()).role == "anon"


@pytest.mark.parametrize(
    ("ttl", "seconds"),
    [("3600", 3600), ("90s", 90), ("30m", 1800), ("1h", 3600), ("24h", 86_400), ("1d", 86_400), ("1", 1)],
)
def test_the_time_to_live_is_seconds_or_has_a_unit(ttl: str, seconds: int) -> None:
    assert lifetime_s(issue("--role", "service_role", "--ttl", ttl).stdout) == seconds


def test_a_token_lives_for_an_hour_unless_told_otherwise() -> None:
    assert lifetime_s(issue("--role", "anon").stdout) == 3600


def test_a_token_may_be_narrowed_to_scopes() -> None:
    done = issue("--role", "service_role", "--scope", "molecules:write", "--scope", "imports:write")

    caller = TokenVerifier(SECRET, None, None).verify(done.stdout.strip())
    assert caller.scopes == frozenset({"molecules:write", "imports:write"})


def test_a_token_without_scopes_is_not_narrowed() -> None:
    done = issue("--role", "service_role")

    assert TokenVerifier(SECRET, None, None).verify(done.stdout.strip()).scopes is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "--role"),
        (("--role", "postgres"), "'postgres' is not one of"),
        (("--role", "authenticated"), "needs a user's UUID"),
        (("--role", "authenticated", "--sub", "somebody"), "needs a user's UUID"),
        (("--role", "service_role", "--sub", USER), "Only a token of role authenticated"),
        (("--role", "service_role", "--ttl", "25h"), "86400 seconds"),
        (("--role", "service_role", "--ttl", "0"), "86400 seconds"),
        (("--role", "service_role", "--ttl", "-1"), "is not a length of time"),
        (("--role", "service_role", "--ttl", "soon"), "is not a length of time"),
        (("--role", "service_role", "--ttl", "1.5h"), "is not a length of time"),
        (("--role", "service_role", "--ttl", ""), "is not a length of time"),
        (("--role", "service_role", "--ttl", "\N{ARABIC-INDIC DIGIT FIVE}m"), "is not a length of time"),
        (("--role", "anon", "--ttl", "999999999d"), "seconds"),
        (("--role", "service_role", "--scope", "everything:write"), "is not one of"),
        (("--role", "service_role", "extra"), "unexpected extra argument"),
    ],
)
def test_wrong_use_is_exit_status_2_and_prints_no_token(options: tuple[str, ...], said: str) -> None:
    done = issue(*options)

    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stdout == ""


def test_the_help_names_every_scope() -> None:
    said = "".join(issue("--help").stdout.split())

    assert all(scope in said for scope in SCOPES)


def test_without_any_secret_it_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUPABASE_JWT_SECRET")

    done = issue("--role", "service_role")

    assert done.exit_code == 1
    assert done.stdout == ""
    assert "no signing secret is known: set SUPABASE_JWT_SECRET" in done.stderr


def test_the_secret_in_the_data_folder_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SUPABASE_JWT_SECRET")
    (tmp_path / "jwt_secret").write_text(f"{SECRET}\n", encoding="ascii")

    assert lifetime_s(issue("--role", "service_role", "--ttl", "60").stdout) == 60


@pytest.mark.parametrize("content", [b"\xff" * 40, b"short", b""])
def test_a_secret_that_cannot_be_used_is_exit_status_1_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes
) -> None:
    monkeypatch.delenv("SUPABASE_JWT_SECRET")
    (tmp_path / "jwt_secret").write_bytes(content)

    done = issue("--role", "service_role")

    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert "short" not in done.stderr


def test_a_public_key_as_secret_is_exit_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_JWT_SECRET", '{"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"}')

    done = issue("--role", "service_role")

    assert done.exit_code == 1
    assert "SUPABASE_JWT_SECRET" in done.stderr


def test_a_variable_that_cannot_be_used_is_exit_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "ninety")

    done = issue("--role", "service_role")

    assert done.exit_code == 1
    assert "PORT must be a number" in done.stderr


def test_as_a_process_it_writes_one_line_to_stdout_that_verifies() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from app.cli.token import token; token()", "issue", "--role", "service_role"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=PROJECT,
        env=dict(os.environ),
    )

    assert done.stderr == not_recorded(done.stdout)
    assert TokenVerifier(SECRET, None, None, clock=time.time).verify(done.stdout.removesuffix("\n")).jti


def test_no_database_is_made_or_started_to_record_a_token(tmp_path: Path) -> None:
    issue("--role", "service_role")

    assert list(tmp_path.iterdir()) == []


def test_printing_a_users_token_does_not_wait_for_the_driver_of_a_database() -> None:
    script = "import sys; from app.cli.token import token; token(sys.argv[1:], standalone_mode=False); "
    script += "print([name for name in ('psycopg', 'alembic') if name in sys.modules])"
    command = [sys.executable, "-c", script, "issue", "--role", "anon"]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=PROJECT)

    assert done.stdout.splitlines()[-1] == "[]"
