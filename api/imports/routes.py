"""Imports: runs that workers carry out, and records of ChEMBL and PubChem, posted as those services send them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import IO, Any, Final
from uuid import UUID

from flask import Blueprint, Response, request, url_for
from marshmallow import Schema, fields, validate

from api.common import access
from api.common.body import JSON_TYPE, read_spooled, require_media_type, takes
from api.common.conditional import answer
from api.common.context import reading, services
from api.common.effects import Effect, replay_early, writing
from api.common.formats import TABLE_FORMATS, answer_list
from api.common.json import dumps
from api.common.listing import ListQuery, lists, shapes
from api.common.openapi import describes
from api.common.query import parameters
from api.common.resource import Api, Resource
from api.common.results import done, report, result
from api.imports.schemas import NewImportSchema
from api.molecules.answers import IMPORT_REPORT
from app.importers.chunks import chunks
from app.importers.records import ParsedRecord
from app.services.ask_for_import import import_wanted
from app.services.import_records import PARSERS, SOURCES, ReadyRecord, load_records, standardize_records
from database.listing import Shape
from database.repositories.import_requests import (
    ERRORS_OF_IMPORT,
    IMPORT_ERRORS,
    IMPORTS,
    ImportErrorReader,
    ImportReader,
    ImportRequestRepository,
)
from database.repositories.provenance import ProvenanceRepository

blueprint: Final = Blueprint("imports", __name__)
api: Final = Api(blueprint)


class RecordsQuerySchema(Schema):
    """Where the records come from."""

    source = fields.String(required=True, validate=validate.OneOf(sorted(PARSERS)))
    release = fields.String(
        load_default="",
        validate=validate.Length(max=200),
        metadata={"description": "The source's release, for instance ChEMBL_36.", "example": "ChEMBL_36"},
    )


class ImportRecordsResource(Resource):
    """Other services' records."""

    @access.service("imports:write")
    @parameters(RecordsQuerySchema)
    @describes(
        answer=IMPORT_REPORT,
        body_any="ChEMBL: a molecules page, an array of molecules or one molecule. "
        "PubChem: PropertyTable, PC_Compounds or a PUG View record.",
    )
    def post(self, arguments: dict[str, Any]) -> Response:
        """Import records of ChEMBL or PubChem just as those services send them."""
        request.max_content_length = services().max_import_bytes
        require_media_type(JSON_TYPE)
        with read_spooled() as (body, digest):
            replay_early(digest)
            ready = [record for chunk in _parsed(arguments["source"], body) for record in _standardized(chunk)]
        source = replace(SOURCES[arguments["source"]], release=arguments["release"])
        with writing(digest) as effect:
            imported = load_records(effect.session, source, ready)
            results = [result(index, outcome, []) for index, outcome in enumerate(imported.outcomes)]
            said = {"import_run_id": imported.run_id, **report(results)}
            effect.answer = Response(dumps(said), content_type=JSON_TYPE)
        return done(effect)


class ImportsResource(Resource):
    """All imports."""

    @access.service()
    @lists(IMPORTS)
    @describes(listing=IMPORTS, formats=TABLE_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """List imports with their counts, rate and what is left; `state=failed` gives the dead letters."""
        return answer_list(ImportReader(reading()), query, TABLE_FORMATS)

    @access.service("imports:write")
    @takes(NewImportSchema)
    @describes(record=IMPORTS, status=202)
    def post(self, data: dict[str, Any]) -> Response:
        """Let a worker import from PubChem, ChEMBL, Tox21 or a file; Location shows how far it is."""
        wanted = import_wanted(services().downloads, data)
        with writing() as effect:
            source_id = ProvenanceRepository(effect.session).ensure_source(wanted.source)
            run_id = ImportRequestRepository(effect.session).add(source_id, wanted.parameters)
            effect.answer = _accepted(effect, run_id)
        return done(effect)


class ImportResource(Resource):
    """One import."""

    @access.service()
    @shapes(IMPORTS)
    @describes(record=IMPORTS)
    def get(self, import_id: UUID, shape: Shape) -> Response:
        """Show how far an import is."""
        return answer(ImportReader(reading()).get(import_id, shape))


class ImportErrorsResource(Resource):
    """What one import left out."""

    @access.service()
    @lists(IMPORT_ERRORS, ERRORS_OF_IMPORT)
    @describes(listing=IMPORT_ERRORS, formats=TABLE_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """List the records that an import left out, each with its reason."""
        return answer_list(ImportErrorReader(reading()), query, TABLE_FORMATS)


class CancelledImportResource(Resource):
    """The end of one import."""

    @access.service("imports:write")
    @describes(record=IMPORTS)
    def post(self, import_id: UUID) -> Response:
        """End an import: at once where it waits, else after the page under way. What is stored stays."""
        with writing() as effect:
            repository = ImportRequestRepository(effect.session)
            repository.cancel(import_id)
            effect.answer = answer(repository.get(import_id))
        return done(effect)


class RetriedImportResource(Resource):
    """Another attempt at one import."""

    @access.service("imports:write")
    @describes(record=IMPORTS, status=202)
    def post(self, import_id: UUID) -> Response:
        """Let an import that failed or was cancelled go on from its last page."""
        with writing() as effect:
            ImportRequestRepository(effect.session).retry(import_id)
            effect.answer = _accepted(effect, import_id)
        return done(effect)


def _accepted(effect: Effect, import_id: UUID) -> Response:
    document = ImportRequestRepository(effect.session).get(import_id)
    return answer(document, 202, {"Location": url_for("imports.importresource", import_id=import_id)})


def _parsed(source: str, body: IO[bytes]) -> Iterator[list[ParsedRecord]]:
    for first, payload in chunks(body):
        yield [replace(record, index=record.index + first) for record in PARSERS[source](payload)]


def _standardized(records: list[ParsedRecord]) -> list[ReadyRecord]:
    return standardize_records(services().chemistry, records)


api.add_resource(ImportsResource, "/imports")
api.add_resource(ImportRecordsResource, "/imports/records")
api.add_resource(ImportResource, "/imports/<uuid:import_id>")
api.add_resource(ImportErrorsResource, "/imports/<uuid:import_id>/errors")
api.add_resource(CancelledImportResource, "/imports/<uuid:import_id>/cancel")
api.add_resource(RetriedImportResource, "/imports/<uuid:import_id>/retry")
