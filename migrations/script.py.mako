"""${message}."""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "${up_revision}"
down_revision = ${repr(down_revision)}

UPGRADE_SQL: Final = """
"""

DOWNGRADE_SQL: Final = """
"""


def upgrade() -> None:
    """Apply the migration."""
    op.get_bind().exec_driver_sql(UPGRADE_SQL)


def downgrade() -> None:
    """Take the migration back."""
    op.get_bind().exec_driver_sql(DOWNGRADE_SQL)
