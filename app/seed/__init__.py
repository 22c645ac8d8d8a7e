"""The project's own starting data: cryoprotectants, published solutions and measurements, and from where each is known."""

from __future__ import annotations

from typing import Final

RELEASE: Final = "2026.11.1"
"""Grows whenever the files change: a database that holds this release is not seeded again."""
