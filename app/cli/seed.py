"""`cryoprotect seed`: the project's own cryoprotectants, put in once for each release of the seed."""

from __future__ import annotations

from contextlib import closing

import click

from app.cli.running import open_database, running_database, with_secret
from app.services.chemistry import ChemistryPool
from app.services.seed_molecules import seed as add_seed
from config import Settings


@click.command()
def seed() -> None:
    """Put the project's own cryoprotectants into the database; nothing happens where they are."""
    with running_database(with_secret(Settings.from_environment()), _note) as settings:
        if not put_in(settings):
            click.echo("this release of the seed is there already")


def put_in(settings: Settings) -> int:
    """Put the seed into a migrated database and return how many molecules are new."""
    chemistry = ChemistryPool(
        settings.chemistry_processes, settings.chemistry_time_limit_s, settings.chemistry_memory_limit_mib
    )
    with open_database(settings) as database, closing(chemistry):
        return add_seed(database, chemistry, click.echo)


def _note(text: str) -> None:
    click.echo(text, err=True)
