"""Predictions: the models, what they say of a composition, and what is kept of a mixture."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final
from uuid import UUID

import orjson
from flask import Blueprint, Response, url_for

from api.common import access
from api.common.body import JSON_TYPE, takes
from api.common.conditional import answer, expected_version
from api.common.context import reading
from api.common.effects import writing
from api.common.formats import CSV, NDJSON, answer_list
from api.common.json import dumps
from api.common.listing import ListQuery, lists, read_filters, shapes
from api.common.openapi import describes
from api.common.resource import Api, Resource
from api.common.results import done
from api.predictions.answers import EVALUATION, MODEL, MODEL_LIST, STORED
from api.predictions.schemas import (
    MAX_MIXTURES,
    BatchSchema,
    EvaluationSchema,
    NewPredictionsSchema,
    QuestionSchema,
)
from app.errors import Fault, InvalidError, MalformedError, NotFoundError
from app.science.models.model import Model, StructureModel
from app.science.models.registry import CATALOGUE
from app.services.predict_batch import ask_for_batch
from app.services.predict_properties import Question, predict_mixture, predict_molecule, predict_stated, told
from database.listing import Filter, ListRequest, Shape, Sort
from database.repositories.base import Document
from database.repositories.mixtures import MIXTURES, MixtureReader
from database.repositories.molecules import MoleculeReader
from database.repositories.prediction_batches import (
    PREDICTION_BATCHES,
    PredictionBatchReader,
    PredictionBatchRepository,
)
from database.repositories.predictions import (
    PREDICTIONS,
    PREDICTIONS_OF_MIXTURE,
    PREDICTIONS_OF_MOLECULE,
    PredictionReader,
    PredictionRepository,
    Stored,
)

blueprint: Final = Blueprint("predictions", __name__)
api: Final = Api(blueprint)
PREDICTION_FORMATS: Final = {"ndjson": NDJSON, "csv": CSV}


class ModelsResource(Resource):
    """All models."""

    @access.public
    @describes(answer=MODEL_LIST)
    def get(self) -> Response:
        """List the models with their equations, parameters, ranges and references."""
        return Response(dumps({"data": list(_catalogue().values())}), content_type=JSON_TYPE)


class ModelResource(Resource):
    """One model."""

    @access.public
    @describes(answer=MODEL)
    def get(self, name: str) -> Response:
        """Get one model in all its versions."""
        catalogue = _catalogue()
        if name not in catalogue:
            msg = f"no model {name[:100]!r}; there are {', '.join(sorted(catalogue))}"
            raise NotFoundError(msg)
        return answer(Document(dumps(catalogue[name]), len(catalogue[name]["versions"])))


class EvaluationResource(Resource):
    """Answers of the models that are kept nowhere."""

    @access.public
    @takes(EvaluationSchema)
    @describes(answer=EVALUATION, effect=False)
    def post(self, data: dict[str, Any]) -> Response:
        """Ask the models about a composition; nothing is stored."""
        predictions = predict_stated(MoleculeReader(reading()), **data)
        return Response(dumps({"predictions": [told(item) for item in predictions]}), content_type=JSON_TYPE)


class PredictionsResource(Resource):
    """All predictions."""

    @access.public
    @lists(PREDICTIONS)
    @describes(listing=PREDICTIONS, formats=PREDICTION_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """List predictions, filtered, sorted and paged."""
        return answer_list(PredictionReader(reading()), query, PREDICTION_FORMATS)

    @access.user("predictions:write")
    @takes(NewPredictionsSchema)
    @describes(answer=STORED, status=201, again=200)
    def post(self, data: dict[str, Any]) -> Response:
        """Ask the models about a mixture and keep what they say; the same inputs give what is there already."""
        mixture_id, question = data["mixture_id"], data["question"]
        with writing() as effect:
            try:
                stored = predict_mixture(effect.session, mixture_id, question, "/mixture_id")
            except NotFoundError as error:
                raise InvalidError.at("/mixture_id", error.detail) from error
            effect.answer = _stored(stored, _of_mixture(mixture_id))
        return done(effect)


class BatchesResource(Resource):
    """Predictions of many mixtures."""

    @access.user("predictions:write")
    @takes(BatchSchema)
    @describes(record=PREDICTION_BATCHES, status=202)
    def post(self, data: dict[str, Any]) -> Response:
        """Let a worker ask the models about many mixtures, with the caller's rights; Location shows how far it is."""
        mixture_ids = data.get("mixture_ids") or _filtered(data["filter"])
        with writing() as effect:
            batch_id = ask_for_batch(effect.session, data["question"], mixture_ids)
            location = url_for("predictions.batchresource", batch_id=batch_id)
            document = PredictionBatchRepository(effect.session).get(batch_id)
            effect.answer = answer(document, 202, {"Location": location})
        return done(effect)


class BatchResource(Resource):
    """One batch."""

    @access.user()
    @shapes(PREDICTION_BATCHES)
    @describes(record=PREDICTION_BATCHES)
    def get(self, batch_id: UUID, shape: Shape) -> Response:
        """Show how far a batch of predictions is."""
        return answer(PredictionBatchReader(reading()).get(batch_id, shape))


class PredictionResource(Resource):
    """One prediction."""

    @access.public
    @shapes(PREDICTIONS)
    @describes(record=PREDICTIONS)
    def get(self, prediction_id: UUID, shape: Shape) -> Response:
        """Get one prediction."""
        return answer(PredictionReader(reading()).get(prediction_id, shape))

    @access.user("predictions:write")
    @describes(status=204, conditional=True)
    def delete(self, prediction_id: UUID) -> Response:
        """Delete a prediction."""
        version = expected_version()
        with writing() as effect:
            PredictionRepository(effect.session).remove(prediction_id, version)
            effect.answer = Response(status=204)
        return done(effect)


class MixturePredictionsResource(Resource):
    """The predictions of one mixture."""

    @access.public
    @lists(PREDICTIONS, PREDICTIONS_OF_MIXTURE)
    @describes(listing=PREDICTIONS, formats=PREDICTION_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """List what was predicted of a mixture."""
        return answer_list(PredictionReader(reading()), query, PREDICTION_FORMATS)

    @access.user("predictions:write")
    @takes(QuestionSchema)
    @describes(answer=STORED, status=201, again=200)
    def post(self, mixture_id: UUID, data: dict[str, Question]) -> Response:
        """Ask the models about the mixture now and keep what they say."""
        with writing() as effect:
            effect.answer = _stored(
                predict_mixture(effect.session, mixture_id, data["question"]), _of_mixture(mixture_id)
            )
        return done(effect)


class MoleculePredictionsResource(Resource):
    """The predictions that one molecule has to do with."""

    @access.public
    @lists(PREDICTIONS, PREDICTIONS_OF_MOLECULE)
    @describes(listing=PREDICTIONS, formats=PREDICTION_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """List what was predicted of a molecule, or of a mixture that it is a component of."""
        return answer_list(PredictionReader(reading()), query, PREDICTION_FORMATS)

    @access.user("predictions:write")
    @describes(answer=STORED, status=201, again=200)
    def post(self, molecule_id: UUID) -> Response:
        """Ask the models of pure molecules now and keep what they say."""
        with writing() as effect:
            location = url_for("predictions.moleculepredictionsresource", molecule_id=molecule_id)
            effect.answer = _stored(predict_molecule(effect.session, molecule_id), location)
        return done(effect)


api.add_resource(ModelsResource, "/predictions/models")
api.add_resource(ModelResource, "/predictions/models/<string:name>")
api.add_resource(EvaluationResource, "/predictions/evaluate")
api.add_resource(PredictionsResource, "/predictions")
api.add_resource(BatchesResource, "/predictions/batch")
api.add_resource(BatchResource, "/predictions/batch/<uuid:batch_id>")
api.add_resource(PredictionResource, "/predictions/<uuid:prediction_id>")
api.add_resource(MixturePredictionsResource, "/mixtures/<uuid:mixture_id>/predictions")
api.add_resource(MoleculePredictionsResource, "/molecules/<uuid:molecule_id>/predictions")


def _of_mixture(mixture_id: UUID) -> str:
    return url_for("predictions.mixturepredictionsresource", mixture_id=mixture_id)


def _stored(stored: Stored, location: str) -> Response:
    """Return predictions with how many of them are new, 201 where any is."""
    head = f'{{"added":{stored.added},"existing":{len(stored.documents) - stored.added},"data":['
    body = head.encode() + b",".join(stored.documents) + b"]}"
    if not stored.added:
        return Response(body, content_type=JSON_TYPE)
    return Response(body, 201, {"Location": location}, content_type=JSON_TYPE)


def _filtered(parameters: dict[str, str]) -> list[UUID]:
    """Return the mixtures that the caller sees behind a filter."""
    wanted = ListRequest(Shape(only=("id",)), _filters(parameters), (Sort("id"),), MAX_MIXTURES)
    page = MixtureReader(reading()).page(wanted)
    if not page.documents:
        raise InvalidError.at("/filter", "you see no mixture that passes this")
    if page.next_after is not None:
        raise InvalidError.at("/filter", f"more than {MAX_MIXTURES:,} mixtures pass this: narrow it down")
    return [UUID(orjson.loads(document)["id"]) for document in page.documents]


def _filters(parameters: dict[str, str]) -> tuple[Filter, ...]:
    try:
        return read_filters(MIXTURES, parameters)
    except MalformedError as error:
        raise InvalidError.at("/filter", error.detail) from error
    except InvalidError as error:
        faults = [Fault(f"/filter/{fault.pointer}", fault.detail) for fault in error.faults]
        raise InvalidError(error.detail, code=error.code, faults=faults) from error


def _catalogue() -> dict[str, dict[str, Any]]:
    """Return the models by name, each with its versions, the preferred one first."""
    models: dict[str, dict[str, Any]] = {}
    for model in CATALOGUE:
        models.setdefault(model.name, {"name": model.name, "versions": []})["versions"].append(_version(model))
    return models


def _version(model: Model | StructureModel) -> dict[str, Any]:
    return {
        "version": model.version,
        "title": model.title,
        "properties": [
            {"property_type": name, "unit": unit, "default": name in model.default_for}
            for name, unit in model.properties.items()
        ],
        "equation": model.equation,
        "parameters": [asdict(item) for item in model.parameters],
        "valid_for": model.valid_for,
        "reference": model.reference,
    }
