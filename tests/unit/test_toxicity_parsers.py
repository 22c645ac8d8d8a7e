"""Tox21's, ToxCast's and ICE's files: what is read of them, what is refused and why."""

from __future__ import annotations

import gzip
import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.experiments import Relation
from app.domain.molecules import Identifier
from app.domain.toxicity import Assay, Endpoint, HitCall
from app.errors import InvalidError
from app.importers import ice, tox21, toxcast
from app.importers.toxicity_records import RejectedRow, StatedMolecule, Stream, ToxicityRecord

PROJECT = Path(__file__).parents[2]
RECORDINGS = PROJECT / "tests" / "recordings" / "toxicity"
REAL = Path(os.environ.get("CRYOPROTECT_SHARED", PROJECT.parent / "shared" / "data"))

needs_real_files = pytest.mark.skipif(not (REAL / "tox21").is_dir(), reason=f"the real files are not here: {REAL}")
_T = TypeVar("_T")


def recording(name: str) -> io.BytesIO:
    return io.BytesIO((RECORDINGS / name).read_bytes())


def real(name: str) -> gzip.GzipFile:
    return gzip.open(REAL / name)


def apart(rows: Iterable[_T | RejectedRow]) -> tuple[list[_T], dict[int, str]]:
    """Return what was taken, and why each other row was not by its index."""
    taken: list[_T] = []
    refused: dict[int, str] = {}
    for row in rows:
        if isinstance(row, RejectedRow):
            refused[row.index] = row.reason
        else:
            taken.append(row)
    return taken, refused


def calls(record: ToxicityRecord) -> dict[str | None, HitCall | None]:
    return {result.assay.name: result.hit_call for result in record.results}


# Tox21.


def test_a_compound_has_a_result_for_each_assay_that_it_was_tested_in() -> None:
    (glycerol, dmso), _ = apart(tox21.parse_table(recording("tox21_table.csv")))

    assert glycerol.molecule.smiles == "OCC(O)CO"
    assert glycerol.molecule.identifiers == (Identifier("tox21", "tox_id", "TOX9000001"),)
    assert {name for name, call in calls(glycerol).items() if call is HitCall.ACTIVE} == {"NR-AhR", "SR-ARE"}
    assert len(glycerol.results) == 10
    assert calls(dmso) == {"SR-ARE": HitCall.INACTIVE, "SR-HSE": HitCall.INACTIVE}
    assert {result.source_record for result in dmso.results} == {"TOX9000002"}


def test_rows_that_say_nothing_or_something_strange_are_refused_with_a_reason() -> None:
    _, refused = apart(tox21.parse_table(recording("tox21_table.csv")))

    assert refused == {
        2: "it was tested in none of the assays",
        3: "a call is 0 or 1, or empty: NR-AR",
        4: "the row has no mol_id or no SMILES",
        5: "the row has 4 cells, the header 14",
    }


def test_the_challenges_replicates_stay_apart() -> None:
    assay = tox21.assay_of_file("challenge_nr-ahr.tab.gz")
    assert assay is not None

    samples, refused = apart(tox21.parse_challenge(recording("challenge_nr-ahr.tab"), assay))

    assert [calls(sample)["NR-AhR"] for sample in samples] == [HitCall.ACTIVE, HitCall.INACTIVE, HitCall.ACTIVE]
    assert len({result.source_record for sample in samples for result in sample.results}) == 3
    assert refused == {3: "the activity is neither 0 nor 1"}


def test_every_tox21_assay_says_which_cells_it_exposes_and_what_it_tells_of() -> None:
    assert len(tox21.ASSAYS) == 12
    assert all(assay.is_annotated and assay.cell_type for assay in tox21.ASSAYS.values())
    assert tox21.assay_of_file("deepchem_tox21.csv.gz") is None


# ToxCast.


def toxcast_assays() -> list[Assay]:
    genes = toxcast.parse_genes(recording("toxcast_genes.csv"))
    return apart(toxcast.parse_assays(recording("toxcast_assays.csv"), genes))[0]


def test_annotations_make_assays() -> None:
    cyp, ldh, channel = toxcast_assays()
    _, refused = apart(toxcast.parse_assays(recording("toxcast_assays.csv")))

    assert cyp.key == ("toxcast", "LTEA_HepaRG_CYP1A1", "9001")
    assert (cyp.cell_type, cyp.exposure_h, cyp.gene_symbol) == ("HepaRG", 48.0, "CYP1A1|CYP1A2")
    assert (cyp.signal_direction, cyp.target) == ("bidirectional", "xenobiotic metabolism")
    assert cyp.description == "Made up. For tests."
    assert cyp.annotations["assay_name"] == "LTEA_HepaRG"
    assert cyp.endpoints == (Endpoint("cyp", "ToxCast's intended target family: cyp"),)
    assert ldh.endpoints[0].name == "cytotoxicity"
    assert (channel.signal_direction, channel.exposure_h) == (None, None)
    assert refused == {3: "the row has no name or no aeid"}


def test_a_background_tells_of_no_harm_and_is_not_scored() -> None:
    assert [assay.endpoints[0].is_scored for assay in toxcast_assays()] == [True, True, False]


def substances() -> dict[str, StatedMolecule]:
    return dict(apart(toxcast.parse_substances(recording("toxcast_substances.csv")))[0])


def test_substances_are_read_whose_records_end_with_carriage_returns_alone() -> None:
    found = substances()

    assert list(found) == ["C56815", "C67685", "C71888896"]
    assert found["C56815"] == StatedMolecule(
        "DTXSID9000001",
        "Glycerol",
        "OCC(O)CO",
        "PEDCQBHIVMGVHV-UHFFFAOYSA-N",
        (Identifier("dsstox", "dtxsid", "DTXSID9000001"), Identifier("cas", "cas_number", "56-81-5")),
    )
    assert found["C71888896"].name == "Esters of µ-oil, 99 ³"
    assert found["C71888896"].smiles is None


def test_the_matrix_gives_calls_and_says_which_chemicals_nobody_knows() -> None:
    assays = {assay.name or "": assay for assay in toxcast_assays()}

    records, refused = apart(toxcast.parse_hit_calls(recording("toxcast_matrix.csv"), assays, substances()))

    assert [calls(record) for record in records] == [
        {"LTEA_HepaRG_CYP1A1": HitCall.ACTIVE, "APR_HepG2_CellLoss_24h_dn": HitCall.INACTIVE},
        {"LTEA_HepaRG_CYP1A1": HitCall.INCONCLUSIVE, "ATG_chan_ch1": HitCall.ACTIVE},
    ]
    assert [result.assay.endpoints[0].is_scored for result in records[0].results] == [True, False]
    assert refused == {
        2: "it was tested in none of the assays",
        3: "no substance is known by this code",
        4: "a call is 1, 0, -1 or NA: APR_HepG2_CellLoss_24h_dn",
    }


def ctx() -> tuple[list[ToxicityRecord], dict[int, str]]:
    assays = {assay.external_id or "": assay for assay in toxcast_assays()}
    return apart(toxcast.parse_ctx(recording("ctx_samples.json"), assays))


def test_a_continuous_hit_call_is_active_from_nine_tenths_on_and_never_below_zero() -> None:
    results = [record.results[0] for record in ctx()[0]]

    assert [(result.continuous_hit_call, result.hit_call) for result in results] == [
        (0.97, HitCall.ACTIVE),
        (0.6, HitCall.INACTIVE),
        (-0.9999999, HitCall.INACTIVE),
        (0.9, HitCall.ACTIVE),
    ]


def test_only_an_active_sample_has_a_potency() -> None:
    potent, weak, _, without = (record.results[0] for record in ctx()[0])

    assert (potent.potency_type, potent.potency, potent.potency_unit) == ("AC50", 12.5, "uM")
    assert (potent.concentration_min, potent.concentration_max, potent.concentration_unit) == (0.03, 50.0, "uM")
    assert potent.flags == ("Borderline",)
    assert (weak.potency_type, weak.potency, weak.flags) == (None, None, ())
    assert (without.potency_type, without.potency) == (None, None)


def test_samples_of_no_substance_and_calls_out_of_range_are_refused() -> None:
    nothing = "the sample is of no substance: a control, or not registered"
    assert ctx()[1] == {
        3: nothing,
        4: "the annotations know no assay 1",
        5: "the hit call is no number from -1 to 1",
        6: "the hit call is no number from -1 to 1",
        8: nothing,
    }


# ICE.


def test_doses_are_read_with_their_relation_and_never_as_hit_calls() -> None:
    records, refused = apart(ice.parse_oral_doses(recording("ice_oral.csv")))

    doses = [record.results[0] for record in records]
    assert [(dose.potency_relation, dose.potency, dose.potency_unit, dose.hit_call) for dose in doses] == [
        (Relation.EQUAL, 12600.0, "mg/kg", None),
        (Relation.MORE, 5000.0, "mg/kg", None),
    ]
    assert [record.molecule.reference for record in records] == ["DTXSID9000001", "56-81-5"]
    assert not ice.ORAL.endpoints[0].is_scored
    assert refused == {
        2: "the row is of a formulation, not of a chemical",
        3: "a GHS classification is no dose",
        4: "the dose is no positive number with a unit and a known relation",
        5: "the row has no record id, or neither a DTXSID nor a CAS number",
    }


# All of them.

AHR = tox21.ASSAYS["NR-AhR"]
PARSERS: dict[str, Callable[[Stream], Iterator[Any]]] = {
    "table": tox21.parse_table,
    "challenge": lambda stream: tox21.parse_challenge(stream, AHR),
    "assays": toxcast.parse_assays,
    "substances": toxcast.parse_substances,
    "matrix": lambda stream: toxcast.parse_hit_calls(stream, {}, {}),
    "ctx": lambda stream: toxcast.parse_ctx(stream, {}),
    "ice": ice.parse_oral_doses,
}
FILES = {
    "table": "tox21_table.csv",
    "challenge": "challenge_nr-ahr.tab",
    "assays": "toxcast_assays.csv",
    "substances": "toxcast_substances.csv",
    "matrix": "toxcast_matrix.csv",
    "ctx": "ctx_samples.json",
    "ice": "ice_oral.csv",
}


@pytest.mark.parametrize("name", PARSERS)
@pytest.mark.parametrize("body", [b"", b"<html>busy</html>", b'{"error": "no"}', b"a,b\n1,2\n", b"\x00\xff\xfe"])
def test_another_file_is_refused_as_a_whole(name: str, body: bytes) -> None:
    with pytest.raises(InvalidError):
        list(PARSERS[name](io.BytesIO(body)))


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damage_costs_rows_and_nothing_else(name: str, data: st.DataObject) -> None:
    body = bytearray((RECORDINGS / FILES[name]).read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))

    try:
        rows = list(PARSERS[name](io.BytesIO(bytes(body))))
    except InvalidError:
        return

    for row in rows:
        if isinstance(row, ToxicityRecord):
            assert row.results
            assert all(result.source_record for result in row.results)


@needs_real_files
class TestRealFiles:
    """The files as their sources give them."""

    def test_the_table_has_8014_compounds(self) -> None:
        records, refused = apart(tox21.parse_table(real("tox21/deepchem_tox21.csv.gz")))

        counts = Counter(result.hit_call for record in records for result in record.results)
        assert (len(records), refused) == (8014, {})
        assert counts == {HitCall.INACTIVE: 73_616, HitCall.ACTIVE: 5957}

    def test_the_challenges_files_contradict_themselves_and_all_is_kept(self) -> None:
        said: dict[tuple[str | None, str | None], set[HitCall | None]] = {}
        samples = 0
        for path in sorted((REAL / "tox21").glob("challenge_*")):
            assay = tox21.assay_of_file(path.name)
            assert assay is not None, path.name
            with gzip.open(path) as stream:
                records, refused = apart(tox21.parse_challenge(stream, assay))
            assert not refused
            samples += len(records)
            for record in records:
                said.setdefault((assay.name, record.molecule.smiles), set()).add(record.results[0].hit_call)

        assert samples == 14_184
        assert sum(len(calls) > 1 for calls in said.values()) == 77

    def test_annotations_substances_and_samples(self) -> None:
        assays, strange = apart(toxcast.parse_assays(real("toxcast/assay_annotations_v4_1_combined.csv.gz")))
        found, nameless = apart(toxcast.parse_substances(real("toxcast/deepchem_casn_to_smiles.csv.gz")))
        samples, controls = apart(
            toxcast.parse_ctx(
                real("toxcast/ctx_api/tcpl_by-aeid_704.json.gz"), {assay.external_id or "": assay for assay in assays}
            )
        )

        assert (len(assays), strange) == (1496, {})
        assert (len(found), nameless) == (9011, {})
        assert (len(samples), len(controls)) == (40, 2)

    def test_the_head_of_the_matrix(self) -> None:
        found = dict(apart(toxcast.parse_substances(real("toxcast/deepchem_casn_to_smiles.csv.gz")))[0])
        with real("toxcast/deepchem_code_to_hitc.csv.gz") as matrix:
            head = b"".join(matrix.readline() for _ in range(201))

        records, refused = apart(toxcast.parse_hit_calls(io.BytesIO(head), {}, found))

        assert len(records) + len(refused) == 200
        assert len(records) > 150

    def test_doses_of_chemicals_are_taken(self) -> None:
        records, refused = apart(ice.parse_oral_doses(real("properties/ice_acute_oral_toxicity.csv.gz")))

        assert (len(records), len(refused)) == (11_653, 4514)
        dmso = [
            record.results[0].potency
            for record in records
            if Identifier("cas", "cas_number", "67-68-5") in record.molecule.identifiers
        ]
        assert {14_500.0, 28_300.0} <= set(dmso)
