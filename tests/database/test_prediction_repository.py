"""Predictions kept and found, the models' catalogue, and how often each waits for the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
import pytest

from app.domain.callers import ANON, SERVICE, Caller
from app.domain.mixtures import AmountUnit, StatedComponent
from app.errors import ForbiddenError, NotFoundError, StaleError
from app.science.models.cases import Conditions
from app.science.models.registry import CATALOGUE, MODELS
from app.services.predict_properties import Question, methods, predict_mixture, predict_stated
from database.listing import Detail, ListRequest, Shape
from database.repositories.mixtures import MixtureRepository
from database.repositories.molecules import MoleculeReader
from database.repositories.predictions import (
    PREDICTIONS_OF_MIXTURE,
    PREDICTIONS_OF_MOLECULE,
    PredictionReader,
    PredictionRepository,
    Stored,
)
from database.repositories.provenance import ProvenanceRepository
from database.session import Database
from database.urls import DatabaseUrls
from tests import factories
from tests.database.worlds import World, add_public_mixture, add_public_molecule, add_world
from tests.plugins.round_trips import Proxy, proxy

__all__ = ["proxy"]

pytestmark = pytest.mark.usefixtures("models")
ALL = Question()
METHODS_SQL = "SELECT name, version, description, xmin::text FROM calculation_methods ORDER BY name, version"


@pytest.fixture
def world(admin: psycopg.Connection, emptied: None) -> World:
    """Give a user with molecules and a mixture."""
    return add_world(admin)


@pytest.fixture
def distant(urls: DatabaseUrls, proxy: Proxy, emptied: None) -> Iterator[Database]:
    """Give the database layer behind the proxy, with one connection."""
    database = Database(proxy.through(urls), min_size=0, max_size=1, timeout_s=5.0, transaction_pooler=False)
    database.open()
    yield database
    database.close()


def _mixture(database: Database, world: World, *, amount: float = 1.0) -> UUID:
    component = replace(factories.component(world.mixed), amount=amount, unit=AmountUnit.MOLALITY)
    with database.transaction(world.caller) as session:
        return MixtureRepository(session).add(factories.new_mixture(component))


def _predict(database: Database, caller: Caller, mixture: UUID, question: Question = ALL) -> Stored:
    with database.transaction(caller) as session:
        return predict_mixture(session, mixture, question)


def test_the_catalogue_is_put_once_and_follows_what_is_said(database: Database, admin: psycopg.Connection) -> None:
    before = admin.execute(METHODS_SQL).fetchall()
    with database.transaction(SERVICE) as session:
        ProvenanceRepository(session).put_methods(methods())
    again = admin.execute(METHODS_SQL).fetchall()
    with database.transaction(SERVICE) as session:
        ProvenanceRepository(session).put_methods([replace(methods()[0], description="said better")])
    after = admin.execute(METHODS_SQL).fetchall()

    assert len(before) == len(CATALOGUE)
    assert again == before, "nothing is written where nothing is new"
    changed = [row for row in after if row not in before]
    assert [row[:3] for row in changed] == [(CATALOGUE[0].name, CATALOGUE[0].version, "said better")]


def test_every_parameter_of_a_model_is_in_the_catalogue() -> None:
    for method, model in zip(methods(), CATALOGUE, strict=True):
        assert len(method.parameters) == len(model.parameters)


def test_predictions_are_kept_in_the_order_of_the_models_and_once(database: Database, world: World) -> None:
    mixture = _mixture(database, world)

    first = _predict(database, world.caller, mixture)
    again = _predict(database, world.caller, mixture)

    said = [
        (record["model"], record["version"], record["property_type"]) for record in map(orjson.loads, first.documents)
    ]
    assert said == [(model.name, model.version, name) for model in MODELS for name in model.properties]
    assert (first.added, again.added) == (len(said), 0)
    assert again.documents == first.documents


def test_another_composition_or_condition_is_another_prediction(database: Database, world: World) -> None:
    mixture = _mixture(database, world)
    first = _predict(database, world.caller, mixture)
    warm = _predict(database, world.caller, mixture, Question(Conditions(temperature_k=300.0)))
    with database.transaction(world.caller) as session:
        component = replace(factories.component(world.mixed), amount=2.0, unit=AmountUnit.MOLALITY)
        MixtureRepository(session).put_components(mixture, [component])
    stronger = _predict(database, world.caller, mixture)

    assert first.added == warm.added == stronger.added == len(first.documents)


def test_a_mixture_is_held_while_it_is_predicted(database: Database, world: World, urls: DatabaseUrls) -> None:
    mixture = _mixture(database, world)

    with database.transaction(world.caller) as session, psycopg.connect(urls.admin) as other:
        predict_mixture(session, mixture, ALL)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("SELECT FROM mixtures WHERE id = %s FOR UPDATE NOWAIT", (mixture,))
        other.rollback()


def test_who_may_not_change_a_mixture_keeps_nothing_of_it(
    database: Database, world: World, admin: psycopg.Connection
) -> None:
    public = add_public_mixture(admin, add_public_molecule(admin))

    with pytest.raises(ForbiddenError):
        _predict(database, world.caller, public)
    with pytest.raises(NotFoundError):
        _predict(database, factories.user(uuid4()), _mixture(database, world))


def test_a_removal_says_what_stands_against_it(database: Database, world: World) -> None:
    documents = _predict(database, world.caller, _mixture(database, world)).documents
    prediction = UUID(orjson.loads(documents[0])["id"])

    def remove(caller: Caller, version: int | None) -> None:
        with database.transaction(caller) as session:
            PredictionRepository(session).remove(prediction, version)

    with pytest.raises(NotFoundError):
        remove(factories.user(uuid4()), 1)
    with pytest.raises(StaleError):
        remove(world.caller, 2)
    remove(world.caller, 1)
    with pytest.raises(NotFoundError):
        remove(world.caller, None)


READS: dict[str, Callable[[PredictionReader, dict[str, UUID]], Any]] = {
    "get": lambda reader, keys: reader.get(keys["prediction"], Shape(Detail.FULL)),
    "page": lambda reader, _: reader.page(ListRequest(Shape(Detail.FULL), limit=1000), "exact"),
    "of a mixture": lambda reader, keys: reader.page(
        ListRequest(within=(PREDICTIONS_OF_MIXTURE, keys["mixture"])), "exact"
    ),
    "of a molecule": lambda reader, keys: reader.page(
        ListRequest(within=(PREDICTIONS_OF_MOLECULE, keys["molecule"])), "exact"
    ),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_read_is_one_round_trip(distant: Database, proxy: Proxy, world: World, read: Callable[..., Any]) -> None:
    mixture = _mixture(distant, world)
    documents = _predict(distant, world.caller, mixture).documents
    keys = {"mixture": mixture, "molecule": world.mixed, "prediction": UUID(orjson.loads(documents[0])["id"])}
    reader = PredictionReader(distant.reading(world.caller))

    trips = []
    for _ in range(3):
        with proxy.counting() as traffic:
            read(reader, keys)
        trips.append(traffic.exchanges)

    assert trips == [1, 1, 1]


@pytest.mark.parametrize("asked", [("osmotic_virial@2",), ()], ids=["one model", "all models"])
def test_keeping_takes_the_same_few_round_trips_whatever_is_asked(
    distant: Database, proxy: Proxy, world: World, asked: tuple[str, ...]
) -> None:
    mixture = _mixture(distant, world)

    with proxy.counting() as traffic:
        _predict(distant, world.caller, mixture, Question(models=asked))

    # Begin, hold the mixture, its composition, keep, read what is kept, commit.
    assert traffic.exchanges == 6


@pytest.mark.parametrize("count", [1, 3])
def test_an_evaluation_is_one_round_trip(
    distant: Database, proxy: Proxy, admin: psycopg.Connection, count: int
) -> None:
    names = factories.KNOWN_NAMES[:count]
    for name in names:
        add_public_molecule(admin, name)
    stated = [StatedComponent(name, "molecule", 1.0, AmountUnit.MOLALITY) for name in names]
    reader = MoleculeReader(distant.reading(ANON))
    reader.property_types()

    with proxy.counting() as traffic:
        assert predict_stated(reader, stated, "water", ALL)

    assert traffic.exchanges == 1


def test_of_several_densities_the_one_that_was_seen_is_taken(database: Database, admin: psycopg.Connection) -> None:
    molecule = add_public_molecule(admin)
    admin.execute("DELETE FROM molecular_properties WHERE molecule_id = %s", (molecule,))
    for value, verified in ((1000.0, False), (1261.0, True), (0.0, True)):
        admin.execute(
            "INSERT INTO molecular_properties (molecule_id, property_type, numeric_value, unit, verified)"
            " VALUES (%s, 'density', %s, 'kg/m3', %s)",
            (molecule, value, verified),
        )
    reader = MoleculeReader(database.reading(ANON))

    (asked,) = reader.lookup([("id", str(molecule))], densities=True)
    (unasked,) = reader.lookup([("id", str(molecule))])

    assert (asked.density_kg_m3, unasked.density_kg_m3) == (1261.0, None)
