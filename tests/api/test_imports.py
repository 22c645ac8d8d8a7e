"""Records of ChEMBL and PubChem, posted as those services send them: ours by hand, and the real ones where at hand."""

from __future__ import annotations

import copy
import gzip
import json
import os
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest
from rdkit import Chem

from app.errors import InvalidError
from app.services.import_records import PARSERS
from tests.api.bodies import DMSO, GLYCEROL, GLYCEROL_INCHIKEY
from tests.api.problems import pointers, problem
from tests.plugins.api import Api

PROJECT = Path(__file__).parents[2]
RECORDINGS = PROJECT / "tests" / "recordings"
REAL = Path(os.environ.get("CRYOPROTECT_SHARED", PROJECT.parent / "shared" / "data"))
COUNTS: Final = ("added", "existing", "changed", "refused")

RECORDED: list[tuple[str, str, list[str]]] = [
    ("chembl", "molecules_page_old.json", ["added", "refused", "refused"]),
    ("chembl", "molecule_new.json", ["added"]),
    ("pubchem", "property_table_old.json", ["added", "added"]),
    ("pubchem", "property_table_new.json", ["added", "refused", "refused", "added", "existing", "refused"]),
    ("pubchem", "pc_compounds_old.json", ["added", "refused"]),
    ("pubchem", "pc_compounds_new.json", ["added", "refused"]),
    ("pubchem", "pug_view_record.json", ["added"]),
    ("pubchem", "pug_view_section.json", ["refused"]),
    ("pubchem", "information_list.json", ["refused"]),
]
REFUSED: list[tuple[str, str, str, str]] = [
    ("chembl", "activities_page.json", "unknown_records", "activities"),
    ("chembl", "elasticsearch_hits.json", "unknown_records", "Elasticsearch"),
    ("chembl", "mechanism_rows.json", "unknown_records", "mechanisms"),
    ("pubchem", "fault.json", "upstream_fault", "PUGREST.ServerBusy"),
    ("pubchem", "waiting.json", "upstream_waiting", "list key"),
    ("pubchem", "pug_view_assay.json", "unknown_records", "AID"),
    ("pubchem", "substances.json", "unknown_records", "substances"),
]


def recording(source: str, name: str) -> Any:
    return json.loads((RECORDINGS / source / name).read_text(encoding="utf-8"))


def post(caller: Api, source: str, body: object, release: str = "") -> dict[str, Any]:
    response = caller.post(f"/imports/records?source={source}" + (release and f"&release={release}"), body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.get_json()
    return answer


def compound(cid: int, smiles: str, **fields: Any) -> dict[str, Any]:
    return {"CID": cid, "SMILES": smiles, **fields}


def table(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"PropertyTable": {"Properties": list(rows)}}


def statuses(answer: dict[str, Any]) -> list[str]:
    return [item["status"] for item in answer["results"]]


# Recordings.


@pytest.mark.parametrize(("source", "name", "expected"), RECORDED)
def test_a_body_answers_for_each_record_by_its_index(service: Api, source: str, name: str, expected: list[str]):
    answer = post(service, source, recording(source, name))

    assert statuses(answer) == expected
    assert [item["index"] for item in answer["results"]] == list(range(len(expected)))
    assert {key: answer[key] for key in COUNTS} == {key: expected.count(key) for key in COUNTS}
    for item in answer["results"]:
        assert bool(item["id"]) == (item["status"] != "refused")
        assert bool(item["errors"]) == (item["status"] == "refused")


@pytest.mark.parametrize(("source", "name", "expected"), RECORDED)
def test_the_same_body_again_adds_nothing(service: Api, source: str, name: str, expected: list[str]):
    first = post(service, source, recording(source, name))
    records = service.get("/molecules?detail=full&order_by=id").data

    second = post(service, source, recording(source, name))

    assert statuses(second) == ["existing" if status == "added" else status for status in expected]
    assert [item["id"] for item in second["results"]] == [item["id"] for item in first["results"]]
    assert service.get("/molecules?detail=full&order_by=id").data == records


@pytest.mark.parametrize(("source", "name", "code", "says"), REFUSED)
def test_a_body_of_something_else_is_422_and_says_what_it_is(
    service: Api, source: str, name: str, code: str, says: str
):
    response = service.post(f"/imports/records?source={source}", recording(source, name))

    assert says in problem(response, 422, code)["detail"]


def test_a_molecule_of_chembls_is_kept_whole(service: Api, anon: Api):
    (molecule_id, *_) = [
        item["id"] for item in post(service, "chembl", recording("chembl", "molecules_page_old.json"))["results"]
    ]

    record = anon.get(f"/molecules/{molecule_id}?detail=full").get_json()

    assert (record["name"], record["inchikey"], record["is_public"]) == ("GLYCERIN", GLYCEROL_INCHIKEY, True)
    assert {(item["source"], item["external_id"]) for item in record["identifiers"]} == {
        ("chembl", "CHEMBL692"),
        ("name", "Glycerol"),
    }
    values = {item["property_type"]: (item["value"], item["unit"]) for item in record["properties"]}
    assert values == {"acidic_pka": (13.6, "1"), "log_d_ph_7_4": (-1.8, "1"), "max_clinical_phase": (4.0, "1")}
    assert all(item["reference"] for item in record["properties"])


def test_what_was_imported_is_found_by_its_numbers(service: Api, anon: Api):
    post(service, "chembl", recording("chembl", "molecules_page_old.json"))
    post(service, "pubchem", recording("pubchem", "pug_view_record.json"))

    found = anon.post("/molecules/lookup", {"cids": [753], "chembl_ids": ["CHEMBL692"]}).get_json()["data"]

    assert [item["kind"] for item in found] == ["cid", "chembl_id"]
    assert len({item["id"] for item in found}) == 1


# Provenance.


def test_each_molecule_says_where_it_comes_from(service: Api, anon: Api):
    answer = post(service, "chembl", recording("chembl", "molecules_page_old.json"), "ChEMBL_24")

    source = anon.get(f"/molecules/{answer['results'][0]['id']}?include=source").get_json()["source"]

    assert (source["name"], source["release"], source["record"]) == ("ChEMBL", "ChEMBL_24", "CHEMBL692")
    assert source["import_run_id"] == answer["import_run_id"]
    assert source["licence"].startswith("CC BY-SA")
    assert source["url"].startswith("https://www.ebi.ac.uk/chembl")


def test_a_pubchem_molecule_names_its_cid_as_its_record(service: Api):
    answer = post(service, "pubchem", recording("pubchem", "property_table_old.json"))

    source = service.get(f"/molecules/{answer['results'][0]['id']}?include=source").get_json()["source"]

    assert (source["name"], source["release"], source["record"]) == ("PubChem", "", "145742")


def test_a_run_is_kept_with_its_counts_and_what_it_left_out(service: Api, admin: psycopg.Connection):
    answer = post(service, "chembl", recording("chembl", "molecules_page_old.json"))

    run = admin.execute(
        """
        SELECT state, added_count, existing_count, refused_count, finished_at >= started_at
        FROM import_runs WHERE id = %s
        """,
        (UUID(answer["import_run_id"]),),
    ).fetchall()
    errors = admin.execute(
        "SELECT record_index, source_record, reason FROM import_errors WHERE import_run_id = %s ORDER BY record_index",
        (UUID(answer["import_run_id"]),),
    ).fetchall()
    assert run == [("finished", 1, 0, 2, True)]
    assert [(index, record) for index, record, _ in errors] == [(1, "CHEMBL9000001"), (2, "CHEMBL9000002")]
    assert [reason for _, _, reason in errors] == [item["errors"][0]["detail"] for item in answer["results"][1:]]


def test_parts_point_to_the_run_that_brought_them(service: Api, admin: psycopg.Connection):
    answer = post(service, "pubchem", recording("pubchem", "property_table_old.json"))

    for statement in (
        "SELECT DISTINCT import_run_id::text FROM molecules",
        "SELECT DISTINCT import_run_id::text FROM molecule_identifiers",
        "SELECT DISTINCT import_run_id::text FROM molecular_properties",
    ):
        assert admin.execute(statement).fetchall() == [(answer["import_run_id"],)]


def test_a_release_is_a_source_of_its_own_and_kept_once(service: Api, admin: psycopg.Connection):
    body = recording("chembl", "molecule_new.json")
    for release in ("ChEMBL_35", "ChEMBL_36", "ChEMBL_36", ""):
        post(service, "chembl", body, release)

    assert admin.execute("SELECT name, release FROM data_sources ORDER BY release").fetchall() == [
        ("ChEMBL", ""),
        ("ChEMBL", "ChEMBL_35"),
        ("ChEMBL", "ChEMBL_36"),
    ]
    assert admin.execute("SELECT count(*) FROM import_runs").fetchone() == (4,)


def test_what_exists_keeps_its_first_source_and_gains_what_is_new(service: Api):
    chembl = post(service, "chembl", recording("chembl", "molecules_page_old.json"))["results"][0]
    before = service.get(f"/molecules/{chembl['id']}?detail=full").get_json()

    pubchem = post(service, "pubchem", table(compound(753, "C(C(CO)O)O", Title="Glycerin", XLogP=-1.8)))["results"][0]

    after = service.get(f"/molecules/{chembl['id']}?detail=full").get_json()
    assert pubchem == {"index": 0, "status": "changed", "id": chembl["id"], "errors": []}
    assert after["source"] == before["source"]
    assert after["name"] == before["name"]
    assert {item["external_id"] for item in after["identifiers"]} == {"CHEMBL692", "Glycerol", "753"}
    assert {item["property_type"] for item in after["properties"]} >= {"acidic_pka", "xlogp3"}
    assert after["version"] == before["version"] + 1


# What is refused.


@pytest.mark.parametrize("key", ["LFQSCWFLJHTTHZ-UHFFFAOYSA-N", "PEDCQBHIVMGVHU-UHFFFAOYSA-N"])
def test_a_record_whose_structure_is_not_what_it_states_is_refused(service: Api, admin: psycopg.Connection, key: str):
    rows = [compound(753, "OCC(O)CO", InChIKey=key), compound(679, "CS(=O)C", InChIKey="IAZDPXIOMUYVGZ-UHFFFAOYSA-N")]

    answer = post(service, "pubchem", table(*rows))

    assert statuses(answer) == ["refused", "added"]
    reason = answer["results"][0]["errors"][0]["detail"]
    assert key in reason
    assert GLYCEROL_INCHIKEY in reason
    assert admin.execute("SELECT source_record, reason FROM import_errors").fetchall() == [("753", reason)]


def test_a_structure_that_cannot_be_read_is_refused_alone_and_with_its_reason(service: Api):
    answer = post(service, "pubchem", table(compound(1, "C(C"), compound(679, "CS(=O)C"), compound(2, "C" * 1000)))

    assert statuses(answer) == ["refused", "added", "refused"]
    assert "RDKit" in answer["results"][0]["errors"][0]["detail"]
    assert "999" in answer["results"][2]["errors"][0]["detail"]


def test_the_same_compound_twice_in_a_body_is_one_row(service: Api, admin: psycopg.Connection):
    answer = post(service, "pubchem", table(compound(679, "CS(=O)C"), compound(679, "C[S+](C)[O-]")))

    assert statuses(answer) == ["added", "existing"]
    assert admin.execute("SELECT count(*) FROM molecules").fetchone() == (1,)


def test_a_body_of_odd_values_is_refused_by_index_and_not_as_a_whole(service: Api):
    rows: list[Any] = [
        compound(1, "C", Title=7, XLogP="nan"),
        compound(2, "CC", Title="x" * 5_000),
        compound(3, "CCC", Title=" \t "),
        {"CID": "x", "SMILES": "CCCC"},
        {"CID": 5, "SMILES": ["C"]},
        {"CID": -1, "SMILES": "C"},
        {"CID": 2**60, "SMILES": "C"},
        {},
    ]

    answer = post(service, "pubchem", {"PropertyTable": {"Properties": rows}})

    assert statuses(answer) == ["added"] * 3 + ["refused"] * 5


@pytest.mark.parametrize("row", [None, 7, "x", [], True])
def test_a_record_that_is_no_object_is_refused_by_its_index(service: Api, row: object):
    answer = post(service, "pubchem", {"PropertyTable": {"Properties": [compound(679, "CS(=O)C"), row]}})

    assert statuses(answer) == ["added", "refused"]


def test_an_empty_page_is_an_answer(service: Api, admin: psycopg.Connection):
    for source, body in (("chembl", {"molecules": []}), ("pubchem", table()), ("chembl", [])):
        answer = post(service, source, body)
        assert (answer["results"], answer["added"], answer["refused"]) == ([], 0, 0)
    assert admin.execute("SELECT count(*) FROM import_runs WHERE state = 'finished'").fetchone() == (3,)


@pytest.mark.parametrize(
    "body", ["{}", "[1]", '"x"', "null", "7", '{"molecules": {}}', '{"molecules": "x"}', '[{"x": 1}]']
)
@pytest.mark.parametrize("source", ["chembl", "pubchem"])
def test_a_body_without_records_is_422_and_says_what_is_taken(service: Api, source: str, body: str):
    response = service.post(f"/imports/records?source={source}", data=body, content_type="application/json")

    assert "Accepted from" in problem(response, 422, "unknown_records")["detail"]


@pytest.mark.parametrize("body", ["", "{", '{"molecules": [', "<html>", '{"molecules": [{]}', "[1,]"])
def test_a_body_that_is_no_json_is_400(service: Api, admin: psycopg.Connection, body: str):
    response = service.post("/imports/records?source=chembl", data=body, content_type="application/json")

    problem(response, 400, "malformed_json")
    assert admin.execute("SELECT count(*) FROM import_runs").fetchone() == (0,)


def test_a_body_that_breaks_off_keeps_none_of_its_records(service: Api, admin: psycopg.Connection):
    text = json.dumps(table(*(compound(number, "C" * number) for number in range(1, 30))))[:-20]

    response = service.post("/imports/records?source=pubchem", data=text, content_type="application/json")

    problem(response, 400, "malformed_json")
    assert admin.execute("SELECT count(*) FROM molecules").fetchone() == (0,)


@pytest.mark.parametrize("query", ["", "?source=", "?source=tox21", "?source=ChEMBL", "?source=chembl;drop"])
def test_the_source_is_one_of_those_that_there_are(service: Api, query: str):
    assert pointers(service.post(f"/imports/records{query}", {"molecules": []})) == ["source"]


def test_only_the_service_imports(alice: Api, anon: Api, admin: psycopg.Connection):
    body = recording("chembl", "molecule_new.json")

    problem(alice.post("/imports/records?source=chembl", body), 403, "role_not_permitted")
    problem(anon.post("/imports/records?source=chembl", body), 401, "token_required")
    assert admin.execute("SELECT count(*) FROM import_runs").fetchone() == (0,)


def test_users_private_rows_are_neither_merged_with_nor_shown(alice: Api, service: Api, anon: Api):
    hers = alice.post("/molecules", {**GLYCEROL, "name": "hers"}).get_json()

    answer = post(service, "pubchem", table(compound(753, "OCC(O)CO", Title="Glycerin")))

    assert statuses(answer) == ["added"]
    assert answer["results"][0]["id"] != hers["id"]
    assert alice.get(f"/molecules/{hers['id']}?include=identifiers").get_json()["identifiers"] == []
    assert [record["name"] for record in anon.get("/molecules").get_json()["data"]] == ["Glycerin"]


def test_a_public_row_of_the_services_own_is_completed_and_not_doubled(service: Api, admin: psycopg.Connection):
    own = service.post("/molecules", DMSO).get_json()

    answer = post(service, "pubchem", table(compound(679, "CS(=O)C")))

    assert answer["results"][0] == {"index": 0, "status": "changed", "id": own["id"], "errors": []}
    assert admin.execute("SELECT count(*) FROM molecules").fetchone() == (1,)


def test_two_and_a_half_thousand_records_come_in_pieces_with_one_report(service: Api, admin: psycopg.Connection):
    rows = [compound(number, "CS(=O)C", Title="DMSO") for number in range(1, 2501)]
    rows[1700] = compound(1701, "C(C")

    answer = post(service, "pubchem", table(*rows))

    assert [item["index"] for item in answer["results"]] == list(range(2500))
    assert answer["added"] == 1
    assert [item["index"] for item in answer["results"] if item["status"] == "refused"] == [1700]
    assert admin.execute("SELECT record_index, source_record FROM import_errors").fetchall() == [(1700, "1701")]
    assert admin.execute("SELECT count(*) FROM import_runs").fetchone() == (1,)


# Real bodies.


def real_files() -> list[Path]:
    folders = [REAL / "chembl", REAL / "pubchem"]
    found = [path for folder in folders if folder.is_dir() for path in folder.rglob("*.json*")]
    return sorted(path for path in found if ".jsonl" not in path.name)


def read(path: Path) -> bytes:
    raw = path.read_bytes()
    raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
    if path.parent.name.startswith("m37_captures"):
        # A capture is the answer with its status and headers around it.
        captured = json.loads(raw)
        raw = captured["text"].encode() if isinstance(captured.get("text"), str) else raw
    return raw


def expected_of(source: str, raw: bytes) -> list[bool] | None:
    """Return whether the parser takes each record; None where it refuses the body."""
    try:
        return [record.refusal is None for record in PARSERS[source](json.loads(raw))]
    except (ValueError, InvalidError):
        return None


@pytest.mark.skipif(not real_files(), reason=f"the real bodies are not here: {REAL}")
@pytest.mark.parametrize("path", real_files(), ids=lambda path: str(path.relative_to(REAL)))
def test_a_real_body_is_imported_or_refused_and_a_second_time_adds_nothing(
    service: Api, admin: psycopg.Connection, path: Path
):
    raw = read(path)
    source = path.relative_to(REAL).parts[0]
    taken = expected_of(source, raw)
    arguments = {"data": raw, "content_type": "application/json"}

    response = service.post(f"/imports/records?source={source}", **arguments)

    if taken is None:
        assert response.status_code in {400, 422}
        problem(response, response.status_code)
        return
    assert response.status_code == 200, response.text
    first = response.get_json()
    assert len(first["results"]) == len(taken)
    assert first["added"] + first["existing"] + first["changed"] + first["refused"] == len(taken)
    for item, is_taken in zip(first["results"], taken, strict=True):
        assert is_taken or item["status"] == "refused"
    # What the parser takes has a structure, and nearly all of these can be read.
    assert first["refused"] - taken.count(False) <= len(taken) // 20, first["results"]
    second = service.post(f"/imports/records?source={source}", **arguments).get_json()
    assert (second["added"], second["changed"]) == (0, 0)
    assert [item["id"] for item in second["results"]] == [item["id"] for item in first["results"]]
    stated = admin.execute("SELECT count(*) FROM molecules WHERE source_record IS NULL OR import_run_id IS NULL")
    assert stated.fetchone() == (0,)


@pytest.mark.skipif(not real_files(), reason=f"the real bodies are not here: {REAL}")
def test_the_real_bodies_together_make_a_database_that_agrees_with_itself(service: Api, admin: psycopg.Connection):
    for path in real_files():
        source = path.relative_to(REAL).parts[0]
        raw = read(path)
        if expected_of(source, raw):
            service.post(f"/imports/records?source={source}", data=raw, content_type="application/json")

    rows = admin.execute("SELECT name, inchikey, canonical_smiles FROM molecules").fetchall()
    assert len(rows) >= 50
    for name, inchikey, smiles in rows:
        assert Chem.MolToInchiKey(Chem.MolFromSmiles(smiles)) == inchikey, name  # type: ignore[no-untyped-call]
    found = service.post("/molecules/lookup", {"cids": [241, 753], "chembl_ids": ["CHEMBL25"]}).get_json()
    assert {item["value"] for item in found["data"]} >= {"241", "CHEMBL25"}


def test_a_body_is_not_changed_by_being_imported(service: Api):
    body = recording("chembl", "molecules_page_old.json")
    before = copy.deepcopy(body)

    PARSERS["chembl"](body)

    assert body == before


DUE_SQL: Final = """
SELECT extract(epoch FROM due_at - clock_timestamp()) FROM private.maintenance_runs WHERE task = 'molecule_summary'
"""


def test_an_import_makes_the_summary_follow_soon(service: Api, admin: psycopg.Connection) -> None:
    post(service, "chembl", recording("chembl", "molecule_new.json"))

    ((due_s,),) = admin.execute(DUE_SQL.encode()).fetchall()
    assert 0 < due_s <= 30


def test_an_import_that_is_only_tried_leaves_the_summary_be(service: Api, admin: psycopg.Connection) -> None:
    body = recording("chembl", "molecule_new.json")

    response = service.post("/imports/records?source=chembl", body, headers={"Prefer": "tx=rollback"})

    assert response.headers["Preference-Applied"] == "tx=rollback"
    assert admin.execute(DUE_SQL.encode()).fetchall() == []
