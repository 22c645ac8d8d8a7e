"""`cryoprotect worker`: runs the jobs that the service is asked for, here or on any other host of its database."""

from __future__ import annotations

from contextlib import closing
from typing import Final

import click

from app.cli.lifeline import end_with_serve
from app.cli.running import direct_urls_of, running_database, with_secret
from app.domain.callers import SERVICE
from app.errors import UnavailableError
from app.importers.download import Allowed
from app.jobs.tasks import Parts
from app.jobs.worker import Duties, work
from app.logging import configure_logging
from app.services.chemistry import ChemistryPool
from config import Settings
from database import migrate
from database.repositories.jobs import QUEUES
from database.repositories.system import SystemRepository
from database.session import Database

DOWNLOADS: Final = "imports"
_SPARE_CONNECTIONS: Final = 3
"""For lost jobs and a job's lease, besides one of each job at work."""


@click.command()
@click.option("--queue", "queues", type=click.Choice(QUEUES), multiple=True, default=QUEUES, help="All by default.")
@click.option("--concurrency", type=click.IntRange(1, 64), help="Jobs at once (WORKER_CONCURRENCY).")
@click.option("--until-empty", is_flag=True, help="Stop when no job is left that could be run now.")
def worker(queues: tuple[str, ...], concurrency: int | None, *, until_empty: bool) -> None:
    """Run jobs until SIGTERM or Ctrl-C; those under way then end within 20 s, or another worker goes on with them."""
    end_with_serve()
    with running_database(with_secret(Settings.from_environment()), _note) as settings:
        configure_logging(settings.log_level)
        duties = Duties(
            queues, concurrency or settings.worker_concurrency, settings.worker_heartbeat_s, until_empty=until_empty
        )
        urls = direct_urls_of(settings)
        database = Database(
            urls,
            min_size=0,
            max_size=duties.concurrency * 2 + _SPARE_CONNECTIONS,
            timeout_s=settings.pool_timeout_s,
            transaction_pooler=False,
        )
        chemistry = ChemistryPool(
            settings.chemistry_processes, settings.chemistry_time_limit_s, settings.chemistry_memory_limit_mib
        )
        database.open()
        with closing(database), closing(chemistry):
            _require_head(database)
            _note(f"working on {', '.join(queues)}, {duties.concurrency} at once")
            work(urls.service, Parts(database, chemistry, _allowed(settings), settings.data_dir / DOWNLOADS), duties)
    _note("the worker has stopped")


def _require_head(database: Database) -> None:
    revision, head = SystemRepository(database.reading(SERVICE)).revision(), migrate.head()
    if revision != head:
        msg = f"the database is at {revision or 'nothing'}, this worker needs {head}: `cryoprotect db upgrade`"
        raise UnavailableError(msg)


def _allowed(settings: Settings) -> Allowed:
    return Allowed(settings.import_hosts, settings.max_download_bytes, settings.download_time_limit_s)


def _note(sentence: str) -> None:
    click.echo(sentence, err=True)
