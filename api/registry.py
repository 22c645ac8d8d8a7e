"""The blueprints under /api/v1, and the check that each of their views says who may call it."""

from __future__ import annotations

from typing import Final

from flask import Flask

from api.auth import routes as auth
from api.common import access
from api.comparisons import routes as comparisons
from api.experiments import routes as experiments
from api.history import routes as history
from api.imports import routes as imports
from api.mixtures import routes as mixtures
from api.molecules import routes as molecules
from api.optimizations import routes as optimizations
from api.predictions import routes as predictions
from api.projects import routes as projects
from api.system import routes as system
from api.teams import routes as teams
from api.tokens import routes as tokens
from api.toxicity import routes as toxicity

BASE_PATH: Final = "/api/v1"
BLUEPRINTS: Final = (
    molecules.blueprint,
    mixtures.blueprint,
    experiments.blueprint,
    predictions.blueprint,
    optimizations.blueprint,
    comparisons.blueprint,
    toxicity.blueprint,
    teams.blueprint,
    projects.blueprint,
    history.blueprint,
    imports.blueprint,
    tokens.blueprint,
    auth.blueprint,
    system.blueprint,
)


def register(app: Flask) -> None:
    """Register all views and refuse to start where one bears no access mark.

    Raises:
        RuntimeError: It names the views without a mark.
    """
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint, url_prefix=BASE_PATH)
    app.register_blueprint(system.root)
    access.check(app)
    access.enforce(app)
