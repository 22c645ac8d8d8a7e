"""Records of ChEMBL and PubChem, posted as those services send them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import IO, Any, Final

from flask import Blueprint, Response, request
from marshmallow import Schema, fields, validate

from api.common import access
from api.common.body import JSON_TYPE, read_spooled, require_media_type
from api.common.context import services
from api.common.effects import replay_early, writing
from api.common.json import dumps
from api.common.openapi import describes
from api.common.query import parameters
from api.common.resource import Api, Resource
from api.common.results import done, report, result
from api.molecules.answers import IMPORT_REPORT
from app.importers.chunks import chunks
from app.importers.records import ParsedRecord
from app.services.import_records import PARSERS, SOURCES, ReadyRecord, load_records, standardize_records

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


def _parsed(source: str, body: IO[bytes]) -> Iterator[list[ParsedRecord]]:
    for first, payload in chunks(body):
        yield [replace(record, index=record.index + first) for record in PARSERS[source](payload)]


def _standardized(records: list[ParsedRecord]) -> list[ReadyRecord]:
    return standardize_records(services().chemistry, records)


api.add_resource(ImportRecordsResource, "/imports/records")
