"""The `cryoprotect` command: one group, one file for each of its parts.

A part is imported when it is called: printing a token must not wait for chemistry and a web server. What
goes wrong in a way that we know is one sentence on standard error. Exit status: 0 well, 1 a problem was
found, 2 wrong use.
"""

from __future__ import annotations

import errno
import sys
from importlib import import_module
from keyword import iskeyword
from typing import Final

import click

from app.errors import CryoProtectError
from config import SettingsError

PROBLEM_FOUND: Final = 1
WRONG_USE: Final = 2
PARTS: Final = {
    "bench": "app.cli.bench",
    "db": "app.cli.db",
    "import": "app.cli.imports",
    "seed": "app.cli.seed",
    "serve": "app.cli.serve",
    "token": "app.cli.token",
    "worker": "app.cli.worker",
}


class LazyGroup(click.Group):
    """A group whose parts are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all parts."""
        return sorted({*PARTS, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a part by its name."""
        if cmd_name not in PARTS:
            return super().get_command(ctx, cmd_name)
        # `import` is a word of the language; the name in Python ends with an underscore.
        name = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        part = getattr(import_module(PARTS[cmd_name]), name)
        return part if isinstance(part, click.Command) else None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cryoprotect", prog_name="cryoprotect")
def cryoprotect() -> None:
    """Keep, compare and predict cryoprotectants."""


def main() -> None:
    """Run the command and end the process with its status."""
    sys.exit(_run())


def _run() -> int:
    try:
        return int(cryoprotect.main(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SettingsError as error:
        return _say(str(error), WRONG_USE)
    except CryoProtectError as error:
        return _say(error.detail, PROBLEM_FOUND)
    except OSError as error:
        return _say(_sentence(error), PROBLEM_FOUND)
    except (click.Abort, KeyboardInterrupt):
        return _say("interrupted", PROBLEM_FOUND)


def _sentence(error: OSError) -> str:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "the disk is full: make room there, or set CRYOPROTECT_DATA_DIR to a folder on another disk"
    return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"


def _say(sentence: str, status: int) -> int:
    click.echo(f"Error: {sentence}", err=True)
    return status


if __name__ == "__main__":
    main()
