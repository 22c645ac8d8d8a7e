"""Mixtures: create, find, change, delete; their components in any unit; the mixtures of a molecule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from flask import Blueprint, Response, url_for

from api.common import access
from api.common.body import takes
from api.common.conditional import answer, expected_version
from api.common.context import reading
from api.common.effects import writing
from api.common.formats import CSV, NDJSON, answer_list
from api.common.json import dumps
from api.common.listing import ListQuery, lists, shapes
from api.common.openapi import describes
from api.common.query import parameters
from api.common.resource import Api, Resource
from api.common.results import done
from api.mixtures.answers import COMPOSITION
from api.mixtures.schemas import ComponentsSchema, CompositionQuerySchema, MixtureChangeSchema, NewMixtureSchema
from app.domain.mixtures import AmountUnit, Component, NewMixture, StatedComponent, components_of
from app.domain.references import by_key, choose, keys_of
from app.errors import InvalidError
from app.science.composition import Part, Substance, assumption, converted, solvent_named
from database.listing import Shape
from database.repositories.base import Document
from database.repositories.mixtures import MIXTURES, MIXTURES_OF_MOLECULE, MixtureReader, MixtureRepository
from database.repositories.molecules import MoleculeReader, MoleculeRepository
from database.session import WriteSession

blueprint: Final = Blueprint("mixtures", __name__)
api: Final = Api(blueprint)
MIXTURE_FORMATS: Final = {"ndjson": NDJSON, "csv": CSV}


class MixturesResource(Resource):
    """All mixtures."""

    @access.public
    @lists(MIXTURES)
    @describes(listing=MIXTURES, formats=MIXTURE_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """List mixtures, filtered, sorted and paged."""
        return answer_list(MixtureReader(reading()), query, MIXTURE_FORMATS)

    @access.user("mixtures:write")
    @takes(NewMixtureSchema)
    @describes(record=MIXTURES, status=201)
    def post(self, data: dict[str, Any]) -> Response:
        """Create a mixture from a name and its components."""
        with writing() as effect:
            repository = MixtureRepository(effect.session)
            components = _components(effect.session, data.pop("components"))
            mixture_id = repository.add(NewMixture(components=components, **data))
            location = url_for("mixtures.mixtureresource", mixture_id=mixture_id)
            effect.answer = answer(repository.get(mixture_id), 201, {"Location": location})
        return done(effect)


class MixtureResource(Resource):
    """One mixture."""

    @access.public
    @shapes(MIXTURES)
    @describes(record=MIXTURES)
    def get(self, mixture_id: UUID, shape: Shape) -> Response:
        """Get one mixture."""
        return answer(MixtureReader(reading()).get(mixture_id, shape))

    @access.user("mixtures:write")
    @takes(MixtureChangeSchema)
    @describes(record=MIXTURES, conditional=True)
    def patch(self, mixture_id: UUID, data: dict[str, Any]) -> Response:
        """Change a mixture's name, description, solvent, reference, visibility or project."""
        version = expected_version()
        with writing() as effect:
            repository = MixtureRepository(effect.session)
            repository.change(mixture_id, data, version)
            effect.answer = answer(repository.get(mixture_id))
        return done(effect)

    @access.user("mixtures:write")
    @describes(status=204, conditional=True)
    def delete(self, mixture_id: UUID) -> Response:
        """Delete a mixture that nothing refers to."""
        version = expected_version()
        with writing() as effect:
            MixtureRepository(effect.session).remove(mixture_id, version)
            effect.answer = Response(status=204)
        return done(effect)


class MixtureComponentsResource(Resource):
    """The components of one mixture."""

    @access.user("mixtures:write")
    @takes(ComponentsSchema)
    @describes(record=MIXTURES, conditional=True)
    def put(self, mixture_id: UUID, data: dict[str, Any]) -> Response:
        """Put components in the place of all that the mixture has; raises the mixture's version."""
        version = expected_version()
        with writing() as effect:
            repository = MixtureRepository(effect.session)
            repository.touch(mixture_id, version)
            repository.put_components(mixture_id, _components(effect.session, data["components"]))
            effect.answer = answer(repository.get(mixture_id))
        return done(effect)


class MixtureCompositionResource(Resource):
    """The composition of one mixture in a unit of choice."""

    @access.public
    @parameters(CompositionQuerySchema)
    @describes(answer=COMPOSITION)
    def get(self, mixture_id: UUID, arguments: dict[str, Any]) -> Response:
        """Give a mixture's composition in one unit; 422 names what a conversion would have to know."""
        unit = AmountUnit(arguments["unit"])
        stored = MixtureReader(reading()).composition(mixture_id)
        parts = [_part(component) for component in stored.components]
        solvent = _solvent(stored.solvent)
        amounts = converted(parts, solvent, unit)
        said = {
            "solvent": stored.solvent,
            "unit": unit,
            "assumption": assumption(parts, solvent, unit),
            "components": [
                {**component, "amount": amount, "unit": unit}
                for component, amount in zip(stored.components, amounts, strict=True)
            ],
        }
        return answer(Document(dumps(said), stored.version))


class MoleculeMixturesResource(Resource):
    """The mixtures of one molecule."""

    @access.public
    @lists(MIXTURES, MIXTURES_OF_MOLECULE)
    @describes(listing=MIXTURES, formats=MIXTURE_FORMATS)
    def get(self, query: ListQuery) -> Response:
        """List the mixtures that have a molecule among their components."""
        return answer_list(MixtureReader(reading()), query, MIXTURE_FORMATS)


api.add_resource(MixturesResource, "/mixtures")
api.add_resource(MixtureResource, "/mixtures/<uuid:mixture_id>")
api.add_resource(MixtureComponentsResource, "/mixtures/<uuid:mixture_id>/components")
api.add_resource(MixtureCompositionResource, "/mixtures/<uuid:mixture_id>/composition")
api.add_resource(MoleculeMixturesResource, "/molecules/<uuid:molecule_id>/mixtures")


def _part(component: dict[str, Any]) -> Part:
    known = Substance(component["name"], component["molar_mass_g_mol"], component["density_kg_m3"])
    return Part(known, component["amount"], AmountUnit(component["unit"]))


def _solvent(name: str) -> Substance:
    """Return a solvent that is water, a carrier, or a molecule that the caller sees; of others only the name."""
    solvent = solvent_named(name)
    if solvent.molar_mass_g_mol is not None:
        return solvent
    try:
        molecule = choose(name, by_key(MoleculeReader(reading()).lookup(keys_of(name), densities=True)))
    except InvalidError:
        return solvent
    return Substance(molecule.name, molecule.molar_mass_g_mol, molecule.density_kg_m3)


def _components(session: WriteSession, stated: Sequence[StatedComponent]) -> tuple[Component, ...]:
    wanted = dict.fromkeys(key for item in stated for key in keys_of(item.reference))
    return components_of(stated, MoleculeRepository(session).lookup([*wanted]), "/components")
