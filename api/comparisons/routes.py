"""Predictions beside experiments: of one mixture, and how well the models do over all that the caller may see."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from flask import Blueprint, Response, url_for

from api.common import access
from api.common.conditional import SVG_TYPE, answer, answer_drawing
from api.common.context import reading
from api.common.formats import Offer, chosen
from api.common.json import dumps
from api.common.openapi import describes
from api.common.query import parameters
from api.common.resource import Api, Resource
from api.comparisons.answers import CALIBRATION, COMPARISON
from api.comparisons.schemas import CalibrationQuerySchema
from app.services.compare_predictions import calibrate, compare_mixture
from app.services.draw_calibration import draw_calibration
from database.repositories.base import Document
from database.repositories.comparisons import ComparisonReader

blueprint: Final = Blueprint("comparisons", __name__)
api: Final = Api(blueprint)
CALIBRATION_FORMATS: Final = {"svg": Offer("svg", SVG_TYPE)}
# It has no version of its own: its ETag changes with what it says.
_UNVERSIONED: Final = 1


class MixtureComparisonResource(Resource):
    """What is predicted of one mixture beside what is measured."""

    @access.public
    @describes(answer=COMPARISON)
    def get(self, mixture_id: UUID) -> Response:
        """Compare a mixture's predictions with its experiments."""
        sides = ComparisonReader(reading()).of_mixture(mixture_id)
        path = url_for("predictions.mixturepredictionsresource", mixture_id=mixture_id)
        return answer(Document(dumps(compare_mixture(sides, path)), sides.composition.version))


class CalibrationResource(Resource):
    """How well the models meet the experiments."""

    @access.public
    @parameters(CalibrationQuerySchema)
    @describes(answer=CALIBRATION, formats=CALIBRATION_FORMATS)
    def get(self, arguments: dict[str, Any]) -> Response:
        """Give RMSE, bias, R2 and coverage of the models over all experiments that the caller may see."""
        wanted = chosen(CALIBRATION_FORMATS)
        found, points = calibrate(ComparisonReader(reading()), arguments["property_type"], arguments["model"])
        if wanted is None:
            return answer(Document(dumps(found), _UNVERSIONED))
        return answer_drawing(draw_calibration(points, found["reason"] or ""), _UNVERSIONED)


api.add_resource(MixtureComparisonResource, "/mixtures/<uuid:mixture_id>/compare")
# The name that some clients know it by.
api.add_resource(
    MixtureComparisonResource, "/mixtures/<uuid:mixture_id>/comparisons", endpoint="mixturecomparisonsresource"
)
api.add_resource(CalibrationResource, "/predictions/calibration")
