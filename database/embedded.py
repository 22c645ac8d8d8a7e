"""The embedded Postgres: a private server in the data folder, for those who have none.

Several processes may use one folder (two services, an import, a backup). Each holds a shared lock on
it, the first starts the server and the last one out stops it. The kernel drops a lock with its process,
whatever killed it, so no count can go wrong. The server inherits a lock of its own, held while any of
its processes lives: that, and not a process id that may be another program's by now, tells whether the
folder is in use. A server whose users were all killed is taken over by the next one.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Final
from urllib.parse import quote

import psutil

from database.cluster import DATABASE, ENVIRONMENT, SUPERUSER, Cluster, Postmaster, refusal
from database.errors import DatabaseRefusal
from database.socket_folder import accepts, clear_socket, remove_socket_folder, socket_folder
from database.unprivileged import check_owner

START_TIMEOUT_S: Final = 1800.0
# A fast stop writes a last checkpoint. One that is asked for just while the server recovers from a
# crash of its own never ends (seen with 18.4); the harder stop after it loses nothing either.
STOP_TIMEOUT_S: Final = 30.0
LEFTOVER_TIMEOUT_S: Final = 10.0
POLL_INTERVAL_S: Final = 0.05
PATIENCE_S: Final = 5.0
LARGEST_LOG_BYTES: Final = 10 * 1024 * 1024
# Children that outlive their use here; Python warns of a child that is forgotten while it runs.
_LEFT_TO_OTHERS: Final[list[subprocess.Popen[bytes]]] = []


class EmbeddedServer:
    """One process' use of the server in a data folder."""

    def __init__(
        self,
        data_dir: Path,
        *,
        settings: Mapping[str, str] | None = None,
        log: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._data_dir = data_dir.resolve()
        self._cluster = Cluster(self._data_dir / "postgres")
        self._settings = dict(settings or {})
        self._log = log
        self._use: IO[bytes] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def __enter__(self) -> str:
        """Start or join the server and return its URL."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the server; the last one out stops it."""
        self.stop()

    @property
    def is_running(self) -> bool:
        """Whether a server runs in the folder and takes connections, whoever started it."""
        return _is_running(self._data_dir)

    def start(self) -> str:
        """Return the superuser's URL of a server that takes connections, starting it where none runs.

        Raises:
            DatabaseRefusal: It cannot be made or started; the sentence says why.
        """
        try:
            self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            check_owner(self._cluster.folder)
            with self._alone():
                self._use = _open_lock(self._data_dir / "postgres.users.lock")
                fcntl.flock(self._use, fcntl.LOCK_SH)
                self._start()
        except OSError as error:
            what = f"the data folder {self._data_dir} cannot be used"
            raise refusal(what, str(error), self._data_dir) from error
        return base_url(self._data_dir)

    def stop(self) -> None:
        """Leave the server, and stop it where nobody else uses it; do nothing when it was not started here.

        Raises:
            DatabaseRefusal: It does not stop.
        """
        if self._use is None:
            return
        with self._alone():
            self._leave()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process at a time start or stop the server."""
        with _open_lock(self._data_dir / "postgres.start.lock") as lock:
            if not _try_lock(lock, fcntl.LOCK_EX):
                self._log("Waiting for another process that starts or stops the database")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _leave(self) -> None:
        if self._use is None:
            return
        with self._use as use:
            self._use = None
            if _try_lock(use, fcntl.LOCK_EX):
                self._stop()
            elif self._child is not None:
                _LEFT_TO_OTHERS.append(self._child)

    def _start(self) -> None:
        try:
            if not self._joins():
                self._remove_stale()
                if not self._cluster.exists:
                    self._log(f"Making a PostgreSQL data folder in {self._cluster.folder}")
                    self._cluster.make()
                self._cluster.check_version()
                self._launch()
            self._wait_until_ready()
        except BaseException:
            # Ctrl-C during a long recovery included: what was started here must not outlive it.
            self._leave()
            raise

    def _joins(self) -> bool:
        """Return whether a server runs already; end what is left of one that was killed."""
        deadline = time.monotonic() + LEFTOVER_TIMEOUT_S
        while _is_alive(self._data_dir):
            if accepts(socket_folder(self._data_dir)):
                return True
            if time.monotonic() > deadline:
                self._end_leftovers()
                return False
            time.sleep(POLL_INTERVAL_S)
        return False

    def _remove_stale(self) -> None:
        # The lock says that nothing of the old server lives. PostgreSQL itself can only ask whether
        # the process id is in use, and refuses to start when another program was given it.
        clear_socket(self._data_dir)
        (self._cluster.folder / "postmaster.pid").unlink(missing_ok=True)

    def _launch(self) -> None:
        command = self._cluster.command(socket_folder(self._data_dir), self._settings)
        with self._open_log() as log, (self._data_dir / "postgres.alive.lock").open("wb") as alive:
            self._log_start = log.tell()
            fcntl.flock(alive, fcntl.LOCK_EX)
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=ENVIRONMENT,
                pass_fds=(alive.fileno(),),
                # Out of reach of the terminal's Ctrl-C: the service stops first, then the database.
                start_new_session=True,
            )

    def _open_log(self) -> IO[bytes]:
        path = self._data_dir / "postgres.log"
        if path.exists() and path.stat().st_size > LARGEST_LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return open(path, "ab", opener=_private)

    def _wait_until_ready(self) -> None:
        started = time.monotonic()
        patient = False
        while not _is_running(self._data_dir):
            waited_s = time.monotonic() - started
            if (self._child is not None and self._child.poll() is not None) or not _is_alive(self._data_dir):
                raise self._failure()
            if waited_s > START_TIMEOUT_S:
                msg = (
                    f"PostgreSQL was not ready after {START_TIMEOUT_S:.0f} s; its log is {self._data_dir}/postgres.log"
                )
                raise DatabaseRefusal(msg)
            if not patient and waited_s > PATIENCE_S:
                patient = True
                self._log("Waiting for PostgreSQL, which is recovering from an unclean stop")
            time.sleep(POLL_INTERVAL_S)

    def _failure(self) -> DatabaseRefusal:
        if self._child is None:
            return DatabaseRefusal(f"the PostgreSQL in {self._data_dir} ended while it was being joined: start again")
        with (self._data_dir / "postgres.log").open("rb") as log:
            log.seek(self._log_start)
            return refusal("PostgreSQL did not start", log.read().decode(errors="replace"), self._data_dir)

    def _stop(self) -> None:
        for request, patience_s in ((signal.SIGINT, STOP_TIMEOUT_S), (signal.SIGQUIT, LEFTOVER_TIMEOUT_S)):
            postmaster = _postmaster(self._cluster)
            pid = postmaster.pid if postmaster else self._child.pid if self._child else None
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, request)
            if self._ended(patience_s):
                remove_socket_folder(self._data_dir)
                return
        self._end_leftovers()

    def _end_leftovers(self) -> None:
        """Kill what runs on after the server's first process is gone: it would keep a new server out."""
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                # An administrator's shell may stand in the folder, too.
                if process.name() == "postgres" and process.cwd() == str(self._cluster.folder):
                    process.kill()
        if not self._ended(LEFTOVER_TIMEOUT_S):
            msg = f"the PostgreSQL in {self._data_dir} does not stop; its log is {self._data_dir}/postgres.log"
            raise DatabaseRefusal(msg)

    def _ended(self, patience_s: float) -> bool:
        started = time.monotonic()
        patient = False
        while _is_alive(self._data_dir):
            waited_s = time.monotonic() - started
            if waited_s > patience_s:
                return False
            if not patient and waited_s > PATIENCE_S:
                patient = True
                self._log("Waiting for PostgreSQL to stop")
            if self._child is not None:
                self._child.poll()
            time.sleep(POLL_INTERVAL_S)
        if self._child is not None:
            self._child.wait()
            self._child = None
        return True


def base_url(data_dir: Path) -> str:
    """Return the superuser's URL of the server that runs in a data folder.

    Raises:
        DatabaseRefusal: None runs there.
    """
    postmaster = Cluster(data_dir.resolve() / "postgres").postmaster()
    if postmaster is None or not _is_running(data_dir):
        msg = f"no database runs in {data_dir}: start it with `make serve`, or set DATABASE_URL"
        raise DatabaseRefusal(msg)
    return f"postgresql://{SUPERUSER}@localhost/{DATABASE}?host={quote(postmaster.socket_folder)}"


def _is_running(data_dir: Path) -> bool:
    postmaster = Cluster(data_dir.resolve() / "postgres").postmaster()
    return postmaster is not None and postmaster.ready and accepts(Path(postmaster.socket_folder))


def _is_alive(data_dir: Path) -> bool:
    try:
        with (data_dir / "postgres.alive.lock").open("rb") as alive:
            return not _try_lock(alive, fcntl.LOCK_SH)
    except FileNotFoundError:
        return False


def _postmaster(cluster: Cluster) -> Postmaster | None:
    """Return the server's first process, unless its id is another program's by now."""
    postmaster = cluster.postmaster()
    with suppress(psutil.Error):
        if postmaster and str(cluster.folder) in psutil.Process(postmaster.pid).cmdline():
            return postmaster
    return None


def _open_lock(path: Path) -> IO[bytes]:
    return path.open("ab")


def _private(path: str, flags: int) -> int:
    """Open a file that only its owner reads: the server's log quotes statements."""
    return os.open(path, flags, mode=0o600)


def _try_lock(file: IO[bytes], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
