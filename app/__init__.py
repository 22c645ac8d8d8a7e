"""What the service knows and does, free of HTTP."""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
