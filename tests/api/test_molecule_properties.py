"""A molecule's property values over HTTP: units, kinds, uncertainty, and what takes the place of what."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.api.bodies import DMSO, ETHANOL
from tests.api.problems import pointers, problem
from tests.plugins.api import Api

IF_ANY = {"If-Match": "*"}


@pytest.fixture
def molecule(alice: Api) -> str:
    """Give the path of a molecule of alice's."""
    return f"/molecules/{alice.post('/molecules', DMSO).get_json()['id']}"


def stated(name: str, value: Any, unit: str | None = None, **more: Any) -> dict[str, Any]:
    return {"property_type": name, "value": value, **({"unit": unit} if unit else {}), **more}


def put(caller: Api, molecule: str, *values: dict[str, Any]) -> Any:
    return caller.put(f"{molecule}/properties", {"properties": list(values)}, headers=IF_ANY)


def values(caller: Api, molecule: str, name: str = "") -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = caller.get(f"{molecule}/properties{name and '/' + name}").get_json()["data"]
    return data


@pytest.mark.parametrize(
    ("name", "value", "unit", "kept", "kept_unit"),
    [
        ("melting_point", 18.5, "degC", 291.65, "K"),
        ("melting_point", 18.5, "°C", 291.65, "K"),
        ("melting_point", 65.3, "degF", 291.65, "K"),
        ("melting_point", 291.65, "K", 291.65, "K"),
        ("density", 1.1004, "g/mL", 1100.4, "kg/m3"),
        ("density", 1.1004, "g/cm3", 1100.4, "kg/m3"),
        ("density", 1100.4, "kg/m3", 1100.4, "kg/m3"),
        ("viscosity", 1.996, "mPa.s", 0.001996, "Pa.s"),
        ("viscosity", 1.996, "cP", 0.001996, "Pa.s"),
        ("osmolality", 285, "mosmol/kg", 0.285, "osmol/kg"),
        ("toxicity_rate", 0.01, "1/s", 0.6, "1/min"),
        ("cell_survival", 85, "%", 0.85, "1"),
        ("critical_cooling_rate", 10, "K/s", 600, "K/min"),
        ("xlogp3", -0.6, "1", -0.6, "1"),
        ("melting_point", 0, "K", 0, "K"),
        ("melting_point", 1e-300, "K", 1e-300, "K"),
        ("melting_point", 12345678901234567890, "K", 1.2345678901234567e19, "K"),
    ],
)
def test_a_value_is_kept_in_the_propertys_own_unit(  # noqa: PLR0913, PLR0917 - a table of facts
    alice: Api, molecule: str, name: str, value: float, unit: str, kept: float, kept_unit: str
):
    response = put(alice, molecule, stated(name, value, unit))

    assert response.status_code == 200, response.text
    (found,) = values(alice, molecule)
    assert (found["property_type"], found["value"], found["unit"]) == (name, kept, kept_unit)


def test_a_value_is_kept_with_all_that_is_said_of_it(alice: Api, molecule: str):
    value = stated(
        "density",
        1.1,
        "g/mL",
        standard_uncertainty=0.001,
        method="at 293.15 K",
        reference="doi:10.1021/x",
        verified=False,
    )

    put(alice, molecule, value)

    assert values(alice, molecule) == [
        {
            "property_type": "density",
            "value": 1100,
            "unit": "kg/m3",
            "standard_uncertainty": 1,
            "method": "at 293.15 K",
            "reference": "doi:10.1021/x",
            "verified": False,
        }
    ]


def test_texts_are_kept_as_they_are(alice: Api, molecule: str):
    put(alice, molecule, stated("cryoprotectant_class", "sulfoxide"), stated("oral_ld50", "14.5 g/kg (rat) δ"))

    assert [(item["property_type"], item["value"], item["unit"]) for item in values(alice, molecule)] == [
        ("cryoprotectant_class", "sulfoxide", None),
        ("oral_ld50", "14.5 g/kg (rat) δ", None),
    ]


def test_truth_values_are_kept_and_are_no_numbers(alice: Api, molecule: str, admin: psycopg.Connection):
    admin.execute(
        "INSERT INTO property_types (name, unit, value_kind, description) VALUES ('tried', NULL, 'boolean', '')"
    )
    try:
        put(alice, molecule, stated("tried", value=False))
        found = values(alice, molecule)
        refused = put(alice, molecule, stated("tried", 0))
    finally:
        admin.execute("DELETE FROM molecular_properties")
        admin.execute("DELETE FROM property_types WHERE name = 'tried'")

    assert found[0]["value"] is False
    assert pointers(refused) == ["/properties/0/value"]


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        (stated("density", 1.1, "K"), "unit"),
        (stated("density", 1.1, "parsnip"), "unit"),
        (stated("density", 1.1, "9**9**9**9"), "unit"),
        (stated("density", 1.1), "unit"),
        (stated("density", 1.1, "x" * 51), "unit"),
        ({**stated("density", 1.1), "unit": ""}, "unit"),
        ({**stated("density", 1.1), "unit": 7}, "unit"),
        (stated("melting_point", 1, "mol/kg"), "unit"),
        (stated("osmolality", 1, "mol/kg"), "unit"),
        (stated("cryoprotectant_class", "x", "K"), "unit"),
        (stated("boiling_point", 1, "K"), "property_type"),
        (stated("Density", 1, "kg/m3"), "property_type"),
        (stated("density;", 1, "kg/m3"), "property_type"),
        (stated("", 1, "K"), "property_type"),
        ({"value": 1, "unit": "K"}, "property_type"),
        ({"property_type": "density", "unit": "K"}, "value"),
        (stated("density", "1.1", "g/mL"), "value"),
        (stated("density", value=True, unit="g/mL"), "value"),
        (stated("density", None, "g/mL"), "value"),
        (stated("density", [1.1], "g/mL"), "value"),
        (stated("density", {"value": 1.1}, "g/mL"), "value"),
        (stated("cryoprotectant_class", 7), "value"),
        (stated("cryoprotectant_class", ""), "value"),
        (stated("cryoprotectant_class", "x" * 10_001), "value"),
        (stated("density", 1.1, "g/mL", standard_uncertainty=-1), "standard_uncertainty"),
        (stated("density", 1.1, "g/mL", standard_uncertainty="small"), "standard_uncertainty"),
        (stated("density", 1.1, "g/mL", standard_uncertainty=True), "standard_uncertainty"),
        (stated("cryoprotectant_class", "x", standard_uncertainty=1), "standard_uncertainty"),
        (stated("density", 1.1, "g/mL", method=""), "method"),
        (stated("density", 1.1, "g/mL", method="x" * 2001), "method"),
        (stated("density", 1.1, "g/mL", reference=7), "reference"),
        (stated("density", 1.1, "g/mL", verified="no"), "verified"),
        (stated("density", 1.1, "g/mL", verified=0), "verified"),
        (stated("density", 1.1, "g/mL", numeric_value=3), "numeric_value"),
        (stated("density", 1.1, "g/mL", import_run_id=str(uuid4())), "import_run_id"),
        (stated("density", 1.1, "g/mL", molecule_id=str(uuid4())), "molecule_id"),
    ],
)
def test_a_value_that_does_not_fit_is_422_at_its_field(alice: Api, molecule: str, value: dict[str, Any], pointer: str):
    response = put(alice, molecule, stated("density", 1, "kg/m3"), value)

    assert pointers(response) == [f"/properties/1/{pointer}"]
    assert values(alice, molecule) == []


@pytest.mark.parametrize("number", ["1e308", "-1e308"])
def test_a_number_too_large_for_the_propertys_unit_is_422(alice: Api, molecule: str, number: str):
    body = f'{{"properties": [{{"property_type": "density", "value": {number}, "unit": "g/mL"}}]}}'

    path, kind = f"{molecule}/properties", "application/json"
    response = alice.request("PUT", path, data=body, content_type=kind, headers=IF_ANY)

    assert pointers(response) == ["/properties/0/value"]


def test_an_unknown_property_names_those_that_exist(alice: Api, molecule: str):
    response = put(alice, molecule, stated("boiling_point", 1, "K"))

    assert "melting_point" in problem(response, 422)["errors"][0]["detail"]


def test_values_take_the_place_of_all_that_were_there(alice: Api, molecule: str):
    put(alice, molecule, stated("density", 1, "g/mL"), stated("viscosity", 2, "mPa.s"))

    put(alice, molecule, stated("melting_point", 291, "K"))

    assert [item["property_type"] for item in values(alice, molecule)] == ["melting_point"]


def test_an_empty_list_takes_all_values_away(alice: Api, molecule: str):
    put(alice, molecule, stated("density", 1, "g/mL"))

    response = put(alice, molecule)

    assert (response.status_code, response.get_json()) == (200, {"data": []})


def test_values_of_one_property_leave_the_others_alone(alice: Api, molecule: str):
    put(alice, molecule, stated("density", 1, "g/mL"), stated("viscosity", 2, "mPa.s"))

    response = alice.put(
        f"{molecule}/properties/density",
        {"values": [{"value": 1.1, "unit": "g/mL"}, {"value": 1.2, "unit": "g/mL"}]},
        headers=IF_ANY,
    )

    assert {item["value"] for item in response.get_json()["data"]} == {1100, 1200}
    assert [item["property_type"] for item in values(alice, molecule)] == ["density", "density", "viscosity"]
    assert len(values(alice, molecule, "density")) == 2


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"values": [{"value": 1.1, "unit": "K"}]}, "/values/0/unit"),
        ({"values": [{"value": "x", "unit": "g/mL"}]}, "/values/0/value"),
        ({"values": [{"value": 1.1, "unit": "g/mL", "property_type": "viscosity"}]}, "/values/0/property_type"),
        ({"values": {}}, "/values"),
        ({"values": None}, "/values"),
        ({"properties": []}, "/properties"),
        ({}, "/values"),
    ],
)
def test_values_of_one_property_are_checked_field_by_field(
    alice: Api, molecule: str, body: dict[str, Any], pointer: str
):
    response = alice.put(f"{molecule}/properties/density", body, headers=IF_ANY)

    assert pointer in pointers(response)


def test_a_property_that_does_not_exist_has_no_address(alice: Api, molecule: str):
    body = {"values": [{"value": 1, "unit": "K"}]}

    problem(alice.put(f"{molecule}/properties/boiling_point", body, headers=IF_ANY), 404)
    problem(alice.get(f"{molecule}/properties/boiling_point"), 404)


@pytest.mark.parametrize("name", ["density;drop", "x" * 3000, "%00", "%ED%A0%80", "pg_sleep(5)", "%27", "a%00b"])
def test_a_strange_property_in_the_address_is_a_404_and_no_fault_of_ours(alice: Api, molecule: str, name: str):
    problem(alice.get(f"{molecule}/properties/{name}"), 404)


def test_a_property_without_values_is_an_empty_list(alice: Api, molecule: str):
    assert alice.get(f"{molecule}/properties/density").get_json() == {"data": []}


def test_the_same_value_twice_is_kept_once(alice: Api, molecule: str):
    response = put(alice, molecule, stated("density", 1.1, "g/mL"), stated("density", 1100, "kg/m3"))

    assert response.status_code == 200
    assert len(values(alice, molecule)) == 1


def test_two_sources_that_disagree_are_two_values(alice: Api, molecule: str):
    put(alice, molecule, stated("density", 1.1, "g/mL", reference="a"), stated("density", 1.1, "g/mL", reference="b"))

    assert {item["reference"] for item in values(alice, molecule)} == {"a", "b"}


def test_a_refused_list_changes_nothing(alice: Api, molecule: str):
    put(alice, molecule, stated("density", 1, "g/mL"))
    before = alice.get(molecule).headers["ETag"]

    put(alice, molecule, stated("viscosity", 1, "mPa.s"), stated("nothing", 1, "K"))

    assert alice.get(molecule).headers["ETag"] == before
    assert [item["property_type"] for item in values(alice, molecule)] == ["density"]


def test_properties_given_at_creation_are_those_of_the_record(alice: Api):
    body = {**ETHANOL, "properties": [stated("melting_point", -114.1, "degC", standard_uncertainty=0.2)]}

    created = alice.post("/molecules", body).get_json()

    (value,) = values(alice, f"/molecules/{created['id']}")
    assert (value["value"], value["unit"], value["standard_uncertainty"]) == (159.05, "K", 0.2)


def test_a_wrong_property_at_creation_creates_nothing(alice: Api, admin: psycopg.Connection):
    response = alice.post("/molecules", {**ETHANOL, "properties": [stated("melting_point", 1, "kg")]})

    assert pointers(response) == ["/properties/0/unit"]
    assert admin.execute("SELECT count(*) FROM molecules").fetchone() == (0,)


def test_the_values_of_a_list_are_those_of_the_single_record(alice: Api, molecule: str):
    put(alice, molecule, stated("density", 1.1, "g/mL"), stated("cryoprotectant_class", "sulfoxide"))

    (record,) = alice.get("/molecules?include=properties").get_json()["data"]

    assert record["properties"] == values(alice, molecule)


def test_at_most_500_values_are_put_at_once(alice: Api, molecule: str):
    many = [stated("density", number, "kg/m3") for number in range(1, 502)]

    assert pointers(put(alice, molecule, *many)) == ["/properties"]
    assert put(alice, molecule, *many[:500]).status_code == 200
    assert len(values(alice, molecule)) == 500


def test_unseen_molecules_have_no_properties_to_anybody_else(alice: Api, bob: Api, anon: Api, molecule: str):
    put(alice, molecule, stated("density", 1.1, "g/mL"))

    for caller in (bob, anon):
        problem(caller.get(f"{molecule}/properties"), 404)
        problem(caller.get(f"{molecule}/properties/density"), 404)
    problem(put(bob, molecule), 404)
    problem(put(anon, molecule), 401)
    assert len(values(alice, molecule)) == 1
