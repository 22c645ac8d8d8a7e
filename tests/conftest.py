"""Fixtures by topic live in `tests/plugins`."""

from __future__ import annotations

pytest_plugins = [
    f"tests.plugins.{topic}" for topic in ("pooler", "database", "api", "clock", "https", "jobs", "upstream")
]
