"""Both sides of a comparison, read at once: what is paired, what is left out, and who sees what of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from app.domain.callers import ANON, SERVICE, Caller
from app.domain.experiments import ExperimentOutcome, Relation, Result
from app.domain.mixtures import AmountUnit
from app.errors import NotFoundError
from app.science.models.cases import Conditions
from app.services.compare_predictions import calibrate, compare_mixture
from app.services.predict_mixtures import predict_mixtures
from app.services.predict_properties import Question, predict_mixture
from database.repositories import comparisons
from database.repositories.comparisons import ComparisonReader
from database.repositories.experiments import ExperimentRepository
from database.repositories.mixtures import MixtureRepository
from database.session import Database
from database.urls import DatabaseUrls
from tests import factories
from tests.database.worlds import World, add_public_mixture, add_public_molecule, add_world
from tests.plugins.round_trips import Proxy, proxy

__all__ = ["proxy"]

pytestmark = pytest.mark.usefixtures("models")
FREEZING = Question(properties=("freezing_point",), models=("osmotic_virial",))
# The world's own glycerol, which the models know.
POINT = Result("freezing_point", 268.0, "K", standard_deviation=0.2, replicates=4)


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


def _mixtures(database: Database, world: World, count: int = 1, **changes: Any) -> list[UUID]:
    with database.transaction(world.caller) as session:
        repository = MixtureRepository(session)
        return [
            repository.add(
                factories.new_mixture(
                    replace(factories.component(world.own), amount=2.0 + number / 100, unit=AmountUnit.MOLALITY),
                    **changes,
                )
            )
            for number in range(count)
        ]


def _measured(database: Database, caller: Caller, mixture: UUID, *results: Result, **changes: Any) -> UUID:
    said: dict[str, Any] = {"mixture_id": mixture, "results": results or (POINT,), **changes}
    with database.transaction(caller) as session:
        return ExperimentRepository(session).add(factories.new_experiment(**said))


def _predicted(database: Database, caller: Caller, mixture: UUID, question: Question = FREEZING) -> None:
    with database.transaction(caller) as session:
        predict_mixture(session, mixture, question)


def _compared(database: Database, caller: Caller, mixture: UUID) -> dict[str, Any]:
    found = compare_mixture(ComparisonReader(database.reading(caller)).of_mixture(mixture), "/path")
    plain: dict[str, Any] = json.loads(json.dumps(found, default=str))
    return plain


def _group(found: dict[str, Any]) -> dict[str, Any]:
    (only,) = found["properties"]
    (group,) = only["groups"]
    return dict(group)


def test_a_prediction_meets_what_was_measured(database: Database, world: World) -> None:
    (mixture,) = _mixtures(database, world)
    _predicted(database, world.caller, mixture)
    experiment = _measured(database, world.caller, mixture)

    found = _compared(database, world.caller, mixture)

    group = _group(found)
    assert group["experiments"]["mean"] == 268.0
    assert group["experiments"]["standard_error"] == pytest.approx(0.1)
    assert group["experiments"]["experiment_ids"] == [str(experiment)]
    assert [(item["model"], item["version"]) for item in group["predictions"]] == [
        ("osmotic_virial", "1"),
        ("osmotic_virial", "2"),
    ]
    for item, model in zip(group["predictions"], found["properties"][0]["models"], strict=True):
        assert item["residual"] == pytest.approx(268.0 - item["value"])
        assert item["z_score"] == pytest.approx(item["residual"] / (item["standard_uncertainty"] ** 2 + 0.01) ** 0.5)
        assert model["rmse"] == pytest.approx(abs(item["residual"]))
    assert (found["left_out"], found["reason"], found["compute"]) == ([], None, None)
    assert (group["reason"], group["not_predicted_by"], group["compute"]) == (None, [], None)


def test_predictions_of_another_composition_are_left_out_and_said_to_be(database: Database, world: World) -> None:
    (mixture,) = _mixtures(database, world)
    _predicted(database, world.caller, mixture)
    _measured(database, world.caller, mixture)
    with database.transaction(world.caller) as session:
        component = replace(factories.component(world.own), amount=3.0, unit=AmountUnit.MOLALITY)
        MixtureRepository(session).put_components(mixture, [component])

    found = _compared(database, world.caller, mixture)

    assert [(item["what"], item["count"]) for item in found["left_out"]] == [("stale_predictions", 2)]
    group = _group(found)
    assert group["predictions"] == []
    assert group["reason"].startswith("no model has a prediction of this for the present composition")
    assert group["not_predicted_by"] == ["osmotic_virial@2", "osmotic_virial@1"]
    assert group["compute"] == {
        "method": "POST",
        "path": "/path",
        "body": {
            "conditions": {},
            "properties": ["freezing_point"],
            "models": ["osmotic_virial@2", "osmotic_virial@1"],
        },
    }


def test_a_changed_molar_mass_makes_predictions_stale_too(
    database: Database, world: World, admin: psycopg.Connection
) -> None:
    with database.transaction(world.caller) as session:
        component = replace(factories.component(world.own), amount=10.0, unit=AmountUnit.MASS_PERCENT)
        mixture = MixtureRepository(session).add(factories.new_mixture(component))
    _predicted(database, world.caller, mixture)
    assert _compared(database, world.caller, mixture)["left_out"] == []

    admin.execute("UPDATE molecules SET molar_mass_g_mol = 92.1 WHERE id = %s", (world.own,))

    assert _compared(database, world.caller, mixture)["left_out"][0]["what"] == "stale_predictions"


def test_predictions_that_cannot_be_checked_are_left_out_with_the_reason(
    database: Database, world: World, admin: psycopg.Connection
) -> None:
    (mixture,) = _mixtures(database, world)
    _predicted(database, world.caller, mixture)
    admin.execute("ALTER TABLE molecules DISABLE TRIGGER USER")
    admin.execute(
        "UPDATE mixture_components SET unit = 'mol/L' WHERE mixture_id = %s",
        (mixture,),
    )
    admin.execute("DELETE FROM molecular_properties WHERE molecule_id = %s", (world.own,))
    admin.execute("ALTER TABLE molecules ENABLE TRIGGER USER")

    (left,) = _compared(database, world.caller, mixture)["left_out"]

    assert (left["what"], left["count"]) == ("unchecked_predictions", 2)
    assert "the density of private glycerol is not known" in left["reason"]


def test_the_same_model_asked_twice_counts_once(database: Database, world: World) -> None:
    (mixture,) = _mixtures(database, world)
    for exposure in (5.0, 10.0):
        _predicted(database, world.caller, mixture, replace(FREEZING, conditions=Conditions(exposure_min=exposure)))

    assert len(_group(_compared(database, world.caller, mixture))["predictions"]) == 2


def test_survival_of_other_cells_or_exposures_is_never_pooled(database: Database, world: World) -> None:
    (mixture,) = _mixtures(database, world)
    room = {"temperature_k": 298.15, "exposure_min": 30, "cell_type": "endothelial"}
    survival = Result("cell_survival", 0.9, "1", standard_deviation=0.05)
    for conditions in (
        room,
        {**room, "temperature_k": 298},
        {**room, "exposure_min": 60},
        {**room, "cell_type": "sperm"},
        {},
    ):
        _measured(database, world.caller, mixture, survival, conditions=conditions)

    (found,) = _compared(database, world.caller, mixture)["properties"]

    assert [group["experiments"]["experiment_count"] for group in found["groups"]] == [2, 1, 1, 1]
    assert found["groups"][0]["conditions"] == room
    assert "do not say temperature_k, exposure_min, cell_type" in found["groups"][3]["reason"]


def test_bounds_and_what_is_inconclusive_are_not_pooled(database: Database, world: World) -> None:
    (mixture,) = _mixtures(database, world)
    _measured(database, world.caller, mixture, POINT, replace(POINT, relation=Relation.LESS, value=100.0))
    _measured(database, world.caller, mixture, outcome=ExperimentOutcome.INCONCLUSIVE)
    _measured(database, world.caller, mixture, replace(POINT, relation=Relation.ABOUT))

    found = _compared(database, world.caller, mixture)

    assert _group(found)["experiments"]["results"] == 2
    assert [(item["what"], item["count"]) for item in found["left_out"]] == [
        ("bounds", 1),
        ("results_of_inconclusive_experiments", 1),
    ]


@pytest.mark.parametrize("number", ["1e400", "1" * 5000, "-1e-400", '"warm"', "[1]", "null"])
def test_whatever_stands_in_conditions_is_compared(
    database: Database, world: World, admin: psycopg.Connection, number: str
) -> None:
    (mixture,) = _mixtures(database, world)
    experiment = _measured(database, world.caller, mixture, Result("density", 1000.0, "kg/m3"))
    admin.execute(
        "UPDATE experiments SET conditions = %s::jsonb WHERE id = %s", (f'{{"temperature_k": {number}}}', experiment)
    )

    assert _group(_compared(database, world.caller, mixture))["experiments"]["mean"] == 1000.0


def test_a_private_experiment_on_a_public_mixture_is_seen_by_its_owner_alone(
    database: Database, world: World, admin: psycopg.Connection
) -> None:
    mixture = add_public_mixture(admin, add_public_molecule(admin))
    _predicted(database, SERVICE, mixture)
    _measured(database, world.caller, mixture)

    seen = {
        caller: _group(_compared(database, caller, mixture))
        for caller in (world.caller, factories.user(), ANON, SERVICE)
    }

    for caller, group in seen.items():
        sees = caller in {world.caller, SERVICE}
        assert (group["experiments"] is not None) == sees
        assert (group["reason"] is None) == sees
        assert len(group["predictions"]) == 2
        data = calibrate(ComparisonReader(database.reading(caller)))[0]["data"]
        assert len(data) == (2 if sees else 0)


def test_what_is_not_seen_is_not_there(database: Database, world: World) -> None:
    (mixture,) = _mixtures(database, world)

    for caller, wanted in ((factories.user(), mixture), (ANON, mixture), (world.caller, uuid4())):
        with pytest.raises(NotFoundError):
            ComparisonReader(database.reading(caller)).of_mixture(wanted)


def test_calibration_counts_each_mixture_once(database: Database, world: World) -> None:
    mixtures = _mixtures(database, world, 3)
    for mixture in mixtures:
        _predicted(database, world.caller, mixture)
    for mixture in mixtures[:2]:
        _measured(database, world.caller, mixture)
        _measured(database, world.caller, mixture)

    found, points = calibrate(ComparisonReader(database.reading(world.caller)))
    chosen, _ = calibrate(ComparisonReader(database.reading(world.caller)), model="osmotic_virial@2")
    other, _ = calibrate(ComparisonReader(database.reading(world.caller)), property_type="osmolality")

    assert [(item["version"], item["n"]) for item in found["data"]] == [("1", 2), ("2", 2)]
    assert found["data"][1]["rmse"] == pytest.approx(
        abs(268.0 - points["freezing_point", "K", "osmotic_virial", "2"][0].predicted), abs=0.05
    )
    assert chosen["data"] == found["data"][1:]
    assert (other["data"], other["reason"]) == (
        [],
        "no mixture that you may see has both a current prediction and a measured value of one property",
    )


def test_a_calibration_of_several_pages_is_that_of_one(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for mixture in _mixtures(database, world, 5):
        _predicted(database, world.caller, mixture)
        _measured(database, world.caller, mixture)
    reader = ComparisonReader(database.reading(world.caller))
    whole = calibrate(reader)

    for size in (1, 2, 5):
        monkeypatch.setattr(comparisons, "PAGE_MIXTURES", size)
        assert calibrate(reader) == whole
    assert whole[0]["data"][0]["n"] == 5


@pytest.mark.parametrize("count", [1, 30])
def test_a_comparison_and_a_calibration_are_one_round_trip_whatever_there_is(
    distant: Database, proxy: Proxy, world: World, count: int
) -> None:
    mixtures = _mixtures(distant, world, count)
    with distant.transaction(world.caller) as session:
        predict_mixtures(session, mixtures, Question())
    for mixture in mixtures:
        _measured(distant, world.caller, mixture, *[POINT] * count)
    reader = ComparisonReader(distant.reading(world.caller))

    with proxy.counting() as one:
        compare_mixture(reader.of_mixture(mixtures[0]), "/path")
    with proxy.counting() as all_of_them:
        found, _ = calibrate(reader)

    assert (one.exchanges, all_of_them.exchanges) == (1, 1)
    assert {item["n"] for item in found["data"]} == {count}
