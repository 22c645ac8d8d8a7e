"""`cryoprotect seed`: the project's own starting data, put in once for each release; and others' tables by file."""

from __future__ import annotations

import csv
from contextlib import closing
from pathlib import Path

import click

from app.cli.running import open_database, running_database, with_secret
from app.importers.cryomn import CryomnRow, parse
from app.services.chemistry import ChemistryPool
from app.services.seed_cryomn import add_cryomn
from app.services.seed_molecules import seed as add_seed
from config import Settings


@click.command()
@click.option(
    "--cryomn",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Also put in the raw table of ML-for-CryoMN (CSV): freezing media and post-thaw viabilities.",
)
def seed(cryomn: Path | None) -> None:
    """Put the project's own starting data into the database; nothing happens where they are."""
    rows = _cryomn_rows(cryomn) if cryomn else []
    with running_database(with_secret(Settings.from_environment()), _note) as settings:
        if not put_in(settings):
            click.echo("this release of the seed is there already")
        if cryomn:
            with open_database(settings) as database:
                add_cryomn(database, rows, click.echo)


def put_in(settings: Settings) -> int:
    """Put the seed into a migrated database and return how many records are new."""
    chemistry = ChemistryPool(
        settings.chemistry_processes, settings.chemistry_time_limit_s, settings.chemistry_memory_limit_mib
    )
    with open_database(settings) as database, closing(chemistry):
        return add_seed(database, chemistry, click.echo)


def _cryomn_rows(path: Path) -> list[CryomnRow]:
    try:
        return parse(path.read_text(encoding="utf-8-sig"))
    except (ValueError, csv.Error) as error:
        message = f"{path}: {error}"
        raise click.ClickException(message) from error


def _note(text: str) -> None:
    click.echo(text, err=True)
