"""Experiments: create, find, change, delete; batches; the experiments on a mixture and on a molecule."""

from __future__ import annotations

from collections.abc import Mapping
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
    in_turns,
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
from api.experiments.schemas import ExperimentChangeSchema, NewExperimentSchema
from api.molecules.answers import BATCH_REPORT
from app.domain.experiments import ExperimentOutcome, NewExperiment, measured
from app.domain.molecules import PropertyType
from app.errors import InvalidError
from database.listing import Shape
from database.repositories.experiments import (
    EXPERIMENTS,
    EXPERIMENTS_OF_MIXTURE,
    EXPERIMENTS_OF_MOLECULE,
    ExperimentReader,
    ExperimentRepository,
)
from database.repositories.molecules import MoleculeRepository
from database.session import WriteSession

blueprint: Final = Blueprint("experiments", __name__)
api: Final = Api(blueprint)
_NEW_EXPERIMENT: Final = NewExperimentSchema()


class ExperimentsResource(Resource):
    """All experiments."""

    @access.public
    @lists(EXPERIMENTS)
    @describes(listing=EXPERIMENTS, formats=TABLE_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """List experiments, filtered, sorted and paged."""
        return answer_list(ExperimentReader(reading()), query, TABLE_FORMATS)

    @access.user("experiments:write")
    @takes(NewExperimentSchema)
    @describes(record=EXPERIMENTS, status=201)
    def post(self, data: dict[str, Any]) -> Response:
        """Create an experiment from its subject, its outcome and its results."""
        with writing() as effect:
            repository = ExperimentRepository(effect.session)
            experiment_id = repository.add(_new_experiment(data, _types(effect.session)))
            location = url_for("experiments.experimentresource", experiment_id=experiment_id)
            effect.answer = answer(repository.get(experiment_id), 201, {"Location": location})
        return done(effect)


class ExperimentResource(Resource):
    """One experiment."""

    @access.public
    @shapes(EXPERIMENTS)
    @describes(record=EXPERIMENTS)
    def get(self, experiment_id: UUID, shape: Shape) -> Response:
        """Get one experiment."""
        return answer(ExperimentReader(reading()).get(experiment_id, shape))

    @access.user("experiments:write")
    @takes(ExperimentChangeSchema)
    @describes(record=EXPERIMENTS, conditional=True)
    def patch(self, experiment_id: UUID, data: dict[str, Any]) -> Response:
        """Change anything of an experiment but its subject; results, reasons and conditions are put whole."""
        version = expected_version()
        with writing() as effect:
            repository = ExperimentRepository(effect.session)
            repository.change(experiment_id, data, version)
            if "results" in data:
                repository.put_results(experiment_id, measured(data["results"], _types(effect.session)))
            if "failure_reasons" in data:
                repository.put_failure_reasons(experiment_id, data["failure_reasons"])
            effect.answer = answer(repository.get(experiment_id))
        return done(effect)

    @access.user("experiments:write")
    @describes(status=204, conditional=True)
    def delete(self, experiment_id: UUID) -> Response:
        """Delete an experiment with its results."""
        version = expected_version()
        with writing() as effect:
            ExperimentRepository(effect.session).remove(experiment_id, version)
            effect.answer = Response(status=204)
        return done(effect)


class ExperimentBatchResource(Resource):
    """Many experiments in one call."""

    @access.user("experiments:write")
    @parameters(BatchQuerySchema)
    @describes(body_many=NewExperimentSchema, body_max=MAX_BATCH, body_types=BATCH_TYPES, answer=BATCH_REPORT)
    def post(self, arguments: dict[str, Any]) -> Response:
        """Create up to 10,000 experiments; each record succeeds or is refused by itself unless atomic."""
        records = read_batch()
        replay_early()
        faults: Faults = {}
        loaded = load_each(_NEW_EXPERIMENT, records, faults)
        with writing() as effect:
            new = _new_experiments(loaded, _types(effect.session), faults)
            outcomes = ExperimentRepository(effect.session).add_many([experiment for _, experiment in new])
            results = results_of(len(records), new, outcomes, faults)
            effect.answer = batch_answer(results, atomic=arguments["atomic"])
        return done(effect)


class MixtureExperimentsResource(Resource):
    """The experiments on one mixture."""

    @access.public
    @lists(EXPERIMENTS, EXPERIMENTS_OF_MIXTURE)
    @describes(listing=EXPERIMENTS, formats=TABLE_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """List the experiments on a mixture."""
        return answer_list(ExperimentReader(reading()), query, TABLE_FORMATS)


class MoleculeExperimentsResource(Resource):
    """The experiments on one molecule."""

    @access.public
    @lists(EXPERIMENTS, EXPERIMENTS_OF_MOLECULE)
    @describes(listing=EXPERIMENTS, formats=TABLE_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """List the experiments on a molecule by itself; those on its mixtures hang on these."""
        return answer_list(ExperimentReader(reading()), query, TABLE_FORMATS)


api.add_resource(ExperimentsResource, "/experiments")
api.add_resource(ExperimentResource, "/experiments/<uuid:experiment_id>")
api.add_resource(ExperimentBatchResource, "/experiments/batch")
api.add_resource(MixtureExperimentsResource, "/mixtures/<uuid:mixture_id>/experiments")
api.add_resource(MoleculeExperimentsResource, "/molecules/<uuid:molecule_id>/experiments")


def _types(session: WriteSession) -> dict[str, PropertyType]:
    return MoleculeRepository(session).property_types()


def _new_experiment(data: dict[str, Any], types: Mapping[str, PropertyType]) -> NewExperiment:
    return NewExperiment(
        **{
            **data,
            "outcome": ExperimentOutcome(data["outcome"]),
            "failure_reasons": tuple(data["failure_reasons"]),
            "results": measured(data["results"], types),
        }
    )


def _new_experiments(
    loaded: list[tuple[int, dict[str, Any]]], types: Mapping[str, PropertyType], faults: Faults
) -> list[tuple[int, NewExperiment]]:
    new = []
    for index, data in in_turns(loaded):
        try:
            new.append((index, _new_experiment(data, types)))
        except InvalidError as error:
            faults[index] = list(error.faults)
    return new
