"""PubChem as a source: what is asked, and what becomes of each record whatever comes back."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from app.errors import InvalidError, UnavailableError
from app.importers.files import FileSource
from app.importers.pubchem_source import PubChemSource, options
from app.importers.records import ParsedRecord
from app.importers.sources import Page
from app.importers.upstream import BrokenAnswerError
from tests.plugins.upstream import ADDRESS, Played

DATA = Path(__file__).parents[2] / ".." / "shared" / "data" / "pubchem"
PROPERTIES = "Title,IUPACName,SMILES,ConnectivitySMILES,InChI,InChIKey,XLogP"
TABLE = f"{ADDRESS}/pug/compound/%s/property/{PROPERTIES}/JSON"
ALIVE = f"{ADDRESS}/pug/compound/cid/962/property/InChIKey/JSON"
NOT_FOUND: dict[str, Any] = {"Fault": {"Code": "PUGREST.NotFound", "Message": "No CID found"}}
WATER = {"PropertyTable": {"Properties": [{"CID": 962, "InChIKey": "XLYOFNOQVPJJNP-UHFFFAOYSA-N"}]}}
GLYCEROL_KEY = "PEDCQBHIVMGVHV-UHFFFAOYSA-N"

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the collected real files are not beside this checkout")


def row(cid: int, **more: object) -> dict[str, object]:
    return {"CID": cid, "SMILES": "C" * (cid % 7 + 1), **more}


def table(*rows: dict[str, object]) -> dict[str, Any]:
    return {"PropertyTable": {"Properties": list(rows)}}


def pages(played: Played, given: dict[str, Any], checkpoint: dict[str, Any] | None = None) -> list[Page]:
    played.answers.get(ALIVE, json=WATER)
    return list(PubChemSource(played.upstream, played.sleep).pages(given, checkpoint, None))


def found(played: Played, **given: Any) -> list[ParsedRecord]:
    return [record for page in pages(played, given) for record in page.records]


def refusals(records: list[ParsedRecord]) -> dict[int, str]:
    return {record.index: record.refusal for record in records if record.refusal}


def asked_cids(request: Any) -> list[int]:
    return [int(cid) for cid in parse_qs(request.text)["cid"][0].split(",")]


def compounds(missing: set[int]) -> Callable[[Any, Any], dict[str, Any]]:
    """Play PubChem's table: it says nothing of CIDs that there are not, and knows none at all with 404."""

    def answer(request: Any, context: Any) -> dict[str, Any]:
        rows = [row(cid) for cid in asked_cids(request) if cid not in missing]
        context.status_code = 200 if rows else 404
        return table(*rows) if rows else NOT_FOUND

    return answer


# --- by CID


def test_cids_are_asked_for_in_batches_and_stand_under_their_numbers(played: Played) -> None:
    played.answers.post(TABLE % "cid", json=compounds(set()))

    read = pages(played, {"cids": "1-200,2244"})

    assert [len(asked_cids(request)) for request in played.answers.request_history] == [150, 51]
    assert [record.index for page in read for record in page.records] == [*range(1, 201), 2244]
    assert [page.checkpoint for page in read] == [{"after": 150}, {"after": 2244}]
    assert [page.done_fraction for page in read] == [pytest.approx(150 / 201), 1.0]


def test_a_run_goes_on_behind_its_checkpoint(played: Played) -> None:
    played.answers.post(TABLE % "cid", json=compounds(set()))

    read = pages(played, {"cids": "1-200,2244"}, {"after": 150})

    assert [record.index for page in read for record in page.records] == [*range(151, 201), 2244]
    assert read[-1].done_fraction == 1.0


def test_cids_that_pubchem_does_not_have_are_refused_one_by_one(played: Played) -> None:
    played.answers.post(TABLE % "cid", json=compounds({3, 5}))

    records = found(played, cids="1-6")

    assert refusals(records) == {
        3: "PubChem has no compound with CID 3.",
        5: "PubChem has no compound with CID 5.",
    }
    assert [record.source_record for record in records] == ["1", "2", "3", "4", "5", "6"]


def test_a_batch_of_which_pubchem_has_nothing_is_no_failure(played: Played) -> None:
    played.answers.post(TABLE % "cid", json=compounds({7, 8}))

    assert list(refusals(found(played, cids="7,8"))) == [7, 8]


def test_a_row_without_a_structure_is_refused_for_itself(played: Played) -> None:
    played.answers.post(TABLE % "cid", json=table(row(1), {"CID": 2}))

    records = found(played, cids="1,2")

    assert list(refusals(records)) == [2]
    assert "no SMILES and no InChI" in refusals(records)[2]


def test_a_wrong_cid_in_an_answer_is_never_taken_for_the_right_one(played: Played) -> None:
    played.answers.post(TABLE % "cid", json=table(row(1), row(999)))

    records = found(played, cids="1,2")

    assert set(refusals(records)) == {1, 2}
    assert all("which was not asked for" in refusal for refusal in refusals(records).values())


def test_a_wrong_cid_that_comes_once_costs_nothing(played: Played) -> None:
    played.answers.post(TABLE % "cid", [{"json": table(row(999))}, {"json": table(row(1), row(2))}])

    assert refusals(found(played, cids="1,2")) == {}


@pytest.mark.parametrize(
    ("names", "structure"),
    [
        ({"SMILES": "C[C@H](N)O", "ConnectivitySMILES": "CC(N)O"}, "C[C@H](N)O"),
        ({"IsomericSMILES": "C[C@H](N)O", "CanonicalSMILES": "CC(N)O"}, "C[C@H](N)O"),
        ({"ConnectivitySMILES": "CC(N)O", "InChIKey": "UJOSNFLQUIYIFY-REOHCLBHSA-N"}, None),
        ({"CanonicalSMILES": "CC(N)O", "InChIKey": "UJOSNFLQUIYIFY-REOHCLBHSA-N"}, None),
        ({"SmilesOfTomorrow": "C[C@H](N)O"}, None),
    ],
    ids=["new", "old", "connectivity", "canonical", "unknown"],
)
def test_field_names_of_any_time_are_read_and_never_taken_for_stereochemistry(
    played: Played, names: dict[str, str], structure: str | None
) -> None:
    played.answers.post(TABLE % "cid", json=table({"CID": 1, **names}))

    (record,) = found(played, cids="1")

    assert record.structure_text == structure
    assert (record.refusal is None) == (structure is not None)


@pytest.mark.parametrize(
    "poison",
    [
        {"text": "<html>Error</html>"},
        {"text": "<html>Error</html>", "status_code": 500},
        {"text": '{"PropertyTable": {"Properties": [{"CID"'},
        {"json": {"Table": {}}},
        {"status_code": 404, "text": "<html>Not here</html>"},
    ],
    ids=["html 200", "html 500", "truncated", "other shape", "html 404"],
)
def test_a_record_that_breaks_its_batch_is_left_out_alone(played: Played, poison: dict[str, Any]) -> None:
    good = compounds(set())

    def answer(request: Any, context: Any) -> str:
        if 13 in asked_cids(request):
            context.status_code = poison.get("status_code", 200)
            return poison.get("text") or json.dumps(poison["json"])
        return json.dumps(good(request, context))

    played.answers.post(TABLE % "cid", text=answer)

    records = found(played, cids="1-40")

    assert [record.index for record in records] == list(range(1, 41))
    assert list(refusals(records)) == [13]


def test_nothing_is_given_up_while_pubchem_answers_everything_with_html(played: Played) -> None:
    played.answers.post(TABLE % "cid", text="<html>Maintenance</html>")
    played.answers.get(ALIVE, text="<html>Maintenance</html>")

    with pytest.raises(UnavailableError):
        list(PubChemSource(played.upstream, played.sleep).pages({"cids": "1-40"}, None, None))


# --- by InChIKey and name


def test_inchikeys_are_asked_for_in_batches_and_matched_by_key(played: Played) -> None:
    other = "AAAAAAAAAAAAAA-UHFFFAOYSA-N"
    glycerol = {"CID": 753, "SMILES": "C(C(CO)O)O", "InChIKey": GLYCEROL_KEY}
    played.answers.post(TABLE % "inchikey", json=table(glycerol, {**glycerol, "CID": 999753}))

    records = found(played, inchikeys=[other, GLYCEROL_KEY])

    assert refusals(records) == {1: "PubChem has no compound with this InChIKey."}
    assert (records[1].index, records[1].source_record) == (2, "753")
    assert {"753", "999753"} <= {identifier.external_id for identifier in records[1].identifiers}


def test_an_inchikey_that_nobody_asked_for_is_not_stored_under_another(played: Played) -> None:
    played.answers.post(TABLE % "inchikey", json=table(row(1, InChIKey="BBBBBBBBBBBBBB-UHFFFAOYSA-N")))

    assert list(refusals(found(played, inchikeys=[GLYCEROL_KEY]))) == [1]


def test_names_are_asked_for_one_by_one(played: Played) -> None:
    answers = {
        "glycerol": (200, table(row(753, Title="Glycerol"))),
        "no such thing": (404, NOT_FOUND),
        "2-nonenal": (200, table(row(17166), row(5283335), row(5354833))),
    }

    def answer(request: Any, context: Any) -> dict[str, Any]:
        context.status_code, body = answers[parse_qs(request.text)["name"][0]]
        return body

    played.answers.post(TABLE % "name", json=answer)

    records = found(played, names=list(answers))

    assert (records[0].index, records[0].name, records[0].refusal) == (1, "Glycerol", None)
    assert refusals(records) == {
        2: "PubChem has no compound with this name.",
        3: "The name stands for 3 compounds in PubChem (CID 17166, 5283335, 5354833): import the right one by its CID.",
    }
    assert records[1].source_record == "no such thing"


@pytest.mark.parametrize("name", ["a/b", "50% acid", "\u03b1-D-glucose", "../../x", "x&cid=1", "N,N'-dimethyl"])
def test_a_name_is_data_and_no_part_of_the_address(played: Played, name: str) -> None:
    played.answers.post(TABLE % "name", json=table(row(1)))

    found(played, names=[name])

    assert parse_qs(played.answers.request_history[0].text) == {"name": [name]}


# --- searches


def test_a_search_is_polled_by_its_list_key_until_it_is_done(played: Played) -> None:
    waiting: dict[str, Any] = {
        "status_code": 202,
        "json": {"Waiting": {"ListKey": "28831", "Message": "Your request is running"}},
    }
    played.answers.get(f"{ADDRESS}/pug/compound/formula/C3H8O3/cids/JSON", **waiting)
    played.answers.get(
        f"{ADDRESS}/pug/compound/listkey/28831/cids/JSON",
        [waiting, waiting, {"json": {"IdentifierList": {"CID": [753, 1]}}}],
    )
    played.answers.post(TABLE % "cid", json=compounds(set()))

    records = found(played, formula="C3H8O3")

    assert [record.index for record in records] == [1, 753]
    assert played.slept == [3.0] * 3


@pytest.mark.parametrize(
    "answer",
    [
        {"status_code": 404, "json": NOT_FOUND},
        {"json": {"IdentifierList": {"CID": [0]}}},
        {"json": {"IdentifierList": {"CID": []}}},
    ],
    ids=["404", "CID 0", "empty"],
)
def test_a_formula_without_compounds_gives_nothing(played: Played, answer: dict[str, Any]) -> None:
    played.answers.get(f"{ADDRESS}/pug/compound/formula/C99/cids/JSON", **answer)

    assert found(played, formula="C99") == []


def test_a_list_key_that_pubchem_has_forgotten_ends_the_import(played: Played) -> None:
    played.answers.get(f"{ADDRESS}/pug/compound/listkey/123/cids/JSON", status_code=404, json=NOT_FOUND)

    with pytest.raises(InvalidError, match="search again"):
        found(played, listkey="123")


def test_a_search_that_never_ends_is_left_for_another_time(played: Played) -> None:
    played.answers.get(f"{ADDRESS}/pug/compound/listkey/123/cids/JSON", json={"Waiting": {"ListKey": "123"}})

    with pytest.raises(UnavailableError):
        found(played, listkey="123")


@pytest.mark.parametrize("key", ["", "../x", "1" * 31, 5, None])
def test_a_list_key_of_another_form_is_not_followed(played: Played, key: object) -> None:
    played.answers.get(f"{ADDRESS}/pug/compound/formula/C3H8O3/cids/JSON", json={"Waiting": {"ListKey": key}})

    with pytest.raises(BrokenAnswerError, match="neither CIDs nor a list key"):
        found(played, formula="C3H8O3")


# --- measurements


def view(cid: int, heading: str, text: str) -> dict[str, Any]:
    information = [{"ReferenceNumber": 1, "Value": {"StringWithMarkup": [{"String": text}]}}]
    parent = "Experimental Properties" if heading == "Melting Point" else "Toxicological Information"
    leaf = {"TOCHeading": heading, "Information": information}
    return {
        "Record": {"RecordType": "CID", "RecordNumber": cid, "Section": [{"TOCHeading": parent, "Section": [leaf]}]}
    }


def test_measured_values_come_with_the_compounds_where_they_are_asked_for(played: Played) -> None:
    played.answers.post(TABLE % "cid", json=table(row(753)))
    address = f"{ADDRESS}/pug_view/data/compound/753/JSON"
    played.answers.get(f"{address}?heading=Experimental Properties", json=view(753, "Melting Point", "18.2 °C"))
    played.answers.get(
        f"{address}?heading=Toxicological Information",
        json=view(753, "Non-Human Toxicity Values", "LD50 Rat oral 12600 mg/kg"),
    )

    (record,) = found(played, cids="753", measurements=True)

    values = {value.property_type: value for value in record.properties}
    assert values["melting_point"].numeric_value == pytest.approx(291.35)
    assert values["oral_ld50"].text_value == "LD50 Rat oral 12600 mg/kg"


def test_a_compound_of_which_nothing_was_measured_is_imported(played: Played) -> None:
    played.answers.post(TABLE % "cid", json=table(row(753)))
    fault = {"Fault": {"Code": "PUGVIEW.NotFound", "Message": "No data found"}}
    played.answers.get(f"{ADDRESS}/pug_view/data/compound/753/JSON", status_code=404, json=fault)

    (record,) = found(played, cids="753", measurements=True)

    assert (record.refusal, record.properties) == (None, ())


@pytest.mark.parametrize(
    "answer",
    [{"text": "<html></html>"}, {"json": view(999, "Melting Point", "18.2 °C")}],
    ids=["html", "another compound's"],
)
def test_a_compound_is_imported_without_measurements_that_cannot_be_read(
    played: Played, answer: dict[str, Any]
) -> None:
    played.answers.post(TABLE % "cid", json=table(row(753)))
    played.answers.get(f"{ADDRESS}/pug_view/data/compound/753/JSON", **answer)

    fault, record = found(played, cids="753", measurements=True)

    assert (record.refusal, record.properties) == (None, ())
    assert "not what was measured of it" in str(fault.refusal)


# --- what may be asked


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"cids": "1", "names": ["x"]},
        {"cids": ""},
        {"cids": "x"},
        {"cids": 5},
        {"cids": [5]},
        {"names": []},
        {"names": "glycerol"},
        {"names": ["a" * 501]},
        {"names": ["\x00"]},
        {"names": [1]},
        {"names": ["x"] * 100_001},
        {"inchikeys": ["no key"]},
        {"formula": "C/../x"},
        {"formula": 5},
        {"listkey": "x"},
        {"cids": "1", "measurements": "yes"},
        {"cids": "1", "path": "/etc/passwd"},
    ],
)
def test_an_import_that_names_no_compounds_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidError):
        options(given)


def test_options_have_one_form() -> None:
    assert options({"cids": "5,1-3;2"}) == {"cids": "1-3,5", "measurements": False}
    assert options({"names": ["DMSO ", "DMSO"], "measurements": True}) == {"names": ["DMSO"], "measurements": True}


# --- real bodies


@needs_data
@pytest.mark.parametrize(
    ("name", "cid"),
    [
        ("property/aspirin_property_new_names_trimmed_real.json", 2244),
        *((f"pc_compounds/PC_Compounds_list_CID_{cid}.json", cid) for cid in (241, 5742, 7840, 947)),
    ],
)
def test_real_bodies_are_imported_under_their_cids_and_no_other(played: Played, name: str, cid: int) -> None:
    played.answers.post(TABLE % "cid", content=(DATA / name).read_bytes())

    (record,) = found(played, cids=str(cid))
    assert (record.index, record.source_record, record.refusal) == (cid, str(cid), None)
    assert record.structure_text

    (wrong,) = found(played, cids="4")
    assert "which was not asked for" in str(wrong.refusal)


@needs_data
def test_a_real_table_without_structures_is_refused_under_its_cid(played: Played) -> None:
    body = (DATA / "property" / "metabo-idmapper_pubchem_property_CID_1123_taurine.json").read_bytes()
    played.answers.post(TABLE % "cid", content=body)

    assert "no SMILES and no InChI" in refusals(found(played, cids="1123"))[1123]


@needs_data
@pytest.mark.parametrize("cid", [241, 5742, 7840])
def test_real_views_give_their_measurements(played: Played, cid: int) -> None:
    (file,) = (DATA / "pug_view").glob(f"pug_view_CID_{cid}_*.json.gz")
    played.answers.post(TABLE % "cid", json=table(row(cid)))
    body = b'{"Record":' + gzip.decompress(file.read_bytes()) + b"}"
    played.upstream._max_bytes = len(body)
    played.answers.get(f"{ADDRESS}/pug_view/data/compound/{cid}/JSON", content=body)

    (record,) = found(played, cids=str(cid), measurements=True)

    assert {"melting_point", "melting_point_text"} & {value.property_type for value in record.properties}


@needs_data
def test_real_faults_and_waiting_answers_are_understood(played: Played) -> None:
    folder = DATA / "fault_and_throttle"
    played.answers.post(
        TABLE % "cid", status_code=404, content=(folder / "fault_404_NotFound_cid_3d.json").read_bytes()
    )
    assert list(refusals(found(played, cids="5"))) == [5]
    for kind, given in (("name", {"names": ["x"]}), ("inchikey", {"inchikeys": [GLYCEROL_KEY]})):
        body = (folder / f"fault_404_NotFound_{kind}.json").read_bytes()
        played.answers.post(TABLE % kind, status_code=404, content=body)
        assert list(refusals(found(played, **given))) == [1]
    waiting = (folder / "waiting_202_listkey_formula_C7H19N3.json").read_bytes()
    played.answers.get(f"{ADDRESS}/pug/compound/formula/C7H19N3/cids/JSON", status_code=202, content=waiting)
    played.answers.get(
        f"{ADDRESS}/pug/compound/listkey/2883150836684277104/cids/JSON", json={"IdentifierList": {"CID": [5]}}
    )
    assert list(refusals(found(played, formula="C7H19N3"))) == [5]


@needs_data
@pytest.mark.parametrize(
    ("name", "records"),
    [
        ("rdkit_pubchem-hard-set.sdf.gz", 1181),
        ("cid4_Structure2D_COMPOUND_CID_4.sdf", 1),
        ("cid4_Conformer3D_COMPOUND_CID_41.sdf", 1),
    ],
)
def test_bulk_files_are_read_with_their_cids(name: str, records: int) -> None:
    read = FileSource().pages({"path": str(DATA / "sdf" / name)}, None, None)
    parsed = [record for page in read for record in page.records]

    assert len(parsed) == records
    for record in parsed:
        assert record.structure_text
        assert [i.external_id for i in record.identifiers if i.kind == "cid"] == [record.source_record]
