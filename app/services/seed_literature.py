"""Puts published solutions and measurements into the database, each record of a source once.

A published measurement judged nothing by a criterion of ours: its outcome is always inconclusive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.domain.experiments import ExperimentOutcome, NewExperiment, PublishedExperiment, measured
from app.domain.mixtures import NewMixture, PublishedMixture, StatedComponent, components_of
from app.domain.molecules import PropertyType
from app.domain.provenance import Certainty, Origin
from app.domain.references import Match
from app.services.literature_records import Amount, Measurement, Solution, left_out, seed_measurements, seed_solutions
from app.services.seed_records import seed_molecules
from database.repositories.molecules import MoleculeRepository
from database.repositories.provenance import ImportFault, ProvenanceRepository, SourceStatement
from database.repositories.publications import PublicationRepository
from database.session import WriteSession

LITERATURE: Final = SourceStatement("CryoProtect literature tables")
"""Of no release: a later one adds to it, and what is there is known by its key."""


@dataclass(frozen=True, slots=True)
class Added:
    """How much of a source was new to the database, and how much of it is not there."""

    mixtures: int = 0
    experiments: int = 0
    left_out: int = 0


def add_literature(session: WriteSession) -> Added:
    """Add what the project's own tables hold of the literature and return how much of it is new."""
    missing = [ImportFault(index, record, reason) for index, (record, reason) in enumerate(left_out())]
    # Lists begin with what is newest: that is to be the best known solutions, which the table begins with.
    return add_published(session, LITERATURE, seed_solutions()[::-1], seed_measurements(), missing)


def add_published(
    session: WriteSession,
    source: SourceStatement,
    solutions: Sequence[Solution],
    measurements: Sequence[Measurement],
    missing: Iterable[ImportFault] = (),
) -> Added:
    """Add solutions of molecules of the seed, and measurements on either; return how much is new.

    What refers to a molecule or a solution that is not there for everybody is left out, as `missing` is.

    Raises:
        InvalidError: A composition or a value cannot be.
    """
    provenance, publications = ProvenanceRepository(session), PublicationRepository(session)
    source_id = provenance.ensure_source(source)
    run_id = provenance.start_run(source_id)
    faults = list(missing)
    molecules = public_molecules(session)

    def origin(key: str, certainty: Certainty) -> Origin:
        return Origin(source_id, run_id, key, certainty)

    known = [item for item in solutions if _is_known([part.molecule for part in item.components], molecules)]
    mixtures = [_mixture(item, molecules, origin) for item in known]
    faults += _absent({item.key for item in solutions} - {item.key for item in known}, "a molecule of it is not public")
    added = publications.add_mixtures(mixtures)

    subjects = publications.mixtures_of(source_id)
    types = MoleculeRepository(session).property_types()
    made = [(item, _experiment(item, subjects, molecules, types, origin)) for item in measurements]
    faults += _absent([item.key for item, experiment in made if experiment is None], "its subject is not public")
    experiments = [experiment for _, experiment in made if experiment is not None]
    measured_count = publications.add_experiments(experiments)

    total = len(mixtures) + len(experiments)
    new = added + measured_count
    provenance.finish_run(run_id, added=new, existing=total - new, faults=faults)
    return Added(added, measured_count, len(faults))


def public_molecules(session: WriteSession) -> dict[str, Match]:
    """Return the seed's molecules that everybody sees, by the seed's names."""
    molecules = seed_molecules()
    wanted = [("inchikey", item.stated_inchikey) if item.stated_inchikey else ("name", item.name) for item in molecules]
    found = {
        (match.kind, match.value): match
        for match in MoleculeRepository(session).lookup(wanted)
        if match.is_public and (match.kind == "inchikey" or match.inchikey is None)
    }
    return {item.name: found[key] for item, key in zip(molecules, wanted, strict=True) if key in found}


def _is_known(names: Iterable[str], molecules: dict[str, Match]) -> bool:
    return all(name in molecules for name in names)


def _absent(keys: Iterable[str], reason: str) -> list[ImportFault]:
    return [ImportFault(index, key, reason) for index, key in enumerate(sorted(keys))]


def _mixture(
    solution: Solution, molecules: dict[str, Match], origin: Callable[[str, Certainty], Origin]
) -> PublishedMixture:
    stated = [_stated(part, molecules[part.molecule].id) for part in solution.components]
    matches = [_by_id(molecules[part.molecule]) for part in solution.components]
    mixture = NewMixture(
        name=solution.name,
        components=components_of(stated, matches, "/components"),
        description=solution.description,
        solvent=solution.solvent,
        reference=solution.reference,
    )
    return PublishedMixture(mixture, solution.purpose, origin(solution.key, solution.certainty))


def _stated(part: Amount, molecule_id: UUID) -> StatedComponent:
    return StatedComponent(str(molecule_id), "molecule_id", part.amount, part.unit)


def _by_id(match: Match) -> Match:
    return Match("id", str(match.id), match.id, match.name, match.inchikey, match.molar_mass_g_mol, match.is_public)


def _experiment(
    measurement: Measurement,
    mixtures: dict[str, UUID],
    molecules: dict[str, Match],
    types: dict[str, PropertyType],
    origin: Callable[[str, Certainty], Origin],
) -> PublishedExperiment | None:
    mixture_id = mixtures.get(measurement.solution) if measurement.solution else None
    molecule = molecules.get(measurement.molecule) if measurement.molecule else None
    if mixture_id is None and molecule is None:
        return None
    experiment = NewExperiment(
        outcome=ExperimentOutcome.INCONCLUSIVE,
        results=measured(measurement.results, types),
        mixture_id=mixture_id,
        molecule_id=molecule.id if molecule else None,
        name=measurement.name,
        protocol=measurement.protocol,
        conditions=measurement.conditions,
        reference=measurement.reference,
        notes=measurement.notes,
    )
    return PublishedExperiment(experiment, origin(measurement.key, measurement.certainty))
