"""Toxicity: assays and what they tell of, results and batches of them, profiles, scores and the ranking."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from flask import Blueprint, Response, url_for

from api.common import access
from api.common.batch import (
    BATCH_TYPES,
    MAX_BATCH,
    BatchQuerySchema,
    Faults,
    batch_answer,
    load_each,
    read_batch,
    results_of,
)
from api.common.body import takes
from api.common.conditional import answer, expected_version
from api.common.context import reading
from api.common.effects import replay_early, writing
from api.common.formats import TABLE_FORMATS, answer_list
from api.common.listing import ListQuery, lists, shapes
from api.common.openapi import describes
from api.common.query import parameters
from api.common.resource import Api, Resource
from api.common.results import done
from api.molecules.answers import BATCH_REPORT
from api.toxicity.answers import MIXTURE_SCORE, PROFILE, SCORE
from api.toxicity.schemas import MixtureScoreQuerySchema, NewToxicityResultSchema, SelectionQuerySchema
from app.domain.toxicity import NewToxicityResult
from app.science.models.cases import Conditions
from app.services.score_mixture import score_stored_mixture
from database.listing import Shape
from database.repositories.toxicity import RESULTS, RESULTS_OF_MOLECULE, ResultReader, ResultRepository
from database.repositories.toxicity_assays import ASSAYS, ENDPOINTS, AssayReader, EndpointReader
from database.repositories.toxicity_scores import RANKING, RankingReader, ScoreReader, Selection

blueprint: Final = Blueprint("toxicity", __name__)
api: Final = Api(blueprint)
_NEW_RESULT: Final = NewToxicityResultSchema()


class AssaysResource(Resource):
    """All toxicity assays."""

    @access.public
    @lists(ASSAYS)
    @describes(listing=ASSAYS, formats=TABLE_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """List toxicity assays, filtered, sorted and paged."""
        return answer_list(AssayReader(reading()), query, TABLE_FORMATS)


class EndpointsResource(Resource):
    """All that toxicity assays tell of."""

    @access.public
    @lists(ENDPOINTS)
    @describes(listing=ENDPOINTS, formats=TABLE_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """List what toxicity assays tell of."""
        return answer_list(EndpointReader(reading()), query, TABLE_FORMATS)


class ResultsResource(Resource):
    """All toxicity results."""

    @access.public
    @lists(RESULTS)
    @describes(listing=RESULTS, formats=TABLE_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """List toxicity results, replicates one by one."""
        return answer_list(ResultReader(reading()), query, TABLE_FORMATS)

    @access.user("toxicity:write")
    @takes(NewToxicityResultSchema)
    @describes(record=RESULTS, status=201)
    def post(self, data: NewToxicityResult) -> Response:
        """Add a result of an assay to a molecule that the caller may change."""
        with writing() as effect:
            repository = ResultRepository(effect.session)
            result_id = repository.add(data)
            location = url_for("toxicity.resultresource", result_id=result_id)
            effect.answer = answer(repository.get(result_id), 201, {"Location": location})
        return done(effect)


class ResultResource(Resource):
    """One toxicity result."""

    @access.public
    @shapes(RESULTS)
    @describes(record=RESULTS)
    def get(self, result_id: UUID, shape: Shape) -> Response:
        """Get one toxicity result."""
        return answer(ResultReader(reading()).get(result_id, shape))

    @access.user("toxicity:write")
    @describes(status=204, conditional=True)
    def delete(self, result_id: UUID) -> Response:
        """Delete a toxicity result."""
        version = expected_version()
        with writing() as effect:
            ResultRepository(effect.session).remove(result_id, version)
            effect.answer = Response(status=204)
        return done(effect)


class ResultBatchResource(Resource):
    """Many toxicity results in one call."""

    @access.user("toxicity:write")
    @parameters(BatchQuerySchema)
    @describes(body_many=NewToxicityResultSchema, body_max=MAX_BATCH, body_types=BATCH_TYPES, answer=BATCH_REPORT)
    def post(self, arguments: dict[str, Any]) -> Response:
        """Add up to 10,000 results; each record succeeds or is refused by itself unless atomic."""
        records = read_batch()
        replay_early()
        faults: Faults = {}
        loaded: list[tuple[int, NewToxicityResult]] = load_each(_NEW_RESULT, records, faults)
        with writing() as effect:
            outcomes = ResultRepository(effect.session).add_many([result for _, result in loaded])
            results = results_of(len(records), loaded, outcomes, faults)
            effect.answer = batch_answer(results, atomic=arguments["atomic"])
        return done(effect)


class MoleculeResultsResource(Resource):
    """The toxicity results of one molecule."""

    @access.public
    @lists(RESULTS, RESULTS_OF_MOLECULE)
    @describes(listing=RESULTS, formats=TABLE_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """List a molecule's toxicity results."""
        return answer_list(ResultReader(reading()), query, TABLE_FORMATS)


class ProfileResource(Resource):
    """What one molecule's results tell."""

    @access.public
    @describes(answer=PROFILE)
    def get(self, molecule_id: UUID) -> Response:
        """Give a molecule's toxicity by endpoint: tested, active, potency; doses are context beside it."""
        return answer(ScoreReader(reading()).profile(molecule_id))


class MoleculeScoreResource(Resource):
    """One molecule's score."""

    @access.public
    @parameters(SelectionQuerySchema)
    @describes(answer=SCORE)
    def get(self, molecule_id: UUID, arguments: dict[str, Selection]) -> Response:
        """Give a molecule's toxicity score with coverage, confidence and the assays that it rests on."""
        return answer(ScoreReader(reading()).score(molecule_id, arguments["selection"]))


class MixtureScoreResource(Resource):
    """One mixture's score."""

    @access.public
    @parameters(MixtureScoreQuerySchema)
    @describes(answer=MIXTURE_SCORE)
    def get(self, mixture_id: UUID, arguments: dict[str, Any]) -> Response:
        """Give a mixture's toxicity score, those of its components, and the survival of a stated exposure."""
        selection: Selection = arguments["selection"]
        conditions: Conditions = arguments["conditions"]
        return answer(score_stored_mixture(reading(), mixture_id, selection, conditions))


class RankingResource(Resource):
    """Molecules by score."""

    @access.public
    @lists(RANKING)
    @describes(listing=RANKING, formats=TABLE_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """Rank molecules by toxicity score, the highest first; one endpoint, one cell type or all."""
        return answer_list(RankingReader(reading()), query, TABLE_FORMATS)


api.add_resource(AssaysResource, "/toxicity/assays")
api.add_resource(EndpointsResource, "/toxicity/endpoints")
api.add_resource(ResultsResource, "/toxicity/results")
api.add_resource(ResultResource, "/toxicity/results/<uuid:result_id>")
api.add_resource(ResultBatchResource, "/toxicity/results/batch")
api.add_resource(MoleculeResultsResource, "/molecules/<uuid:molecule_id>/toxicity")
api.add_resource(ProfileResource, "/toxicity/molecules/<uuid:molecule_id>")
api.add_resource(MoleculeScoreResource, "/toxicity/molecules/<uuid:molecule_id>/score")
api.add_resource(MixtureScoreResource, "/toxicity/mixtures/<uuid:mixture_id>/score")
api.add_resource(RankingResource, "/toxicity/ranking")
