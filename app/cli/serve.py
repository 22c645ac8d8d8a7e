"""`cryoprotect serve`: everything that the service needs, started in order and stopped in reverse.

Address, secret, database, migrations, seed, web server. Each step is safe to repeat, so that a second
start, or one after a crash, needs no thought. Ctrl-C, SIGTERM and a closed terminal stop it all.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final

import click

from app.cli.listener import listen
from app.cli.running import running_database, urls_of, with_secret
from app.cli.web_server import WebServer
from app.cli.worker_process import WorkerProcess
from app.errors import UnavailableError
from config import Settings
from database import migrate
from database.embedded import EmbeddedServer
from database.urls import public_url

NEWEST_TESTED_SERVER: Final = 18
WATCH_INTERVAL_S: Final = 0.3


class Stop:
    """The wish to stop: the first signal interrupts what is going on, a second one hurries the end."""

    def __init__(self, *, with_parent: bool) -> None:
        self._parent_pid = os.getppid() if with_parent else None
        self._signals = 0
        self._interrupts = True

    @property
    def hurried(self) -> bool:
        """Whether somebody asked more than once."""
        return self._signals > 1

    @property
    def wanted(self) -> bool:
        """Whether to stop: somebody asked, or the process that started this one is gone."""
        orphaned = self._parent_pid is not None and os.getppid() != self._parent_pid
        return self._signals > 0 or orphaned

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Turn signals into KeyboardInterrupt, once."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._receive)
        # Under nohup a closed terminal is meant to change nothing.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._receive)
        with suppress(KeyboardInterrupt):
            yield

    @contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Let what is inside run to its end."""
        self._interrupts = False
        yield

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        if self._signals == 1 and self._interrupts:
            raise KeyboardInterrupt


@click.command()
@click.option("--with-parent", is_flag=True, help="Stop when the process that started this one has ended.")
def serve(*, with_parent: bool) -> None:
    """Run the service: its database, migrations, seed and web server.

    PORT (8000), HOST (127.0.0.1), CRYOPROTECT_DATA_DIR (.cryoprotect), DATABASE_URL and WEB_CONCURRENCY are
    read from the environment; .env.example lists all.
    """
    settings = Settings.from_environment()
    stop = Stop(with_parent=with_parent)
    with (
        stop.listening(),
        listen(settings.host, settings.port, click.echo) as listener,
        running_database(with_secret(settings), click.echo) as ready,
    ):
        prepare(ready)
        web_server = WebServer(listener, _environment(ready))
        worker = None
        try:
            worker = WorkerProcess(_environment(ready)) if ready.serve_worker else None
            _watch(web_server, worker, ready, stop, _database_check(settings))
        finally:
            with stop.uninterrupted():
                click.echo("Stopping")
                if worker:
                    worker.ask_to_stop()
                web_server.stop(lambda: stop.hurried)
                if worker:
                    worker.stop(lambda: stop.hurried)
    click.echo("Stopped")


def prepare(settings: Settings) -> None:
    """Bring the database to the newest revision and put the seed in, each once.

    Raises:
        DatabaseRefusal: The database cannot be reached, is too old, or may not be changed.
    """
    # Chemistry takes a while to load, and a taken port or a broken setting should be told before that.
    from app.cli.seed import put_in  # noqa: PLC0415

    urls = urls_of(settings)
    version = migrate.check_server(urls.admin)
    click.echo(f"Database: PostgreSQL {version}, {public_url(urls.admin)}")
    if version > NEWEST_TESTED_SERVER:
        click.echo(f"PostgreSQL {version} is newer than {NEWEST_TESTED_SERVER}, the newest that was tested", err=True)
    migrate.upgrade(urls, secret=settings.shared_secret, log=click.echo)
    put_in(settings)


def _environment(settings: Settings) -> dict[str, str]:
    return {
        **os.environ,
        "CRYOPROTECT_DATA_DIR": str(settings.data_dir),
        "DATABASE_URL": settings.require_database_url(),
    }


def _database_check(settings: Settings) -> Callable[[], bool]:
    """Return what tells whether the database that this command started still runs; another one is not its own."""
    return (lambda: EmbeddedServer(settings.data_dir).is_running) if settings.embedded else (lambda: True)


def _watch(
    web_server: WebServer,
    worker: WorkerProcess | None,
    settings: Settings,
    stop: Stop,
    database_runs: Callable[[], bool],
) -> None:
    web_server.wait_until_ready(lambda: not stop.wanted)
    if not stop.wanted:
        click.echo(_welcome(web_server.url, settings.data_dir))
    while not stop.wanted:
        if web_server.has_ended:
            msg = f"the web server ended with status {web_server.status}; what it said stands above"
            raise UnavailableError(msg)
        if not database_runs():
            # Whatever keeps the service running starts it anew, and the database with it.
            msg = f"the database has ended; {settings.data_dir / 'postgres.log'} may say why. Start again"
            raise UnavailableError(msg)
        if worker:
            worker.look_after()
        time.sleep(WATCH_INTERVAL_S)


def _welcome(url: str, data_dir: Path) -> str:
    command = Path(sys.argv[0])
    folder = Path.cwd()
    shown = command.relative_to(folder) if command.is_relative_to(folder) else command
    elsewhere = f"CRYOPROTECT_DATA_DIR={shlex.quote(str(data_dir))} " if data_dir != folder / ".cryoprotect" else ""
    token = f"{elsewhere}{shlex.quote(str(shown))} token issue --role service_role --ttl 1h"
    return "\n".join(
        (
            f"CryoProtect is ready at {url}",
            f"  its documentation   {url}/docs",
            f"  a token             {token}",
            f"  its data            {data_dir}",
            "  to stop             Ctrl-C",
        )
    )
