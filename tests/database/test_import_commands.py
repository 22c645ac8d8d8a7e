"""`cryoprotect import file` with a database."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from click.testing import CliRunner, Result

from app.cli.main import cryoprotect
from database.repositories import imports
from database.urls import DatabaseUrls
from tests.plugins.database import SECRET

ROOT: Final = Path(__file__).resolve().parents[2]
ROWS: Final = b"OCC(O)CO CHEMBL692\nCS(C)=O DMSO\nOCCO glycol\nC1CC unclosed\n"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, urls: DatabaseUrls, emptied: None) -> None:
    monkeypatch.setenv("CRYOPROTECT_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SUPABASE_JWT_SECRET", SECRET)
    monkeypatch.setenv("DATABASE_URL", urls.admin)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "some.smi"
    made.write_bytes(ROWS)
    return made


def run(*words: object) -> Result:
    return CliRunner().invoke(cryoprotect, ["import", "file", *map(str, words)])


def counts_of(done: Result) -> tuple[str, dict[str, int]]:
    document: dict[str, Any] = json.loads(done.stdout)
    return document["state"], document["counts"]


def test_a_file_is_imported_and_reported(path: Path, admin: psycopg.Connection) -> None:
    done = run(path, "--source", "A shelf", "--release", "2026", "--licence", "CC0")

    assert done.exit_code == 0, done.output
    assert "finished" in done.stdout
    assert "added                3" in done.stdout
    assert "line 4: the structure cannot be read: RDKit cannot read this SMILES" in done.stdout
    assert admin.execute(
        "SELECT s.name, s.release, s.licence, count(*) FROM molecules JOIN data_sources AS s ON s.id = data_source_id "
        "GROUP BY s.id"
    ).fetchall() == [("A shelf", "2026", "CC0", 3)]


def test_the_same_file_again_is_told_as_such_and_adds_nothing(
    path: Path, tmp_path: Path, admin: psycopg.Connection
) -> None:
    first = run(path, "--json")
    copy = tmp_path / "a copy.smi"
    copy.write_bytes(ROWS)

    again = run(copy, "--json")

    assert "imported already" in again.stderr
    assert counts_of(again) == counts_of(first) == ("finished", {"added": 3, "existing": 0, "refused": 1})
    assert admin.execute("SELECT count(*) FROM import_runs").fetchone() == (1,)


def test_a_run_that_failed_is_tried_again(path: Path, admin: psycopg.Connection) -> None:
    run(path)
    admin.execute("UPDATE import_runs SET state = 'failed', failure = 'x', checkpoint = NULL, added_count = 0")

    again = run(path, "--json")

    assert counts_of(again) == ("finished", {"added": 0, "existing": 3, "refused": 2})


def test_a_run_that_lives_elsewhere_is_waited_for_and_left_alone(
    path: Path, admin: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(path)
    monkeypatch.setattr("app.cli.import_runs.LEASE_S", 0.5)
    admin.execute("UPDATE import_runs SET state = 'running', lease_until = clock_timestamp() + interval '1 minute'")

    done = run(path, "--json")

    assert done.exit_code == 1
    assert "another process has this import" in done.stderr
    assert counts_of(done)[0] == "running"


def test_a_run_whose_worker_died_is_taken_over_when_its_lease_lapses(path: Path, admin: psycopg.Connection) -> None:
    run(path)
    admin.execute(
        "UPDATE import_runs SET state = 'running', checkpoint = NULL, added_count = 0, refused_count = 0, "
        "lease_until = clock_timestamp() + interval '2 seconds'"
    )

    done = run(path, "--json")

    assert counts_of(done) == ("finished", {"added": 0, "existing": 3, "refused": 1})
    assert admin.execute("SELECT fence FROM import_runs").fetchone() == (2,)
    assert imports.LEASE_S == 10.0


def test_a_file_of_nothing_but_faults_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "bad.smi"
    path.write_bytes(b"C1CC\nnot a structure\n")

    done = run(path, "--json")

    assert (done.exit_code, counts_of(done)) == (1, ("finished", {"added": 0, "existing": 0, "refused": 2}))


@pytest.mark.parametrize(
    ("words", "content", "sentence"),
    [
        ((), b"what,mass\nCC,30\n", "It has: what, mass"),
        (("--columns", "smiles=drawn"), b"what,mass\nCC,30\n", "It has: what, mass"),
        (("--columns", "colour=what"), b"what,mass\nCC,30\n", "no record says colour"),
        (("--columns", "smiles"), b"what,mass\nCC,30\n", "--columns takes FIELD=NAME"),
    ],
)
def test_what_is_no_use_is_said_before_anything_is_done(
    tmp_path: Path, admin: psycopg.Connection, words: tuple[str, ...], content: bytes, sentence: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)

    done = run(path, *words)

    assert done.exit_code == 2
    assert sentence in done.stderr
    assert admin.execute("SELECT count(*) FROM import_runs").fetchone() == (0,)


def test_a_file_that_is_not_there_is_wrong_use(tmp_path: Path) -> None:
    assert run(tmp_path / "gone.smi").exit_code == 2


@pytest.fixture
def on_a_terminal(path: Path) -> Callable[[], str]:
    """Give a function that runs the command on a terminal, and returns what is seen there."""

    def seen() -> str:
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli.main", "import", "file", str(path)],
            cwd=ROOT,
            env={**os.environ, "TERM": "xterm"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        screen = b""
        try:
            while part := os.read(ours, 4096):
                screen += part
        except OSError:
            # Linux says so when the other end is closed.
            pass
        os.close(ours)
        assert process.wait() == 0, screen
        return screen.decode()

    return seen


def test_a_terminal_shows_a_bar(on_a_terminal: Callable[[], str]) -> None:
    screen = on_a_terminal()

    assert "100 %" in screen
    assert "3 added, 0 existing, 1 refused" in screen
    assert "finished" in screen


SLOWER_SQL: Final = """
CREATE FUNCTION pg_temp.take_time() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(0.4);
    RETURN NULL;
END
$$;
CREATE TRIGGER take_time AFTER INSERT ON molecules FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.take_time()
"""
ENDED_ONCE_SQL: Final = """
CREATE SEQUENCE public.attempts;
CREATE FUNCTION pg_temp.end_once() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF nextval('public.attempts') = 1 THEN
        PERFORM pg_terminate_backend(pg_backend_pid());
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER end_once AFTER INSERT ON molecules FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.end_once()
"""


def test_a_page_that_takes_its_time_is_nothing_to_say(on_a_terminal: Callable[[], str], admin: psycopg.Connection):
    admin.execute(SLOWER_SQL)
    try:
        screen = on_a_terminal()
    finally:
        admin.execute("DROP TRIGGER take_time ON molecules")

    assert "3 added, 0 existing, 1 refused" in screen
    assert "slow_statement" not in screen
    assert "MERGE_MOLECULES_SQL" not in screen


def test_what_is_to_say_stands_above_the_bar(on_a_terminal: Callable[[], str], admin: psycopg.Connection):
    admin.execute(ENDED_ONCE_SQL)
    try:
        screen = on_a_terminal()
    finally:
        admin.execute("DROP TRIGGER end_once ON molecules")
        admin.execute("DROP SEQUENCE public.attempts")

    assert "3 added, 0 existing, 1 refused" in screen
    # The bar is wiped away, the line is written, and the bar begins anew on the line below.
    assert re.search(r"\r\x1b\[2K[^\r\n]*stamina\.retry_scheduled[^\n]*\r\n", screen), screen
    assert screen.rindex("stamina.retry_scheduled") < screen.rindex("100 %")


def test_the_log_level_is_the_settings(path: Path, monkeypatch: pytest.MonkeyPatch, admin: psycopg.Connection):
    monkeypatch.setenv("LOG_LEVEL", "ERROR")
    admin.execute(ENDED_ONCE_SQL)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "app.cli.main", "import", "file", str(path)],
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
    finally:
        admin.execute("DROP TRIGGER end_once ON molecules")
        admin.execute("DROP SEQUENCE public.attempts")

    assert b"finished" in done.stdout
    assert b"retry_scheduled" not in done.stderr
