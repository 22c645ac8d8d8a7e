"""Tox21: the twelve assays of the 2014 data challenge, as MoleculeNet's table and as the challenge's own files.

The table has one row a compound and one column an assay, empty where the compound was not tested. The challenge's
files are one an assay and one row a sample: compounds stand several times, and some of their calls contradict each
other. All are kept, told apart by the sample's NCGC number.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from app.domain.molecules import Identifier
from app.domain.toxicity import Assay, Endpoint, HitCall, NewToxicityResult
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

SOURCE: Final = "tox21"
_REFERENCE: Final = "Tox21 Data Challenge 2014, doi:10.3389/fenvs.2015.00085"
_NUCLEAR: Final = Endpoint("nuclear_receptor", "Interference with signalling by nuclear receptors")
_STRESS: Final = Endpoint("stress_response", "Response of cells to stress")


def _assay(name: str, cell_type: str, target: str, gene: str | None = None) -> Assay:
    endpoint = _NUCLEAR if name.startswith("NR-") else _STRESS
    return Assay(
        SOURCE,
        name,
        organism="human",
        cell_type=cell_type,
        target=target,
        gene_symbol=gene,
        reference=_REFERENCE,
        endpoints=(endpoint,),
    )


ASSAYS: Final = {
    assay.name: assay
    for assay in (
        _assay("NR-AR", "MDA-kb2", "androgen receptor", "AR"),
        _assay("NR-AR-LBD", "HEK293", "androgen receptor, ligand binding domain", "AR"),
        _assay("NR-AhR", "HepG2", "aryl hydrocarbon receptor", "AHR"),
        _assay("NR-Aromatase", "MCF-7", "aromatase", "CYP19A1"),
        _assay("NR-ER", "BG1", "estrogen receptor alpha", "ESR1"),
        _assay("NR-ER-LBD", "HEK293", "estrogen receptor alpha, ligand binding domain", "ESR1"),
        _assay("NR-PPAR-gamma", "HEK293", "peroxisome proliferator-activated receptor gamma", "PPARG"),
        _assay("SR-ARE", "HepG2", "antioxidant response element", "NFE2L2"),
        _assay("SR-ATAD5", "HEK293", "genotoxicity, ATAD5 (ELG1)", "ATAD5"),
        _assay("SR-HSE", "HeLa", "heat shock element", "HSF1"),
        _assay("SR-MMP", "HepG2", "mitochondrial membrane potential"),
        _assay("SR-p53", "HCT-116", "p53", "TP53"),
    )
}
_BY_FILE: Final = {f"challenge_{name.casefold()}.tab": name for name in ASSAYS if name}
_CALLS: Final = {"1": HitCall.ACTIVE, "0": HitCall.INACTIVE}


def assay_of_file(name: str) -> Assay | None:
    """Return the assay that a file of the challenge is of, by the file's name; None where it is none."""
    known = _BY_FILE.get(name.casefold().removesuffix(".gz"))
    return ASSAYS[known] if known else None


def parse_table(stream: Stream) -> Iterator[ToxicityRecord | RejectedRow]:
    """Give the compounds of MoleculeNet's table, each with a result for each assay that it was tested in.

    Raises:
        InvalidError: It is another table.
    """
    names = [name for name in ASSAYS if name]
    for index, row in table(stream, frozenset([*names, "mol_id", "smiles"])):
        yield row if isinstance(row, RejectedRow) else _compound(index, row, names)


def parse_challenge(stream: Stream, assay: Assay) -> Iterator[ToxicityRecord | RejectedRow]:
    """Give the samples of one file of the challenge, each with its one result.

    Raises:
        InvalidError: It is another table.
    """
    for index, row in table(stream, frozenset({"Compound", "SMILES", "activity"}), delimiter="\t"):
        yield row if isinstance(row, RejectedRow) else _sample(index, row, assay)


def _compound(index: int, row: Row, names: list[str]) -> ToxicityRecord | RejectedRow:
    record, smiles = source_record(row["mol_id"]), records.smiles(row["smiles"])
    tested = {name: row[name].strip() for name in names if row[name].strip()}
    if record is None or smiles is None:
        return RejectedRow(index, record, "the row has no mol_id or no SMILES")
    if strange := sorted(name for name, call in tested.items() if call not in _CALLS):
        return RejectedRow(index, record, f"a call is 0 or 1, or empty: {', '.join(strange)}")
    if not tested:
        return RejectedRow(index, record, "it was tested in none of the assays")
    molecule = StatedMolecule(record, None, smiles, identifiers=(Identifier("tox21", "tox_id", record),))
    return ToxicityRecord(
        index, record, molecule, tuple(_result(record, ASSAYS[name], call) for name, call in tested.items())
    )


def _sample(index: int, row: Row, assay: Assay) -> ToxicityRecord | RejectedRow:
    record, smiles, call = source_record(row["Compound"]), records.smiles(row["SMILES"]), row["activity"].strip()
    if record is None or smiles is None:
        return RejectedRow(index, record, "the row has no compound or no SMILES")
    if call not in _CALLS:
        return RejectedRow(index, record, "the activity is neither 0 nor 1")
    molecule = StatedMolecule(record, None, smiles, identifiers=(Identifier("ncgc", "sample_id", record),))
    return ToxicityRecord(index, record, molecule, (_result(record, assay, call),))


def _result(record: str, assay: Assay, call: str) -> NewToxicityResult:
    return NewToxicityResult(record, assay, hit_call=_CALLS[call], source_record=record, reference=_REFERENCE)
