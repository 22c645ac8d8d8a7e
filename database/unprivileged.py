"""How PostgreSQL, which refuses to run as root, is run by root.

A container or a rented machine often has no other user than root. Two ways lead out, and neither
changes the mode of a folder that is not ours. A user namespace gives the same files under another
user id: nothing changes hands. Where namespaces are forbidden (most containers) the server runs as
an ordinary user of the machine, and keeps the one capability that lets it reach a data folder below
a closed home. A user id without a name, which initdb refuses, is given one by the first way, too.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from database.errors import DatabaseRefusal

ROOT_UID: Final = 0
PREFERRED_USERS: Final = ("postgres", "nobody")
PROBE_TIMEOUT_S: Final = 30


@dataclass(frozen=True, slots=True)
class Launcher:
    """The words before a command line that make it run as a user whom PostgreSQL accepts."""

    prefix: tuple[str, ...] = ()
    owner_uid: int | None = None
    """Whose the server's files must be; None where they stay ours."""

    def works(self, folder: Path, program: Path) -> bool:
        """Return whether a program can be run this way and can write to the folder."""
        return self._succeeds(str(program), "--version") and self._succeeds("test", "-w", str(folder))

    def hand_over(self, folder: Path) -> None:
        """Give the folder and all in it to the user of this launcher."""
        if self.owner_uid is None or folder.stat().st_uid == self.owner_uid:
            return
        for path in (*folder.rglob("*"), folder):
            os.chown(path, self.owner_uid, -1, follow_symlinks=False)

    def _succeeds(self, *command: str) -> bool:
        try:
            done = subprocess.run([*self.prefix, *command], capture_output=True, check=False, timeout=PROBE_TIMEOUT_S)
        except OSError:
            return False
        return done.returncode == 0


def check_owner(folder: Path) -> None:
    """Refuse a folder that another user made.

    Raises:
        DatabaseRefusal: It is there, and neither ours nor are we root.
    """
    if not folder.exists() or os.geteuid() in {ROOT_UID, folder.stat().st_uid}:
        return
    owner_uid = folder.stat().st_uid
    msg = (
        f"{folder} belongs to {_user_name(owner_uid) or owner_uid}: start as that user, "
        "or set CRYOPROTECT_DATA_DIR to another folder"
    )
    raise DatabaseRefusal(msg)


def launcher_for(folder: Path, program: Path) -> Launcher:
    """Return how the program is run on a folder of ours.

    Raises:
        DatabaseRefusal: No way works on this machine.
    """
    for launcher in _candidates(os.geteuid(), folder.stat().st_uid):
        if launcher.works(folder, program):
            return launcher
    msg = (
        "PostgreSQL does not run as root, and this machine allows neither user namespaces (unshare) nor a change of "
        "user (setpriv): start as an ordinary user, or set DATABASE_URL to a server that runs already"
    )
    raise DatabaseRefusal(msg)


def _candidates(uid: int, owner_uid: int) -> Iterator[Launcher]:
    if uid != ROOT_UID:
        if _user_name(uid) is None:
            yield _namespace()
        yield Launcher()
    elif owner_uid != ROOT_UID:
        yield _other_user(owner_uid)
    else:
        yield _namespace()
        yield _other_user(_named_uid())


def _namespace() -> Launcher:
    return Launcher(("unshare", "--user", f"--map-user={_named_uid()}", "--"))


def _other_user(uid: int) -> Launcher:
    only = "-all,+dac_override"
    return Launcher(
        (
            "setpriv",
            f"--reuid={uid}",
            f"--regid={uid}",
            "--clear-groups",
            f"--inh-caps={only}",
            f"--ambient-caps={only}",
            f"--bounding-set={only}",
            # Else access(2), with which PostgreSQL looks for its own program, would leave the capability out.
            "--securebits=+no_setuid_fixup",
            "--",
        ),
        owner_uid=uid,
    )


def _named_uid() -> int:
    named = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid != ROOT_UID}
    return next((named[name] for name in PREFERRED_USERS if name in named), max(named.values(), default=65534))


def _user_name(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None
