"""The embedded Postgres, with the real programs on folders of their own."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from database.cluster import Cluster
from database.embedded import EmbeddedServer, base_url
from database.errors import DatabaseRefusal


@pytest.fixture(scope="module")
def made_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("embedded")
    with EmbeddedServer(folder) as url:
        ask(url, "CREATE TABLE kept (word text)")
    return folder


@pytest.fixture
def server(made_folder: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(made_folder)
    server.start()
    yield server
    server.stop()


LOCALE_SQL = "SELECT concat(datlocprovider, ' ', datlocale) FROM pg_database WHERE datname = current_database()"


def ask(url: str, statement: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row else None


def server_processes(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder.resolve() / "postgres") and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def kill_server(folder: Path) -> None:
    processes = server_processes(folder)
    for process in processes:
        # Some end by themselves as soon as another is gone.
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=10)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("server_version_num", "18"),
        ("server_encoding", "UTF8"),
        ("data_checksums", "on"),
        ("TimeZone", "UTC"),
        ("listen_addresses", ""),
        ("unix_socket_permissions", "0700"),
        ("fsync", "on"),
        ("max_connections", "100"),
    ],
)
def test_a_new_server_has_the_settings_that_the_service_counts_on(
    server: EmbeddedServer, made_folder: Path, setting: str, value: str
):
    assert server.is_running

    found = ask(base_url(made_folder), f"SHOW {setting}")

    assert str(found).startswith(value)


def test_text_is_ordered_and_folded_by_the_server_itself_on_every_machine(server: EmbeddedServer, made_folder: Path):
    assert server.is_running

    provider = ask(base_url(made_folder), LOCALE_SQL)

    assert str(provider) == "b C.UTF-8"
    assert ask(base_url(made_folder), "SELECT upper('é')") == "É"


def test_stopping_leaves_no_process_and_no_socket(made_folder: Path):
    with EmbeddedServer(made_folder):
        assert server_processes(made_folder)

    assert server_processes(made_folder) == []
    assert not list(made_folder.glob(".s.PGSQL*"))
    assert not EmbeddedServer(made_folder).is_running


def test_data_survives_a_stop_and_a_start(tmp_path: Path):
    with EmbeddedServer(tmp_path) as url:
        ask(url, "CREATE TABLE kept AS SELECT 'trehalose' AS word")

    with EmbeddedServer(tmp_path) as url:
        assert ask(url, "SELECT word FROM kept") == "trehalose"


def test_a_second_user_joins_the_server_and_the_last_one_out_stops_it(made_folder: Path):
    first, second = EmbeddedServer(made_folder), EmbeddedServer(made_folder)
    url = first.start()

    assert second.start() == url
    first.stop()

    assert ask(url, "SELECT 1") == 1
    second.stop()
    assert server_processes(made_folder) == []


def test_stopping_a_server_that_was_not_started_here_does_nothing(server: EmbeddedServer, made_folder: Path):
    EmbeddedServer(made_folder).stop()

    assert server.is_running


def test_a_start_after_the_whole_server_was_killed_recovers_what_was_committed(
    server: EmbeddedServer, made_folder: Path
):
    ask(base_url(made_folder), "INSERT INTO kept VALUES ('committed')")
    kill_server(made_folder)
    assert (made_folder / "postgres" / "postmaster.pid").exists()

    with EmbeddedServer(made_folder) as url:
        assert ask(url, "SELECT count(*) FROM kept WHERE word = 'committed'") == 1
    assert server.is_running


def test_a_start_after_only_the_first_process_was_killed_ends_what_is_left_of_it(
    server: EmbeddedServer, made_folder: Path
):
    assert server.is_running
    psql = Cluster(made_folder / "postgres").programs / "psql"
    endless = [str(psql), base_url(made_folder), "-c", "SELECT count(*) FROM generate_series(1, 1e12)"]
    with subprocess.Popen(endless, stderr=subprocess.DEVNULL) as busy:
        while ask(base_url(made_folder), "SELECT count(*) FROM pg_stat_activity WHERE state = 'active'") != 2:
            time.sleep(0.05)
        first_process = psutil.Process(int((made_folder / "postgres" / "postmaster.pid").read_text().split()[0]))
        first_process.kill()
        first_process.wait(timeout=10)

        with EmbeddedServer(made_folder) as url:
            assert ask(url, "SELECT 1") == 1

    assert busy.returncode != 0


def test_a_server_that_hangs_in_its_stop_is_stopped_harder(made_folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("database.embedded.STOP_TIMEOUT_S", 2.0)
    server = EmbeddedServer(made_folder)
    server.start()
    first_process = psutil.Process(int((made_folder / "postgres" / "postmaster.pid").read_text().split()[0]))
    # Stopped by a signal that it cannot catch, it does not hear the request to end either.
    first_process.suspend()

    server.stop()

    assert server_processes(made_folder) == []
    with EmbeddedServer(made_folder) as url:
        assert ask(url, "SELECT 1") == 1


def test_a_process_id_that_another_program_was_given_does_not_keep_the_server_from_starting(made_folder: Path):
    # As after a reboot, or in a new container: the id of the old server is alive, but not a server.
    stale = f"{os.getppid()}\n{made_folder}/postgres\n0\n5432\n{made_folder}\n\n0 0\nready   \n"
    (made_folder / "postgres" / "postmaster.pid").write_text(stale)
    (made_folder / ".s.PGSQL.5432.lock").write_text(stale)

    with EmbeddedServer(made_folder) as url:
        assert ask(url, "SELECT 1") == 1


def test_a_server_whose_users_were_killed_is_taken_over_and_stopped(made_folder: Path):
    child = os.fork()
    if child == 0:
        EmbeddedServer(made_folder).start()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    orphans = {process.pid for process in server_processes(made_folder)}

    with EmbeddedServer(made_folder) as url:
        assert ask(url, "SELECT 1") == 1
        assert orphans <= {process.pid for process in server_processes(made_folder)}

    assert server_processes(made_folder) == []


def test_a_first_start_that_was_killed_half_way_is_begun_again(tmp_path: Path):
    half = tmp_path / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")

    with EmbeddedServer(tmp_path) as url:
        assert ask(url, "SELECT 1") == 1
    assert not half.exists()


def test_a_folder_of_another_major_version_is_refused_and_kept(tmp_path: Path):
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("16\n")

    with pytest.raises(DatabaseRefusal, match=r"made by PostgreSQL 16, and this version runs 18"):
        EmbeddedServer(tmp_path).start()

    assert (tmp_path / "postgres" / "PG_VERSION").read_text() == "16\n"


def test_a_folder_with_other_content_is_refused_and_kept(tmp_path: Path):
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "thesis.tex").write_text("years of work")

    with pytest.raises(DatabaseRefusal, match="no PostgreSQL data"):
        EmbeddedServer(tmp_path).start()

    assert (tmp_path / "postgres" / "thesis.tex").read_text() == "years of work"


def test_a_data_folder_that_is_a_file_is_refused_with_a_sentence(tmp_path: Path):
    (tmp_path / "data").write_text("")

    with pytest.raises(DatabaseRefusal, match="cannot be used"):
        EmbeddedServer(tmp_path / "data").start()


def test_a_server_that_refuses_to_start_gives_its_last_words(made_folder: Path):
    with pytest.raises(DatabaseRefusal, match="unrecognized configuration parameter"):
        EmbeddedServer(made_folder, settings={"no_such_setting": "1"}).start()

    assert server_processes(made_folder) == []


def test_a_path_too_long_for_a_socket_gets_a_private_folder_for_it(tmp_path: Path):
    deep = tmp_path.joinpath(*["a-folder-with-a-long-name"] * 5)

    with EmbeddedServer(deep) as url:
        socket_folder = Path(url.partition("host=")[2])
        assert ask(url, "SELECT 1") == 1
        assert stat.S_IMODE(socket_folder.stat().st_mode) == 0o700

    assert not socket_folder.exists()


@pytest.mark.parametrize("name", ["two words", "ice, vapour", '$HOME`id`"50%"', "Glaskörper"])
def test_a_folder_with_any_name_will_do(tmp_path: Path, name: str):
    with EmbeddedServer(tmp_path / name) as url:
        assert ask(url, "SELECT 1") == 1


def test_the_modes_of_parent_folders_stay_as_they_are(tmp_path: Path):
    parent = tmp_path / "closed"
    parent.mkdir(mode=0o700)

    with EmbeddedServer(parent / "data"):
        pass

    assert stat.S_IMODE(parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((parent / "data").stat().st_mode) == 0o700


def test_the_url_of_a_folder_without_a_server_is_refused_with_what_to_do(tmp_path: Path):
    with pytest.raises(DatabaseRefusal, match="make serve"):
        base_url(tmp_path)


def test_settings_of_the_caller_reach_the_server(made_folder: Path):
    with EmbeddedServer(made_folder, settings={"work_mem": "7MB"}) as url:
        assert ask(url, "SHOW work_mem") == "7MB"


def test_the_environment_of_the_caller_does_not_reach_the_server(made_folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PGDATA", "/nowhere")
    monkeypatch.setenv("TZ", "Asia/Tokyo")

    with EmbeddedServer(made_folder) as url:
        assert ask(url, "SHOW data_directory") == str(Cluster(made_folder / "postgres").folder)
