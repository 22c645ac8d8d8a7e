"""`cryoprotect db`: the schema's revision, maintenance, and the way to the database for other programs.

Each command works on the database that runs, or starts the embedded one for as long as it takes.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Final

import click

from app.cli.deduplicate import deduplicate
from app.cli.running import open_database, running_database, urls_of, with_secret
from app.services.maintenance import run_due
from config import Settings
from database import migrate
from database.embedded import base_url
from database.urls import database_urls, public_url

ROLES: Final = ("admin", "request")


@click.group()
def db() -> None:
    """Migrate the database, maintain it, or find it."""


db.add_command(deduplicate)


@db.command()
@click.argument("revision", default="head")
def upgrade(revision: str) -> None:
    """Bring the database to a revision (the newest by default) and set the passwords of the service's logins."""
    with running_database(with_secret(Settings.from_environment()), _note) as settings:
        migrate.upgrade(urls_of(settings), secret=settings.shared_secret, revision=revision, log=click.echo)


@db.command()
@click.argument("revision")
def downgrade(revision: str) -> None:
    """Take migrations back down to a revision; `base` takes all back, and the data with them."""
    with running_database(with_secret(Settings.from_environment()), _note) as settings:
        migrate.downgrade(urls_of(settings), revision)
        click.echo(f"the database is at {migrate.current(urls_of(settings)) or 'base'}")


@db.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def current(*, as_json: bool) -> None:
    """Show the database's revision; the exit status is 1 where the service needs another one."""
    with running_database(with_secret(Settings.from_environment()), _note) as settings:
        migrate.check_server(urls_of(settings).admin)
        revision = migrate.current(urls_of(settings))
    head = migrate.head()
    said = {"revision": revision, "head": head}
    click.echo(json.dumps(said) if as_json else f"{revision or 'base'}{'' if revision == head else f' (head: {head})'}")
    if revision != head:
        raise SystemExit(1)


@db.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def history(*, as_json: bool) -> None:
    """List the revisions, oldest first."""
    revisions = migrate.history()
    if as_json:
        click.echo(json.dumps([{"revision": revision, "summary": summary} for revision, summary in revisions]))
        return
    for revision, summary in revisions:
        click.echo(f"{revision}  {summary}")


@db.command()
@click.option("--all", "anyway", is_flag=True, help="Run every task, due or not.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def maintain(*, anyway: bool, as_json: bool) -> None:
    """Run the maintenance that is due, as the service does by itself; the exit status is 1 where a task failed."""
    with (
        running_database(with_secret(Settings.from_environment()), _note) as settings,
        open_database(settings) as database,
    ):
        runs = run_due(database, anyway=anyway)
    if as_json:
        click.echo(json.dumps([asdict(run) for run in runs]))
    else:
        for run in runs:
            click.echo(f"{run.task}  {run.took_ms} ms  {run.error or f'{run.changed} changed'}")
        if not runs:
            click.echo("nothing is due")
    if any(run.error for run in runs):
        raise SystemExit(1)


@db.command()
@click.option("--role", type=click.Choice(ROLES), default="request", show_default=True, help="Whose rights.")
def url(role: str) -> None:
    """Print the running database's URL and nothing else; `admin` bypasses row-level security."""
    settings = Settings.from_environment()
    if settings.embedded:
        urls = database_urls(base_url(settings.data_dir), None, "")
        click.echo(public_url(urls.admin if role == "admin" else urls.request))
    else:
        urls = urls_of(settings)
        click.echo(urls.admin if role == "admin" else urls.request)


def _note(sentence: str) -> None:
    click.echo(sentence, err=True)
