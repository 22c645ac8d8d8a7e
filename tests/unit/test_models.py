"""The registry: which models there are, what each says of itself, and how they are chosen."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import InvalidError
from app.science.models import solutes
from app.science.models.cases import Composition, Conditions
from app.science.models.model import Model
from app.science.models.registry import MODELS, PROPERTIES, default_model, evaluate, select

SEED = Path(__file__).parents[2] / "app" / "seed"
GLYCEROL_IN_WATER = Composition({solutes.GLYCEROL: 2.0}, {solutes.GLYCEROL: 92.094})
ROOM = Conditions(298.15, 30.0, "endothelial")


def seed(name: str, column: str) -> dict[str, str]:
    with (SEED / name).open(encoding="utf-8", newline="") as lines:
        return {row["name"]: row[column] for row in csv.DictReader(lines)}


def test_every_solute_is_a_seeded_molecule():
    assert set(solutes.NAMES) <= set(seed("molecules.csv", "inchikey").values())


@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model.name}@{model.version}")
def test_a_model_says_what_it_is_and_where_its_numbers_are_from(model: Model):
    units = seed("property_types.csv", "unit")

    assert model.equation
    assert model.valid_for
    assert model.reference
    assert model.parameters
    assert all(parameter.source for parameter in model.parameters)
    assert {name: units[name] for name in model.properties} == dict(model.properties)


def test_no_two_models_have_one_identity():
    identities = [(model.name, model.version) for model in MODELS]

    assert len(set(identities)) == len(identities)


@pytest.mark.parametrize("property_type", sorted(PROPERTIES))
def test_every_property_has_one_default_model(property_type: str):
    assert [model for model in MODELS if property_type in model.default_for] == [default_model(property_type)]
    assert property_type in default_model(property_type).properties


def test_all_models_answer_where_none_is_chosen():
    answers = evaluate(GLYCEROL_IN_WATER, ROOM)

    assert {(answer.model, answer.version, answer.property_type) for answer in answers} == {
        (model.name, model.version, name) for model in MODELS for name in model.properties
    }


def test_a_property_and_a_version_can_be_chosen():
    (answer,) = evaluate(GLYCEROL_IN_WATER, ROOM, properties=["freezing_point"], models=["osmotic_virial@1"])

    assert (answer.property_type, answer.version, answer.unit) == ("freezing_point", "1", "K")
    assert [model.version for model in select(["osmotic_virial"])] == ["2", "1"]


@pytest.mark.parametrize(
    ("choice", "pointer"), [({"properties": ["colour"]}, "/properties"), ({"models": ["osmotic_virial@9"]}, "/models")]
)
def test_what_there_is_not_is_an_error_that_says_what_there_is(choice: dict[str, list[str]], pointer: str):
    with pytest.raises(InvalidError, match="there are") as refused:
        evaluate(GLYCEROL_IN_WATER, ROOM, **choice)

    assert refused.value.faults[0].pointer == pointer


def test_a_property_without_a_model_has_no_default():
    with pytest.raises(InvalidError, match="no model predicts"):
        default_model("viscosity")


def test_a_carrier_counts_as_water_and_what_is_predicted_says_so():
    in_water = evaluate(GLYCEROL_IN_WATER, ROOM)
    in_carrier = evaluate(replace(GLYCEROL_IN_WATER, solvent="Euro-Collins"), ROOM)

    assert [answer.value for answer in in_carrier] == [answer.value for answer in in_water]
    for answer in in_carrier:
        assert ("Euro-Collins counts as pure water" in (answer.reason or "")) == answer.in_domain
    assert not any(answer.in_domain for answer in evaluate(replace(GLYCEROL_IN_WATER, solvent="ethanol"), ROOM))
