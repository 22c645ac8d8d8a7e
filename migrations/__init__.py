"""Numbered migrations: Alembic for the order, raw SQL for what they do."""
