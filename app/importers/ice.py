"""NIEHS ICE: doses that kill half of the rats, by mouth. Context beside a score, and no part of one.

Rows on formulations tell of their mixture and not of the active ingredient that they name; classifications are no
doses. Neither is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from app.domain.experiments import Relation
from app.domain.molecules import Identifier
from app.domain.toxicity import Assay, Endpoint, NewToxicityResult
from app.importers import records
from app.importers.toxicity_records import (
    RejectedRow,
    Row,
    StatedMolecule,
    Stream,
    ToxicityRecord,
    source_record,
    table,
)

SOURCE: Final = "ice"
ORAL: Final = Assay(
    SOURCE,
    "Rat Acute Oral Toxicity",
    description="Dose by mouth that kills half of the rats",
    organism="rat",
    reference="NIEHS Integrated Chemical Environment",
    endpoints=(Endpoint("acute_oral_toxicity", "Deaths after one dose by mouth", is_scored=False),),
)
_COLUMNS: Final = frozenset(
    {
        "Record ID",
        "Mixture",
        "Chemical Name",
        "CASRN",
        "DTXSID",
        "Assay",
        "Endpoint",
        "Response Modifier",
        "Response",
        "Response Unit",
        "Reference",
    }
)
_RELATIONS: Final = {"": Relation.EQUAL} | {relation.value: relation for relation in Relation}


def parse_oral_doses(stream: Stream) -> Iterator[ToxicityRecord | RejectedRow]:
    """Give the chemicals of the table, each with one LD50.

    Raises:
        InvalidError: It is another table.
    """
    for index, row in table(stream, _COLUMNS):
        yield row if isinstance(row, RejectedRow) else _dose(index, row)


def _dose(index: int, row: Row) -> ToxicityRecord | RejectedRow:
    record = source_record(row["Record ID"])
    if why_not := _why_not(row):
        return RejectedRow(index, record, why_not)
    dose, relation = records.number(row["Response"]), _RELATIONS.get(row["Response Modifier"].strip())
    unit = records.text(row["Response Unit"], 50)
    cas, dtxsid = records.cas_number(row["CASRN"]), records.text(row["DTXSID"], 50)
    reference = dtxsid or cas
    if record is None or reference is None:
        return RejectedRow(index, record, "the row has no record id, or neither a DTXSID nor a CAS number")
    if dose is None or dose <= 0 or unit is None or relation is None:
        return RejectedRow(index, record, "the dose is no positive number with a unit and a known relation")
    molecule = StatedMolecule(
        reference,
        records.text(row["Chemical Name"], records.MAX_NAME_CHARS),
        identifiers=(
            *((Identifier("dsstox", "dtxsid", dtxsid),) if dtxsid else ()),
            *((Identifier("cas", "cas_number", cas),) if cas else ()),
        ),
    )
    result = NewToxicityResult(
        reference,
        ORAL,
        potency_type="LD50",
        potency_relation=relation,
        potency=dose,
        potency_unit=unit,
        reference=records.text(row["Reference"], 2000),
        source_record=record,
    )
    return ToxicityRecord(index, record, molecule, (result,))


def _why_not(row: Row) -> str | None:
    if row["Mixture"] != "Chemical":
        return "the row is of a formulation, not of a chemical"
    if row["Endpoint"] != "LD50":
        return f"a {row['Endpoint'][:100]} is no dose"
    return None if row["Assay"] == ORAL.name else "the row is of another assay"
