"""The embedded Postgres under users and on disks that are not the usual ones."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine.conftest import ROOT

pytestmark = [pytest.mark.machine, pytest.mark.timeout(120)]

USE_IT = """
    import sys
    from pathlib import Path
    from database.embedded import EmbeddedServer
    from database.errors import DatabaseRefusal
    import psycopg
    try:
        with EmbeddedServer(Path(sys.argv[1])) as url, psycopg.connect(url) as connection:
            print("answer", connection.execute("SELECT 6 * 7").fetchone()[0])
    except DatabaseRefusal as refusal:
        print("refused:", refusal.detail)
"""
# A container as Docker makes it: root inside, a range of users, and no namespaces below it.
IN_A_CONTAINER = """
    import ctypes, os, sys
    entered, mapped = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(0x10000000) != 0:
            os._exit(77)
        os.write(entered[1], b"x")
        os.read(mapped[0], 1)
        os.setgroups([])
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        with open("/proc/sys/user/max_user_namespaces", "w") as limit:
            limit.write("0")
        os.execvp(sys.argv[1], sys.argv[1:])
    os.read(entered[0], 1)
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{child}/{name}", "w") as map_file:
            map_file.write("0 0 65536")
    os.write(mapped[1], b"x")
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
IN_A_SMALL_DISK = 'mount -t tmpfs -o size=24m none "$1" && shift && exec "$@"'

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who may become another user")


def use(folder: Path, *before: str) -> str:
    """Start, ask and stop a server by a process of its own; return what it printed."""
    command = [*before, sys.executable, "-c", textwrap.dedent(USE_IT), str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    return done.stdout + done.stderr


def as_user(uid: int) -> tuple[str, ...]:
    words = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups")
    if subprocess.run([*words, sys.executable, "-c", ""], capture_output=True, check=False).returncode != 0:
        pytest.skip("another user cannot run this Python")
    return words


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """Give a folder that other users may enter, as pytest's own may not be."""
    folder = Path("/tmp") / f"cryoprotect-test-{os.getpid()}"  # noqa: S108 - made anew, or the test fails
    folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(folder)


@root_only
def test_root_gets_a_server_and_no_mode_or_owner_outside_the_data_folder_changes(tmp_path: Path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)

    assert use(closed / "data") == "answer 42\n"

    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert {path.stat().st_uid for path in (closed / "data").rglob("*")} == {0}


@root_only
def test_root_gets_a_server_where_user_namespaces_are_forbidden(tmp_path: Path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    container = [sys.executable, "-c", textwrap.dedent(IN_A_CONTAINER)]
    if subprocess.run([*container, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not allow user namespaces at all")

    assert use(closed / "data", *container) == "answer 42\n"

    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    assert (closed / "data" / "postgres").stat().st_uid != 0
    # The folder that changed hands is served to root afterwards, here and in the next container.
    assert use(closed / "data") == "answer 42\n"
    assert use(closed / "data", *container) == "answer 42\n"


@root_only
def test_a_folder_that_root_made_where_namespaces_were_allowed_is_served_where_they_are_not(tmp_path: Path):
    container = [sys.executable, "-c", textwrap.dedent(IN_A_CONTAINER)]
    if subprocess.run([*container, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not allow user namespaces at all")
    assert use(tmp_path / "data") == "answer 42\n"

    assert use(tmp_path / "data", *container) == "answer 42\n"


@root_only
def test_a_user_without_a_name_gets_a_server(shared: Path):
    (shared / "home").mkdir()
    os.chown(shared / "home", 12345, 12345)

    assert use(shared / "home" / "data", *as_user(12345)) == "answer 42\n"


@root_only
def test_the_data_of_another_user_is_refused_by_name(shared: Path):
    words = as_user(12345)
    shared.joinpath("data").mkdir()
    assert use(shared / "data") == "answer 42\n"

    assert "belongs to root" in use(shared / "data", *words)


def test_a_full_disk_is_said_to_be_full(tmp_path: Path):
    small = tmp_path / "small"
    small.mkdir()
    prefix = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", IN_A_SMALL_DISK, "sh", str(small)]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine lets no ordinary user mount a disk of his own")

    said = use(small / "data", *prefix)

    assert said.startswith(f"refused: the disk that holds {small / 'data'} is full")
    assert len(said.splitlines()) == 1
