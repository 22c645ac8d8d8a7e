"""Fixtures by topic live in `tests/plugins`."""

from __future__ import annotations

pytest_plugins = ["tests.plugins.pooler", "tests.plugins.database", "tests.plugins.api", "tests.plugins.clock"]
