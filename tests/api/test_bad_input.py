"""Input that nobody should send: each is refused by name, costs little and is no fault of ours."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import orjson
import psycopg
import pytest
from flask import Flask

from tests.api.bodies import DMSO
from tests.api.problems import pointers, problem
from tests.plugins.api import Api

IF_ANY = {"If-Match": "*"}
BODIES = ("/molecules", "/molecules/batch", "/molecules/lookup", "/imports/records?source=chembl")


def send(caller: Api, body: str | bytes, path: str = "/molecules", method: str = "POST") -> Any:
    return caller.request(method, path, data=body, content_type="application/json", headers=IF_ANY)


@pytest.fixture
def molecule(alice: Api) -> str:
    """Give the path of a molecule of alice's."""
    return f"/molecules/{alice.post('/molecules', DMSO).get_json()['id']}"


# Characters.


@pytest.mark.parametrize(
    "text", ["\\u0000", "a\\u0000b", "\\ud800", "\\udc00", "a\\udfffb", "\\ud800\\ud800", "\\udc00\\ud800"]
)
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ('{"name": "%s", "smiles": "C"}', "/name"),
        ('{"name": "x", "smiles": "C%s"}', "/smiles"),
        ('{"name": "x", "smiles": "C", "synonyms": ["ok", "%s"]}', "/synonyms/1"),
        ('{"name": "x", "smiles": "C", "%s": 1}', ""),
        ('{"name": "x", "smiles": "C", "a/b": {"c~d": ["%s"]}}', "/a~1b/c~0d/0"),
    ],
)
def test_nul_and_half_surrogates_are_422_where_they_stand(operator: Api, text: str, body: str, pointer: str):
    assert pointers(send(operator, body.replace("%s", text))) == [pointer]


@pytest.mark.parametrize("path", BODIES)
def test_nul_is_422_in_every_body(operator: Api, path: str):
    problem(send(operator, '{"x": "\\u0000"}', path), 422)


@pytest.mark.parametrize("body", [b'{"name": "\x00"}', b"\x00", b'{"name": "x"}\x00', b'{"a\x00": 1}'])
def test_a_bare_nul_is_no_json(operator: Api, body: bytes):
    problem(send(operator, body), 400, "malformed_json")


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": "\xff"}',
        b'{"name": "\xed\xa0\x80"}',
        b'{"name": "\xc0\xaf"}',
        '{"name": "x"}'.encode("utf-16"),
        b"\x80",
    ],
)
def test_what_is_not_utf_8_is_400(operator: Api, body: bytes):
    problem(send(operator, body), 400, "malformed_json")


@pytest.mark.parametrize(
    "name",
    [
        "e\u0301",
        "\u00e9",
        "\u1e9b\u0323",
        "\ufb01",
        "\uff27lycerol",
        "A\u0300\u0301\u0302\u0303",
        "\u1100\u1161\u11a8",
        "\u0130",
        "\u200b\u200bx",
        "\ufeffx",
        "\u202egnp.exe",
        "🧊\u200d❄\ufe0f",
        "\U0010ffff",
        "\ufffe",
        "tab\there",
        "\x01\x02",
        "\x7f",
    ],
)
def test_odd_but_storable_texts_come_back_unchanged(alice: Api, name: str):
    created = alice.post("/molecules", {"name": name, "smiles": "C", "synonyms": [f"{name} too"]})

    assert created.get_json()["name"] == name
    record = alice.get(f"/molecules/{created.get_json()['id']}?include=identifiers").get_json()
    assert (record["name"], record["identifiers"][0]["external_id"]) == (name, f"{name} too")
    assert len(alice.get("/molecules", query_string={"name": name}).get_json()["data"]) == 1


def test_two_spellings_of_one_letter_are_two_names(alice: Api):
    alice.post("/molecules", {"name": "e\u0301", "smiles": "C"})

    assert alice.get("/molecules", query_string={"name": "\u00e9"}).get_json()["data"] == []


# Numbers.


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1" + "0" * 400, "9" * 5000, "-" + "9" * 5000]
)
@pytest.mark.parametrize(
    "body",
    [
        '{"name": "x", "smiles": "C", "properties": [{"property_type": "density", "unit": "kg/m3", "value": %s}]}',
        '{"name": "x", "smiles": "C", "properties": [{"property_type": "density", "standard_uncertainty": %s}]}',
        '{"name": "x", "smiles": "C", "anything": [{"else": %s}]}',
        "%s",
    ],
)
def test_numbers_that_are_not_finite_are_422_wherever_they_stand(operator: Api, body: str, number: str):
    problem(send(operator, body.replace("%s", number)), 422)


@pytest.mark.parametrize("number", ["-0", "1E5", "1e-400", "0.1e1", "1.0", "123456789012345678901234567890"])
def test_numbers_that_are_finite_are_taken(alice: Api, molecule: str, number: str):
    body = f'{{"values": [{{"unit": "K", "value": {number}}}]}}'

    response = send(alice, body, f"{molecule}/properties/melting_point", "PUT")

    assert response.status_code == 200, response.text
    assert response.get_json()["data"][0]["value"] == float(number)


@pytest.mark.parametrize("number", ["01", "+1", "1.", ".5", "0x10", "1_000", "1e", "--1", "nan", "inf", "-NaN"])
def test_numbers_that_are_not_json_are_400(operator: Api, number: str):
    problem(send(operator, f'{{"value": {number}}}'), 400, "malformed_json")


@pytest.mark.parametrize("value", ["true", "false"])
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ('{"name": %s, "smiles": "C"}', "/name"),
        ('{"name": "x", "smiles": %s}', "/smiles"),
        ('{"name": "x", "smiles": "C", "project_id": %s}', "/project_id"),
        ('{"name": "x", "smiles": "C", "synonyms": %s}', "/synonyms"),
        ('{"name": "x", "smiles": "C", "synonyms": [%s]}', "/synonyms/0"),
        (
            '{"name": "x", "smiles": "C", "properties": [{"property_type": "density", "unit": "kg/m3", "value": %s}]}',
            "/properties/0/value",
        ),
    ],
)
def test_truth_values_are_neither_numbers_nor_texts(operator: Api, body: str, pointer: str, value: str):
    assert pointers(send(operator, body.replace("%s", value))) == [pointer]


@pytest.mark.parametrize("value", ["0", "1", "1.0", '"true"', '"yes"', '"false"', "[]", "{}", '""'])
def test_nothing_but_true_and_false_is_a_truth_value(operator: Api, value: str):
    assert pointers(send(operator, f'{{"name": "x", "smiles": "C", "is_public": {value}}}')) == ["/is_public"]


# Shapes.


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
@pytest.mark.parametrize("path", BODIES)
def test_json_100000_deep_is_400(operator: Api, path: str, opening: str, closing: str):
    problem(send(operator, opening * 100_000 + "1" + closing * 100_000, path), 400, "malformed_json")


@pytest.mark.parametrize("depth", [50, 200, 600, 990, 1_500, 5_000, 20_000])
@pytest.mark.parametrize("leaf", ["1", '"\\u0041"'])
@pytest.mark.parametrize("path", ["/molecules", "/imports/records?source=pubchem", "/imports/records?source=chembl"])
def test_json_of_any_depth_is_refused_and_never_breaks_us(service: Api, path: str, depth: int, leaf: str):
    for body in (
        '{"a":' * depth + leaf + "}" * depth,
        '{"Record": {"RecordType": "CID", "Section": ' + '[{"Section":' * depth + leaf + "}]" * depth + "}}",
        '{"molecules": [' + "[" * depth + leaf + "]" * depth + "]}",
    ):
        response = send(service, body, path)
        assert response.status_code in {200, 400, 422}, response.text
        assert response.status_code == 200 or problem(response, response.status_code)


def test_an_unclosed_array_100000_deep_is_400(operator: Api):
    problem(send(operator, "[" * 100_000), 400, "malformed_json")


@pytest.mark.parametrize(
    "body",
    [
        '{"name": "a", "name": "b", "smiles": "C"}',
        '{"name": "a", "smiles": "C", "is_public": false, "is_public": true}',
        '{"name": "a", "smiles": "C", "properties": [{"value": 1, "value": 2}]}',
        '{"name": "a", "\\u006eame": "b", "smiles": "C"}',
    ],
)
def test_a_key_that_stands_twice_is_400_and_named(operator: Api, body: str):
    detail = problem(send(operator, body), 400, "duplicate_key")["detail"]

    assert "twice" in detail


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("body", [b"", b" ", b"\n"])
def test_an_empty_body_is_400(operator: Api, path: str, body: bytes):
    problem(send(operator, body, path), 400, "malformed_json")


@pytest.mark.parametrize(
    ("method", "part", "body"),
    [
        ("POST", "/molecules", []),
        ("POST", "/molecules", [DMSO]),
        ("POST", "/molecules/lookup", []),
        ("PATCH", "", []),
        ("PATCH", "", "name"),
        ("PUT", "/properties", []),
        ("PUT", "/properties/density", [1]),
    ],
)
def test_an_array_for_an_object_is_422(alice: Api, molecule: str, method: str, part: str, body: Any):
    path = part if part.startswith("/molecules") else molecule + part

    problem(send(alice, orjson.dumps(body), path, method), 422)


@pytest.mark.parametrize("field", ["name", "smiles", "synonyms", "identifiers", "properties"])
def test_null_is_no_value(operator: Api, field: str):
    assert f"/{field}" in pointers(operator.post("/molecules", {**DMSO, field: None}))


# Fields that are not the caller's to set.


@pytest.mark.parametrize(
    "field",
    ["id", "created_by", "version", "role", "acl", "created_at", "updated_at", "kind", "inchikey", "parent_inchikey",
     "molar_mass_g_mol", "fingerprint", "descriptors", "data_source_id", "source_record", "import_run_id", "search",
     "owner", "__class__", "__proto__", "constructor", "_schema", "$where"],
)  # fmt: skip
@pytest.mark.parametrize("verb", ["create", "batch", "change"])
def test_a_field_that_is_not_the_callers_to_set_is_422_and_sets_nothing(
    alice: Api, molecule: str, admin: psycopg.Connection, verb: str, field: str
):
    value = str(uuid4())
    if verb == "create":
        response = alice.post("/molecules", {"name": "x", "smiles": "CCO", field: value})
        assert f"/{field}" in pointers(response) or field == "_schema"
        assert response.status_code == 422
    elif verb == "batch":
        (result,) = alice.post("/molecules/batch", [{"name": "x", "smiles": "CCO", field: value}]).get_json()["results"]
        assert result["status"] == "refused"
    else:
        response = alice.patch(molecule, {"name": "x", field: value}, headers=IF_ANY)
        assert response.status_code == 422

    rows = admin.execute("SELECT name, version FROM molecules").fetchall()
    assert rows == [(DMSO["name"], 1)]


# Structures.


@pytest.mark.parametrize(
    "smiles",
    [
        "C" * 10_240,
        "(" * 10_240,
        "C(" * 5_000 + "C" + ")" * 5_000,
        "C" + "(C)" * 3_400,
        "C1" + "C" * 998 + "C1",
        "".join(f"C%{n % 90 + 10}" for n in range(999)),
        "[" * 10_240,
        "C%" * 5_000,
        "C.C" * 3_000,
        "c1" * 5_000,
        "[C@@H]" * 1_500,
        "C" * 200_001,
        "[" + "9" * 5_000 + "C]",
        "C=" * 5_000,
        "\\/" * 5_000,
    ],
    ids=lambda text: f"{text[:8]}x{len(text)}",
)
def test_a_monstrous_smiles_is_refused_in_time_and_costs_nothing_else(alice: Api, smiles: str):
    started = time.monotonic()

    response = alice.post("/molecules", {"name": "monster", "smiles": smiles})

    assert pointers(response) == ["/smiles"]
    assert len(response.text) < 4_000
    assert time.monotonic() - started < 20
    assert alice.post("/molecules", DMSO).status_code == 201


@pytest.mark.parametrize("atoms", [100, 500])
def test_a_ring_of_many_atoms_that_can_be_read_is_taken(alice: Api, atoms: int):
    response = alice.post("/molecules", {"name": "ring", "smiles": "C1" + "C" * (atoms - 2) + "C1"})

    assert response.status_code == 201, response.text
    assert response.get_json()["formula"] == f"C{atoms}H{2 * atoms}"


@pytest.mark.parametrize(
    "text",
    [
        "InChI=1S/" + "C" * 10_000,
        "InChI=1S/C" + "9" * 3_000 + "/c1",
        "InChI=1S/CH4/h1H4\nInChI=1S/H2O/h1H2",
        "InChI=1S/" + "(" * 5_000,
        "x" * 200_001,
    ],
    ids=["formula", "count", "two", "parentheses", "length"],
)
def test_a_monstrous_inchi_is_refused(alice: Api, text: str):
    assert pointers(alice.post("/molecules", {"name": "monster", "inchi": text})) == ["/inchi"]


@pytest.mark.parametrize(
    "text",
    [
        "\n\n\n999999999  0  0  0  0  0  0  0  0  0999 V2000\nM  END\n",
        "\n\n\n999999  0  0  0  0  0  0  0  0  0999 V2000\n" + "C\n" * 5_000,
        "\n\n\n  0  0  0     0  0            999 V3000\nM  V30 BEGIN CTAB\nM  V30 COUNTS 99999999 9 0 0 0\nM  END\n",
        "\n\n\n -1 -1  0  0  0  0  0  0  0  0999 V2000\nM  END\n",
        "$RXN\n\n\n\n  1  1\n",
        "\n" * 100_000,
    ],
    ids=["counts", "short of atoms", "v3000", "negative", "reaction", "blank lines"],
)
def test_a_monstrous_molfile_is_refused(alice: Api, text: str):
    assert pointers(alice.post("/molecules", {"name": "monster", "molfile": text})) == ["/molfile"]


# Sizes.


def test_a_body_over_the_limit_is_413_whatever_it_holds(make_app: Callable[..., Flask], alice: Api):
    caller = Api(make_app(max_body_bytes=2_000).test_client(), alice.token)

    fits = caller.post("/molecules", {**DMSO, "synonyms": ["x" * 400] * 4})
    response = caller.post("/molecules", {**DMSO, "synonyms": ["x" * 500] * 4})

    assert fits.status_code == 201
    problem(response, 413, "body_too_large")


@pytest.mark.parametrize("path", ["/molecules", "/molecules/batch", "/molecules/lookup"])
def test_a_body_that_only_says_to_be_too_large_is_413_too(operator: Api, path: str):
    response = operator.post(
        path, data=b"{}", content_type="application/json", environ_overrides={"CONTENT_LENGTH": str(10**12)}
    )

    problem(response, 413)


def test_an_import_may_be_larger_than_other_bodies_and_has_a_limit_of_its_own(
    make_app: Callable[..., Flask], service: Api
):
    caller = Api(make_app(max_body_bytes=2_000, max_import_bytes=20_000).test_client(), service.token)

    def post(size: int) -> Any:
        body = {"PropertyTable": {"Properties": [{"CID": 679, "SMILES": "CS(=O)C", "Title": "x" * size}]}}
        return caller.post("/imports/records?source=pubchem", body)

    assert post(10_000).status_code == 200
    problem(post(30_000), 413)


@pytest.mark.parametrize("length", ["-1", "abc", "1.5", "", " "])
def test_a_content_length_that_is_no_length_is_no_fault_of_ours(operator: Api, length: str):
    response = operator.post(
        "/molecules", data=b"{}", content_type="application/json", environ_overrides={"CONTENT_LENGTH": length}
    )

    assert response.status_code in {400, 411, 422}


@pytest.mark.parametrize("count", [501, 5_000])
@pytest.mark.parametrize("field", ["synonyms", "identifiers", "properties"])
def test_lists_in_a_record_have_an_end(operator: Api, field: str, count: int):
    item = {
        "synonyms": "x",
        "identifiers": {"source": "cas", "kind": "cas_number", "external_id": "x"},
        "properties": {"property_type": "density", "value": 1, "unit": "kg/m3"},
    }[field]

    assert pointers(operator.post("/molecules", {**DMSO, field: [item] * count})) == [f"/{field}"]


def test_a_very_long_name_is_refused_without_being_repeated(operator: Api):
    response = operator.post("/molecules", {"name": "x" * 1_000_000, "smiles": "C"})

    assert pointers(response) == ["/name"]
    assert len(response.text) < 1_000


def test_a_very_long_unknown_parameter_is_not_repeated_in_full(visitor: Api):
    response = visitor.get(f"/molecules?{'x' * 5_000}=1")

    problem(response, 400)
    assert len(response.text) < 2_000


# Everything else of a request.


@pytest.mark.parametrize(
    "path",
    [
        "/imports/records?source=chembl&release=%00",
        "/imports/records?source=chembl&release=" + "x" * 201,
        "/imports/records?source=chembl&source=pubchem",
        "/imports/records?source=%00",
        "/imports/records?source=",
        "/imports/records",
        "/molecules/batch?atomic=%00",
    ],
)
def test_a_strange_parameter_of_a_write_is_refused(operator: Api, path: str):
    response = operator.post(path, [])

    assert response.status_code in {400, 422}
    problem(response, response.status_code)


@pytest.mark.parametrize("value", ["x\x00y", "é", "a" * 10_000, "'; DROP TABLE molecules; --", "\x7f", "\t"])
@pytest.mark.parametrize(
    "header",
    [
        "Accept",
        "Prefer",
        "If-None-Match",
        "X-Request-ID",
        "Origin",
        "Accept-Language",
        "Cookie",
        "X-Forwarded-For",
        "Range",
    ],
)
def test_a_strange_header_is_no_fault_of_ours(visitor: Api, header: str, value: str):
    response = visitor.get("/molecules", headers={header: value})

    assert response.status_code in {200, 406}


@pytest.mark.parametrize("value", ["x\x00y", "é", "a" * 10_000, "'; DROP TABLE molecules; --", '"' * 1_000])
@pytest.mark.parametrize("header", ["If-Match", "If-None-Match", "Prefer"])
def test_a_strange_header_of_a_change_is_no_fault_of_ours(alice: Api, molecule: str, header: str, value: str):
    response = alice.patch(molecule, {"name": "x"}, headers={"If-Match": "*", header: value})

    assert response.status_code == (412 if header == "If-Match" else 200)


@pytest.mark.parametrize(
    "path",
    [
        "/molecules/%ff%fe",
        "/molecules/%ED%A0%80",
        "/molecules/00000000-0000-0000-0000-000000000000%00",
        "/molecules/" + "a" * 5_000,
        "/molecules/0x0",
        "/molecules/{00000000-0000-0000-0000-000000000000}",
        "/molecules/urn:uuid:00000000-0000-0000-0000-000000000000",
        "/molecules/00000000000000000000000000000000",
    ],
)
def test_an_id_that_is_none_is_404(visitor: Api, path: str):
    problem(visitor.get(path), 404)


@pytest.mark.parametrize("query", ["name=%ff", "name=%ED%A0%80", "name=%", "name=%zz", "&&&", "=", "name", "%"])
def test_a_query_string_that_is_oddly_encoded_is_no_fault_of_ours(visitor: Api, query: str):
    response = visitor.get(f"/molecules?{query}")

    assert response.status_code in {200, 400, 422}


def test_a_thousand_parameters_are_refused_at_the_first_unknown_one(visitor: Api):
    query = "&".join(f"p{number}=1" for number in range(1_000))

    problem(visitor.get(f"/molecules?{query}"), 400, "unknown_parameter")
