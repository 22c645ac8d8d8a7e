"""Other services' own records into molecules: standardize, compare with what they state, load, report.

A structure whose InChIKey is another compound's than the record states is refused: either the record or
our reading of it is wrong, and neither may end up under a name that people trust.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.domain.molecules import NewMolecule, Structure
from app.errors import StructureError
from app.importers import chembl, pubchem
from app.importers.records import ParsedRecord
from app.services.chemistry import LONG_TURN, LOSSES_PER_BATCH, SHORT_TURN, ChemistryPool
from app.services.maintenance import refresh_summary_soon
from database.repositories.molecules import MoleculeRepository
from database.repositories.outcomes import Outcome, OutcomeStatus
from database.repositories.provenance import ImportFault, ProvenanceRepository, SourceStatement
from database.session import WriteSession

PARSERS: Final[dict[str, Callable[[object], list[ParsedRecord]]]] = {"chembl": chembl.parse, "pubchem": pubchem.parse}
SOURCES: Final = {
    "chembl": SourceStatement("ChEMBL", url="https://www.ebi.ac.uk/chembl/", licence="CC BY-SA 3.0"),
    "pubchem": SourceStatement(
        "PubChem",
        url="https://pubchem.ncbi.nlm.nih.gov/",
        licence="public domain; deposited parts as their sources say",
    ),
}
_CONNECTIVITY_BLOCK: Final = 14
_NO_STRUCTURE: Final = "the record has no structure"


@dataclass(frozen=True, slots=True)
class ReadyRecord:
    """A record with its standardized structure, or the reason why it is left out."""

    parsed: ParsedRecord
    structure: Structure | None
    refusal: str | None


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of each record of one call."""

    run_id: UUID
    outcomes: list[Outcome]


def standardize_records(
    chemistry: ChemistryPool, records: Sequence[ParsedRecord], *, patient: bool = False
) -> list[ReadyRecord]:
    """Return the records with their structures; slow, so call it outside of any transaction.

    A job that nobody waits for is patient: however many structures break a limit, the others are read.
    """
    readable = [record for record in records if record.refusal is None and record.structure_text and record.notation]
    results = chemistry.standardize_many(
        [(record.notation, record.structure_text) for record in readable if record.notation and record.structure_text],
        most_losses=2 * len(readable) if patient else LOSSES_PER_BATCH,
        items_per_turn=LONG_TURN if patient else SHORT_TURN,
    )
    by_index = dict(zip((record.index for record in readable), results, strict=True))
    return [_ready(record, by_index.get(record.index)) for record in records]


def load_records(session: WriteSession, source: SourceStatement, records: Sequence[ReadyRecord]) -> ImportReport:
    """Store the records, each pointing to its run and source; what exists already gains what is new in them."""
    provenance = ProvenanceRepository(session)
    source_id = provenance.ensure_source(source)
    run_id = provenance.start_run(source_id)
    wanted = [record for record in records if record.structure is not None]
    stored = MoleculeRepository(session).add_many(
        [new_molecule(record, source_id, run_id) for record in wanted], merge=True
    )
    by_index = dict(zip((record.parsed.index for record in wanted), stored, strict=True))
    outcomes = [
        by_index.get(record.parsed.index) or Outcome(OutcomeStatus.REFUSED, None, record.refusal or _NO_STRUCTURE)
        for record in records
    ]
    provenance.finish_run(
        run_id,
        added=sum(outcome.status is OutcomeStatus.ADDED for outcome in outcomes),
        existing=sum(outcome.status in {OutcomeStatus.EXISTING, OutcomeStatus.CHANGED} for outcome in outcomes),
        faults=[
            ImportFault(record.parsed.index, record.parsed.source_record, outcome.reason or "")
            for record, outcome in zip(records, outcomes, strict=True)
            if outcome.status is OutcomeStatus.REFUSED
        ],
    )
    refresh_summary_soon(session)
    return ImportReport(run_id, outcomes)


def _ready(record: ParsedRecord, result: Structure | StructureError | None) -> ReadyRecord:
    if record.refusal is not None or result is None:
        return ReadyRecord(record, None, record.refusal or _NO_STRUCTURE)
    if isinstance(result, StructureError):
        return ReadyRecord(record, None, f"the structure cannot be read: {result.detail}")
    stated = record.stated_inchikey
    if stated is not None and stated[:_CONNECTIVITY_BLOCK] != result.inchikey[:_CONNECTIVITY_BLOCK]:
        return ReadyRecord(record, None, f"the record states {stated}, but its structure is {result.inchikey}")
    return ReadyRecord(record, result, None)


def new_molecule(record: ReadyRecord, source_id: UUID, run_id: UUID) -> NewMolecule:
    """Return the molecule to store; one without a name goes by its InChIKey."""
    parsed = record.parsed
    return NewMolecule(
        name=parsed.name or (record.structure.inchikey if record.structure else ""),
        structure=record.structure,
        identifiers=parsed.identifiers,
        properties=parsed.properties,
        data_source_id=source_id,
        source_record=parsed.source_record,
        import_run_id=run_id,
    )
