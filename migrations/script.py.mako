"""${message}."""

from __future__ import annotations

from typing import Final

from migrations.run import run

revision = "${up_revision}"
down_revision = ${repr(down_revision)}

UPGRADE_SQL: Final = """
"""

DOWNGRADE_SQL: Final = """
"""


def upgrade() -> None:
    """Apply the migration."""
    run(UPGRADE_SQL)


def downgrade() -> None:
    """Take the migration back."""
    run(DOWNGRADE_SQL)
