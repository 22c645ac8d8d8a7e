"""ToxCast: assay annotations of invitroDB v4.1, the older matrix of hit calls, and answers of the CTX service.

The matrix says 1, 0, -1 where no call was possible, and NA where nothing was tested. Since tcpl 3 a hit call is
continuous: active from 0.9 on, and below zero where the curve runs against the assay's direction, which is inactive.
Assays of backgrounds and channels are kept, but tell of no harm and are not scored; neither are those that the
annotations do not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import orjson

from app.domain.molecules import Identifier
from app.domain.toxicity import Assay, Endpoint, HitCall, NewToxicityResult, called
from app.errors import InvalidError
from app.importers import records
from app.importers.records import mapping
from app.importers.toxicity_records import (
    RejectedRow,
    Row,
    StatedMolecule,
    Stream,
    ToxicityRecord,
    slug,
    source_record,
    table,
)

SOURCE: Final = "toxcast"
_REFERENCE: Final = "EPA invitroDB v4.1 (September 2023)"
_MATRIX_REFERENCE: Final = "ToxCast hit calls as MoleculeNet distributes them"
_CYTOTOXICITY: Final = Endpoint("cytotoxicity", "Loss of viable cells")
_UNANNOTATED: Final = Endpoint(
    "unannotated", "Assays of earlier releases that the annotations do not know", is_scored=False
)
_NO_HARM: Final = frozenset({"background_measurement", "channel_1", "channel_2", "na", "fluorescence", ""})
_MAX_FLAGS: Final = 50
_CALLS: Final = {"1": HitCall.ACTIVE, "0": HitCall.INACTIVE, "-1": HitCall.INCONCLUSIVE}
_NOT_TESTED: Final = frozenset({"NA", ""})
_DIRECTIONS: Final = frozenset({"gain", "loss", "bidirectional"})
_FURTHER: Final = (
    "assay_name",
    "assay_component_name",
    "assay_source_name",
    "assay_format_type",
    "assay_function_type",
    "assay_design_type",
    "cell_format",
    "biological_process_target",
    "detection_technology_type",
    "intended_target_type",
    "intended_target_family",
    "intended_target_family_sub",
    "key_positive_control",
    "normalized_data_type",
    "burst_assay",
    "cell_viability_assay",
)
_ASSAY_COLUMNS: Final = frozenset(
    {
        "aeid",
        "assay_component_endpoint_name",
        "assay_component_endpoint_desc",
        "organism",
        "tissue",
        "cell_short_name",
        "timepoint_hr",
        "signal_direction",
        *_FURTHER,
    }
)
_SUBSTANCE_COLUMNS: Final = frozenset(
    {"DSSTox_Substance_Id", "Substance_Name", "Substance_CASRN", "Structure_SMILES", "Structure_InChIKey"}
)


def parse_genes(stream: Stream) -> dict[str, str]:
    """Return the gene symbols of assays by their aeid, several with a bar between them.

    Raises:
        InvalidError: It is another table.
    """
    genes: dict[str, list[str]] = {}
    for _, row in table(stream, frozenset({"aeid", "gene_symbol"})):
        if not isinstance(row, RejectedRow) and row["gene_symbol"] not in genes.setdefault(row["aeid"], []):
            genes[row["aeid"]].append(row["gene_symbol"])
    return {aeid: found for aeid, symbols in genes.items() if (found := records.text("|".join(symbols), 100))}


def parse_assays(stream: Stream, genes: Mapping[str, str] | None = None) -> Iterator[Assay | RejectedRow]:
    """Give the assays of the annotations' combined table; `genes` are the symbols by aeid.

    Raises:
        InvalidError: It is another table.
    """
    for index, row in table(stream, _ASSAY_COLUMNS):
        yield row if isinstance(row, RejectedRow) else _assay(index, row, genes or {})


def parse_substances(stream: Stream) -> Iterator[tuple[str, StatedMolecule] | RejectedRow]:
    """Give DSSTox's substances by ToxCast's code for them: a C and the digits of the CAS number.

    The file is in latin-1, and nothing but a carriage return ends its records.

    Raises:
        InvalidError: It is another table.
    """
    for index, row in table(stream, _SUBSTANCE_COLUMNS, encoding="latin-1"):
        yield row if isinstance(row, RejectedRow) else _substance(index, row)


def parse_hit_calls(
    stream: Stream, assays: Mapping[str, Assay], substances: Mapping[str, StatedMolecule]
) -> Iterator[ToxicityRecord | RejectedRow]:
    """Give the chemicals of the matrix, each with its calls; `assays` by name, `substances` by code.

    Raises:
        InvalidError: It is another table.
    """
    known: dict[str, Assay] = {}
    for index, row in table(stream, frozenset({""})):
        if isinstance(row, RejectedRow):
            yield row
            continue
        if not known:
            known = {
                name: assays.get(name) or Assay(SOURCE, name, endpoints=(_UNANNOTATED,), reference=_MATRIX_REFERENCE)
                for name in row
                if name
            }
        yield _chemical(index, row, known, substances)


def parse_ctx(stream: Stream, assays: Mapping[str, Assay]) -> Iterator[ToxicityRecord | RejectedRow]:
    """Give the samples of an answer of the CTX bioactivity service; `assays` by aeid.

    Raises:
        InvalidError: The answer is no list of samples.
    """
    try:
        body = orjson.loads(stream.read())
    except orjson.JSONDecodeError as error:
        msg = "the answer is no JSON"
        raise InvalidError(msg, code="unknown_records") from error
    if not isinstance(body, list):
        msg = "the answer is no list of samples"
        raise InvalidError(msg, code="unknown_records")
    for index, item in enumerate(body):
        yield _ctx_sample(index, mapping(item), assays)


def _assay(index: int, row: Row, genes: Mapping[str, str]) -> Assay | RejectedRow:
    name, aeid = records.text(row["assay_component_endpoint_name"], 200), records.register_number(row["aeid"])
    if name is None or aeid is None:
        return RejectedRow(index, aeid, "the row has no name or no aeid")
    exposure_h = records.number(row["timepoint_hr"])
    return Assay(
        SOURCE,
        name,
        aeid,
        description=records.text(row["assay_component_endpoint_desc"], 10_000),
        organism=records.text(row["organism"], 200),
        tissue=records.text(row["tissue"], 200),
        cell_type=records.text(row["cell_short_name"], 200),
        target=records.text(row["intended_target_family_sub"], 200) or records.text(row["intended_target_family"], 200),
        gene_symbol=genes.get(aeid),
        signal_direction=row["signal_direction"] if row["signal_direction"] in _DIRECTIONS else None,
        exposure_h=exposure_h if exposure_h is not None and exposure_h >= 0 else None,
        annotations={key: said for key in _FURTHER if (said := records.text(row[key], 10_000))},
        reference=_REFERENCE,
        endpoints=(_endpoint(row),),
    )


def _endpoint(row: Row) -> Endpoint:
    if records.flag(row["cell_viability_assay"]):
        return _CYTOTOXICITY
    name = slug(row["intended_target_family"])
    is_scored = name not in _NO_HARM
    if not name or not name[0].isalpha():
        name = f"target_{name}" if name else "not_stated"
    return Endpoint(name, f"ToxCast's intended target family: {name.replace('_', ' ')}", is_scored)


def _substance(index: int, row: Row) -> tuple[str, StatedMolecule] | RejectedRow:
    cas, dtxsid = row["Substance_CASRN"].strip(), source_record(row["DSSTox_Substance_Id"])
    if dtxsid is None or not cas:
        return RejectedRow(index, dtxsid, "the row has no DTXSID or no CAS number")
    return f"C{cas.replace('-', '')}", StatedMolecule(
        dtxsid,
        records.text(row["Substance_Name"], records.MAX_NAME_CHARS),
        records.smiles(row["Structure_SMILES"]),
        records.inchikey(row["Structure_InChIKey"]),
        _registered(dtxsid, cas),
    )


def _registered(dtxsid: object, cas: object) -> tuple[Identifier, ...]:
    number, substance = records.cas_number(cas), records.text(dtxsid, 50)
    return (
        *((Identifier("dsstox", "dtxsid", substance),) if substance else ()),
        *((Identifier("cas", "cas_number", number),) if number else ()),
    )


def _chemical(
    index: int, row: Row, assays: Mapping[str, Assay], substances: Mapping[str, StatedMolecule]
) -> ToxicityRecord | RejectedRow:
    code = source_record(row[""])
    molecule = substances.get(code or "")
    if code is None or molecule is None:
        return RejectedRow(index, code, "no substance is known by this code")
    tested = {name: call for name, call in row.items() if name and call not in _NOT_TESTED}
    if strange := sorted(name for name, call in tested.items() if call not in _CALLS):
        return RejectedRow(index, code, f"a call is 1, 0, -1 or NA: {', '.join(strange[:5])}")
    if not tested:
        return RejectedRow(index, code, "it was tested in none of the assays")
    results = tuple(
        NewToxicityResult(
            molecule.reference,
            assays[name],
            hit_call=_CALLS[call],
            source_record=f"matrix:{code}",
            reference=_MATRIX_REFERENCE,
        )
        for name, call in tested.items()
    )
    return ToxicityRecord(index, code, molecule, results)


def _ctx_sample(index: int, item: Mapping[str, object], assays: Mapping[str, Assay]) -> ToxicityRecord | RejectedRow:
    m4id, aeid = records.register_number(item.get("m4id")), records.register_number(item.get("aeid"))
    record = f"m4id:{m4id}" if m4id else None
    dtxsid = records.text(item.get("dtxsid"), 50)
    if record is None or dtxsid is None:
        return RejectedRow(index, record, "the sample is of no substance: a control, or not registered")
    assay = assays.get(aeid or "")
    if assay is None:
        return RejectedRow(index, record, f"the annotations know no assay {aeid}")
    continuous = records.number(item.get("hitc"))
    if continuous is None or not -1 <= continuous <= 1:
        return RejectedRow(index, record, "the hit call is no number from -1 to 1")
    molecule = StatedMolecule(
        dtxsid,
        records.text(item.get("chnm"), records.MAX_NAME_CHARS),
        identifiers=_registered(dtxsid, item.get("casn")),
    )
    return ToxicityRecord(index, record, molecule, (_ctx_result(record, dtxsid, assay, continuous, item),))


def _ctx_result(
    record: str, dtxsid: str, assay: Assay, continuous: float, item: Mapping[str, object]
) -> NewToxicityResult:
    # The fit of an inactive curve has an AC50 too, which is no potency.
    potency = records.number(mapping(item.get("mc5Param")).get("ac50"))
    is_potent = called(continuous) is HitCall.ACTIVE and potency is not None and potency > 0
    low, high = records.number(item.get("concMin")), records.number(item.get("concMax"))
    unit = records.text(item.get("testedConcUnit"), 50)
    is_ranged = unit is not None and low is not None and high is not None and 0 <= low <= high
    flags = (records.text(flag, 500) for flag in records.items(mapping(item.get("mc6Param")).get("flag")))
    return NewToxicityResult(
        dtxsid,
        assay,
        hit_call=called(continuous),
        continuous_hit_call=continuous,
        potency_type="AC50" if is_potent else None,
        potency=potency if is_potent else None,
        potency_unit=(unit or "uM") if is_potent else None,
        concentration_min=low if is_ranged else None,
        concentration_max=high if is_ranged else None,
        concentration_unit=unit if is_ranged else None,
        flags=tuple(flag for flag in flags if flag)[:_MAX_FLAGS],
        reference=_REFERENCE,
        source_record=record,
    )
