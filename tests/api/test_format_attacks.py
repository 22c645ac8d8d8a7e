"""Names that try to become a formula, a line, a record or a header of an exported file."""

from __future__ import annotations

import csv
import io

import pytest
from rdkit import Chem

from tests.plugins.api import Api


@pytest.mark.parametrize(
    "name",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        '=cmd|"/C calc"!A1',
        '=HYPERLINK("http://evil.example")',
        "-2+3+cmd|' /C calc'!A0",
    ],
)
def test_a_csv_cell_never_starts_as_a_formula(service: Api, name: str):
    service.post("/molecules", {"name": name, "smiles": "CCO", "synonyms": ["=1+1"]})

    (row,) = csv.DictReader(io.StringIO(service.get("/molecules?format=csv&detail=full").text, newline=""))

    assert row["name"] == f"'{name}"
    assert not [cell for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_a_negative_number_in_a_csv_is_still_a_number(service: Api):
    service.post("/molecules", {"name": "x", "smiles": "CCO"})

    assert "'" not in service.get("/molecules?format=csv&only=molar_mass_g_mol,version").text


@pytest.mark.parametrize("name", ['a","b', "a,b", "a\r\nb", "a\nb,c", '"', 'x"\r\n=1+1,"'])
def test_a_csv_cell_cannot_break_out_of_its_cell(service: Api, name: str):
    service.post("/molecules", {"name": name, "smiles": "CCO"})

    text = service.get("/molecules?format=csv&only=name,formula").text

    assert list(csv.reader(io.StringIO(text, newline=""))) == [["name", "formula"], [name, "C2H6O"]]


@pytest.mark.parametrize(
    "name",
    [
        "$$$$",
        "$$$$ x",
        "a\n$$$$\nb",
        "> <admin>",
        "a\n\n> <role>\nadmin",
        "M  END",
        "a\r\nM  END\r\n$$$$",
        "a\u2028$$$$",
        "a\x0b$$$$\x0c",
    ],
)
def test_an_sd_file_record_can_neither_be_ended_nor_given_fields_by_a_name(service: Api, name: str):
    body = {"name": name, "smiles": "CCO", "synonyms": [name]}
    assert service.post("/molecules", body).status_code == 201
    service.post("/molecules", {"name": "after", "smiles": "C"})

    data = service.get("/molecules?format=sdf&order_by=created_at&only=name,formula,identifiers").data

    supplier = Chem.ForwardSDMolSupplier(io.BytesIO(data))
    first, second = supplier
    assert set(first.GetPropNames()) == {"name", "formula", "identifiers"}
    assert first.GetProp("formula") == "C2H6O"
    assert first.GetProp("name").split() == name.split()
    assert (second.GetProp("name"), second.GetProp("formula")) == ("after", "CH4")
    # RDKit forgives what other readers do not.
    lines = data.decode().split("\n")
    assert [line for line in lines if line.startswith("$$$$")] == ["$$$$", "$$$$"]
    assert [line for line in lines if line.startswith(">")] == [
        ">  <name>",
        ">  <formula>",
        ">  <identifiers>",
    ] * 2
    assert lines.count("M  END") == 2


@pytest.mark.parametrize("name", ["a\nCCCC evil", "a\r\nCCCC evil", "a\tb", "a\u2028CCCC evil", "a\x85CCCC evil"])
def test_a_line_of_smiles_stays_one_line(service: Api, name: str):
    service.post("/molecules", {"name": name, "smiles": "CCO"})

    (line,) = service.get("/molecules?format=smiles").text.splitlines()

    smiles, _, said = line.partition(" ")
    assert smiles == "CCO"
    assert said == " ".join(name.split())


@pytest.mark.parametrize("name", ["x\r\nSet-Cookie: a=b", "x\r\n\r\n<script>", 'x"; filename="evil.exe'])
@pytest.mark.parametrize("style", ["csv", "sdf", "smiles", "ndjson", "parquet"])
def test_no_name_reaches_a_header(service: Api, name: str, style: str):
    created = service.post("/molecules", {"name": name, "smiles": "CCO"})

    exported = service.get(f"/molecules?format={style}")

    for response in (created, exported):
        said = str(response.headers)
        assert "Set-Cookie" not in said
        assert "script" not in said
        assert "evil" not in said
