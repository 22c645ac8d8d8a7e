"""The project's own starting data: molecules, published solutions and measurements, each with its source."""

from __future__ import annotations

from typing import Final

RELEASE: Final = "2026.11.1"
"""Grows whenever the files change: a database that holds this release is not seeded again."""
