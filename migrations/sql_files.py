"""Writes the migrations' SQL to files, for checkers that read SQL and not Python.

Run as `python -m migrations.sql_files FOLDER`: it makes `upgrade/0002_teams.sql` and
`downgrade/0002_teams.sql` there, and so on.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Final

VERSIONS: Final = Path(__file__).parent / "versions"
CONSTANTS: Final = {"upgrade": "UPGRADE_SQL", "downgrade": "DOWNGRADE_SQL"}
OWN_NAME_AND_FOLDER: Final = 2


def write_sql_files(folder: Path) -> list[Path]:
    """Write the SQL of all migrations below a folder and return the files."""
    written = []
    for direction, constant in CONSTANTS.items():
        (folder / direction).mkdir(parents=True, exist_ok=True)
        for version in sorted(VERSIONS.glob("[0-9]*.py")):
            file = folder / direction / f"{version.stem}.sql"
            file.write_text(getattr(import_module(f"migrations.versions.{version.stem}"), constant), encoding="utf-8")
            written.append(file)
    return written


if __name__ == "__main__":
    if len(sys.argv) != OWN_NAME_AND_FOLDER:
        sys.exit("usage: python -m migrations.sql_files FOLDER")
    write_sql_files(Path(sys.argv[1]))
