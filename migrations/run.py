"""Sends a migration's SQL as it stands: several statements, no placeholders, no escaping of `%`."""

from __future__ import annotations

from typing import LiteralString

from alembic import op


def run(statements: LiteralString) -> None:
    """Run the statements on the migration's own connection and transaction."""
    op.get_bind().connection.driver_connection.execute(statements)  # type: ignore[union-attr]
