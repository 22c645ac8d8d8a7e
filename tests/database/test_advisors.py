"""What Supabase's own advisors say of the migrated database: nothing but that some index has not been used yet.

Their command needs no containers; `.ci/run` installs it. A finding that is wrong for us stands in
`advisors_allowed.json` with its reason.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from database.urls import DatabaseUrls
from tests.database.clones import migrated_database

pytestmark = pytest.mark.machine

ROOT: Final = Path(__file__).resolve().parents[2]
INSTALLED: Final = ROOT / "build" / "supabase" / "node_modules" / ".bin" / "supabase"
ALLOWED: Final = Path(__file__).with_name("advisors_allowed.json")
NOT_USED_YET: Final = "unused_index"
# What an earlier shape of this service had: a table without row-level security, a policy that asks for each row, two
# policies where one would do, a foreign key without an index, a definer's view and a function without a search path.
BAD_TABLE_SQL: Final = """
CREATE TABLE public.careless (id uuid PRIMARY KEY, molecule_id uuid REFERENCES public.molecules (id), owner_id uuid);
GRANT SELECT ON public.careless TO anon, authenticated;
CREATE TABLE public.slow (id uuid PRIMARY KEY, owner_id uuid);
ALTER TABLE public.slow ENABLE ROW LEVEL SECURITY;
CREATE POLICY slow_one ON public.slow FOR SELECT TO authenticated USING (owner_id = auth.uid());
CREATE POLICY slow_two ON public.slow FOR SELECT TO authenticated USING (true);
GRANT SELECT ON public.slow TO anon, authenticated;
CREATE VIEW public.peephole AS SELECT id, name FROM public.molecules;
GRANT SELECT ON public.peephole TO anon;
CREATE FUNCTION public.wandering() RETURNS integer LANGUAGE sql AS 'SELECT 1';
"""


@pytest.fixture(scope="module")
def command() -> str:
    """Give Supabase's command."""
    found = str(INSTALLED) if INSTALLED.exists() else shutil.which("supabase")
    if not found:
        pytest.skip("Supabase's command is not on this machine (npm install --prefix build/supabase supabase)")
    return found


@pytest.fixture
def judged(server_url: str, urls: DatabaseUrls) -> Iterator[DatabaseUrls]:
    """Give a migrated database of this test's own."""
    with migrated_database(server_url, urls, "advisors") as own:
        yield own


def _findings(command: str, urls: DatabaseUrls, home: Path) -> list[dict[str, Any]]:
    answer = subprocess.run(
        [command, "db", "advisors", f"--remote={urls.admin}", "--level", "info", "--output-format", "json"],
        check=True,
        capture_output=True,
        timeout=120,
        cwd=home,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "SUPABASE_TELEMETRY_DISABLED": "1"},
    )
    return list(json.loads(answer.stdout)["results"])


def test_the_advisors_find_nothing_but_indexes_that_are_not_used_yet(
    command: str, judged: DatabaseUrls, tmp_path: Path
) -> None:
    allowed = {(item["name"], item["schema"]) for item in json.loads(ALLOWED.read_text(encoding="utf-8"))}

    findings = _findings(command, judged, tmp_path)

    # They looked: a database that nobody has read has indexes that nobody has used.
    assert any(item["name"] == NOT_USED_YET for item in findings)
    assert [
        (item["name"], item["detail"])
        for item in findings
        if item["name"] != NOT_USED_YET and (item["name"], item["metadata"].get("schema")) not in allowed
    ] == []


def test_the_advisors_find_a_table_that_is_badly_made(command: str, judged: DatabaseUrls, tmp_path: Path) -> None:
    with psycopg.connect(judged.admin, autocommit=True) as admin:
        admin.execute(BAD_TABLE_SQL)

    found = {item["name"] for item in _findings(command, judged, tmp_path)}

    assert found >= {
        "rls_disabled_in_public",
        "auth_rls_initplan",
        "multiple_permissive_policies",
        "unindexed_foreign_keys",
        "security_definer_view",
        "function_search_path_mutable",
    }


def test_each_finding_that_is_allowed_says_why() -> None:
    for item in json.loads(ALLOWED.read_text(encoding="utf-8")):
        assert set(item) == {"name", "schema", "reason"}
        assert len(item["reason"]) > 20
