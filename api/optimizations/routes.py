"""Searches for mixtures: at once where they take seconds, else as jobs."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from flask import Blueprint, Response, url_for

from api.common import access
from api.common.body import JSON_TYPE, takes
from api.common.conditional import answer, stated_version
from api.common.context import reading
from api.common.effects import is_keyed, prefers_async, replay_early, writing
from api.common.formats import TABLE_FORMATS, answer_list
from api.common.json import dumps
from api.common.listing import ListQuery, lists, shapes
from api.common.openapi import describes
from api.common.resource import Api, Resource
from api.common.results import done
from api.optimizations.answers import FRONT
from api.optimizations.schemas import NewOptimizationSchema
from app.services.optimize_mixtures import Search, Wish, optimize, search_for
from app.services.run_optimization import ask_for_optimization
from database.listing import Shape
from database.repositories.molecules import MoleculeReader
from database.repositories.optimizations import OPTIMIZATIONS, OptimizationReader, OptimizationRepository

blueprint: Final = Blueprint("optimizations", __name__)
api: Final = Api(blueprint)
_SCOPE: Final = "predictions:write"


class OptimizeResource(Resource):
    """Searches to be made."""

    @access.user(_SCOPE)
    @takes(NewOptimizationSchema)
    @describes(answer=FRONT, accepted=OPTIMIZATIONS)
    def post(self, data: dict[str, Wish]) -> Response:
        """Search for the best mixtures of some molecules.

        The answer is a front, the best objective first: each next mixture has more of the traded quantity, which is
        the first constraint's, or the total molality. Of more than six molecules, or with `Prefer: respond-async`, the
        search is a job: 202, and Location shows how far it is.
        """
        replay_early()
        search = search_for(MoleculeReader(reading()), data["wish"])
        if prefers_async() or not search.is_quick:
            return _accepted(search)
        response = Response(dumps(optimize(search)), content_type=JSON_TYPE)
        if not is_keyed():
            return response
        with writing() as effect:
            effect.answer = response
        return done(effect)


class OptimizationsResource(Resource):
    """All searches that are, or were, jobs."""

    @access.user()
    @lists(OPTIMIZATIONS)
    @describes(listing=OPTIMIZATIONS, formats=TABLE_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """List your searches; the service sees everybody's."""
        return answer_list(OptimizationReader(reading()), query, TABLE_FORMATS)


class OptimizationResource(Resource):
    """One search."""

    @access.user()
    @shapes(OPTIMIZATIONS)
    @describes(record=OPTIMIZATIONS)
    def get(self, optimization_id: UUID, shape: Shape) -> Response:
        """Show how far a search is, and what it found."""
        return answer(OptimizationReader(reading()).get(optimization_id, shape))

    @access.user(_SCOPE)
    @describes(status=204, may_be_conditional=True)
    def delete(self, optimization_id: UUID) -> Response:
        """Cancel a search, within seconds where it is under way, and remove it with what it found.

        If-Match is heeded where it is sent, and not asked for: the version grows with each second of progress.
        """
        version = stated_version()
        with writing() as effect:
            OptimizationRepository(effect.session).remove(optimization_id, version)
            effect.answer = Response(status=204)
        return done(effect)


def _accepted(search: Search) -> Response:
    with writing() as effect:
        optimization_id = ask_for_optimization(effect.session, search)
        location = url_for("optimizations.optimizationresource", optimization_id=optimization_id)
        document = OptimizationRepository(effect.session).get(optimization_id)
        effect.answer = answer(document, 202, {"Location": location})
        if prefers_async():
            effect.answer.headers["Preference-Applied"] = "respond-async"
    return done(effect)


api.add_resource(OptimizeResource, "/mixtures/optimize")
api.add_resource(OptimizationsResource, "/mixtures/optimizations")
api.add_resource(OptimizationResource, "/mixtures/optimizations/<uuid:optimization_id>")
