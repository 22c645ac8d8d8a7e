"""The project's own starting data: 60 cryoprotectants, what is known of them, and from where."""

from __future__ import annotations

from typing import Final

RELEASE: Final = "2026.11"
"""Grows whenever the files change: a database that holds this release is not seeded again."""
