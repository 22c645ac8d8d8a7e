"""`cryoprotect token`: tokens for people at a terminal and for import jobs.

The token is all that goes to stdout, so that `$(cryoprotect token issue ...)` works in a shell.
"""

from __future__ import annotations

import re
from typing import Final

import click

from app.errors import InvalidError
from app.services.tokens import SCOPES, issue_token
from config import Settings, SettingsError

_ROLES: Final = ("service_role", "authenticated", "anon")
_TTL: Final = re.compile(r"([0-9]{1,9})([smhd]?)", re.ASCII)
_UNIT_S: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


class _Ttl(click.ParamType[int]):
    """A length of time such as 3600, 30m, 1h or 7d, in seconds."""

    name = "time"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        parts = _TTL.fullmatch(str(value))
        if parts is None:
            self.fail(f"{value!r} is not a length of time such as 3600, 30m, 1h or 7d", param, ctx)
        return int(parts[1]) * _UNIT_S[parts[2]]


@click.group()
def token() -> None:
    """Mint tokens for the API."""


@token.command()
@click.option("--role", required=True, type=click.Choice(_ROLES), help="Whose rights.")
@click.option("--sub", metavar="UUID", help="The user's id; for the role authenticated, and needed there.")
@click.option("--ttl", type=_Ttl(), default="1h", show_default=True, help="How long; service_role at most 24h.")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(sorted(SCOPES)), help="All it may write; repeatable."
)
def issue(role: str, sub: str | None, ttl: int, scopes: tuple[str, ...]) -> None:
    """Print a new token, and nothing else, to stdout.

    The signing secret is SUPABASE_JWT_SECRET, or the one in the data folder that `serve` made.
    """
    secret = _signing_secret()
    try:
        click.echo(issue_token(secret, role=role, ttl_s=ttl, sub=sub, scopes=scopes or None))
    except InvalidError as error:
        raise click.UsageError(error.detail) from error
    except ValueError as error:
        msg = f"SUPABASE_JWT_SECRET cannot sign tokens: {error}"
        raise click.ClickException(msg) from error


def _signing_secret() -> str:
    try:
        secret = Settings.from_environment().jwt_secret
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    except (OSError, UnicodeDecodeError) as error:
        msg = "the signing secret in the data folder cannot be read"
        raise click.ClickException(msg) from error
    if secret is None:
        msg = (
            "no signing secret is known: set SUPABASE_JWT_SECRET, or start `cryoprotect serve` once, "
            "which makes one in the data folder (CRYOPROTECT_DATA_DIR)"
        )
        raise click.ClickException(msg)
    return secret
