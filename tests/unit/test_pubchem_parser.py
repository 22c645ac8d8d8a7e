"""PubChem's records in all their shapes, before and after the change of names, and what their texts give away."""

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
from app.importers import pubchem
from app.importers.measurement_text import DENSITY, MELTING_POINT, VISCOSITY, Quantity, readings
from app.importers.records import ParsedRecord
from app.services.seed_records import property_types

PROJECT = Path(__file__).parents[2]
RECORDINGS = PROJECT / "tests" / "recordings" / "pubchem"
REAL = Path(os.environ.get("CRYOPROTECT_SHARED", PROJECT.parent / "shared" / "data")) / "pubchem"

PROLINE = "C1C[C@H](NC1)C(=O)O"
PROLINE_FLAT = "C1CC(NC1)C(=O)O"
PROLINE_KEY = "ONIBWKKTOPOVIA-BYPYZUCNSA-N"

needs_real_bodies = pytest.mark.skipif(not REAL.is_dir(), reason=f"the real PubChem bodies are not here: {REAL}")


def recording(name: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((RECORDINGS / name).read_text(encoding="utf-8"))
    return body


def recorded_rows(name: str) -> list[Any]:
    rows: list[Any] = json.loads((RECORDINGS / name).read_text(encoding="utf-8"))
    return rows


def real(name: str) -> object:
    raw = (REAL / name).read_bytes()
    return json.loads(gzip.decompress(raw) if name.endswith(".gz") else raw)


def parsed_or_refusal(payload: object) -> list[ParsedRecord] | str:
    """Return the records of a body, or the words with which all of it is refused; nothing else may happen."""
    try:
        return pubchem.parse(payload)
    except InvalidError as refused:
        return refused.detail


def inchikey_of(smiles: str) -> str:
    key: str = Chem.MolToInchiKey(Chem.MolFromSmiles(smiles))  # type: ignore[no-untyped-call]
    return key


def only(payload: object) -> ParsedRecord:
    (record,) = pubchem.parse(payload)
    return record


def table(**row: object) -> dict[str, object]:
    return {"PropertyTable": {"Properties": [{"CID": 145742, **row}]}}


def section(heading: str, *texts: str) -> dict[str, Any]:
    """Return a one-section PUG View answer on an experimental property."""
    information = [{"ReferenceNumber": 1, "Value": {"StringWithMarkup": [{"String": text}]}} for text in texts]
    leaf = {"TOCHeading": heading, "Information": information}
    return {
        "Record": {
            "RecordType": "CID",
            "RecordNumber": 753,
            "Section": [{"TOCHeading": "Experimental Properties", "Section": [leaf]}],
        }
    }


# --- property tables


@pytest.mark.parametrize("name", ["property_table_old.json", "property_table_new.json"])
def test_a_property_table_is_read_under_old_and_new_names(name: str):
    record = pubchem.parse(recording(name))[0]

    assert (record.notation, record.structure_text) == ("smiles", PROLINE)
    assert record.stated_inchikey == PROLINE_KEY
    assert (record.source_record, record.pointer) == ("145742", "/PropertyTable/Properties/0")
    assert Identifier("pubchem", "cid", "145742") in record.identifiers
    assert (record.refusal, record.notes) == (None, ())


def test_a_title_is_the_name_and_the_iupac_name_an_identifier():
    record = pubchem.parse(recording("property_table_new.json"))[0]

    assert record.name == "L-Proline"
    assert Identifier("name", "iupac_name", "(2S)-pyrrolidine-2-carboxylic acid") in record.identifiers


def test_a_row_without_a_name_is_named_by_its_cid():
    assert only(table(SMILES=PROLINE)).name == "CID 145742"


@pytest.mark.parametrize("flat_name", ["CanonicalSMILES", "ConnectivitySMILES"])
def test_an_inchi_is_preferred_to_a_connectivity_smiles(flat_name: str):
    record = only(table(**{flat_name: PROLINE_FLAT}, InChI="InChI=1S/CH4O/c1-2/h2H,1H3"))

    assert (record.notation, record.structure_text) == ("inchi", "InChI=1S/CH4O/c1-2/h2H,1H3")


@pytest.mark.parametrize("flat_name", ["CanonicalSMILES", "ConnectivitySMILES"])
def test_a_connectivity_smiles_alone_is_taken_with_a_note(flat_name: str):
    record = only(table(**{flat_name: PROLINE_FLAT}))

    assert (record.structure_text, record.refusal) == (PROLINE_FLAT, None)
    assert record.notes == ("Only a connectivity SMILES was given: the stereochemistry is unknown.",)


@pytest.mark.parametrize("flat_name", ["CanonicalSMILES", "ConnectivitySMILES"])
def test_a_connectivity_smiles_never_stands_for_a_compound_with_stereochemistry(flat_name: str):
    record = only(table(**{flat_name: PROLINE_FLAT}, InChIKey=PROLINE_KEY))

    assert record.structure_text is None
    assert record.refusal is not None
    assert "has stereochemistry or isotopes" in record.refusal


def test_a_connectivity_smiles_is_the_whole_structure_where_the_inchikey_says_so():
    record = only(table(ConnectivitySMILES="C(C(CO)O)O", InChIKey="PEDCQBHIVMGVHV-UHFFFAOYSA-N"))

    assert (record.structure_text, record.refusal, record.notes) == ("C(C(CO)O)O", None, ())


def test_a_row_without_structure_is_refused_and_says_what_to_ask_for():
    refusals = [record.refusal for record in pubchem.parse(recording("property_table_new.json"))]

    assert refusals[0] is None
    assert refusals[1] is not None
    assert "ask PubChem for the properties SMILES,InChI,InChIKey" in refusals[1]


@pytest.mark.parametrize("cid", [None, 0, -1, "x", 1.5, True, 10**13, 1e400, [753]])
def test_a_row_without_a_cid_is_refused_although_it_has_a_structure(cid: object):
    record = only(table(CID=cid, SMILES=PROLINE))

    assert record.refusal is not None
    assert record.refusal.startswith("The record has no CID")


@pytest.mark.parametrize("cid", [753, "753", 753.0])
def test_a_cid_is_read_as_number_and_as_text(cid: object):
    assert only(table(CID=cid, SMILES="OCC(O)CO")).source_record == "753"


# --- compound records


@pytest.mark.parametrize("name", ["pc_compounds_old.json", "pc_compounds_new.json"])
def test_a_compound_record_is_read_under_old_and_new_labels(name: str):
    record = pubchem.parse(recording(name))[0]

    assert (record.notation, record.structure_text, record.stated_inchikey) == ("smiles", PROLINE, PROLINE_KEY)
    assert (record.name, record.source_record, record.refusal) == ("L-proline", "145742", None)


def test_a_single_compound_without_its_list_is_read():
    record = only(recorded_rows("pc_compounds_old.json")[0])

    assert (record.pointer, record.structure_text) == ("", PROLINE)


def test_a_compound_that_pubchem_does_not_hold_is_refused_and_leaves_the_rest():
    parsed = pubchem.parse(recorded_rows("pc_compounds_old.json"))

    assert [record.pointer for record in parsed] == ["/0", "/1"]
    assert parsed[0].refusal is None
    assert parsed[1].refusal is not None
    assert "PubChem does not hold this structure" in parsed[1].refusal


def test_a_3d_record_has_no_structure_text_and_is_refused():
    record = pubchem.parse(recording("pc_compounds_new.json"))[1]

    assert record.refusal is not None
    assert "ask for the 2D record" in record.refusal


def test_a_row_that_is_no_object_is_refused_by_its_index():
    parsed = pubchem.parse({"PC_Compounds": [None, recorded_rows("pc_compounds_old.json")[0]]})

    assert [record.refusal for record in parsed] == ["This is not a JSON object.", None]


@pytest.mark.parametrize("empty", [[], {"PC_Compounds": []}, {"PropertyTable": {"Properties": []}}])
def test_an_empty_answer_has_no_records(empty: object):
    assert pubchem.parse(empty) == []


# --- PUG View


@pytest.mark.parametrize("unwrap", [False, True])
def test_a_view_is_read_with_and_without_its_wrapper(unwrap: bool):  # noqa: FBT001
    body = recording("pug_view_record.json")

    record = only(body["Record"] if unwrap else body)

    assert (record.name, record.source_record, record.refusal) == ("Glycerin", "753", None)
    assert (record.structure_text, record.stated_inchikey) == ("C(C(CO)O)O", "PEDCQBHIVMGVHV-UHFFFAOYSA-N")
    assert record.pointer == ("" if unwrap else "/Record")


def test_a_views_canonical_smiles_gives_way_to_its_inchi():
    body = json.loads(json.dumps(recording("pug_view_record.json")).replace('"SMILES"', '"Canonical SMILES"'))

    assert only(body).notation == "inchi"


def test_the_cas_number_that_most_sources_state_is_the_compounds_own():
    record = only(recording("pug_view_record.json"))

    assert [i for i in record.identifiers if i.source == "cas"] == [Identifier("cas", "cas_number", "56-81-5")]
    assert record.notes == ("PubChem's sources also state CAS 25618-55-7.",)


def test_register_numbers_that_sources_are_even_about_are_kept_as_unverified():
    record = only(recording("pug_view_record.json"))

    assert [i for i in record.identifiers if i.source == "dsstox"] == [
        Identifier("dsstox", "dtxsid", "DTXSID9020663", verified=False),
        Identifier("dsstox", "dtxsid", "DTXSID0000001", verified=False),
    ]


def test_synonyms_are_taken_once_and_removed_ones_not_at_all():
    record = only(recording("pug_view_record.json"))

    assert [i.external_id for i in record.identifiers if i.kind == "synonym"] == ["Glycerol", "Glyceritol"]


def test_measured_values_carry_unit_words_and_reference():
    record = only(recording("pug_view_record.json"))

    assert [value for value in record.properties if value.property_type.startswith("melting_point")] == [
        PropertyValue(
            "melting_point",
            numeric_value=290.9278,
            unit="K",
            method='reported as "64 °F (NTP, 1992)"',
            reference="A made-up handbook, 3rd edition, p. 7; CAMEO Chemicals (PubChem CID 753)",
        ),
        PropertyValue(
            "melting_point",
            numeric_value=291.25,
            unit="K",
            method='reported as "18.1 °C"',
            reference="Hazardous Substances Data Bank (HSDB) (PubChem CID 753)",
        ),
        PropertyValue(
            "melting_point_text",
            text_value="17-18 °C",
            reference="Hazardous Substances Data Bank (HSDB) (PubChem CID 753)",
        ),
        PropertyValue(
            "melting_point",
            numeric_value=291.3,
            unit="K",
            method='reported as "291.3 K"',
            reference="Hazardous Substances Data Bank (HSDB) (PubChem CID 753)",
        ),
    ]


def test_the_oral_doses_are_kept_as_text_and_other_routes_left_out():
    record = only(recording("pug_view_record.json"))

    assert [value.text_value for value in record.properties if value.property_type == "oral_ld50"] == [
        "LD50 Mouse oral 4090 mg/kg",
        "LD50: 12600 mg/kg (Oral, Rat)",
    ]


def test_a_section_without_structure_is_refused_with_what_it_says():
    record = only(recording("pug_view_section.json"))

    assert record.refusal is not None
    assert "hold no structure" in record.refusal
    assert record.source_record == "753"
    assert [value.property_type for value in record.properties] == ["density_text", "density", "density_text"]


def test_a_heading_outside_the_experimental_properties_is_not_read_as_measured():
    body = section("Melting Point", "18.1 °C")
    body["Record"]["Section"][0]["TOCHeading"] = "Predicted Properties"

    assert only(body).properties == ()


def test_a_view_nested_very_deep_is_read():
    body = section("Melting Point", "18.1 °C")
    for _ in range(5_000):
        body["Record"]["Section"] = [{"TOCHeading": "again", "Section": body["Record"]["Section"]}]

    assert [value.numeric_value for value in only(body).properties] == [291.25]


@pytest.mark.parametrize(
    ("quantity", "words", "values"),
    [
        (MELTING_POINT, "5.558 °C", [278.708]),
        (MELTING_POINT, "-12.69 °C", [260.46]),
        (MELTING_POINT, "\u221212.69 °C", [260.46]),
        (MELTING_POINT, "41.9 °F (NTP, 1992)", [278.65]),
        (MELTING_POINT, "291.3 K", [291.3]),
        (DENSITY, "0.8756 g/cu cm at 20 °C", [875.6]),
        (DENSITY, "1.1135 g/cu cm AT 20 °C", [1113.5]),
        (DENSITY, "1.3 g/cm³", [1300.0]),
        (DENSITY, "998 kg/m3 at 293 K", [998.0]),
        (VISCOSITY, "0.604 mPa.s at 25 °C", [0.000604]),
        (VISCOSITY, "21 mPa*s at 20 °C", [0.021]),
        (VISCOSITY, "16.1 mPa-sec at 25 °C; 6.554 mPa-sec at 50 °C", [0.0161, 0.006554]),
        (VISCOSITY, "1.4 Pa.s", [1.4]),
    ],
)
def test_a_text_that_leaves_no_doubt_is_read_in_the_propertys_unit(quantity: Quantity, words: str, values: list[float]):
    assert [reading.value for reading in readings(quantity, words)] == values


@pytest.mark.parametrize(
    ("quantity", "words"),
    [
        (MELTING_POINT, "178-185 °C"),
        (MELTING_POINT, "4 - 10 °C"),
        (MELTING_POINT, "FP: -55 °C"),
        (MELTING_POINT, "> 300 °C"),
        (MELTING_POINT, "about 18 °C"),
        (MELTING_POINT, "decomposes at 213 °C"),
        (MELTING_POINT, "1,074 °C"),
        (MELTING_POINT, "\u201312 °C"),
        (MELTING_POINT, "18"),
        (MELTING_POINT, "-300 °C"),
        (MELTING_POINT, "18 °C; 20 °C"),
        (MELTING_POINT, "PEG 400: 4-8 °C; PEG 3000: 50-56 °C"),
        (DENSITY, "0.88"),
        (DENSITY, "0.879 at 68 °F (USCG, 1999)"),
        (DENSITY, "1.353 at 20 °C/20 °C"),
        (DENSITY, "Relative density (water = 1): 0.88"),
        (DENSITY, "Bulk density: 9.31 lb/gal (15/15C)"),
        (DENSITY, "0.724-0.730"),
        (DENSITY, "0 g/mL"),
        (VISCOSITY, "16.1 mPa.s; 6.554 mPa.s"),
        (VISCOSITY, "21 MPa.s"),
        (VISCOSITY, "1.2 mm2/s"),
        (VISCOSITY, ""),
    ],
)
def test_a_text_that_leaves_doubt_gives_no_number(quantity: Quantity, words: str):
    assert readings(quantity, words) == []


@pytest.mark.parametrize(("heading", "kept_as"), [("Density", "density_text"), ("Viscosity", "viscosity_text")])
def test_a_text_that_leaves_doubt_is_kept_as_text(heading: str, kept_as: str):
    record = only(section(heading, "0.88"))

    assert record.properties == (PropertyValue(kept_as, text_value="0.88", reference="PubChem CID 753"),)


# --- what is no compound


def test_synonyms_alone_are_no_molecule_but_are_read():
    record = only(recording("information_list.json"))

    assert record.refusal == "The answer has synonyms only, without a structure."
    assert (record.name, record.source_record) == ("glycerol", "753")
    assert [i.external_id for i in record.identifiers] == ["753", "Glycerin", "56-81-5"]


def test_a_fault_is_refused_with_pubchems_code_and_message():
    with pytest.raises(InvalidError, match=r"PUGREST\.ServerBusy: Too many requests or server too busy") as caught:
        pubchem.parse(recording("fault.json"))

    assert caught.value.code == "upstream_fault"


def test_an_answer_that_is_not_ready_is_refused_with_its_list_key():
    with pytest.raises(InvalidError, match="1234567890123456789") as caught:
        pubchem.parse(recording("waiting.json"))

    assert caught.value.code == "upstream_waiting"


@pytest.mark.parametrize(
    ("name", "reason"),
    [("substances.json", "deposited substances, not compounds"), ("pug_view_assay.json", "of type AID, not CID")],
)
def test_records_of_another_kind_are_refused_as_what_they_are(name: str, reason: str):
    with pytest.raises(InvalidError, match=reason):
        pubchem.parse(recording(name))


@pytest.mark.parametrize(
    "payload", [None, True, 7, "CC", {}, [None], [[]], {"PC_Compounds": {}}, {"molecules": []}, {"Fault": {}}]
)
def test_what_is_no_body_of_pubchems_is_refused_and_the_accepted_shapes_are_named(payload: object):
    with pytest.raises(InvalidError, match="Accepted from PubChem"):
        pubchem.parse(payload)


# --- whatever stands in a record


TEN_MEGABYTES = "N" * 10_000_000
NASTY = [
    "\0",
    "\ud800",
    "CC\0O",
    "1e400",
    "NaN",
    "-",
    "18.1 °C",
    10**400,
    TEN_MEGABYTES,
    "1" * 5_000,
    "LD50 oral\n" * 9,
]
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.sampled_from(NASTY),
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
    assert len(value.text_value or "") <= 10_000
    assert len(value.reference or "") <= 2_000
    assert len(value.method or "") <= 2_000


@settings(deadline=None)
@given(
    name=st.sampled_from(
        [
            "property_table_old.json",
            "property_table_new.json",
            "pc_compounds_old.json",
            "pc_compounds_new.json",
            "pug_view_record.json",
            "information_list.json",
            "fault.json",
            "waiting.json",
        ]
    ),
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
        assert "PubChem" in answer
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
    ("name", "notation"),
    [
        ("pc_compounds/PC_Compounds_list_CID_241.json", "smiles"),
        ("pc_compounds/PC_Compounds_list_CID_5742.json", "smiles"),
        ("pc_compounds/PC_Compounds_list_CID_7840.json", "smiles"),
        ("pc_compounds/PC_Compounds_list_CID_947.json", "smiles"),
        ("pc_compounds/PC_Compounds_list_CID_nocid.json", None),
        ("pc_compounds/cid4_Structure2D_COMPOUND_CID_4.json", "smiles"),
        ("pc_compounds/cid4_Conformer3D_COMPOUND_CID_41.json", None),
        ("pc_compounds/openbabel_CID_1038_2D.json", "smiles"),
        ("pc_compounds/openbabel_CID_10900_2D.json", "smiles"),
        ("pc_compounds/openbabel_CID_123164_2D.json", "smiles"),
        ("pc_compounds/openbabel_CID_368849_2D.json", "smiles"),
        ("pc_compounds/openbabel_CID_6137_2D.json", "smiles"),
        ("pc_compounds/openbabel_CID_638186_2D.json", "smiles"),
        ("pc_compounds/openbabel_CID_643833_2D.json", "smiles"),
        ("pc_compounds/openbabel_CID_6857552_2D.json", "smiles"),
        ("property/aspirin_property_new_names_trimmed_real.json", "smiles"),
        ("property/aspirin_property_old_names_documented.json", "inchi"),
        ("property/PubChemrs_aspirin_properties_composite.json", "smiles"),
        ("property/metabo-idmapper_pubchem_property_CID_1123_taurine.json", None),
        ("property/metabo-idmapper_pubchem_synonyms_CID_1123_taurine.json", None),
        ("pug_view/pug_view_CID_241_Benzene.json.gz", "inchi"),
        ("pug_view/pug_view_CID_5742_Guanidine_hydrochloride.json.gz", "inchi"),
        ("pug_view/pug_view_CID_753_glycerin_pharmacodynamics_section.json", None),
        ("pug_view/pug_view_CID_7840_1-Bromopropane.json.gz", "inchi"),
        ("pug_view/pug_view_CID_8037_N_N_Np_Np-Tetramethylethylenediamine.json.gz", "inchi"),
        ("pug_view/pug_view_benzene.json.gz", "smiles"),
        ("pug_view/pug_view_bromopentane.json.gz", "smiles"),
        ("pug_view/pug_view_ethyleneglycol.json.gz", "smiles"),
        ("pug_view/pug_view_penicillin.json.gz", "smiles"),
        ("pug_view/pug_view_triethylamine.json.gz", "smiles"),
    ],
)
def test_a_real_compound_body_is_read_or_refused_by_its_index(name: str, notation: str | None):
    record = only(real(name))

    assert_storable(record)
    assert (record.notation if not record.refusal else None) == notation


@needs_real_bodies
@pytest.mark.parametrize("name", ["10900", "123164", "368849", "6137", "638186", "643833", "6857552"])
def test_a_real_compounds_structure_has_the_inchikey_that_pubchem_states(name: str):
    record = only(real(f"pc_compounds/openbabel_CID_{name}_2D.json"))

    assert record.structure_text is not None
    assert inchikey_of(record.structure_text) == record.stated_inchikey


@needs_real_bodies
def test_the_real_view_of_ethylene_glycol_gives_its_measured_values_and_not_those_of_its_polymer():
    record = only(real("pug_view/pug_view_ethyleneglycol.json.gz"))

    values = {(v.property_type, v.numeric_value) for v in record.properties if v.numeric_value is not None}
    assert {("melting_point", 260.46), ("density", 1113.5), ("viscosity", 0.0161), ("viscosity", 0.021)} <= values
    assert not [value for kind, value in values if kind == "melting_point" and value > 262]
    assert [i.external_id for i in record.identifiers if i.source == "cas"] == ["107-21-1"]
    assert [i.external_id for i in record.identifiers if i.source == "chembl"] == ["CHEMBL457299"]
    assert "LD50 Rat oral 4700 mg/kg" in [value.text_value for value in record.properties]


@needs_real_bodies
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("fault_and_throttle/fault_404_NotFound_cid_3d.json", r"PUGREST\.NotFound: No records found"),
        ("fault_and_throttle/fault_404_NotFound_inchikey.json", "No CID found that matches the given InChI key"),
        ("fault_and_throttle/fault_404_NotFound_name.json", "No CID found that matches the given name"),
        ("fault_and_throttle/fault_503_ServerBusy.json", r"PUGREST\.ServerBusy"),
        ("fault_and_throttle/waiting_202_listkey.json", "4199336941665111481"),
        ("fault_and_throttle/waiting_202_listkey_formula_C7H19N3.json", "2883150836684277104"),
        ("other/BIOASSAY_AID_743069_tox21_ERa_antagonist.json", "of type AID"),
        ("pc_compounds/openbabel_SID_348356775_2D.json", "deposited substances"),
    ],
)
def test_a_real_body_of_another_kind_is_refused(name: str, reason: str):
    with pytest.raises(InvalidError, match=reason):
        pubchem.parse(real(name))


@needs_real_bodies
def test_every_real_json_body_is_either_read_or_refused():
    names = {str(path.relative_to(REAL)) for path in REAL.rglob("*.json*")}
    names.remove("pc_compounds/openbabel_invalid.json")  # is no JSON, and was made so

    answers = [parsed_or_refusal(real(name)) for name in names]

    assert len(answers) == 40
    assert sum(len(answer) for answer in answers if isinstance(answer, list)) == 30
    assert all("PubChem" in answer for answer in answers if isinstance(answer, str))
