"""Fixtures by topic live in `tests/plugins`."""

from __future__ import annotations

pytest_plugins = ["tests.plugins.database", "tests.plugins.api", "tests.plugins.clock", "tests.plugins.jobs"]
