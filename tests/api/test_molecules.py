"""One molecule: created from a structure, read, changed, deleted."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from rdkit import Chem

from tests.api.bodies import BENZENE_MOLFILE, DMSO, DMSO_INCHIKEY, ETHANOL, GLYCEROL, GLYCEROL_INCHIKEY, canonical
from tests.api.problems import pointers, problem
from tests.plugins.api import Api

DMSO_INCHI = "InChI=1S/C2H6OS/c1-4(2)3/h1-2H3"
IF_ANY = {"If-Match": "*"}


def created(caller: Api, **body: Any) -> dict[str, Any]:
    response = caller.post("/molecules", body)
    assert response.status_code == 201, response.text
    record: dict[str, Any] = response.get_json()
    return record


def test_a_molecule_is_created_from_a_name_and_a_smiles(alice: Api):
    response = alice.post("/molecules", GLYCEROL)

    body = response.get_json()
    assert response.status_code == 201
    assert response.headers["Location"] == f"/api/v1/molecules/{body['id']}"
    assert body["name"] == "Glycerol"
    assert body["kind"] == "molecule"
    assert body["canonical_smiles"] == canonical("OCC(O)CO")
    assert body["inchi"] == "InChI=1S/C3H8O3/c4-1-3(6)2-5/h3-6H,1-2H2"
    assert (body["inchikey"], body["parent_inchikey"]) == (GLYCEROL_INCHIKEY, GLYCEROL_INCHIKEY)
    assert body["formula"] == "C3H8O3"
    assert body["molar_mass_g_mol"] == pytest.approx(92.09, abs=0.01)
    assert body["created_by"] == str(alice.user_id)
    assert body["project_id"] is None
    assert body["version"] == 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", body["created_at"])
    # Each is the clock's own reading, a microsecond apart at times.
    made, changed = (dt.datetime.fromisoformat(body[name]) for name in ("created_at", "updated_at"))
    assert abs(changed - made) < dt.timedelta(milliseconds=1)


def test_what_is_created_is_what_a_get_then_gives(alice: Api):
    response = alice.post("/molecules", GLYCEROL)

    assert alice.get(response.headers["Location"].removeprefix("/api/v1")).data == response.data


@pytest.mark.parametrize(
    ("notation", "text"),
    [
        ("smiles", "CS(C)=O"),
        ("smiles", "CS(=O)C"),
        ("smiles", "C[S+](C)[O-]"),
        ("smiles", "  CS(C)=O \n"),
        ("inchi", DMSO_INCHI),
        ("molfile", Chem.MolToMolBlock(Chem.MolFromSmiles("CS(C)=O"))),
        ("molfile", Chem.MolToMolBlock(Chem.MolFromSmiles("CS(C)=O"), forceV3000=True)),
    ],
)
def test_dmso_is_dmso_however_it_is_written(alice: Api, notation: str, text: str):
    body = created(alice, name="DMSO", **{notation: text})

    assert body["canonical_smiles"] == "CS(C)=O"
    assert body["inchikey"] == DMSO_INCHIKEY


def test_a_molfile_is_read_with_its_bonds(alice: Api):
    body = created(alice, name="Benzene", molfile=BENZENE_MOLFILE)

    assert body["canonical_smiles"] == "c1ccccc1"
    assert body["inchikey"] == "UHOVQNZJYSORNB-UHFFFAOYSA-N"


@pytest.mark.parametrize(
    ("name", "smiles", "parent", "formula", "molar_mass_g_mol"),
    [
        ("DMSO", "CS(C)=O", DMSO_INCHIKEY, "C2H6OS", 78.13),
        ("DMSO-d6", "[2H]C([2H])([2H])S(=O)C([2H])([2H])[2H]", DMSO_INCHIKEY, "C2H6OS", 84.17),
        ("heavy water", "[2H]O[2H]", "XLYOFNOQVPJJNP-UHFFFAOYSA-N", "H2O", 20.03),
        (
            "trehalose dihydrate",
            "O.O.OC[C@H]1O[C@H](O[C@H]2O[C@H](CO)[C@@H](O)[C@H](O)[C@H]2O)[C@H](O)[C@@H](O)[C@@H]1O",
            "HDTRYLNUVZCQOY-LIZSDCNHSA-N",
            "C12H26O13",
            378.33,
        ),
        ("betaine hydrochloride", "C[N+](C)(C)CC(=O)O.[Cl-]", "KWIUHFFTVRNATP-UHFFFAOYSA-N", "C5H12ClNO2", 153.61),
        ("sodium chloride", "[Na+].[Cl-]", "FAPWRFPIFSIZLT-UHFFFAOYSA-M", "ClNa", 58.44),
        ("choline chloride", "C[N+](C)(C)CCO.[Cl-]", "SGMZJAMFUVOLNK-UHFFFAOYSA-M", "C5H14ClNO", 139.62),
    ],
)
def test_a_row_is_the_form_submitted_and_its_parent_groups_the_forms(  # noqa: PLR0913, PLR0917 - a table of facts
    alice: Api, name: str, smiles: str, parent: str, formula: str, molar_mass_g_mol: float
):
    body = created(alice, name=name, smiles=smiles)

    assert body["molar_mass_g_mol"] == pytest.approx(molar_mass_g_mol, abs=0.02)
    assert (body["formula"], body["parent_inchikey"]) == (formula, parent)
    assert canonical(body["canonical_smiles"]) == canonical(smiles)


def test_salts_hydrates_and_isotopologues_are_found_by_their_parent(alice: Api):
    for name, smiles in (("a", "CS(C)=O"), ("b", "[2H]C([2H])([2H])S(=O)C([2H])([2H])[2H]"), ("c", "CS(C)=O.O")):
        created(alice, name=name, smiles=smiles)

    found = alice.get(f"/molecules?parent_inchikey={DMSO_INCHIKEY}&order_by=name").get_json()["data"]

    assert [record["name"] for record in found] == ["a", "b", "c"]
    assert len({record["inchikey"] for record in found}) == 3


def test_both_parts_of_a_salt_stay_in_its_structure(alice: Api):
    body = created(alice, name="NaCl", smiles="[Na+].[Cl-]")

    assert body["canonical_smiles"] == "[Cl-].[Na+]"
    assert body["inchikey"] == "FAPWRFPIFSIZLT-UHFFFAOYSA-M"


@pytest.mark.parametrize(
    "smiles", ["[H+]", "[H]", "[2H+]", "[H][H]", "[He]", "[H-]", "[OH3+]", "[Na+]", "[Fe]", "[235U]"]
)
def test_the_smallest_structures_are_structures_too(alice: Api, smiles: str):
    body = created(alice, name="small", smiles=smiles)

    assert body["molar_mass_g_mol"] > 1
    assert all(re.fullmatch("[A-Z]{14}-[A-Z]{10}-[A-Z]", body[key]) for key in ("inchikey", "parent_inchikey"))


def test_descriptors_are_computed_and_finite(alice: Api):
    descriptors = created(alice, **GLYCEROL)["descriptors"]

    assert len(descriptors) >= 5
    assert all(isinstance(value, int | float) for value in descriptors.values())


def test_the_fingerprint_has_2048_bits(alice: Api):
    record = created(alice, **GLYCEROL)

    assert re.fullmatch("[01]{2048}", alice.get(f"/molecules/{record['id']}?detail=full").get_json()["fingerprint"])


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"smiles": "C(C"}, "/smiles"),
        ({"smiles": "not a structure"}, "/smiles"),
        ({"smiles": "c1cccc1c"}, "/smiles"),
        ({"smiles": "C(C)(C)(C)(C)C"}, "/smiles"),
        ({"smiles": "*CC"}, "/smiles"),
        ({"smiles": ""}, "/smiles"),
        ({"smiles": "   "}, "/smiles"),
        ({"inchi": "InChI=1S/nonsense"}, "/inchi"),
        ({"inchi": "CCO"}, "/inchi"),
        ({"molfile": "no molfile"}, "/molfile"),
        ({"molfile": "\n\n\n  0  0  0  0  0  0  0  0  0  0999 V2000\nM  END\n"}, "/molfile"),
    ],
)
def test_a_structure_that_is_none_is_422_with_a_reason_at_its_field(
    alice: Api, admin: psycopg.Connection, body: dict[str, str], pointer: str
):
    response = alice.post("/molecules", {"name": "x", **body})

    assert pointers(response) == [pointer]
    assert response.get_json()["detail"]
    assert admin.execute("SELECT count(*) FROM molecules").fetchone() == (0,)


def test_the_reason_is_rdkits_own(alice: Api):
    body = problem(alice.post("/molecules", {"name": "x", "smiles": "C(C)(C)(C)(C)C"}), 422, "invalid_structure")

    assert "valence" in body["detail"].lower()


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x"},
        {"name": "x", "smiles": "C", "inchi": "InChI=1S/CH4/h1H4"},
        {"name": "x", "smiles": "C", "inchi": "InChI=1S/CH4/h1H4", "molfile": BENZENE_MOLFILE},
    ],
)
def test_a_molecule_has_one_structure_and_not_more(alice: Api, body: dict[str, str]):
    response = alice.post("/molecules", body)

    assert pointers(response) == [""]
    assert "exactly one" in response.get_json()["errors"][0]["detail"]


@pytest.mark.parametrize("name", ["", "   ", "\t\n", "\u00a0\u3000", "x" * 501])
def test_a_name_is_1_to_500_characters_that_can_be_seen(alice: Api, name: str):
    assert pointers(alice.post("/molecules", {"name": name, "smiles": "C"})) == ["/name"]


@pytest.mark.parametrize(
    "name", ["x", "x" * 500, "δ-谷-🧊", "\U0001d518", "Å", "A\u030a", "\u212b", "ﬁ", "İ", "a\u200db", "\u202eevil"]
)
def test_a_name_is_kept_as_it_was_written(alice: Api, name: str):
    record = created(alice, name=name, smiles="C")

    assert record["name"] == name
    assert alice.get(f"/molecules/{record['id']}").get_json()["name"] == name
    assert [r["name"] for r in alice.get("/molecules", query_string={"name": name}).get_json()["data"]] == [name]


def test_blanks_around_a_name_are_no_part_of_it(alice: Api):
    assert created(alice, name="  Glycerol \n", smiles="OCC(O)CO")["name"] == "Glycerol"


def test_identifiers_and_synonyms_are_kept(alice: Api):
    record = created(
        alice,
        **DMSO,
        synonyms=["DMSO", "Me2SO", "DMSO"],
        identifiers=[
            {"source": "cas", "kind": "cas_number", "external_id": "67-68-5"},
            {"source": "pubchem", "kind": "cid", "external_id": "679", "verified": False},
        ],
    )

    found = alice.get(f"/molecules/{record['id']}?include=identifiers").get_json()["identifiers"]
    assert found == [
        {"source": "cas", "kind": "cas_number", "external_id": "67-68-5", "verified": True},
        {"source": "name", "kind": "synonym", "external_id": "DMSO", "verified": True},
        {"source": "name", "kind": "synonym", "external_id": "Me2SO", "verified": True},
        {"source": "pubchem", "kind": "cid", "external_id": "679", "verified": False},
    ]


@pytest.mark.parametrize(
    ("identifier", "pointer"),
    [
        ({"source": "CAS", "kind": "cas_number", "external_id": "x"}, "/identifiers/0/source"),
        ({"source": "cas", "kind": "cas number", "external_id": "x"}, "/identifiers/0/kind"),
        ({"source": "cas\n", "kind": "cas_number", "external_id": "x"}, "/identifiers/0/source"),
        ({"source": "cas", "kind": "cas_number", "external_id": ""}, "/identifiers/0/external_id"),
        ({"source": "cas", "kind": "cas_number", "external_id": "x" * 501}, "/identifiers/0/external_id"),
        ({"source": "cas", "kind": "cas_number", "external_id": 67}, "/identifiers/0/external_id"),
        ({"source": "cas", "kind": "cas_number"}, "/identifiers/0/external_id"),
        ({"source": "cas", "kind": "cas_number", "external_id": "x", "verified": 1}, "/identifiers/0/verified"),
        ({"source": "cas", "kind": "cas_number", "external_id": "x", "id": 1}, "/identifiers/0/id"),
        ("67-68-5", "/identifiers/0"),
        (None, "/identifiers/0"),
    ],
)
def test_an_identifier_is_checked_field_by_field(alice: Api, identifier: object, pointer: str):
    (found,) = pointers(alice.post("/molecules", {**DMSO, "identifiers": [identifier]}))

    assert found.removesuffix("/_schema") == pointer


def test_users_rows_are_private_and_the_services_public_unless_they_say_otherwise(alice: Api, service: Api):
    assert created(alice, **DMSO)["is_public"] is False
    assert created(alice, **ETHANOL, is_public=None)["is_public"] is False
    assert created(service, **DMSO)["is_public"] is True
    assert created(service, **ETHANOL, is_public=False)["is_public"] is False


def test_the_service_makes_rows_of_nobodys(service: Api):
    assert created(service, **DMSO)["created_by"] is None


def test_the_same_structure_again_is_409_with_the_id_of_the_first(alice: Api):
    first = created(alice, **DMSO)

    body = problem(alice.post("/molecules", {"name": "other name", "inchi": DMSO_INCHI}), 409, "molecule_exists")

    assert body["existing_id"] == first["id"]


def test_a_public_row_of_the_same_structure_is_409_for_everybody(alice: Api, service: Api):
    first = created(service, **DMSO)

    for caller in (alice, service):
        assert problem(caller.post("/molecules", DMSO), 409)["existing_id"] == first["id"]


def test_others_private_rows_neither_block_nor_show(alice: Api, bob: Api, service: Api):
    ids = {created(caller, **DMSO)["id"] for caller in (alice, bob)} | {created(service, **DMSO, is_public=False)["id"]}

    assert len(ids) == 3


def test_the_same_structure_again_in_a_project_is_409_for_all_its_members(
    alice: Api, bob: Api, make_project: Callable[..., UUID]
):
    project = str(make_project(owner=alice, editor=bob))
    first = created(alice, **DMSO, project_id=project)

    body = problem(bob.post("/molecules", {**DMSO, "project_id": project}), 409)

    assert body["existing_id"] == first["id"]


def test_ones_own_row_does_not_keep_a_project_from_having_its_own(alice: Api, make_project: Callable[..., UUID]):
    created(alice, **DMSO)

    assert created(alice, **DMSO, project_id=str(make_project(owner=alice)))["project_id"]


def test_isotopologues_and_salts_are_other_molecules(alice: Api):
    ids = {
        created(alice, name="x", smiles=smiles)["id"]
        for smiles in ("O", "[2H]O[2H]", "[2H]O", "CC(=O)O", "CC(=O)[O-].[Na+]", "C[C@H](N)O", "C[C@@H](N)O", "CC(N)O")
    }

    assert len(ids) == 8


def test_an_owner_publishes_at_creation(alice: Api, make_project: Callable[..., UUID], anon: Api):
    record = created(alice, **DMSO, project_id=str(make_project(owner=alice)), is_public=True)

    assert anon.get(f"/molecules/{record['id']}").status_code == 200


@pytest.mark.parametrize("role", ["editor", "viewer"])
def test_nobody_else_in_the_team_publishes(
    alice: Api, bob: Api, make_project: Callable[..., UUID], role: str, admin: psycopg.Connection
):
    project = str(make_project(owner=alice, **{role: bob}))

    response = bob.post("/molecules", {**DMSO, "project_id": project, "is_public": True})

    problem(response, 403)
    assert admin.execute("SELECT count(*) FROM molecules").fetchone() == (0,)


def test_outside_a_project_nobody_but_the_service_publishes(alice: Api):
    body = problem(alice.post("/molecules", {**DMSO, "is_public": True}), 403, "not_permitted")

    assert body["errors"][0]["pointer"] == "/is_public"


@pytest.mark.parametrize("role", ["owner", "editor"])
def test_who_may_edit_a_project_adds_to_it(alice: Api, bob: Api, make_project: Callable[..., UUID], role: str):
    project = str(make_project(**({"owner": bob} if role == "owner" else {"owner": alice, "editor": bob})))

    record = created(bob, **DMSO, project_id=project)

    assert (record["project_id"], record["is_public"]) == (project, False)


def test_a_viewer_and_a_stranger_do_not_add_to_a_project(
    alice: Api, bob: Api, make_user: Callable[[], Api], make_project: Callable[..., UUID]
):
    project = str(make_project(owner=alice, viewer=bob))

    for caller, wanted in ((bob, project), (make_user(), project), (bob, str(uuid4()))):
        body = problem(caller.post("/molecules", {**DMSO, "project_id": wanted}), 403)
        assert body["errors"][0]["pointer"] == "/project_id"


def test_a_projects_rows_are_seen_by_its_members_and_by_nobody_else(
    alice: Api, bob: Api, anon: Api, make_user: Callable[[], Api], make_project: Callable[..., UUID]
):
    record = created(alice, **DMSO, project_id=str(make_project(owner=alice, viewer=bob)))
    path = f"/molecules/{record['id']}"

    assert [caller.get(path).status_code for caller in (alice, bob, make_user(), anon)] == [200, 200, 404, 404]


def test_a_project_that_is_not_there_is_422_for_the_service(service: Api):
    assert pointers(service.post("/molecules", {**DMSO, "project_id": str(uuid4())})) == ["/project_id"]


@pytest.mark.parametrize("value", ["x", 1, True, "00000000-0000-0000-0000-00000000000", [], {}])
def test_a_project_is_named_by_its_id(alice: Api, value: object):
    assert pointers(alice.post("/molecules", {**DMSO, "project_id": value})) == ["/project_id"]


# Changing.


def test_a_name_can_be_changed_and_nothing_else_changes_with_it(alice: Api):
    record = created(alice, **DMSO)

    changed = alice.patch(f"/molecules/{record['id']}", {"name": "Me2SO"}, headers=IF_ANY).get_json()

    assert changed == {**record, "name": "Me2SO", "version": 2, "updated_at": changed["updated_at"]}
    assert changed["updated_at"] > record["updated_at"]


def test_identifiers_take_the_place_of_all_that_were_there(alice: Api):
    record = created(alice, **DMSO, synonyms=["DMSO"])
    path = f"/molecules/{record['id']}"
    new = [{"source": "chembl", "kind": "chembl_id", "external_id": "CHEMBL504", "verified": True}]

    alice.patch(path, {"identifiers": new}, headers=IF_ANY)

    assert alice.get(f"{path}?include=identifiers").get_json()["identifiers"] == new


def test_the_same_identifier_named_twice_is_kept_once(alice: Api):
    record = created(alice, **DMSO)
    twice = [{"source": "cas", "kind": "cas_number", "external_id": "67-68-5"}] * 2

    response = alice.patch(f"/molecules/{record['id']}", {"identifiers": twice}, headers=IF_ANY)

    assert response.status_code == 200
    assert len(alice.get(f"/molecules/{record['id']}?include=identifiers").get_json()["identifiers"]) == 1


@pytest.mark.parametrize(
    "field", ["smiles", "inchi", "molfile", "canonical_smiles", "inchikey", "molar_mass_g_mol", "kind"]
)
def test_a_structure_is_what_it_is(alice: Api, field: str):
    record = created(alice, **DMSO)

    response = alice.patch(f"/molecules/{record['id']}", {field: "CCO"}, headers=IF_ANY)

    assert pointers(response) == [f"/{field}"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ({"name": ""}, "/name"),
        ({"name": None}, "/name"),
        ({"is_public": "true"}, "/is_public"),
        ({"is_public": 1}, "/is_public"),
        ({"is_public": None}, "/is_public"),
        ({"project_id": "x"}, "/project_id"),
        ({"identifiers": None}, "/identifiers"),
        ({"identifiers": {}}, "/identifiers"),
    ],
)
def test_a_change_is_checked_field_by_field(alice: Api, body: dict[str, Any], pointer: str):
    record = created(alice, **DMSO)

    assert pointers(alice.patch(f"/molecules/{record['id']}", body, headers=IF_ANY)) == [pointer]


def test_an_owner_publishes_and_takes_back_what_is_in_the_project(
    alice: Api, anon: Api, make_project: Callable[..., UUID]
):
    record = created(alice, **DMSO, project_id=str(make_project(owner=alice)))
    path = f"/molecules/{record['id']}"

    alice.patch(path, {"is_public": True}, headers=IF_ANY)
    published = anon.get(path).status_code
    alice.patch(path, {"is_public": False}, headers=IF_ANY)

    assert (published, anon.get(path).status_code) == (200, 404)


def test_an_editor_neither_publishes_nor_touches_what_is_public(
    alice: Api, bob: Api, make_project: Callable[..., UUID]
):
    project = str(make_project(owner=alice, editor=bob))
    record = created(bob, **DMSO, project_id=project)
    path = f"/molecules/{record['id']}"

    problem(bob.patch(path, {"is_public": True}, headers=IF_ANY), 403)
    alice.patch(path, {"is_public": True}, headers=IF_ANY)
    problem(bob.patch(path, {"name": "mine"}, headers=IF_ANY), 403)
    problem(bob.delete(path, headers=IF_ANY), 403)


def test_a_user_does_not_publish_a_row_outside_projects(alice: Api):
    record = created(alice, **DMSO)

    problem(alice.patch(f"/molecules/{record['id']}", {"is_public": True}, headers=IF_ANY), 403)


def test_publishing_where_a_public_row_exists_is_409_with_its_id(
    alice: Api, service: Api, make_project: Callable[..., UUID]
):
    record = created(alice, **DMSO, project_id=str(make_project(owner=alice)))
    public = created(service, **DMSO)

    response = alice.patch(f"/molecules/{record['id']}", {"is_public": True}, headers=IF_ANY)

    assert problem(response, 409, "molecule_exists")["existing_id"] == public["id"]


def test_a_row_is_moved_into_a_project_that_its_creator_may_edit(
    alice: Api, bob: Api, make_project: Callable[..., UUID]
):
    record = created(alice, **DMSO)
    path = f"/molecules/{record['id']}"

    moved = alice.patch(path, {"project_id": str(make_project(owner=bob, editor=alice))}, headers=IF_ANY)

    assert moved.status_code == 200
    assert bob.get(path).status_code == 200


def test_a_row_is_not_moved_into_a_project_of_others(alice: Api, bob: Api, make_project: Callable[..., UUID]):
    record = created(alice, **DMSO)
    path = f"/molecules/{record['id']}"

    for project in (make_project(owner=bob), make_project(owner=bob, viewer=alice), uuid4()):
        problem(alice.patch(path, {"project_id": str(project)}, headers=IF_ANY), 403)

    assert alice.get(path).get_json()["project_id"] is None


def test_a_row_is_not_moved_where_the_structure_is_already(alice: Api, make_project: Callable[..., UUID]):
    project = str(make_project(owner=alice))
    created(alice, **DMSO, project_id=project)
    record = created(alice, **DMSO)

    response = alice.patch(f"/molecules/{record['id']}", {"project_id": project}, headers=IF_ANY)

    assert problem(response, 409)["errors"][0]["pointer"] == "/project_id"


def test_a_row_is_taken_out_of_a_project_by_its_creator(alice: Api, bob: Api, make_project: Callable[..., UUID]):
    record = created(alice, **DMSO, project_id=str(make_project(owner=alice, viewer=bob)))
    path = f"/molecules/{record['id']}"

    response = alice.patch(path, {"project_id": None}, headers=IF_ANY)

    assert response.get_json()["project_id"] is None
    assert bob.get(path).status_code == 404


def test_a_viewer_changes_nothing(alice: Api, bob: Api, make_project: Callable[..., UUID]):
    record = created(alice, **DMSO, project_id=str(make_project(owner=alice, viewer=bob)))
    path = f"/molecules/{record['id']}"

    problem(bob.patch(path, {"name": "mine"}, headers=IF_ANY), 403)
    problem(bob.put(f"{path}/properties", {"properties": []}, headers=IF_ANY), 403)
    problem(bob.delete(path, headers=IF_ANY), 403)


def test_an_editor_changes_but_does_not_delete(alice: Api, bob: Api, make_project: Callable[..., UUID]):
    record = created(alice, **DMSO, project_id=str(make_project(owner=alice, editor=bob)))
    path = f"/molecules/{record['id']}"

    assert bob.patch(path, {"name": "ours"}, headers=IF_ANY).status_code == 200
    problem(bob.delete(path, headers=IF_ANY), 403)


# Deleting.


def test_a_molecule_is_deleted_with_its_parts(alice: Api, admin: psycopg.Connection):
    density = {"property_type": "density", "value": 1, "unit": "kg/m3"}
    record = created(alice, **DMSO, synonyms=["DMSO"], properties=[density])
    path = f"/molecules/{record['id']}"

    response = alice.delete(path, headers=IF_ANY)

    assert (response.status_code, response.data) == (204, b"")
    problem(alice.get(path), 404)
    for table in ("molecules", "molecule_identifiers", "molecular_properties"):
        assert admin.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)  # noqa: S608 - names from above


def test_a_molecule_that_is_gone_cannot_be_deleted_again(alice: Api):
    path = f"/molecules/{created(alice, **DMSO)['id']}"
    alice.delete(path, headers=IF_ANY)

    problem(alice.delete(path, headers=IF_ANY), 404)


def test_a_deleted_molecule_can_be_created_anew(alice: Api):
    first = created(alice, **DMSO)
    alice.delete(f"/molecules/{first['id']}", headers=IF_ANY)

    assert created(alice, **DMSO)["id"] != first["id"]


def test_the_service_changes_and_deletes_what_anybody_made(alice: Api, service: Api):
    path = f"/molecules/{created(alice, **DMSO)['id']}"

    assert service.patch(path, {"is_public": True}, headers=IF_ANY).status_code == 200
    assert service.delete(path, headers=IF_ANY).status_code == 204
