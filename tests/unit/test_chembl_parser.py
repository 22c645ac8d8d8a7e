"""ChEMBL's records: what is read of them, what is refused, and that no value of theirs can break the reading."""

from __future__ import annotations

import copy
import gzip
import json
import math
import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from app.domain.molecules import Identifier, PropertyValue
from app.errors import InvalidError
from app.importers import chembl
from app.importers.records import ParsedRecord
from app.services.seed_records import property_types

PROJECT = Path(__file__).parents[2]
RECORDINGS = PROJECT / "tests" / "recordings" / "chembl"
REAL = Path(os.environ.get("CRYOPROTECT_SHARED", PROJECT.parent / "shared" / "data")) / "chembl"

needs_real_bodies = pytest.mark.skipif(not REAL.is_dir(), reason=f"the real ChEMBL bodies are not here: {REAL}")


def recording(name: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((RECORDINGS / name).read_text(encoding="utf-8"))
    return body


def real(name: str) -> object:
    raw = (REAL / name).read_bytes()
    body = json.loads(gzip.decompress(raw) if name.endswith(".gz") else raw)
    return json.loads(body["text"]) if name.startswith("m37_captures") and "text" in body else body


def molecule(**fields: object) -> dict[str, Any]:
    return {**recording("molecule_new.json"), **fields}


def parsed_or_refusal(payload: object) -> list[ParsedRecord] | str:
    """Return the records of a body, or the words with which all of it is refused; nothing else may happen."""
    try:
        return chembl.parse(payload)
    except InvalidError as refused:
        return refused.detail


def inchikey_of(smiles: str) -> str:
    key: str = Chem.MolToInchiKey(Chem.MolFromSmiles(smiles))  # type: ignore[no-untyped-call]
    return key


def only(payload: object) -> ParsedRecord:
    (record,) = chembl.parse(payload)
    return record


def test_a_page_gives_its_molecules_in_order_with_pointers_to_them():
    page = recording("molecules_page_old.json")

    parsed = chembl.parse(page)

    assert [(record.index, record.pointer) for record in parsed] == [
        (0, "/molecules/0"),
        (1, "/molecules/1"),
        (2, "/molecules/2"),
    ]
    assert [record.source_record for record in parsed] == ["CHEMBL692", "CHEMBL9000001", "CHEMBL9000002"]


def test_a_molecule_of_an_old_release_is_read_whole():
    record = chembl.parse(recording("molecules_page_old.json"))[0]

    assert (record.name, record.notation, record.structure_text) == ("GLYCERIN", "smiles", "OCC(O)CO")
    assert record.stated_inchikey == "PEDCQBHIVMGVHV-UHFFFAOYSA-N"
    assert record.identifiers == (
        Identifier("chembl", "chembl_id", "CHEMBL692"),
        Identifier("name", "synonym", "Glycerol"),
    )
    assert record.refusal is None


def test_a_single_molecule_of_a_new_release_is_read_whole():
    record = only(recording("molecule_new.json"))

    assert (record.index, record.pointer, record.name) == (0, "", "BETAINE HYDROCHLORIDE")
    assert (record.notation, record.structure_text) == ("smiles", "C[N+](C)(C)CC(=O)O.[Cl-]")
    assert record.notes == ("ChEMBL's parent form of this molecule is CHEMBL1182.",)
    assert record.refusal is None


def test_search_rows_without_their_page_are_read():
    rows = recording("molecules_page_old.json")["molecules"]

    parsed = chembl.parse(rows)

    assert [record.pointer for record in parsed] == ["/0", "/1", "/2"]
    assert parsed[0].structure_text == "OCC(O)CO"


@pytest.mark.parametrize("empty", [[], {"molecules": [], "page_meta": {"total_count": 0}}])
def test_an_empty_page_has_no_records(empty: object):
    assert chembl.parse(empty) == []


def test_a_page_may_hold_only_the_fields_that_were_asked_for():
    structures = {"canonical_smiles": "OCC(O)CO"}

    record = only({"molecules": [{"molecule_chembl_id": "CHEMBL692", "molecule_structures": structures}]})

    assert (record.name, record.structure_text, record.refusal) == ("CHEMBL692", "OCC(O)CO", None)


def test_a_record_without_structure_is_refused_with_its_molecule_type_and_leaves_the_rest():
    parsed = chembl.parse(recording("molecules_page_old.json"))

    assert [record.refusal for record in parsed] == [
        None,
        "ChEMBL holds no structure for this record (molecule type: Protein).",
        "ChEMBL holds no structure for this record (molecule type: Small molecule, a polymer).",
    ]


@pytest.mark.parametrize("polymer_flag", [True, 1, "1"])
def test_a_polymer_is_recognised_by_old_and_new_flags(polymer_flag: object):
    record = only(molecule(molecule_structures=None, polymer_flag=polymer_flag))

    assert record.refusal is not None
    assert "a polymer" in record.refusal


def test_a_row_that_is_no_object_is_refused_by_its_index():
    parsed = chembl.parse({"molecules": [recording("molecule_new.json"), None, "CHEMBL25"]})

    assert [record.refusal for record in parsed] == [None, *["This is not a JSON object with fields."] * 2]


@pytest.mark.parametrize("chembl_id", [None, "", "CHEMBL", "CHEMBL0", "chembl25", "CHEMBL25\n", 25])
def test_a_record_without_a_chembl_id_is_refused(chembl_id: object):
    record = only(molecule(molecule_chembl_id=chembl_id))

    assert record.refusal == "The record has no ChEMBL id, so its origin could not be kept."


@pytest.mark.parametrize(
    ("missing", "notation"),
    [(("canonical_smiles",), "molfile"), (("canonical_smiles", "molfile"), "inchi")],
)
def test_the_next_best_notation_is_taken(missing: tuple[str, ...], notation: str):
    structures = {k: v for k, v in recording("molecule_new.json")["molecule_structures"].items() if k not in missing}

    record = only(molecule(molecule_structures=structures))

    assert (record.notation, record.refusal) == (notation, None)


def test_a_molfile_keeps_its_blank_first_line_and_loses_the_sd_fields_after_it():
    structures = {"molfile": recording("molecule_new.json")["molecule_structures"]["molfile"]}

    record = only(molecule(molecule_structures=structures))

    assert record.structure_text is not None
    assert record.structure_text.startswith("\n")
    assert record.structure_text.endswith("M  END\n")
    assert Chem.MolFromMolBlock(record.structure_text).GetNumAtoms() == 5


def test_structures_of_which_none_can_be_read_are_refused():
    record = only(molecule(molecule_structures={"canonical_smiles": ["C"], "molfile": "no end", "standard_inchi": "C"}))

    assert record.refusal == "No canonical_smiles, molfile or standard_inchi of this record can be read."


def test_a_malformed_inchikey_is_noted_and_not_used():
    record = only(molecule(molecule_structures={"canonical_smiles": "CO", "standard_inchi_key": "KEY"}))

    assert record.stated_inchikey is None
    assert "The InChIKey that ChEMBL states is malformed and was not used." in record.notes


@pytest.mark.parametrize(
    ("max_phase", "expected"),
    [(4, 4.0), ("4.0", 4.0), ("0.5", 0.5), (0, None), ("-1.0", None), (None, None), (True, None), ("9", None)],
)
def test_a_clinical_phase_is_read_as_number_or_text_and_unknown_ones_are_left_out(max_phase: object, expected: object):
    record = only(molecule(max_phase=max_phase, molecule_properties=None))

    assert [value.numeric_value for value in record.properties] == ([] if expected is None else [expected])


def test_only_values_that_we_do_not_compute_are_kept_and_each_says_where_it_is_from():
    record = chembl.parse(recording("molecules_page_old.json"))[0]

    assert {(value.property_type, value.numeric_value) for value in record.properties} == {
        ("acidic_pka", 13.6),
        ("log_d_ph_7_4", -1.8),
        ("max_clinical_phase", 4.0),
    }
    assert {value.reference for value in record.properties} == {"ChEMBL CHEMBL692"}


def test_a_pubchem_substance_number_is_not_taken_for_a_compound():
    record = only(recording("molecule_new.json"))

    assert Identifier("cas", "cas_number", "590-46-5") in record.identifiers
    assert not [identifier for identifier in record.identifiers if identifier.source == "pubchem"]


def test_a_molecule_without_a_preferred_name_takes_a_synonym_and_names_it_once():
    record = only(molecule(pref_name=None, molecule_synonyms=["Acidol", {"synonyms": "ACIDOL"}, {"synonyms": "other"}]))

    assert record.name == "Acidol"
    assert [i.external_id for i in record.identifiers if i.kind == "synonym"] == ["other"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("activities_page.json", "activities"),
        ("mechanism_rows.json", "mechanisms"),
        ("elasticsearch_hits.json", "Elasticsearch hits"),
    ],
)
def test_records_of_another_kind_are_refused_as_what_they_are(name: str, kind: str):
    with pytest.raises(InvalidError) as caught:
        chembl.parse(recording(name))

    assert caught.value.detail == f"These are {kind}, not molecules. Accepted from ChEMBL: {chembl.ACCEPTED}."


def test_an_error_of_chembls_is_passed_on_in_its_words():
    with pytest.raises(InvalidError, match="ChEMBL answered with an error: Sorry, this request could not be processed"):
        chembl.parse({"error_message": "Sorry, this request could not be processed"})


@pytest.mark.parametrize(
    "payload", [None, True, 7, "CHEMBL25", {}, [None], [[]], {"molecules": {}}, {"PropertyTable": {}}]
)
def test_what_is_no_body_of_chembls_is_refused_and_the_accepted_shapes_are_named(payload: object):
    with pytest.raises(InvalidError, match="Accepted from ChEMBL"):
        chembl.parse(payload)


# --- whatever stands in a record


TEN_MEGABYTES = "N" * 10_000_000
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.sampled_from(["\0", "\ud800", "CC\0O", "1e400", "NaN", "-", 10**400, TEN_MEGABYTES, "1" * 5_000]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def places(value: object) -> list[tuple[Any, Any]]:
    """Return every (container, key) of a body."""
    if isinstance(value, dict):
        return [place for key, inner in value.items() for place in [(value, key), *places(inner)]]
    if isinstance(value, list):
        return [place for index, inner in enumerate(value) for place in [(value, index), *places(inner)]]
    return []


def assert_storable(record: ParsedRecord) -> None:
    numeric = {kind.name: kind.value_kind == "numeric" for kind in property_types()}
    texts = [record.name, record.structure_text, record.source_record, record.refusal, *record.notes]
    for identifier in record.identifiers:
        assert 1 <= len(identifier.external_id) <= 500
        texts.append(identifier.external_id)
    for value in record.properties:
        assert_allowed(value, is_numeric=numeric[value.property_type])
        texts += [value.text_value, value.method, value.reference]
    for text in texts:
        assert text is None or (text and "\0" not in text and text.encode("utf-8"))
    assert record.refusal or (record.name and len(record.name) <= 500 and record.structure_text and record.notation)


def assert_allowed(value: PropertyValue, *, is_numeric: bool) -> None:
    assert (value.numeric_value is not None, value.text_value is not None) == (is_numeric, not is_numeric)
    assert value.numeric_value is None or math.isfinite(value.numeric_value)
    assert len(value.reference or "") <= 2_000
    assert len(value.method or "") <= 2_000


@settings(deadline=None)
@given(
    name=st.sampled_from(["molecules_page_old.json", "molecule_new.json"]),
    mutations=st.lists(JSON_VALUES, min_size=1, max_size=4),
    choice=st.randoms(use_true_random=False),
)
def test_no_value_in_a_record_breaks_the_parser(name: str, mutations: list[object], choice: random.Random):
    body = copy.deepcopy(recording(name))
    for mutation in mutations:
        container, key = choice.choice(places(body))
        container[key] = mutation

    answer = parsed_or_refusal(body)

    if isinstance(answer, str):
        assert "Accepted from ChEMBL" in answer
        assert answer.encode("utf-8")
    else:
        for record in answer:
            assert_storable(record)


@settings(deadline=None)
@given(JSON_VALUES)
def test_no_json_value_at_all_breaks_the_parser(payload: object):
    answer = parsed_or_refusal(payload)

    assert answer or payload == []


# --- the bodies as the service sent them


@needs_real_bodies
@pytest.mark.parametrize(
    ("name", "records", "refused"),
    [
        ("glados/CHEMBL25wsResponse.json", 1, 0),
        ("glados/CHEMBL1201454NaturalProductwsResponse.json", 1, 1),
        ("glados/CHEMBL1201644proteinwsResponse.json", 1, 1),
        ("glados/CHEMBL2107858EnzymewsResponse.json", 1, 1),
        ("glados/CHEMBL2107865CellwsResponse.json", 1, 1),
        ("glados/CHEMBL2108122OligosaccharidgewsResponse.json", 1, 1),
        ("glados/CHEMBL2108458SmallPolymerwsResponse.json", 1, 1),
        ("glados/CHEMBL2109133UnknownwsResponse.json", 1, 1),
        ("glados/CHEMBL2109414AntibodywsResponse.json", 1, 1),
        ("glados/CHEMBL3544956smallMoleculewsResponse.json", 1, 1),
        ("glados/CHEMBL3545182OligonucleotidewsResponse.json", 1, 1),
        ("glados/CHEMBL364516MetalContainingwsResponse.json", 1, 1),
        ("glados/SearchResultsAspirinTestData.json", 26, 2),
        ("glados/SimilarityResultsSampleResponsePage1.json", 20, 0),
        ("glados/WSCollectionTestData1.json", 5, 0),
        ("m37_captures_chembl37/molecule_CHEMBL1200912_salt.json", 1, 0),
        ("m37_captures_chembl37/molecule_CHEMBL2108184_null_structure.json", 1, 1),
    ],
)
def test_a_real_molecule_body_is_read(name: str, records: int, refused: int):
    parsed = chembl.parse(real(name))

    assert (len(parsed), sum(record.refusal is not None for record in parsed)) == (records, refused)
    for record in parsed:
        assert_storable(record)
        if record.structure_text:
            assert inchikey_of(record.structure_text) == record.stated_inchikey


@needs_real_bodies
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("glados/ActivitiesTestData.json.gz", "activities"),
        ("glados/CHEMBL1614631wsResponse.json", "documents"),
        ("glados/CHEMBL2363965-WS-Response.json", "targets"),
        ("glados/TargetCHEMBL3301393TestData.json", "targets"),
        ("glados/WSCollectionTestData2.json", "mechanisms"),
        ("glados/MechanismsOfActionForCHEMBL190esResponse.json", "Elasticsearch"),
        ("glados/activitySamplePagColl.json", "Elasticsearch"),
        ("glados/sampleDataToParse.json", "Elasticsearch"),
        ("glados/drugIndicationsForCHEMBL1094636SampleWSResponse.json", "drug indications"),
        ("glados/sampleDataToParseCHEMBL457419.json", "structural alerts"),
        ("m37_captures_chembl37/mechanism_molecule_CHEMBL999999999_empty_list.json", "holds no molecules"),
        ("m37_captures_chembl37/status.json", "status"),
        ("m37_captures_chembl37/page_meta_examples.json", "No ChEMBL molecules"),
        ("silk-route_activity_page_CHEMBL279_limit1.json", "activities"),
        ("glados/db_fixtures/molecule_dictionary.json", "No ChEMBL molecules"),
        ("glados/db_fixtures/compound_structures.json", "No ChEMBL molecules"),
        ("glados/db_fixtures/activities.json", "No ChEMBL molecules"),
    ],
)
def test_a_real_body_of_another_kind_is_refused(name: str, reason: str):
    with pytest.raises(InvalidError, match=reason):
        chembl.parse(real(name))


@needs_real_bodies
def test_every_real_json_body_is_either_read_or_refused():
    names = [str(path.relative_to(REAL)) for path in REAL.rglob("*.json*") if ".jsonl" not in path.name]
    with_body = [name for name in names if not name.endswith("_404.json")]  # a 404 of ChEMBL's has an empty body

    answers = [parsed_or_refusal(real(name)) for name in with_body]

    assert len(with_body) == 47
    assert sum(len(answer) for answer in answers if isinstance(answer, list)) == 65
    assert all("Accepted from ChEMBL" in answer for answer in answers if isinstance(answer, str))
