"""What `serve` does before the web server starts, on a real database."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from app.cli.running import with_secret
from app.cli.serve import prepare
from config import Settings, SettingsError
from database import migrate
from database.embedded import EmbeddedServer
from database.errors import DatabaseRefusal


def test_a_database_that_is_too_old_is_refused_by_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(migrate, "OLDEST_SERVER", 19)
    with EmbeddedServer(tmp_path) as url:
        settings = with_secret(Settings(data_dir=tmp_path, database_url=url))

        with pytest.raises(DatabaseRefusal, match="PostgreSQL 18; CryoProtect needs 19 or newer"):
            prepare(settings)


def test_a_database_newer_than_any_that_was_tested_is_used_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("app.cli.serve.NEWEST_TESTED_SERVER", 17)
    with EmbeddedServer(tmp_path) as url:
        prepare(with_secret(Settings(data_dir=tmp_path, database_url=url)))

    said = capsys.readouterr()
    assert "newer than 17" in said.err
    assert "seeded 69 molecules, 165 mixtures and 392 experiments" in said.out


def test_many_first_starts_at_once_agree_on_one_secret(tmp_path: Path):
    settings = Settings(data_dir=tmp_path / "data")
    secrets: list[str | None] = []

    threads = [threading.Thread(target=lambda: secrets.append(with_secret(settings).jwt_secret)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(secrets) == 8
    assert len(set(secrets)) == 1
    assert stat.S_IMODE(settings.secret_file.stat().st_mode) == 0o600
    assert [path.name for path in settings.data_dir.iterdir()] == ["jwt_secret"]


def test_a_configured_key_is_used_and_no_secret_is_made(tmp_path: Path):
    with_key = Settings(data_dir=tmp_path / "a", jwt_secret="k" * 40)
    with_jwks = Settings(data_dir=tmp_path / "b", database_url="postgresql://x/y", jwks_url="https://x/jwks")

    assert with_secret(with_key) is with_key
    assert with_secret(with_jwks) is with_jwks
    assert not list(tmp_path.iterdir())


def test_a_secret_file_that_somebody_emptied_is_refused(tmp_path: Path):
    tmp_path.joinpath("jwt_secret").write_text("")

    with pytest.raises(SettingsError):
        Settings.from_environment({"CRYOPROTECT_DATA_DIR": str(tmp_path)})
