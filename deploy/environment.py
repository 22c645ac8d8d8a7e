"""Makes `.venv` and installs into it what a lock file names: the set-up behind `make serve` and `make test`.

Run by any Python of the machine, so only its standard library is used. Nothing is done twice: a stamp keeps
what was installed, keyed on the lock file, the project's description and the folder (an environment that was
moved or copied does not work). A lock on the folder lets two commands start at once in a new clone.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
OLDEST = (3, 11)
# What developers install holds all that the service needs, in the same versions (a test sees to it).
LOCKS = {"serve": "requirements.lock", "dev": "requirements-dev.lock"}
COVERED_BY = {"serve": ("serve", "dev"), "dev": ("dev",)}


def main() -> None:
    """Bring the environment to what the first argument names."""
    kind = sys.argv[1] if len(sys.argv) > 1 else ""
    if kind not in LOCKS:
        sys.exit(f"usage: python3 deploy/environment.py {'|'.join(LOCKS)}")
    if sys.version_info < OLDEST:
        sys.exit(f"CryoProtect needs Python {'.'.join(map(str, OLDEST))} or newer; this is {sys.version.split()[0]}")
    if _is_current(kind):
        return
    with _alone():
        if not _is_current(kind):
            _make(kind)


def _make(kind: str) -> None:
    if not _works():
        _say(f"Making .venv with Python {sys.version.split()[0]}")
        shutil.rmtree(ENVIRONMENT, ignore_errors=True)
        _run(sys.executable, "-m", "venv", str(ENVIRONMENT))
    _say(f"Installing what {LOCKS[kind]} names; the first time takes a minute or two")
    _pip("--require-hashes", "--requirement", str(ROOT / LOCKS[kind]))
    _pip("--no-index", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))
    _check_drawing()
    _stamp(kind).write_text(_key(kind), encoding="ascii")


def _check_drawing() -> None:
    # RDKit's wheel takes these from the machine; a server without a screen may lack them.
    done = subprocess.run(
        [PYTHON, "-c", "from rdkit.Chem.Draw import rdMolDraw2D"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()[-1:]
        sys.exit("\n".join([*said, "RDKit cannot be loaded; on Debian: apt install libxrender1 libxext6 libexpat1"]))


def _is_current(kind: str) -> bool:
    for name in COVERED_BY[kind]:
        stamp = _stamp(name)
        if stamp.is_file() and stamp.read_text(encoding="ascii") == _key(name) and PYTHON.exists():
            return True
    return False


def _works() -> bool:
    """Return whether there is an environment, made in this folder, with a Python that is new enough."""
    check = f"import sys; sys.exit(sys.version_info < {OLDEST} or sys.prefix != {str(ENVIRONMENT)!r})"
    program = ENVIRONMENT / "bin" / "pip"
    if not program.is_file() or str(ENVIRONMENT) not in program.read_text(encoding="utf-8")[:1000]:
        return False
    return PYTHON.exists() and subprocess.run([PYTHON, "-c", check], check=False).returncode == 0


def _key(kind: str) -> str:
    parts = [os.fsencode(ROOT), (ROOT / LOCKS[kind]).read_bytes(), (ROOT / "pyproject.toml").read_bytes()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _stamp(kind: str) -> Path:
    return ENVIRONMENT / f"installed-{kind}"


def _pip(*arguments: str) -> None:
    _run(str(PYTHON), "-m", "pip", "install", "--quiet", "--quiet", "--disable-pip-version-check", *arguments)


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command[:4])} ... failed; what it said stands above")


@contextmanager
def _alone() -> Iterator[None]:
    folder = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


if __name__ == "__main__":
    main()
