"""`cryoprotect seed --cryomn`: a file that is not the table is refused before any database is touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli.seed import seed


@pytest.mark.parametrize("content", [b"name,value\na,1\n", b"", b"\xff\xfe\x00"])
def test_another_file_is_refused_and_no_database_is_made(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CRYOPROTECT_DATA_DIR", str(tmp_path / "data"))
    table = tmp_path / "table.csv"
    table.write_bytes(content)

    result = CliRunner().invoke(seed, ["--cryomn", str(table)])

    assert result.exit_code == 1
    assert str(table) in result.output
    assert not (tmp_path / "data").exists()


def test_a_file_that_is_not_there_is_wrong_use(tmp_path: Path):
    assert CliRunner().invoke(seed, ["--cryomn", str(tmp_path / "none.csv")]).exit_code == 2
