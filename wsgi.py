"""What gunicorn loads: settings from the environment, and the app made from them."""

from __future__ import annotations

from app.factory import create_app
from config import Settings

app = create_app(Settings.from_environment())
