"""`cryoprotect seed`: the project's own cryoprotectants, put in once for each release of the seed."""

from __future__ import annotations

import click

from app.cli.running import running_database, urls_of, with_secret
from app.services.chemistry import ChemistryPool
from app.services.seed_molecules import seed as add_seed
from config import Settings
from database.session import Database


@click.command()
def seed() -> None:
    """Put the project's own cryoprotectants into the database; nothing happens where they are."""
    with running_database(with_secret(Settings.from_environment()), _note) as settings:
        if not put_in(settings):
            click.echo("this release of the seed is there already")


def put_in(settings: Settings) -> int:
    """Put the seed into a migrated database and return how many molecules are new."""
    database = Database(
        urls_of(settings),
        min_size=0,
        max_size=2,
        timeout_s=settings.pool_timeout_s,
        transaction_pooler=settings.transaction_pooler,
    )
    chemistry = ChemistryPool(
        settings.chemistry_processes, settings.chemistry_time_limit_s, settings.chemistry_memory_limit_mib
    )
    database.open()
    try:
        return add_seed(database, chemistry, click.echo)
    finally:
        chemistry.close()
        database.close()


def _note(text: str) -> None:
    click.echo(text, err=True)
