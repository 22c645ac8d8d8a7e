"""Puts the project's own starting data into a database, once for each release of the seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from app.domain.callers import SERVICE
from app.domain.molecules import NewMolecule, Structure
from app.errors import StructureError
from app.seed import RELEASE
from app.services.chemistry import ChemistryPool
from app.services.maintenance import refresh_summary_soon
from app.services.predict_properties import methods
from app.services.seed_literature import add_literature
from app.services.seed_records import DATA_SOURCE_NAME, SeedMolecule, property_types, seed_molecules
from database.repositories.molecules import MoleculeRepository
from database.repositories.outcomes import OutcomeStatus
from database.repositories.provenance import ProvenanceRepository, SourceStatement
from database.session import Database

SEED_SOURCE: Final = SourceStatement(DATA_SOURCE_NAME, RELEASE, licence="MIT")


def seed(database: Database, chemistry: ChemistryPool, log: Callable[[str], None] = lambda _: None) -> int:
    """Add molecules, mixtures and experiments and return how many are new; 0 where this release is there already.

    Raises:
        ValueError: A structure is not what its row states; then nothing is kept.
    """
    with database.transaction(SERVICE) as session:
        provenance = ProvenanceRepository(session)
        # Models come with the code, not with a release of the seed.
        provenance.put_methods(methods())
        if provenance.source_id(SEED_SOURCE) is not None:
            return 0
    molecules = seed_molecules()
    structures = _structures(chemistry, molecules)
    with database.transaction(SERVICE) as session:
        provenance = ProvenanceRepository(session)
        provenance.put_property_types(property_types())
        source_id = provenance.ensure_source(SEED_SOURCE)
        run_id = provenance.start_run(source_id)
        new = [
            NewMolecule(
                name=molecule.name,
                structure=structures.get(molecule.name),
                kind=molecule.kind,
                identifiers=molecule.identifiers,
                properties=molecule.properties,
                data_source_id=source_id,
                import_run_id=run_id,
            )
            for molecule in molecules
        ]
        outcomes = MoleculeRepository(session).add_many(new, merge=True)
        added = sum(outcome.status is OutcomeStatus.ADDED for outcome in outcomes)
        provenance.finish_run(run_id, added=added, existing=len(outcomes) - added, faults=[])
        literature = add_literature(session)
        refresh_summary_soon(session)
    log(
        f"seeded {added} molecules, {literature.mixtures} mixtures and {literature.experiments} experiments "
        f"(release {RELEASE})"
    )
    return added + literature.mixtures + literature.experiments


def _structures(chemistry: ChemistryPool, molecules: tuple[SeedMolecule, ...]) -> dict[str, Structure]:
    drawn = [(m, (m.notation, m.structure_text)) for m in molecules if m.notation and m.structure_text]
    results = chemistry.standardize_many([item for _, item in drawn])
    structures = {}
    for (molecule, _), result in zip(drawn, results, strict=True):
        if isinstance(result, StructureError) or result.inchikey != molecule.stated_inchikey:
            msg = f"the seed's structure of {molecule.name} is not what its row states"
            raise ValueError(msg)
        structures[molecule.name] = result
    return structures
