"""Predictions: the models, what they say of a composition, what is kept of mixtures, and who sees and makes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from app.science.models.registry import MODELS
from app.services.minting import issue_token
from tests.api.bodies import DMSO, DMSO_INCHIKEY, GLYCEROL, GLYCEROL_INCHIKEY
from tests.api.problems import pointers, problem
from tests.plugins.api import Api
from tests.plugins.database import SECRET

IF_ANY = {"If-Match": "*"}
FREEZING: dict[str, Any] = {"properties": ["freezing_point"], "models": ["osmotic_virial@2"]}
DENSITY = {"properties": [{"property_type": "density", "value": 1261.0, "unit": "kg/m3"}]}
EXPOSED = {"temperature_k": 298.15, "exposure_min": 30, "cell_type": "endothelial"}


def part(molecule: Any = "glycerol", amount: Any = 2.3, unit: Any = "mol/kg") -> dict[str, Any]:
    return {"molecule": molecule, "amount": amount, "unit": unit}


def evaluated(caller: Api, *components: Any, **fields: Any) -> list[dict[str, Any]]:
    response = caller.post("/predictions/evaluate", {"components": list(components), **fields})
    assert response.status_code == 200, response.text
    predictions: list[dict[str, Any]] = response.get_json()["predictions"]
    return predictions


def mixed(caller: Api, *components: Any, **fields: Any) -> str:
    body = {"name": "a mixture", "components": list(components) or [part()], **fields}
    response = caller.post("/mixtures", body)
    assert response.status_code == 201, response.text
    return str(response.get_json()["id"])


def predicted(caller: Api, mixture: str, **fields: Any) -> dict[str, Any]:
    response = caller.post(f"/mixtures/{mixture}/predictions", {**FREEZING, **fields})
    assert response.status_code in {200, 201}, response.text
    report: dict[str, Any] = response.get_json()
    return report


@pytest.fixture(autouse=True)
def glycerol(service: Api, models: None) -> str:
    """Give the id of a public molecule with a density."""
    return str(service.post("/molecules", {**GLYCEROL, **DENSITY}).get_json()["id"])


@pytest.fixture
def mixture(alice: Api) -> str:
    """Give the id of a private mixture of alice's."""
    return mixed(alice)


@pytest.fixture(params=["bob", "anon"])
def stranger(request: pytest.FixtureRequest) -> Api:
    """Give a caller who shares nothing with alice."""
    caller: Api = request.getfixturevalue(request.param)
    return caller


# Models.


def test_the_models_say_what_they_are(anon: Api):
    models = {model["name"]: model for model in anon.get("/predictions/models").get_json()["data"]}

    virial = models["osmotic_virial"]
    assert [version["version"] for version in virial["versions"]] == ["2", "1"]
    newest = virial["versions"][0]
    assert {"property_type": "freezing_point", "unit": "K", "default": True} in newest["properties"]
    assert newest["equation"].startswith("pi = ")
    assert newest["valid_for"]
    assert newest["reference"]
    assert {"subject", "name", "value", "unit", "source", "seen"} == newest["parameters"][0].keys()
    assert anon.get("/predictions/models/osmotic_virial").get_json() == virial


def test_each_predicted_property_has_one_default(anon: Api):
    models = anon.get("/predictions/models").get_json()["data"]

    said = [item for model in models for version in model["versions"] for item in version["properties"]]
    defaults = [item["property_type"] for item in said if item["default"]]
    assert sorted(defaults) == sorted({item["property_type"] for item in said})


def test_a_model_that_does_not_exist_is_404_and_names_those_that_do(anon: Api):
    assert "warner_2022" in problem(anon.get("/predictions/models/nothing"), 404)["detail"]


def test_one_model_has_an_etag(anon: Api):
    tag = anon.get("/predictions/models/warner_2022").headers["ETag"]

    assert anon.get("/predictions/models/warner_2022", headers={"If-None-Match": tag}).status_code == 304


# Evaluating.


def test_a_composition_is_evaluated_and_nothing_is_stored(anon: Api, admin: psycopg.Connection):
    (answer,) = evaluated(anon, part(), **FREEZING)

    assert answer.pop("value") == pytest.approx(268.66, abs=0.1)
    assert answer.pop("standard_uncertainty") == pytest.approx(0.16, abs=0.05)
    assert answer == {
        "property_type": "freezing_point",
        "unit": "K",
        "model": "osmotic_virial",
        "version": "2",
        "in_domain": True,
        "reason": None,
        "reference": "Prickett, Elliott & McGann 2010, Cryobiology 60:30-42",
    }
    assert admin.execute("SELECT count(*) FROM predictions").fetchone() == (0,)


def test_every_model_answers_where_none_is_chosen(anon: Api):
    answers = evaluated(anon, part(), conditions=EXPOSED)

    assert {item["model"] for item in answers} >= {"osmotic_virial", "warner_2022", "gordon_taylor"}
    for item in answers:
        assert item["in_domain"] == (item["value"] is not None)
        assert item["in_domain"] or item["reason"]
    survival = [item for item in answers if item["property_type"] == "cell_survival"]
    assert all(0 < item["value"] < 1 for item in survival)


def test_what_lies_outside_a_models_range_has_no_value_and_a_reason(anon: Api):
    (hot,) = evaluated(
        anon, part(), properties=["cell_survival"], models=["warner_2022"], conditions={**EXPOSED, "temperature_k": 310}
    )

    assert (hot["value"], hot["standard_uncertainty"], hot["in_domain"]) == (None, None, False)
    assert hot["reason"] == "conditions.temperature_k 310 K is outside 295.15-301.15 K"


SPERM: dict[str, Any] = {
    "temperature_k": 295.15,
    "cell_type": "human sperm",
    "protocol": {
        "steps": [{"duration_min": 1, "fraction": 0.5}, {"duration_min": 1}],
        "surface_to_volume_per_um": 4.0,
        "inactive_volume_fraction": 0.23,
    },
}


def test_a_protocol_gives_the_cells_volume_with_its_curve(anon: Api):
    answers = evaluated(anon, part(amount=1), conditions=SPERM, models=["two_parameter_transport"])

    volume = {item["property_type"]: item["value"] for item in answers}
    assert volume["cell_volume_minimum"] < volume["cell_volume"] <= volume["cell_volume_maximum"]
    assert [len(item["curve"]["values"]) > 10 for item in answers if "curve" in item] == [True]


def test_volumes_of_a_mixture_are_kept_with_their_protocol(alice: Api, mixture: str):
    volume = {"properties": ["cell_volume"], "models": ["two_parameter_transport"]}
    slower = {**SPERM, "protocol": {**SPERM["protocol"], "steps": [{"duration_min": 2}]}}

    (kept,) = predicted(alice, mixture, **volume, conditions=SPERM)["data"]

    assert kept["conditions"]["protocol"]["steps"][0] == {
        "duration_min": 1,
        "fraction": 0.5,
        "impermeant_osmolality_osmol_kg": 0.3,
    }
    assert predicted(alice, mixture, **volume, conditions=SPERM)["added"] == 0
    assert predicted(alice, mixture, **volume, conditions=slower)["added"] == 1


@pytest.mark.parametrize(
    ("protocol", "pointer"),
    [
        ({}, "/conditions/protocol/steps"),
        ({"steps": []}, "/conditions/protocol/steps"),
        ({"steps": [{"duration_min": 1}] * 21}, "/conditions/protocol/steps"),
        ({"steps": [{"duration_min": -1}]}, "/conditions/protocol/steps/0/duration_min"),
        ({"steps": [{"duration_min": 1, "wash": 1}]}, "/conditions/protocol/steps/0/wash"),
        (
            {"steps": [{"duration_min": 1}], "cell_diameter_um": 1, "surface_to_volume_per_um": 1},
            "/conditions/protocol/surface_to_volume_per_um",
        ),
    ],
)
def test_a_protocol_that_is_none_is_refused_where_it_is_wrong(anon: Api, protocol: dict[str, Any], pointer: str):
    body = {"components": [part()], "conditions": {"protocol": protocol}}

    assert pointers(anon.post("/predictions/evaluate", body)) == [pointer]


@pytest.mark.parametrize(
    ("amount", "unit"),
    [
        (100 * 0.092094 / 1.092094, "%w/w"),
        (1 / (1 + 1000 / 18.015), "mole_fraction"),
        (1 / (1 / 0.997047 + 0.092094 / 1.261), "mol/L"),
        (92.094 / (1 / 0.997047 + 0.092094 / 1.261), "g/L"),
        (9.2094 / (1 / 0.997047 + 0.092094 / 1.261), "%w/v"),
        (100 * 0.092094 / 1.261 / (1 / 0.997047 + 0.092094 / 1.261), "%v/v"),
    ],
)
def test_an_amount_means_the_same_in_every_unit(anon: Api, amount: float, unit: str):
    (molal,) = evaluated(anon, part(amount=1), **FREEZING)
    (other,) = evaluated(anon, part(amount=amount, unit=unit), **FREEZING)

    assert other["value"] == pytest.approx(molal["value"], abs=1e-3)


@pytest.mark.parametrize("reference", ["Glycerol", "glycerol", GLYCEROL_INCHIKEY, None])
def test_a_molecule_is_named_by_whatever_it_is_known_by(anon: Api, glycerol: str, reference: str | None):
    assert evaluated(anon, part(reference or glycerol), **FREEZING)[0]["value"] == pytest.approx(268.66, abs=0.1)


def test_unknown_molecules_and_those_of_others_are_the_same_422(alice: Api, stranger: Api):
    alice.post("/molecules", DMSO)
    body = {"components": [part(), part(DMSO_INCHIKEY), part("no such thing")]}

    assert pointers(stranger.post("/predictions/evaluate", body)) == [
        "/components/1/molecule",
        "/components/2/molecule",
    ]
    assert pointers(alice.post("/predictions/evaluate", body)) == ["/components/2/molecule"]


def test_a_conversion_that_lacks_data_names_it_and_points_to_the_component(service: Api, anon: Api):
    service.post("/molecules", DMSO)
    body = {"components": [part(), part("Dimethyl sulfoxide", 1, "mol/L")]}

    found = problem(anon.post("/predictions/evaluate", body), 422, "missing_data")
    assert found["errors"] == [
        {"pointer": "/components/1/unit", "detail": "the density of Dimethyl sulfoxide is not known"}
    ]
    solvent = problem(
        anon.post("/predictions/evaluate", {**body, "components": [part(unit="g/L")], "solvent": "oil"}), 422
    )
    assert [fault["pointer"] for fault in solvent["errors"]] == ["/components"]
    assert "the density of oil" in solvent["detail"]


def test_a_polymer_without_a_molar_mass_is_refused(admin: psycopg.Connection, anon: Api):
    admin.execute("INSERT INTO molecules (name, kind, is_public) VALUES ('Ficoll', 'polymer', true)")

    for unit in ("g/L", "mol/kg"):
        faults = problem(anon.post("/predictions/evaluate", {"components": [part("Ficoll", 1, unit)]}), 422)["errors"]
        assert [fault["pointer"] for fault in faults] == ["/components/0/unit"]


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"components": []}, "/components"),
        ({"components": [part(amount=0)]}, "/components/0/amount"),
        ({"components": [part(amount=-1)]}, "/components/0/amount"),
        ({"components": [part(amount="2")]}, "/components/0/amount"),
        ({"components": [part(unit="K")]}, "/components/0/unit"),
        ({"components": [part(), part()]}, "/components/1/molecule"),
        ({"components": [part(amount=101, unit="%w/w")]}, "/components/0/amount"),
        ({"components": [part(amount=100, unit="%w/w")]}, "/components"),
        ({"components": [part(amount=1e308, unit="mol/L")]}, "/components"),
        ({"solvent": " "}, "/solvent"),
        ({"conditions": []}, "/conditions"),
        ({"conditions": {"temperature_k": 0}}, "/conditions/temperature_k"),
        ({"conditions": {"temperature_k": -1}}, "/conditions/temperature_k"),
        ({"conditions": {"temperature_k": "298"}}, "/conditions/temperature_k"),
        ({"conditions": {"temperature_k": True}}, "/conditions/temperature_k"),
        ({"conditions": {"exposure_min": -0.1}}, "/conditions/exposure_min"),
        ({"conditions": {"cell_type": ""}}, "/conditions/cell_type"),
        ({"conditions": {"cell_type": 7}}, "/conditions/cell_type"),
        ({"conditions": {"pressure": 1}}, "/conditions/pressure"),
        ({"properties": []}, "/properties"),
        ({"properties": ["colour"]}, "/properties/0"),
        ({"models": ["osmotic_virial", "guess"]}, "/models/1"),
        ({"models": ["osmotic_virial@9"]}, "/models/0"),
        ({"models": ["warner_2022"], "properties": ["freezing_point"]}, "/models"),
        ({"model": "osmotic_virial"}, "/model"),
    ],
)
def test_what_cannot_be_asked_is_422_with_a_pointer(anon: Api, fields: dict[str, Any], pointer: str):
    assert pointers(anon.post("/predictions/evaluate", {"components": [part()], **fields})) == [pointer]


def test_an_unknown_name_is_told_what_exists(anon: Api):
    body = {"components": [part()], "properties": ["colour"], "models": ["guess"]}

    first, second = problem(anon.post("/predictions/evaluate", body), 422)["errors"]
    assert "freezing_point" in first["detail"]
    assert "osmotic_virial@2" in second["detail"]


# Keeping.


def test_a_mixtures_predictions_are_computed_kept_and_listed(alice: Api, mixture: str):
    response = alice.post(f"/mixtures/{mixture}/predictions", {**FREEZING, "conditions": EXPOSED})

    report = response.get_json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"/api/v1/mixtures/{mixture}/predictions"
    assert (report["added"], report["existing"]) == (1, 0)
    (record,) = report["data"]
    (answer,) = evaluated(alice, part(), **FREEZING)
    assert {name: record[name] for name in answer} == answer
    assert (record["mixture_id"], record["molecule_id"], record["conditions"]) == (mixture, None, EXPOSED)
    assert record["created_by"] == str(alice.user_id)
    for path in (f"/mixtures/{mixture}/predictions", "/predictions"):
        assert alice.get(path).get_json()["data"] == [record]
    single = alice.get(f"/predictions/{record['id']}")
    assert single.get_json() == record
    assert (
        alice.get(f"/predictions/{record['id']}", headers={"If-None-Match": single.headers["ETag"]}).status_code == 304
    )


def test_the_same_inputs_again_are_there_already(alice: Api, mixture: str):
    first = predicted(alice, mixture)

    again = alice.post(f"/mixtures/{mixture}/predictions", FREEZING)
    by_body = alice.post("/predictions", {"mixture_id": mixture, **FREEZING})

    for response in (again, by_body):
        assert response.status_code == 200
        assert response.get_json() == {"added": 0, "existing": 1, "data": first["data"]}
    assert predicted(alice, mixture, conditions={"exposure_min": 5})["added"] == 1
    assert predicted(alice, mixture, models=["osmotic_virial"])["added"] == 1


def test_the_same_composition_in_another_unit_has_the_same_inputs(alice: Api):
    molal, share = mixed(alice, part(amount=1)), mixed(alice, part(amount=100 * 0.092094 / 1.092094, unit="%w/w"))

    hashes = [predicted(alice, item)["data"][0]["inputs_hash"] for item in (molal, share)]

    # The molar mass of the row is 92.094 g/mol.
    assert hashes[0] == hashes[1]
    assert predicted(alice, mixed(alice, part(amount=1.1)))["data"][0]["inputs_hash"] != hashes[0]


def test_what_has_no_value_is_kept_with_its_reason(alice: Api, mixture: str):
    (record,) = predicted(alice, mixture, properties=["cell_survival"], models=["warner_2022"])["data"]

    assert (record["value"], record["in_domain"]) == (None, False)
    assert record["reason"].startswith("toxicity differs between cell types")


def test_lists_filter_sort_page_and_choose(alice: Api, mixture: str):
    alice.post("/predictions", {"mixture_id": mixture, "conditions": EXPOSED})
    path = f"/mixtures/{mixture}/predictions"

    whole = alice.get(f"{path}?order_by=value&count=exact").get_json()
    first = alice.get(f"{path}?order_by=value&limit=6").get_json()
    rest = alice.get(f"{path}?order_by=value&limit=1000&cursor={first['page']['next']}").get_json()

    values = [item["value"] for item in whole["data"]]
    unknown = values.count(None)
    assert whole["page"]["count"] == len(values) == sum(len(model.properties) for model in MODELS)
    assert len(first["data"]) == 6
    assert first["data"] + rest["data"] == whole["data"]
    assert 0 < unknown < len(values)
    assert values[-unknown:] == [None] * unknown
    chosen = alice.get(f"{path}?model=osmotic_virial&version=1&only=property_type&order_by=property_type").get_json()
    assert chosen["data"] == [{"property_type": "freezing_point"}, {"property_type": "osmolality"}]
    assert len(alice.get("/predictions?in_domain=false").get_json()["data"]) == unknown
    full = alice.get(f"{path}?detail=full&model=warner_2022&limit=1").get_json()["data"][0]
    assert "survival = exp" in full["method"]["equation"]
    problem(alice.get(f"{path}?colour=red"), 400, "unknown_parameter")


def test_a_molecules_glass_transition_is_estimated_from_its_structure_and_kept_once(service: Api, glycerol: str):
    path = f"/molecules/{glycerol}/predictions"

    first, again = service.post(path), service.post(path)

    assert (first.status_code, again.status_code) == (201, 200)
    (kept,) = first.get_json()["data"]
    assert (kept["molecule_id"], kept["mixture_id"]) == (glycerol, None)
    assert (kept["model"], kept["property_type"], kept["unit"]) == (
        "dry_glass_transition",
        "glass_transition_temperature",
        "K",
    )
    assert kept["value"] == pytest.approx(190, abs=30)
    assert again.get_json()["data"] == [kept]
    assert service.get(path).get_json()["data"] == [kept]


def test_a_stranger_predicts_nothing_of_a_molecule(anon: Api, alice: Api, bob: Api, glycerol: str):
    private = alice.post("/molecules", DMSO).get_json()["id"]

    problem(anon.post(f"/molecules/{glycerol}/predictions"), 401)
    problem(alice.post(f"/molecules/{glycerol}/predictions"), 403)
    problem(bob.post(f"/molecules/{private}/predictions"), 404)
    (refused,) = alice.post(f"/molecules/{private}/predictions").get_json()["data"]
    assert refused["in_domain"] == (refused["value"] is not None)


def test_a_molecules_predictions_are_those_of_its_mixtures(alice: Api, service: Api, mixture: str, glycerol: str):
    predicted(alice, mixture)
    other = service.post("/molecules", DMSO).get_json()["id"]

    assert len(alice.get(f"/molecules/{glycerol}/predictions").get_json()["data"]) == 1
    assert alice.get(f"/molecules/{other}/predictions").get_json()["data"] == []
    problem(alice.get(f"/molecules/{uuid4()}/predictions"), 404)


def test_a_prediction_is_deleted_once(alice: Api, mixture: str):
    path = f"/predictions/{predicted(alice, mixture)['data'][0]['id']}"

    problem(alice.delete(path), 428)
    problem(alice.delete(path, headers={"If-Match": '"7-0000000000000000"'}), 412)
    assert alice.delete(path, headers={"If-Match": alice.get(path).headers["ETag"]}).status_code == 204
    problem(alice.delete(path, headers=IF_ANY), 404)


def test_a_mixture_that_lacks_data_is_refused_and_nothing_is_kept(alice: Api, service: Api, admin: psycopg.Connection):
    service.post("/molecules", DMSO)
    mixture = mixed(alice, part("Dimethyl sulfoxide", 1, "mol/L"))

    found = problem(alice.post(f"/mixtures/{mixture}/predictions", {}), 422, "missing_data")
    assert "the density of Dimethyl sulfoxide is not known" in found["detail"]
    assert pointers(alice.post("/predictions", {"mixture_id": mixture})) == ["/mixture_id"]
    assert admin.execute("SELECT count(*) FROM predictions").fetchone() == (0,)


def test_a_database_without_the_models_says_what_to_do(alice: Api, mixture: str, admin: psycopg.Connection):
    admin.execute("DELETE FROM calculation_methods WHERE version = '1'")

    found = problem(alice.post(f"/mixtures/{mixture}/predictions", {}), 503, "models_missing")
    assert "cryoprotect seed" in found["detail"]
    assert admin.execute("SELECT count(*) FROM predictions").fetchone() == (0,)


def test_a_dry_run_keeps_nothing(alice: Api, mixture: str):
    response = alice.post(f"/mixtures/{mixture}/predictions", FREEZING, headers={"Prefer": "tx=rollback"})

    assert (response.status_code, response.get_json()["added"]) == (201, 1)
    assert response.headers["Preference-Applied"] == "tx=rollback"
    assert alice.get("/predictions").get_json()["data"] == []


def test_the_same_post_again_gets_the_first_answer(alice: Api, mixture: str):
    key = {"Idempotency-Key": "k"}
    first = alice.post("/predictions", {"mixture_id": mixture, **FREEZING}, headers=key)

    again = alice.post("/predictions", {"mixture_id": mixture, **FREEZING}, headers=key)

    assert (again.status_code, again.data) == (201, first.data)
    assert again.headers["Idempotent-Replayed"] == "true"


# Who may.


def test_others_see_nothing_of_a_private_mixtures_predictions(alice: Api, stranger: Api, mixture: str, glycerol: str):
    record = predicted(alice, mixture)["data"][0]

    problem(stranger.get(f"/predictions/{record['id']}"), 404)
    problem(stranger.get(f"/mixtures/{mixture}/predictions"), 404)
    for path in (
        "/predictions",
        f"/predictions?id={record['id']}",
        f"/predictions?inputs_hash={record['inputs_hash']}",
        f"/molecules/{glycerol}/predictions",
    ):
        page = stranger.get(f"{path}{'&' if '?' in path else '?'}count=exact").get_json()
        assert (page["data"], page["page"]["count"]) == ([], 0)


def test_others_neither_make_nor_delete_what_they_do_not_see(alice: Api, bob: Api, mixture: str):
    record = predicted(alice, mixture)["data"][0]

    problem(bob.post(f"/mixtures/{mixture}/predictions", FREEZING), 404)
    assert pointers(bob.post("/predictions", {"mixture_id": mixture})) == ["/mixture_id"]
    problem(bob.delete(f"/predictions/{record['id']}", headers={"If-Match": '"7-0000000000000000"'}), 404)
    assert len(alice.get("/predictions").get_json()["data"]) == 1


def test_a_viewer_reads_and_an_editor_predicts(
    alice: Api, bob: Api, make_user: Callable[[], Api], make_project: Callable[..., UUID]
):
    carol = make_user()
    mixture = mixed(alice, project_id=str(make_project(owner=alice, editor=bob, viewer=carol)))
    record = predicted(bob, mixture)["data"][0]
    path = f"/predictions/{record['id']}"

    assert carol.get(path).get_json() == record
    # That it is there already is no way round.
    for body in (FREEZING, {}):
        problem(carol.post(f"/mixtures/{mixture}/predictions", body), 403, "not_permitted")
        problem(carol.post("/predictions", {"mixture_id": mixture, **body}), 403, "not_permitted")
    problem(carol.delete(path, headers={"If-Match": '"7-0000000000000000"'}), 403)
    assert bob.delete(path, headers=IF_ANY).status_code == 204


def test_a_project_lists_the_predictions_of_what_is_in_it_or_shared_with_it(
    alice: Api, bob: Api, stranger: Api, make_user: Callable[[], Api], make_project: Callable[..., UUID]
):
    carol = make_user()
    project = make_project(owner=alice, viewer=carol)
    placed, shared, other = mixed(alice, project_id=str(project)), mixed(alice), mixed(alice)
    inside = [predicted(alice, mixture)["data"][0] for mixture in (placed, shared)]
    predicted(alice, other)
    path = f"/projects/{project}/predictions"
    assert [item["mixture_id"] for item in carol.get(path).get_json()["data"]] == [placed]

    assert alice.put(f"/projects/{project}/mixtures/{shared}", None, headers=IF_ANY).status_code == 201

    for member in (alice, carol):
        page = member.get(f"{path}?count=exact&order_by=created_at").get_json()
        assert (page["data"], page["page"]["count"]) == (inside, 2)
    problem(bob.get(path), 404)
    problem(stranger.get(path), *((401, "token_required") if stranger.token is None else (404,)))


def test_of_what_is_public_the_service_keeps_predictions_and_everybody_reads_them(
    service: Api, alice: Api, stranger: Api
):
    mixture = mixed(service)
    problem(alice.post(f"/mixtures/{mixture}/predictions", FREEZING), 403, "not_permitted")

    record = predicted(service, mixture)["data"][0]

    assert record["created_by"] is None
    assert stranger.get(f"/predictions/{record['id']}").get_json() == record
    problem(alice.delete(f"/predictions/{record['id']}", headers=IF_ANY), 403)
    assert service.delete(f"/predictions/{record['id']}", headers=IF_ANY).status_code == 204


def test_writing_needs_a_token_and_where_it_is_restricted_the_scope(service: Api, anon: Api):
    mixture = mixed(service)
    scoped = {
        scope: Api(service.client, issue_token(SECRET, role="service_role", ttl_s=60, scopes=[scope]))
        for scope in ("predictions:write", "mixtures:write")
    }
    prediction = predicted(service, mixture)["data"][0]["id"]
    for method, path, body in (
        ("POST", f"/mixtures/{mixture}/predictions", FREEZING),
        ("POST", "/predictions", {"mixture_id": mixture}),
        ("DELETE", f"/predictions/{prediction}", None),
    ):
        arguments = {"headers": IF_ANY, **({} if body is None else {"json": body})}
        problem(anon.request(method, path, **arguments), 401, "token_required")
        problem(scoped["mixtures:write"].request(method, path, **arguments), 403, "scope_missing")
        assert scoped["predictions:write"].request(method, path, **arguments).status_code in {200, 201, 204}
