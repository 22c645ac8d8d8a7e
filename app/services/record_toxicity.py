"""Parsed toxicity files into molecules and results, a page at a time, each page whole in a transaction of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID

from app.domain.callers import SERVICE
from app.domain.molecules import NewMolecule, Structure
from app.domain.references import Match, by_key
from app.domain.toxicity import NewToxicityResult
from app.errors import StructureError
from app.importers.toxicity_records import RejectedRow, StatedMolecule, ToxicityRecord
from app.services.chemistry import ChemistryPool
from app.services.maintenance import refresh_summary_soon
from database.repositories.molecules import MoleculeRepository
from database.repositories.outcomes import Outcome, OutcomeStatus
from database.repositories.provenance import ImportFault, ProvenanceRepository, SourceStatement
from database.repositories.toxicity import ResultRepository
from database.session import Database, WriteSession

PAGE_RECORDS: Final = 500
PAGE_RESULTS: Final = 5000
_CONNECTIVITY_BLOCK: Final = 14

SOURCES: Final = {
    "tox21": SourceStatement("Tox21", url="https://tripod.nih.gov/tox21/challenge/", licence="public domain"),
    "toxcast": SourceStatement("ToxCast", "invitroDB v4.1", "https://comptox.epa.gov/", "public domain"),
    "ice": SourceStatement("NIEHS ICE", url="https://ice.ntp.niehs.nih.gov/", licence="public domain"),
}


@dataclass(slots=True)
class ToxicityReport:
    """How many results were added or there already, and which rows were left out and why."""

    run_id: UUID
    added: int = 0
    existing: int = 0
    faults: list[ImportFault] = field(default_factory=list)


def record_toxicity(
    database: Database,
    chemistry: ChemistryPool,
    source: SourceStatement,
    rows: Iterable[ToxicityRecord | RejectedRow],
    log: Callable[[str], None] = lambda _: None,
) -> ToxicityReport:
    """Store what a parser gives: molecules with a structure are made where they are missing, others must be there.

    Run again, or after a run that broke off, it adds what is missing.
    """
    with database.transaction(SERVICE) as session:
        provenance = ProvenanceRepository(session)
        report = ToxicityReport(provenance.start_run(provenance.ensure_source(source)))
    for page in _pages(rows):
        _store_page(database, chemistry, source, page, report)
        log(f"{report.added} added, {report.existing} there already, {len(report.faults)} left out")
    with database.transaction(SERVICE) as session:
        ProvenanceRepository(session).finish_run(
            report.run_id, added=report.added, existing=report.existing, faults=report.faults
        )
        refresh_summary_soon(session)
    return report


def _pages(rows: Iterable[ToxicityRecord | RejectedRow]) -> Iterator[list[ToxicityRecord | RejectedRow]]:
    page: list[ToxicityRecord | RejectedRow] = []
    results = 0
    for row in rows:
        page.append(row)
        results += len(row.results) if isinstance(row, ToxicityRecord) else 0
        if len(page) >= PAGE_RECORDS or results >= PAGE_RESULTS:
            yield page
            page, results = [], 0
    if page:
        yield page


def _store_page(
    database: Database,
    chemistry: ChemistryPool,
    source: SourceStatement,
    page: Sequence[ToxicityRecord | RejectedRow],
    report: ToxicityReport,
) -> None:
    faults = [ImportFault(row.index, row.source_record, row.reason) for row in page if isinstance(row, RejectedRow)]
    records = [row for row in page if isinstance(row, ToxicityRecord)]
    # Slow, so outside of any transaction.
    structures = _structures(chemistry, records)
    with database.transaction(SERVICE) as session:
        source_id = ProvenanceRepository(session).ensure_source(source)
        molecules = _molecules(session, records, structures, source_id, report.run_id)
        new: list[tuple[ToxicityRecord, NewToxicityResult]] = []
        for record in records:
            found = molecules[record.index]
            if isinstance(found, str):
                faults.append(ImportFault(record.index, record.source_record, found))
                continue
            new += [
                (record, replace(result, molecule=str(found), import_run_id=report.run_id)) for result in record.results
            ]
        outcomes = ResultRepository(session).add_many([result for _, result in new])
    report.faults += faults
    _count(report, [record for record, _ in new], outcomes)


def _count(report: ToxicityReport, records: Sequence[ToxicityRecord], outcomes: Sequence[Outcome]) -> None:
    report.added += sum(outcome.status is OutcomeStatus.ADDED for outcome in outcomes)
    report.existing += sum(outcome.status is OutcomeStatus.EXISTING for outcome in outcomes)
    report.faults += [
        ImportFault(record.index, record.source_record, outcome.reason or "")
        for record, outcome in zip(records, outcomes, strict=True)
        if outcome.status is OutcomeStatus.REFUSED
    ]


def _structures(chemistry: ChemistryPool, records: Sequence[ToxicityRecord]) -> dict[int, Structure | str]:
    """Return the structure of each record that states one, by index, or why it cannot be taken."""
    drawn = [(record, record.molecule.smiles) for record in records if record.molecule.smiles]
    results = chemistry.standardize_many([("smiles", smiles) for _, smiles in drawn])
    return {record.index: _checked(result, record.molecule) for (record, _), result in zip(drawn, results, strict=True)}


def _checked(result: Structure | StructureError, stated: StatedMolecule) -> Structure | str:
    if isinstance(result, StructureError):
        return f"the structure cannot be read: {result.detail}"
    key = stated.stated_inchikey
    if key is not None and key[:_CONNECTIVITY_BLOCK] != result.inchikey[:_CONNECTIVITY_BLOCK]:
        return f"the record states {key}, but its structure is {result.inchikey}"
    return result


def _molecules(
    session: WriteSession,
    records: Sequence[ToxicityRecord],
    structures: dict[int, Structure | str],
    source_id: UUID,
    run_id: UUID,
) -> dict[int, UUID | str]:
    """Return the id of each record's molecule by the record's index, or why there is none."""
    repository = MoleculeRepository(session)
    found = {index: text for index, text in structures.items() if isinstance(text, str)}
    molecules: dict[int, UUID | str] = {**found}
    new = [
        (record.index, _new_molecule(record, structure, source_id, run_id))
        for record in records
        if isinstance(structure := structures.get(record.index), Structure)
    ]
    outcomes = repository.add_many([molecule for _, molecule in new], merge=True)
    for (index, _), outcome in zip(new, outcomes, strict=True):
        molecules[index] = outcome.id or outcome.reason or "the molecule was refused"
    return molecules | _known(repository, [record for record in records if record.index not in molecules])


def _known(repository: MoleculeRepository, records: Sequence[ToxicityRecord]) -> dict[int, UUID | str]:
    keys = {record.index: _keys(record.molecule) for record in records}
    wanted = list(dict.fromkeys(key for each in keys.values() for key in each))
    matches = by_key(repository.lookup(wanted)) if wanted else {}
    return {
        record.index: _first([match for key in keys[record.index] for match in matches.get(key, [])])
        or f"no molecule {record.molecule.reference} is stored"
        for record in records
    }


def _first(matches: Sequence[Match]) -> UUID | None:
    """Return the molecule that a record without a structure means: results of a public source are public."""
    return next((match.id for match in matches if match.is_public), None)


def _keys(molecule: StatedMolecule) -> list[tuple[str, str]]:
    return [(f"{item.source}:{item.kind}", item.external_id) for item in molecule.identifiers]


def _new_molecule(record: ToxicityRecord, structure: Structure, source_id: UUID, run_id: UUID) -> NewMolecule:
    stated = record.molecule
    return NewMolecule(
        name=stated.name or structure.inchikey,
        structure=structure,
        identifiers=stated.identifiers,
        data_source_id=source_id,
        source_record=record.source_record,
        import_run_id=run_id,
    )
