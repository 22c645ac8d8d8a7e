"""Predictions beside experiments over HTTP: what is compared, what is missing, and who sees it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask

from app.services import draw_calibration
from tests.api.bodies import GLYCEROL
from tests.api.problems import pointers, problem
from tests.plugins.api import Api

POINT = {"property_type": "freezing_point", "value": -4.6, "unit": "degC", "standard_deviation": 0.2, "replicates": 4}
CALIBRATION = "/predictions/calibration"
SVG = {"Accept": "image/svg+xml"}


@pytest.fixture(autouse=True)
def glycerol(service: Api, models: None) -> None:
    """Put in a public molecule that the models know."""
    assert service.post("/molecules", GLYCEROL).status_code == 201


def mixed(caller: Api, **fields: Any) -> str:
    body = {
        "name": "a mixture",
        "components": [{"molecule": "glycerol", "amount": 2.3, "unit": "mol/kg"}],
        **fields,
    }
    response = caller.post("/mixtures", body)
    assert response.status_code == 201, response.text
    return str(response.get_json()["id"])


def predicted(caller: Api, mixture: str, **fields: Any) -> None:
    response = caller.post(f"/mixtures/{mixture}/predictions", {"properties": ["freezing_point"], **fields})
    assert response.status_code == 201, response.text


def measured(caller: Api, mixture: str, *results: dict[str, Any], **fields: Any) -> str:
    body = {"mixture_id": mixture, "outcome": "pass", "results": results or [POINT], **fields}
    response = caller.post("/experiments", body)
    assert response.status_code == 201, response.text
    return str(response.get_json()["id"])


def compared(caller: Api, mixture: str) -> dict[str, Any]:
    response = caller.get(f"/mixtures/{mixture}/compare")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.get_json()
    return found


def group(caller: Api, mixture: str) -> dict[str, Any]:
    ((only,),) = (item["groups"] for item in compared(caller, mixture)["properties"])
    return dict(only)


@pytest.fixture
def mixture(alice: Api) -> str:
    """Give the id of a private mixture of alice's that is predicted and measured."""
    made = mixed(alice)
    predicted(alice, made)
    measured(alice, made)
    return made


def test_predicted_and_measured_stand_side_by_side(alice: Api, mixture: str):
    found = group(alice, mixture)

    assert found["experiments"]["mean"] == 268.55
    assert found["experiments"]["standard_error"] == 0.1
    newest = found["predictions"][1]
    assert (newest["model"], newest["version"]) == ("osmotic_virial", "2")
    assert newest["value"] == pytest.approx(268.0, abs=1.0)
    assert newest["residual"] == pytest.approx(268.55 - newest["value"])
    assert newest["within_uncertainty"] is (abs(newest["z_score"]) <= 1.645)


def test_both_addresses_give_one_answer_with_one_etag(alice: Api, mixture: str):
    one, other = (alice.get(f"/mixtures/{mixture}/{name}") for name in ("compare", "comparisons"))

    assert one.data == other.data
    assert one.headers["ETag"] == other.headers["ETag"]
    assert "db;dur=" in one.headers["Server-Timing"]
    again = alice.get(f"/mixtures/{mixture}/compare", headers={"If-None-Match": one.headers["ETag"]})
    assert again.status_code == 304
    measured(alice, mixture)
    assert alice.get(f"/mixtures/{mixture}/compare").headers["ETag"] != one.headers["ETag"]


def test_each_address_is_registered_once_with_a_name_of_its_own(app: Flask, anon: Api):
    rules = [rule for rule in app.url_map.iter_rules() if rule.rule.endswith(("/compare", "/comparisons"))]
    paths = anon.get("//openapi.json").get_json()["paths"]
    operations = [item["operationId"] for path in paths.values() for name, item in path.items() if name != "parameters"]

    assert sorted(rule.rule.rpartition("/")[2] for rule in rules) == ["compare", "comparisons"]
    assert len({rule.endpoint for rule in rules}) == 2
    assert len(set(operations)) == len(operations)


def test_nothing_known_says_how_to_begin(alice: Api):
    made = mixed(alice)

    found = compared(alice, made)

    assert found["properties"] == []
    assert found["reason"].startswith("nothing is predicted or measured")
    assert found["compute"] == {"method": "POST", "path": f"/api/v1/mixtures/{made}/predictions", "body": {}}


def test_the_request_that_it_names_makes_what_is_missing(alice: Api):
    made = mixed(alice)
    survival = {"property_type": "cell_survival", "value": 95, "unit": "%", "standard_deviation": 3}
    conditions = {"temperature_k": 298, "exposure_min": 30, "cell_type": "Endothelial cells"}
    measured(alice, made, survival, conditions=conditions)
    missing = group(alice, made)
    assert missing["predictions"] == []
    assert missing["reason"]

    asked = missing["compute"]
    response = alice.request(asked["method"], f"/{asked['path']}", json=asked["body"])

    assert response.status_code == 201, response.text
    found = group(alice, made)
    assert (found["reason"], found["compute"], found["not_predicted_by"]) == (None, None, [])
    assert [item["z_score"] is not None for item in found["predictions"]] == [True, True]


def test_what_no_model_predicts_says_so(alice: Api):
    made = mixed(alice)
    measured(alice, made, {"property_type": "post_thaw_viability", "value": 80, "unit": "%"})

    found = group(alice, made)

    assert (found["reason"], found["compute"]) == ("no model predicts post_thaw_viability", None)
    assert found["experiments"]["pooling"].startswith("plain mean")
    assert found["experiments"]["standard_error"] is None


def test_what_nobody_has_measured_says_so(alice: Api):
    made = mixed(alice)
    predicted(alice, made)

    found = group(alice, made)

    assert found["experiments"] is None
    assert found["reason"] == "no experiment that you may see has measured this under these conditions"
    assert [item["residual"] for item in found["predictions"]] == [None, None]


def test_a_prediction_out_of_its_range_says_why(alice: Api):
    made = mixed(alice)
    survival = {"property_type": "cell_survival", "value": 95, "unit": "%"}
    measured(alice, made, survival)
    predicted(alice, made, properties=["cell_survival"])

    for item in group(alice, made)["predictions"]:
        assert (item["value"], item["z_score"], item["in_domain"]) == (None, None, False)
        assert "cell_type" in item["reason"]


def test_a_private_experiment_never_enters_anothers_comparison(alice: Api, bob: Api, anon: Api, service: Api):
    public = mixed(service)
    predicted(service, public)
    measured(service, public, is_public=True)
    before = {caller.user_id: caller.get(f"/mixtures/{public}/compare").data for caller in (bob, anon)}
    secret = measured(alice, public, {**POINT, "value": -9.9})

    assert group(alice, public)["experiments"]["experiment_count"] == 2
    for caller in (bob, anon):
        answer = caller.get(f"/mixtures/{public}/compare")
        assert answer.data == before[caller.user_id]
        assert secret not in answer.text
        assert (
            caller.get(CALIBRATION).get_json()["data"][0]["rmse"]
            != alice.get(CALIBRATION).get_json()["data"][0]["rmse"]
        )


def test_colleagues_see_what_their_project_holds(alice: Api, bob: Api, make_project: Callable[..., UUID]):
    project = str(make_project(owner=alice, viewer=bob))
    made = mixed(alice, project_id=project)
    predicted(alice, made)
    measured(alice, made, project_id=project)
    measured(alice, made)

    assert (
        group(alice, made)["experiments"]["experiment_count"],
        group(bob, made)["experiments"]["experiment_count"],
    ) == (2, 1)


@pytest.mark.parametrize("name", ["compare", "comparisons"])
def test_what_is_not_there_or_not_for_the_caller_is_404(bob: Api, anon: Api, mixture: str, name: str):
    for caller in (bob, anon):
        problem(caller.get(f"/mixtures/{mixture}/{name}"), 404)
    problem(bob.get(f"/mixtures/{uuid4()}/{name}"), 404)
    problem(bob.get(f"/mixtures/no-id/{name}"), 404)
    problem(bob.get(f"/mixtures/{mixture}/{name}?unit=K"), 400, "unknown_parameter")


# Calibration.


def test_no_data_is_empty_with_a_reason_and_never_zeros(anon: Api):
    found = anon.get(CALIBRATION).get_json()

    assert found["data"] == []
    assert found["reason"]


def test_the_models_are_calibrated_by_what_the_caller_sees(alice: Api, bob: Api, mixture: str):
    response = alice.get(CALIBRATION)

    versions = response.get_json()["data"]
    assert [(item["model"], item["version"], item["n"]) for item in versions] == [
        ("osmotic_virial", "1", 1),
        ("osmotic_virial", "2", 1),
    ]
    residual = group(alice, mixture)["predictions"][1]["residual"]
    assert versions[1]["rmse"] == pytest.approx(abs(residual))
    assert versions[1]["bias"] == pytest.approx(-residual)
    assert versions[1]["r2"] is None
    assert [item["level"] for item in versions[1]["coverage"]] == [0.5, 0.8, 0.9, 0.95]
    assert bob.get(CALIBRATION).get_json()["data"] == []
    assert alice.get(CALIBRATION, headers={"If-None-Match": response.headers["ETag"]}).status_code == 304
    chosen = alice.get(f"{CALIBRATION}?model=osmotic_virial@2&property_type=freezing_point").get_json()
    assert chosen["data"] == versions[1:]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [("property_type=colour", "property_type"), ("model=guess", "model"), ("format=pdf", "format")],
)
def test_what_there_is_not_is_422(anon: Api, query: str, pointer: str):
    assert pointers(anon.get(f"{CALIBRATION}?{query}")) == [pointer]


def test_the_plot_shows_each_property_and_model(alice: Api, mixture: str):
    response = alice.get(CALIBRATION, headers=SVG)

    assert response.content_type == "image/svg+xml; charset=utf-8"
    assert response.headers["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'"
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", response.text)
    assert {"freezing point", "coverage of the intervals", "measured / K"} <= set(texts)
    assert any(text.startswith("osmotic_virial@2: n = 1, RMSE") for text in texts)
    named = alice.get(f"{CALIBRATION}?format=svg")
    assert (named.data, named.headers["ETag"]) == (response.data, response.headers["ETag"])
    assert alice.get(f"{CALIBRATION}?format=svg", headers={"If-None-Match": named.headers["ETag"]}).status_code == 304


def test_a_plot_of_nothing_says_why(anon: Api):
    assert "no mixture that you may see" in anon.get(CALIBRATION, headers=SVG).text


def test_other_media_types_are_406(anon: Api):
    found = problem(anon.get(CALIBRATION, headers={"Accept": "text/csv"}), 406)

    assert "image/svg+xml" in found["detail"]


def test_a_drawing_that_fails_is_503_and_the_next_is_drawn(anon: Api, monkeypatch: pytest.MonkeyPatch):
    draw_calibration._drawn.cache_clear()
    with monkeypatch.context() as broken:
        broken.setattr(draw_calibration, "_CHILD_MODULE", "app.services.no_such_child")
        response = anon.get(CALIBRATION, headers=SVG)
    problem(response, 503)
    assert response.headers["Retry-After"]

    assert anon.get(CALIBRATION, headers=SVG).status_code == 200


def test_the_plot_is_in_the_api_document(anon: Api):
    operation = anon.get("//openapi.json").get_json()["paths"]["/api/v1/predictions/calibration"]["get"]

    assert set(operation["responses"]["200"]["content"]) == {"application/json", "image/svg+xml"}
    assert "406" in operation["responses"]
