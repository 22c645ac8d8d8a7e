"""Molecules: create, find, change, delete; batches, lookup, properties, drawings."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from flask import Blueprint, Response, url_for
from marshmallow import Schema, fields, validate

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
from api.common.body import JSON_TYPE, takes
from api.common.conditional import SVG_TYPE, answer, answer_drawing, expected_version
from api.common.context import reading, services
from api.common.effects import replay_early, writing
from api.common.formats import answer_list
from api.common.json import dumps, loads
from api.common.listing import ListQuery, lists, shapes
from api.common.openapi import describes
from api.common.query import parameters
from api.common.resource import Api, Resource
from api.common.results import done
from api.molecules.answers import BATCH_REPORT, LOOKUP_REPORT, PROPERTY_VALUES
from api.molecules.formats import MOLECULE_FORMATS
from api.molecules.schemas import (
    STRUCTURE_FIELDS,
    LookupSchema,
    MoleculeChangeSchema,
    NewMoleculeSchema,
    PropertiesSchema,
    PropertyValuesSchema,
)
from app.domain.molecules import Identifier, NewMolecule, PropertyType, Structure
from app.domain.properties import typed_values
from app.domain.references import Match
from app.errors import Fault, InvalidError, NotFoundError, StructureError
from database.listing import Shape
from database.repositories.base import Document
from database.repositories.molecules import (
    LOOKUP_KINDS,
    MOLECULES,
    MoleculeReader,
    MoleculeRepository,
)

blueprint: Final = Blueprint("molecules", __name__)
api: Final = Api(blueprint)
_NEW_MOLECULE: Final = NewMoleculeSchema()
_SVG_SHAPE: Final = Shape(only=("canonical_smiles",))


class MoleculesResource(Resource):
    """All molecules."""

    @access.public
    @lists(MOLECULES)
    @describes(listing=MOLECULES, formats=MOLECULE_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """List molecules, filtered, sorted and paged."""
        return answer_list(MoleculeReader(reading()), query, MOLECULE_FORMATS)

    @access.user("molecules:write")
    @takes(NewMoleculeSchema)
    @describes(record=MOLECULES, status=201)
    def post(self, data: dict[str, Any]) -> Response:
        """Create a molecule from a name and one structure."""
        replay_early()
        structure = _standardize(data)
        with writing() as effect:
            repository = MoleculeRepository(effect.session)
            molecule_id = repository.add(_new_molecule(data, structure, _types(repository, [data])))
            location = url_for("molecules.moleculeresource", molecule_id=molecule_id)
            effect.answer = answer(repository.get(molecule_id), 201, {"Location": location})
        return done(effect)


class MoleculeResource(Resource):
    """One molecule."""

    @access.public
    @shapes(MOLECULES)
    @describes(record=MOLECULES)
    def get(self, molecule_id: UUID, shape: Shape) -> Response:
        """Get one molecule."""
        return answer(MoleculeReader(reading()).get(molecule_id, shape))

    @access.user("molecules:write")
    @takes(MoleculeChangeSchema)
    @describes(record=MOLECULES, conditional=True)
    def patch(self, molecule_id: UUID, data: dict[str, Any]) -> Response:
        """Change a molecule's name, visibility, project or identifiers."""
        version = expected_version()
        with writing() as effect:
            repository = MoleculeRepository(effect.session)
            identifiers = data.pop("identifiers", None)
            if data:
                repository.change(molecule_id, data, version)
                version = None
            if identifiers is not None:
                repository.put_identifiers(molecule_id, identifiers, version)
            effect.answer = answer(repository.get(molecule_id))
        return done(effect)

    @access.user("molecules:write")
    @describes(status=204, conditional=True)
    def delete(self, molecule_id: UUID) -> Response:
        """Delete a molecule that nothing refers to."""
        version = expected_version()
        with writing() as effect:
            MoleculeRepository(effect.session).remove(molecule_id, version)
            effect.answer = Response(status=204)
        return done(effect)


class MoleculeBatchResource(Resource):
    """Many molecules in one call."""

    @access.user("molecules:write")
    @parameters(BatchQuerySchema)
    @describes(
        body_many=NewMoleculeSchema,
        body_max=MAX_BATCH,
        body_types=BATCH_TYPES,
        answer=BATCH_REPORT,
    )
    def post(self, arguments: dict[str, Any]) -> Response:
        """Create up to 10,000 molecules; each record succeeds or is refused by itself unless atomic."""
        records = read_batch()
        replay_early()
        faults: Faults = {}
        loaded = load_each(_NEW_MOLECULE, records, faults)
        structures = _structures(loaded, faults)
        with writing() as effect:
            repository = MoleculeRepository(effect.session)
            types = _types(repository, [data for _, data in loaded])
            new = _new_molecules(loaded, structures, types, faults)
            outcomes = repository.add_many([molecule for _, molecule in new])
            results = results_of(len(records), new, outcomes, faults)
            effect.answer = batch_answer(results, atomic=arguments["atomic"])
        return done(effect)


class MoleculeLookupResource(Resource):
    """Molecules by their names elsewhere."""

    @access.public
    @takes(LookupSchema)
    @describes(answer=LOOKUP_REPORT, effect=False)
    def post(self, data: dict[str, Any]) -> Response:
        """Find molecules by ids, InChIKeys, CIDs, ChEMBL ids and CAS numbers in one call."""
        wanted = [
            *(("id", str(value)) for value in data["ids"]),
            *(("inchikey", value) for value in data["inchikeys"]),
            *((":".join(LOOKUP_KINDS[name]), str(value)) for name in LOOKUP_KINDS for value in data[name]),
        ]
        wanted = list(dict.fromkeys(wanted))
        matches = MoleculeReader(reading()).lookup(wanted)
        found = {(match.kind, match.value) for match in matches}
        missing = [{"kind": _kind_name(kind), "value": value} for kind, value in wanted if (kind, value) not in found]
        return Response(
            dumps({"data": [_match(match) for match in matches], "missing": missing}), content_type=JSON_TYPE
        )


class MoleculePropertiesResource(Resource):
    """All property values of one molecule."""

    @access.public
    @describes(answer=PROPERTY_VALUES)
    def get(self, molecule_id: UUID) -> Response:
        """List a molecule's property values."""
        return _properties_answer(MoleculeReader(reading()).properties(molecule_id))

    @access.user("molecules:write")
    @takes(PropertiesSchema)
    @describes(answer=PROPERTY_VALUES, conditional=True)
    def put(self, molecule_id: UUID, data: dict[str, Any]) -> Response:
        """Put values in the place of all that the molecule has; raises the molecule's version."""
        return _put_properties(molecule_id, data["properties"], "/properties")


class MoleculePropertyResource(Resource):
    """The values of one property of one molecule."""

    @access.public
    @describes(answer=PROPERTY_VALUES)
    def get(self, molecule_id: UUID, property_type: str) -> Response:
        """List a molecule's values of one property."""
        reader = MoleculeReader(reading())
        found = reader.properties(molecule_id, property_type)
        if found[1] == b"[]" and property_type not in reader.property_types():
            raise _no_such_type(property_type)
        return _properties_answer(found)

    @access.user("molecules:write")
    @takes(PropertyValuesSchema)
    @describes(answer=PROPERTY_VALUES, conditional=True)
    def put(self, molecule_id: UUID, property_type: str, data: dict[str, Any]) -> Response:
        """Put values in the place of all of one property; raises the molecule's version."""
        values = [{**value, "property_type": property_type} for value in data["values"]]
        return _put_properties(molecule_id, values, "/values", property_type)


class SvgQuerySchema(Schema):
    """Size of a drawing."""

    width = fields.Integer(load_default=300, validate=validate.Range(50, 2000), metadata={"description": "Pixels."})
    height = fields.Integer(load_default=300, validate=validate.Range(50, 2000), metadata={"description": "Pixels."})


class MoleculeStructureResource(Resource):
    """A molecule's drawing."""

    @access.public
    @parameters(SvgQuerySchema)
    @describes(media_type=SVG_TYPE)
    def get(self, molecule_id: UUID, arguments: dict[str, Any]) -> Response:
        """Draw a molecule's structure as SVG."""
        document = MoleculeReader(reading()).get(molecule_id, _SVG_SHAPE)
        smiles = loads(document.json)["canonical_smiles"]
        if smiles is None:
            msg = "this molecule has no single structure to draw"
            raise NotFoundError(msg, code="no_structure")
        svg = services().chemistry.render_svg(smiles, arguments["width"], arguments["height"])
        return answer_drawing(svg, document.version)


api.add_resource(MoleculesResource, "/molecules")
api.add_resource(MoleculeResource, "/molecules/<uuid:molecule_id>")
api.add_resource(MoleculeBatchResource, "/molecules/batch")
api.add_resource(MoleculeLookupResource, "/molecules/lookup")
api.add_resource(MoleculePropertiesResource, "/molecules/<uuid:molecule_id>/properties")
api.add_resource(MoleculePropertyResource, "/molecules/<uuid:molecule_id>/properties/<string:property_type>")
api.add_resource(MoleculeStructureResource, "/molecules/<uuid:molecule_id>/structure.svg")


def _notation(data: dict[str, Any]) -> tuple[Any, str]:
    return next((name, data[name]) for name in STRUCTURE_FIELDS if name in data)


def _standardize(data: dict[str, Any]) -> Structure:
    notation, text = _notation(data)
    try:
        structure: Structure = services().chemistry.standardize(notation, text)
    except StructureError as error:
        raise _at_field(error, notation) from error
    return structure


def _at_field(error: StructureError, notation: str) -> InvalidError:
    return InvalidError(error.detail, code="invalid_structure", faults=[Fault(f"/{notation}", error.detail)])


def _new_molecule(data: dict[str, Any], structure: Structure, types: dict[str, PropertyType]) -> NewMolecule:
    synonyms = (Identifier("name", "synonym", text) for text in data["synonyms"])
    return NewMolecule(
        name=data["name"],
        structure=structure,
        is_public=data["is_public"],
        project_id=data["project_id"],
        identifiers=tuple(dict.fromkeys([*data["identifiers"], *synonyms])),
        properties=typed_values(data["properties"], types, "/properties"),
    )


def _types(repository: MoleculeRepository, bodies: list[dict[str, Any]]) -> dict[str, PropertyType]:
    return repository.property_types() if any(data["properties"] for data in bodies) else {}


def _structures(loaded: list[tuple[int, dict[str, Any]]], faults: Faults) -> dict[int, Structure]:
    results = services().chemistry.standardize_many([_notation(data) for _, data in loaded])
    structures = {}
    for (index, data), found in zip(loaded, results, strict=True):
        if isinstance(found, StructureError):
            faults[index] = list(_at_field(found, _notation(data)[0]).faults)
        else:
            structures[index] = found
    return structures


def _new_molecules(
    loaded: list[tuple[int, dict[str, Any]]],
    structures: dict[int, Structure],
    types: dict[str, PropertyType],
    faults: Faults,
) -> list[tuple[int, NewMolecule]]:
    new = []
    for index, data in loaded:
        if index not in structures:
            continue
        try:
            new.append((index, _new_molecule(data, structures[index], types)))
        except InvalidError as error:
            faults[index] = list(error.faults)
    return new


def _kind_name(kind: str) -> str:
    return kind.partition(":")[2] or kind


def _match(match: Match) -> dict[str, Any]:
    return {
        "kind": _kind_name(match.kind),
        "value": match.value,
        "id": match.id,
        "name": match.name,
        "inchikey": match.inchikey,
    }


def _properties_answer(found: tuple[int, bytes]) -> Response:
    version, values = found
    return answer(Document(b'{"data":' + values + b"}", version))


def _no_such_type(name: str) -> NotFoundError:
    return NotFoundError(f"there is no property type {name[:80]!r}")


def _put_properties(
    molecule_id: UUID, values: list[dict[str, Any]], pointer: str, property_type: str | None = None
) -> Response:
    version = expected_version()
    with writing() as effect:
        repository = MoleculeRepository(effect.session)
        types = repository.property_types()
        if property_type is not None and property_type not in types:
            raise _no_such_type(property_type)
        typed = typed_values(values, types, pointer)
        repository.put_properties(molecule_id, typed, version, property_type)
        effect.answer = _properties_answer(repository.properties(molecule_id, property_type))
    return done(effect)
