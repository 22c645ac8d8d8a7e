"""`cryoprotect token issue|list|revoke` with a database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import psycopg
import pytest
from click.testing import CliRunner, Result
from flask import Flask

from app.cli import main
from app.cli.token import token
from database import migrate
from database.urls import DatabaseUrls
from tests.api.problems import problem
from tests.plugins.api import Api
from tests.plugins.database import SECRET


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, urls: DatabaseUrls, emptied: None) -> None:
    monkeypatch.setenv("CRYOPROTECT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SUPABASE_JWT_SECRET", SECRET)
    monkeypatch.setenv("DATABASE_URL", urls.admin)


def run(*words: str) -> Result:
    return CliRunner().invoke(token, words)


def jti_of(done: Result) -> str:
    claims: dict[str, Any] = jwt.decode(done.stdout.strip(), SECRET, algorithms=["HS256"], audience="authenticated")
    return str(claims["jti"])


def test_a_service_token_is_recorded_and_nothing_but_the_token_is_printed() -> None:
    done = run("issue", "--role", "service_role", "--scope", "molecules:write")

    assert (done.exit_code, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    (listed,) = json.loads(run("list", "--json").stdout)
    assert (listed["jti"], listed["scopes"], listed["parent_jti"]) == (jti_of(done), ["molecules:write"], None)
    assert done.stdout.strip() not in str(listed)


@pytest.mark.parametrize("role", [("anon",), ("authenticated", "--sub", "5b6a7c1e-90ab-4cde-8f01-23456789abcd")])
def test_a_token_of_another_role_is_not_recorded(role: tuple[str, ...]) -> None:
    run("issue", "--role", *role)

    assert json.loads(run("list", "--json").stdout) == []


def test_the_list_is_one_line_a_token_newest_first(admin: psycopg.Connection) -> None:
    first, second, third = (
        jti_of(run("issue", "--role", "service_role", *scopes))
        for scopes in ([], ["--scope", "imports:write", "--scope", "molecules:write"], [])
    )
    for age, jti in (("3 min", first), ("2 min", second), ("1 min", third)):
        admin.execute(
            "UPDATE private.service_tokens SET issued_at = issued_at - %s::interval WHERE jti = %s", (age, jti)
        )
    run("revoke", third)

    lines = run("list").stdout.splitlines()

    assert [line.split()[0] for line in lines] == [third, second, first]
    assert " revoked 20" in lines[0]
    assert lines[1].endswith("scopes imports:write,molecules:write")
    assert " until 20" in lines[2]
    assert lines[2].endswith("scopes all")


def test_a_revoked_token_is_refused_and_what_it_minted_too(app: Flask) -> None:
    issued = run("issue", "--role", "service_role")
    holder = Api(app.test_client(), issued.stdout.strip())
    minted = holder.post("/tokens", {"ttl": 60}).get_json()

    done = run("revoke", jti_of(issued))

    assert done.exit_code == 0
    assert set(done.stdout.splitlines()) == {f"revoked {jti_of(issued)}", f"revoked {minted['jti']}"}
    app.extensions["cryoprotect"].revocations.look_again()
    problem(holder.get("/molecules"), 401, "token_revoked")
    assert run("revoke", jti_of(issued)).stdout == f"{jti_of(issued)} was revoked before\n"


@pytest.mark.parametrize("jti", ["", "a b", "x" * 129, "naïve"])
def test_what_is_no_jti_is_wrong_use(jti: str) -> None:
    done = run("revoke", jti)

    assert done.exit_code == 2
    assert "a jti has 1 to 128" in done.stderr


def test_where_the_database_does_not_answer_the_token_is_printed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://postgres@127.0.0.1:9/nothing?connect_timeout=1")
    monkeypatch.setenv("POOL_TIMEOUT_S", "0.2")

    done = run("issue", "--role", "service_role")

    assert done.exit_code == 0
    assert f"not recorded. It can be revoked by its jti: {jti_of(done)}\n" in done.stderr


@pytest.fixture
def _at_another_revision(admin: psycopg.Connection) -> Iterator[None]:
    admin.execute("UPDATE private.alembic_version SET version_num = '0006_bookkeeping'")
    yield
    admin.execute("UPDATE private.alembic_version SET version_num = %s", (migrate.head(),))


@pytest.mark.usefixtures("_at_another_revision")
@pytest.mark.parametrize("words", [("list",), ("revoke", "some-jti")], ids=["list", "revoke"])
def test_at_another_revision_it_says_what_to_do(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["cryoprotect", "token", *words])

    with pytest.raises(SystemExit) as end:
        main.main()

    assert end.value.code == 1
    assert "run `cryoprotect db upgrade`" in capsys.readouterr().err
