"""`POST /mixtures/optimize`: what a search answers and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from app.services import optimize_mixtures
from tests.api.bodies import DMSO, GLYCEROL
from tests.api.problems import pointers, problem
from tests.plugins.api import Api

PATH = "/mixtures/optimize"
ROOM = {"temperature_k": 298.15, "exposure_min": 30, "cell_type": "endothelial"}
BODY: dict[str, Any] = {
    "candidates": [{"molecule": "glycerol", "at_most": 8}, {"molecule": "Dimethyl sulfoxide", "at_most": 8}],
    "conditions": ROOM,
    "constraints": [{"quantity": "total_molality", "at_least": 5}],
}


@pytest.fixture(autouse=True)
def molecules(service: Api) -> dict[str, str]:
    """Give the ids of two public molecules by their names."""
    return {body["name"]: service.post("/molecules", body).get_json()["id"] for body in (GLYCEROL, DMSO)}


def test_a_search_answers_with_mixtures_and_what_their_models_say(alice: Api, molecules: dict[str, str]):
    response = alice.post(PATH, BODY)

    assert response.status_code == 200, response.text
    answer = response.get_json()
    assert (answer["objective"], answer["traded"], answer["seed"]) == ("cell_survival", "total_molality", 0)
    first = answer["front"][0]
    assert {item["molecule_id"] for item in first["components"]} <= set(molecules.values())
    assert first["total_molality_mol_kg"] == pytest.approx(5, abs=0.01)
    (survival,) = first["predictions"]
    assert (survival["property_type"], survival["model"]) == ("cell_survival", "warner_weibull")
    assert 0.8 < survival["value"] < 1
    assert survival["standard_uncertainty"] > 0
    assert alice.post(PATH, BODY).get_json() == answer


def test_an_answer_can_be_kept_as_a_mixture(alice: Api):
    best = alice.post(PATH, BODY).get_json()["front"][0]
    components = [{key: item[key] for key in ("molecule_id", "amount", "unit")} for item in best["components"]]

    assert alice.post("/mixtures", {"name": "best", "components": components}).status_code == 201


def test_a_refusal_is_no_error_in_the_log(alice: Api, capfd: pytest.CaptureFixture[str]):
    problem(alice.post(PATH, {**BODY, "solvent": "ethanol"}), 422, "infeasible")

    assert "Traceback" not in capfd.readouterr().err


def test_a_search_takes_a_token(anon: Api):
    problem(anon.post(PATH, BODY), 401)


def test_what_cannot_be_met_is_named(alice: Api):
    constraints = [*BODY["constraints"], {"quantity": "cell_survival", "at_least": 0.999}]

    found = problem(alice.post(PATH, {**BODY, "constraints": constraints}), 422, "infeasible")

    assert [item["pointer"] for item in found["errors"]] == ["/constraints/1"]


def test_a_molecule_that_no_model_knows_is_left_out_or_named(alice: Api, service: Api):
    unknown = {"molecule": "Isopropanol", "at_most": 2}
    assert service.post("/molecules", {"name": "Isopropanol", "smiles": "CC(C)O"}).status_code == 201
    searched = alice.post(PATH, BODY).get_json()

    beside = alice.post(PATH, {**BODY, "candidates": [*BODY["candidates"], unknown]})
    needed = alice.post(PATH, {**BODY, "candidates": [*BODY["candidates"], {**unknown, "at_least": 1}]})

    assert beside.get_json() == searched
    assert [item["pointer"] for item in problem(needed, 422, "infeasible")["errors"]] == ["/candidates/2"]


def test_a_second_search_beside_the_first_is_asked_to_wait(alice: Api):
    with optimize_mixtures._under_way:  # what a search under way holds
        response = alice.post(PATH, BODY)

    assert problem(response, 503, "busy")
    assert response.headers["Retry-After"] == "5"
    assert alice.post(PATH, BODY).status_code == 200


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"candidates": []}, "/candidates"),
        ({"candidates": [{"molecule": "glycerol", "at_most": 1}] * 21}, "/candidates"),
        ({"candidates": [{"molecule": "glycerol"}]}, "/candidates/0/at_most"),
        ({"candidates": [{"molecule": "glycerol", "at_least": -1, "at_most": 1}]}, "/candidates/0/at_least"),
        ({"candidates": [{"molecule": "glycerol", "at_most": 5e-324}]}, "/candidates/0/at_most"),
        ({"candidates": [{"molecule": "glycerol", "at_least": 1e-308, "at_most": 1}]}, "/candidates/0/at_least"),
        ({"candidates": [{"molecule": "glycerol", "at_least": 2, "at_most": 1}]}, "/candidates/0/at_most"),
        ({"candidates": [{"molecule": "unobtainium", "at_most": 1}]}, "/candidates/0/molecule"),
        (
            {"candidates": [{"molecule": "glycerol", "at_most": 1}, {"molecule": "GLYCEROL", "at_most": 1}]},
            "/candidates/1/molecule",
        ),
        ({"objective": "post_thaw_viability"}, "/objective"),
        ({"constraints": [{"quantity": "beauty", "at_least": 1}]}, "/constraints/0/quantity"),
        ({"constraints": [{"quantity": "osmolality"}]}, "/constraints/0/at_least"),
        ({"constraints": [{"quantity": "osmolality", "at_least": 2, "at_most": 1}]}, "/constraints/0/at_most"),
        ({"conditions": {"temperature_k": -1}}, "/conditions/temperature_k"),
        ({"seed": -1}, "/seed"),
        ({"sead": 1}, "/sead"),
    ],
)
def test_a_wish_that_is_none_is_refused_where_it_is_wrong(alice: Api, change: dict[str, Any], pointer: str):
    assert pointers(alice.post(PATH, BODY | change)) == [pointer]
