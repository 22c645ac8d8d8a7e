"""`cryoprotect token`: tokens for people at a terminal and for import jobs.

The token is all that `issue` writes to stdout, so that `$(cryoprotect token issue ...)` works in a shell.
"""

from __future__ import annotations

import json
import re
from types import ModuleType
from typing import Any, Final

import click

from app.errors import InvalidError
from app.services.minting import issue_service_token, issue_token
from app.services.tokens import JTI, ROLES, SCOPES
from config import Settings, SettingsError

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
    """Mint, list and revoke tokens for the API."""


@token.command()
@click.option("--role", required=True, type=click.Choice(sorted(ROLES, reverse=True)), help="Whose rights.")
@click.option("--sub", metavar="UUID", help="The user's id; for the role authenticated, and needed there.")
@click.option("--ttl", type=_Ttl(), default="1h", show_default=True, help="How long; service_role at most 24h.")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(sorted(SCOPES)), help="All it may write; repeatable."
)
def issue(role: str, sub: str | None, ttl: int, scopes: tuple[str, ...]) -> None:
    """Print a new token, and nothing else, to stdout.

    The signing secret is SUPABASE_JWT_SECRET, or the one in the data folder that `serve` made. A service token
    is recorded in the database where that runs, so that `list` shows it.
    """
    settings, secret = _signing_secret()
    kept = None
    try:
        if role == "service_role" and sub is None:
            text, kept = issue_service_token(secret, ttl_s=ttl, scopes=scopes or None)
        else:
            text = issue_token(secret, role=role, ttl_s=ttl, sub=sub, scopes=scopes or None)
    except InvalidError as error:
        raise click.UsageError(error.detail) from error
    except ValueError as error:
        msg = f"SUPABASE_JWT_SECRET cannot sign tokens: {error}"
        raise click.ClickException(msg) from error
    if kept is not None and not _records().record(settings, kept):
        _note(f"The database cannot be reached, so the token is not recorded. It can be revoked by its jti: {kept.jti}")
    click.echo(text)


@token.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def list_tokens(*, as_json: bool) -> None:
    """List the service tokens that have not expired, newest first."""
    tokens = _records().unexpired(Settings.from_environment(), _note)
    if as_json:
        click.echo(json.dumps(tokens))
        return
    for item in tokens:
        click.echo(_line(item))


@token.command()
@click.argument("jti")
def revoke(jti: str) -> None:
    """Revoke a token by its jti, and all that was minted from it, within ten seconds."""
    if not JTI.fullmatch(jti):
        msg = "a jti has 1 to 128 letters, digits and ._~:+/=-"
        raise click.UsageError(msg)
    revoked = _records().revoke(Settings.from_environment(), jti, _note)
    click.echo("\n".join(f"revoked {one}" for one in revoked) or f"{jti} was revoked before")


def _line(item: dict[str, Any]) -> str:
    scopes = "all" if item["scopes"] is None else ",".join(item["scopes"]) or "none"
    state = f"revoked {item['revoked_at']}" if item["revoked_at"] else f"until {item['expires_at']}"
    return f"{item['jti']}  {state}  scopes {scopes}"


def _records() -> ModuleType:
    from app.cli import token_records  # noqa: PLC0415 - a driver for Postgres, which a user's token does without

    return token_records


def _signing_secret() -> tuple[Settings, str]:
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    except (OSError, UnicodeDecodeError) as error:
        msg = "the signing secret in the data folder cannot be read"
        raise click.ClickException(msg) from error
    if settings.jwt_secret is None:
        msg = (
            "no signing secret is known: set SUPABASE_JWT_SECRET, or start `cryoprotect serve` once, "
            "which makes one in the data folder (CRYOPROTECT_DATA_DIR)"
        )
        raise click.ClickException(msg)
    return settings, settings.jwt_secret


def _note(sentence: str) -> None:
    click.echo(sentence, err=True)
