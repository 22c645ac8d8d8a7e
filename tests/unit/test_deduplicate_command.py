"""`cryoprotect db deduplicate` without a database: wrong use, and how a report is printed."""

from __future__ import annotations

from uuid import UUID

import pytest
from click.testing import CliRunner

from app.cli.db import db
from app.cli.deduplicate import SHOWN, _show
from database.maintenance.deduplicate.run import Report, TableReport
from database.maintenance.deduplicate.work import Conflict, Group

RECORD = UUID("00000000-0000-0000-0000-000000000001")
OTHER = UUID("00000000-0000-0000-0000-000000000002")
INCHIKEY = "PEDCQBHIVMGVHV-UHFFFAOYSA-N"


def _report(*, dry_run: bool = False, conflicts: int = 0, parents: int = 0) -> Report:
    return Report(
        request_id="deduplicate 1",
        dry_run=dry_run,
        tables=[
            TableReport("molecules", 12345, 2, 3, 4, conflicts),
            TableReport("mixture_components", None, 0, 1, 0, 0),
        ],
        conflicts=[Conflict("molecules", INCHIKEY, (RECORD, OTHER), "why")] * conflicts,
        parents=[Group(RECORD, (OTHER,), INCHIKEY)] * parents,
    )


@pytest.mark.parametrize(
    "options",
    [
        ("--parent", "glycerol"),
        ("--parent", INCHIKEY.lower()),
        ("--parent", f"{INCHIKEY}\n"),
        ("--window-days", "-1"),
        ("--window-days", "1.5"),
        ("--thoroughly",),
        ("molecules",),
    ],
    ids=repr,
)
def test_wrong_use_ends_with_2_before_a_database_is_looked_for(options: tuple[str, ...]) -> None:
    done = CliRunner().invoke(db, ["deduplicate", *options])

    assert done.exit_code == 2
    assert "Usage: " in done.stderr


def test_away_from_a_terminal_a_table_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    _show(_report(conflicts=1, parents=1))

    assert capsys.readouterr().out.splitlines() == [
        "molecules: 12,345 looked at, 2 groups, 3 removed, 4 references moved, 1 conflicts",
        "mixture_components: - looked at, 0 groups, 1 removed, 0 references moved, 0 conflicts",
        f"conflict in molecules: {INCHIKEY} {RECORD} {OTHER}: why",
        f"forms of {INCHIKEY}: {RECORD} {OTHER}",
        "in the audit log: deduplicate 1",
    ]


def test_a_terminal_shows_a_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")

    _show(_report(dry_run=True))

    shown = capsys.readouterr().out
    assert "What a run would do" in shown
    assert "references moved" in shown
    assert "12,345" in shown
    assert "looked at," not in shown
    assert shown.splitlines()[-1] == "undone: this was a dry run"


def test_a_long_list_is_cut_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    _show(_report(conflicts=SHOWN + 7, parents=SHOWN + 1))

    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("conflict in ") for line in lines) == SHOWN
    assert "and 7 more conflicts: --json lists all" in lines
    assert "and 1 more parents: --json lists all" in lines
