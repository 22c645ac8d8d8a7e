"""Predictions of many mixtures at once: the same as one by one, in few statements, refusals beside successes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID, uuid4

import orjson
import psycopg
import pytest

from app.domain.mixtures import AmountUnit
from app.errors import ForbiddenError, InvalidError, NotFoundError, UnavailableError
from app.science.models.cases import Conditions
from app.services.predict_mixtures import predict_mixtures
from app.services.predict_properties import Question, predict_mixture
from database.repositories.mixtures import MixtureRepository
from database.repositories.predictions import Added
from database.session import Database
from database.urls import DatabaseUrls
from tests import factories
from tests.database.worlds import World, add_public_mixture, add_public_molecule, add_world
from tests.plugins.round_trips import Proxy, proxy

__all__ = ["proxy"]

pytestmark = pytest.mark.usefixtures("models")
ALL = Question(Conditions(298.15, 30.0, "endothelial"))
KEPT_SQL = """
SELECT row_to_json(p)::text FROM (
    SELECT mixture_id, property_type, method_id, conditions, value, unit, standard_uncertainty, in_domain, reason,
        reference, inputs_hash, created_by
    FROM predictions WHERE mixture_id IS NOT NULL ORDER BY mixture_id, method_id, property_type
) AS p
"""


@pytest.fixture
def world(admin: psycopg.Connection, emptied: None) -> World:
    """Give a user with molecules."""
    return add_world(admin)


@pytest.fixture
def distant(urls: DatabaseUrls, proxy: Proxy, emptied: None) -> Iterator[Database]:
    """Give the database layer behind the proxy, with one connection."""
    database = Database(proxy.through(urls), min_size=0, max_size=1, timeout_s=5.0, transaction_pooler=False)
    database.open()
    yield database
    database.close()


def _mixtures(database: Database, world: World, count: int) -> list[UUID]:
    with database.transaction(world.caller) as session:
        repository = MixtureRepository(session)
        return [
            repository.add(
                factories.new_mixture(
                    replace(factories.component(world.own), amount=1.0 + number / 7, unit=AmountUnit.MOLALITY)
                )
            )
            for number in range(count)
        ]


def test_many_are_kept_as_one_by_one(database: Database, world: World, admin: psycopg.Connection) -> None:
    mixtures = _mixtures(database, world, 4)
    for mixture in mixtures:
        with database.transaction(world.caller) as session:
            predict_mixture(session, mixture, ALL)
    one_by_one = admin.execute(KEPT_SQL).fetchall()
    admin.execute("DELETE FROM predictions")

    with database.transaction(world.caller) as session:
        first = predict_mixtures(session, mixtures[:2], ALL)
        second = predict_mixtures(session, mixtures, ALL)

    each = len(one_by_one) // 4
    assert [item.counts for item in first] == [Added(each, 0)] * 2
    assert [item.counts for item in second] == [Added(0, each)] * 2 + [Added(each, 0)] * 2
    assert admin.execute(KEPT_SQL).fetchall() == one_by_one
    assert any(orjson.loads(row[0])["value"] is not None for row in one_by_one)


def test_what_is_refused_leaves_the_others_alone(database: Database, world: World, admin: psycopg.Connection) -> None:
    (good,) = _mixtures(database, world, 1)
    public = add_public_mixture(admin, add_public_molecule(admin))
    unknown = uuid4()
    with database.transaction(world.caller) as session:
        lacking = MixtureRepository(session).add(factories.new_mixture(factories.component(world.own)))
    admin.execute("DELETE FROM molecular_properties WHERE molecule_id = %s", (world.own,))

    with database.transaction(world.caller) as session:
        found = predict_mixtures(session, [unknown, public, good, lacking, good], ALL)

    assert [item.mixture_id for item in found] == [unknown, public, good, lacking, good]
    assert [type(item.error) for item in found] == [
        NotFoundError,
        ForbiddenError,
        type(None),
        InvalidError,
        type(None),
    ]
    assert [item.counts is not None for item in found] == [False, False, True, False, True]
    assert admin.execute(
        "SELECT array_agg(DISTINCT mixture_id) FROM predictions WHERE mixture_id IS NOT NULL"
    ).fetchone() == ([good],)


def test_nothing_asked_and_nothing_readable_is_nothing_kept(database: Database, world: World) -> None:
    with database.transaction(world.caller) as session:
        assert predict_mixtures(session, [], ALL) == []
        (unseen,) = predict_mixtures(session, [uuid4()], ALL)
    assert unseen.counts is None


def test_a_database_without_the_models_keeps_nothing(
    database: Database, world: World, admin: psycopg.Connection
) -> None:
    mixtures = _mixtures(database, world, 2)
    admin.execute("DELETE FROM calculation_methods WHERE name = 'osmotic_virial' AND version = '1'")

    with pytest.raises(UnavailableError), database.transaction(world.caller) as session:
        predict_mixtures(session, mixtures, ALL)

    assert admin.execute("SELECT count(*) FROM predictions WHERE mixture_id IS NOT NULL").fetchone() == (0,)


@pytest.mark.parametrize("count", [1, 50])
def test_a_page_takes_the_same_few_round_trips_whatever_its_size(
    distant: Database, proxy: Proxy, world: World, count: int
) -> None:
    mixtures = _mixtures(distant, world, count)

    with proxy.counting() as traffic, distant.transaction(world.caller) as session:
        predict_mixtures(session, mixtures, ALL)

    # Begin, hold the mixtures, their compositions, keep, commit.
    assert traffic.exchanges == 5
