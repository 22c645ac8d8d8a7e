"""Lists in other formats: what each holds, which one a client gets, and what no cell or line can smuggle in."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest
from rdkit import Chem
from werkzeug.test import TestResponse

from tests.api.bodies import canonical
from tests.api.catalogue import PUBLIC_COUNT
from tests.api.problems import pointers, problem
from tests.plugins.api import Api

Record = dict[str, Any]
NDJSON = "application/x-ndjson"
CSV = "text/csv; charset=utf-8"
SDF = "chemical/x-mdl-sdfile"
SMILES = "chemical/x-daylight-smiles"
PARQUET = "application/vnd.apache.parquet"
FORMATS = {"ndjson": NDJSON, "csv": CSV, "sdf": SDF, "smiles": SMILES, "parquet": PARQUET}


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def sdf(data: bytes) -> list[Chem.Mol]:
    supplier = Chem.ForwardSDMolSupplier(io.BytesIO(data))
    return list(supplier)


NAMES_IN: dict[str, Callable[[TestResponse], list[str]]] = {
    "ndjson": lambda response: [orjson.loads(line)["name"] for line in response.data.splitlines()],
    "csv": lambda response: [row["name"] for row in rows(response.text)],
    "sdf": lambda response: [molecule.GetProp("name") for molecule in sdf(response.data)],
    "smiles": lambda response: [line.partition(" ")[2] for line in response.text.splitlines()],
    "parquet": lambda response: pq.read_table(io.BytesIO(response.data)).column("name").to_pylist(),
}


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("application/*", "application/json"),
        ("", "application/json"),
        ("text/csv", CSV),
        ("text/*", CSV),
        (NDJSON, NDJSON),
        (SDF, SDF),
        (SMILES, SMILES),
        ("chemical/*", SDF),
        (PARQUET, PARQUET),
        ("application/json;q=0.1, text/csv;q=0.9", CSV),
        ("application/json, text/csv;q=0.9", "application/json"),
        ("text/csv;q=0.5, application/json;q=0.4, */*;q=0.1", CSV),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/json"),
        ("image/png, text/csv;q=0.01", CSV),
        ("text/csv;q=0, */*;q=0.5", "application/json"),
        ("TEXT/CSV", CSV),
    ],
)
def test_accept_chooses_the_format_with_its_weights(visitor: Api, accept: str, given: str):
    assert visitor.get("/molecules?limit=1", headers={"Accept": accept}).content_type == given


def test_a_format_that_accept_refuses_is_not_given_where_another_would_do(visitor: Api):
    response = visitor.get("/molecules?limit=1", headers={"Accept": "application/json;q=0, */*;q=0.5"})

    assert response.content_type != "application/json"
    assert response.status_code == 200


@pytest.mark.parametrize(("name", "given"), [("json", "application/json"), *FORMATS.items()])
def test_the_parameter_format_goes_before_accept(visitor: Api, name: str, given: str):
    assert visitor.get(f"/molecules?limit=1&format={name}", headers={"Accept": "image/png"}).content_type == given


@pytest.mark.parametrize("name", ["xml", "CSV", "text/csv", "", "json,csv"])
def test_another_format_is_422(visitor: Api, name: str):
    assert pointers(visitor.get("/molecules", query_string={"format": name})) == ["format"]


def test_ndjson_is_the_whole_list_with_a_record_a_line(visitor: Api, catalogue: list[Record]):
    response = visitor.get("/molecules?format=ndjson&order_by=name")

    lines = response.data.split(b"\n")
    assert lines.pop() == b""
    assert [orjson.loads(line) for line in lines] == visitor.get("/molecules?order_by=name").get_json()["data"]


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_stream_without_a_limit_has_every_record_and_no_link(visitor: Api, catalogue: list[Record], name: str):
    response = visitor.get(f"/molecules?format={name}")

    drawn = {record["name"] for record in catalogue if record["kind"] == "molecule" or name not in {"sdf", "smiles"}}
    assert set(NAMES_IN[name](response)) == drawn
    assert len(NAMES_IN[name](response)) == len(drawn)
    assert "Link" not in response.headers


@pytest.mark.parametrize("name", list(FORMATS))
def test_with_a_limit_a_stream_is_one_page_and_links_to_the_next(visitor: Api, catalogue: list[Record], name: str):
    path = f"/molecules?format={name}&order_by=name&kind=molecule&limit=4"

    first = visitor.get(path)
    second = visitor.get(first.headers["Link"].partition(">")[0].partition("/api/v1")[2])

    names = sorted(record["name"] for record in catalogue if record["kind"] == "molecule")
    assert NAMES_IN[name](first) == names[:4]
    assert NAMES_IN[name](second) == names[4:8]


def test_a_stream_starts_at_its_cursor(visitor: Api, catalogue: list[Record]):
    after = visitor.get("/molecules?order_by=name&limit=10").get_json()["page"]["next"]

    response = visitor.get(f"/molecules?order_by=name&format=ndjson&cursor={after}")

    assert len(response.data.splitlines()) == PUBLIC_COUNT - 10


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_list_without_rows_is_an_empty_file_of_its_format(visitor: Api, name: str):
    response = visitor.get(f"/molecules?format={name}&name=nothing is called so")

    assert response.status_code == 200
    if name == "csv":
        assert response.text.startswith("id,name,kind,")
        assert rows(response.text) == []
    elif name == "parquet":
        assert pq.read_table(io.BytesIO(response.data)).num_rows == 0
    else:
        assert response.data == b""


def test_csv_names_its_columns_and_quotes_what_needs_it(visitor: Api, catalogue: list[Record]):
    response = visitor.get("/molecules?format=csv&order_by=name&only=id,name,molar_mass_g_mol,is_public,descriptors")

    found = rows(response.text)
    assert list(found[0]) == ["id", "name", "molar_mass_g_mol", "descriptors", "is_public"]
    assert response.text.count("\r\n") == PUBLIC_COUNT + 1
    by_name = {record["name"]: record for record in catalogue}
    for row in found:
        record = by_name[row["name"]]
        assert row["id"] == record["id"]
        assert row["molar_mass_g_mol"] == (
            "" if record["molar_mass_g_mol"] is None else str(record["molar_mass_g_mol"])
        )
        assert row["is_public"] == "true"
        assert orjson.loads(row["descriptors"]) == record["descriptors"]


def test_related_records_are_json_in_a_cell(visitor: Api, catalogue: list[Record]):
    response = visitor.get("/molecules?format=csv&name=glycerine&only=identifiers,source")

    (row,) = rows(response.text)
    assert orjson.loads(row["identifiers"])[0]["external_id"] == "glycerol"
    assert row["source"] == ""


def test_smiles_lines_are_a_structure_a_blank_and_a_name(visitor: Api, catalogue: list[Record]):
    response = visitor.get("/molecules?format=smiles&name=glycerine")

    smiles, _, name = response.text.strip().partition(" ")
    assert name == "glycerine"
    assert canonical(smiles) == canonical("OCC(O)CO")


@pytest.mark.parametrize("query", ["", "&only=id", "&only=name", "&detail=minimal", "&only=canonical_smiles"])
@pytest.mark.parametrize("name", ["sdf", "smiles"])
def test_structures_are_there_whatever_fields_are_shown(visitor: Api, catalogue: list[Record], name: str, query: str):
    response = visitor.get(f"/molecules?format={name}&name=glycerine{query}")

    if name == "smiles":
        assert response.text.partition(" ")[2] == "glycerine\n"
    else:
        (molecule,) = sdf(response.data)
        assert molecule.GetNumAtoms() == 6
        assert molecule.GetProp("_Name") == "glycerine"


def test_an_sd_file_has_the_structures_and_the_fields_shown_and_no_others(visitor: Api, catalogue: list[Record]):
    response = visitor.get("/molecules?format=sdf&name=glycerine&only=inchikey,molar_mass_g_mol,identifiers")

    (molecule,) = sdf(response.data)
    found = molecule.GetPropsAsDict(autoConvertStrings=False)
    assert set(found) == {"inchikey", "molar_mass_g_mol", "identifiers"}
    assert found["inchikey"] == Chem.MolToInchiKey(molecule)  # type: ignore[no-untyped-call]
    assert float(found["molar_mass_g_mol"]) == pytest.approx(92.09, abs=0.01)
    assert orjson.loads(found["identifiers"])[0]["external_id"] == "glycerol"


def test_records_without_a_structure_are_left_out_of_chemists_formats(visitor: Api, catalogue: list[Record]):
    assert visitor.get("/molecules?format=sdf&kind=polymer").data == b""
    assert visitor.get("/molecules?format=smiles&kind=polymer").data == b""


def test_parquet_has_typed_columns(visitor: Api, catalogue: list[Record]):
    response = visitor.get("/molecules?format=parquet&order_by=name&detail=full")

    table = pq.read_table(io.BytesIO(response.data))
    assert {
        name: str(table.schema.field(name).type) for name in ("id", "molar_mass_g_mol", "is_public", "version")
    } == {
        "id": "string",
        "molar_mass_g_mol": "double",
        "is_public": "bool",
        "version": "int64",
    }
    expected = sorted(catalogue, key=lambda record: record["name"])
    assert table.column("molar_mass_g_mol").to_pylist() == [record["molar_mass_g_mol"] for record in expected]
    assert [orjson.loads(text) for text in table.column("identifiers").to_pylist()] == [
        record["identifiers"] for record in expected
    ]


def test_files_have_a_name_with_their_extension(visitor: Api, catalogue: list[Record]):
    said = {name: visitor.get(f"/molecules?limit=1&format={name}").headers["Content-Disposition"] for name in FORMATS}

    assert said == {
        "ndjson": 'attachment; filename="molecules.ndjson"',
        "csv": 'attachment; filename="molecules.csv"',
        "sdf": 'attachment; filename="molecules.sdf"',
        "smiles": 'attachment; filename="molecules.smi"',
        "parquet": 'attachment; filename="molecules.parquet"',
    }


def test_a_fault_at_the_outset_of_a_stream_is_still_a_clean_problem(visitor: Api):
    problem(visitor.get("/molecules?format=csv&order_by=acl"), 400)
    problem(visitor.get("/molecules?format=csv&cursor=x"), 400)


def test_single_records_are_plain_objects_whatever_is_accepted(visitor: Api, catalogue: list[Record]):
    response = visitor.get(f"/molecules/{catalogue[0]['id']}", headers={"Accept": "*/*"})

    assert response.content_type == "application/json"
    assert response.get_json()["id"] == catalogue[0]["id"]
