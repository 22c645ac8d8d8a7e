"""Predictions of what callers state and of what is stored: molecules found, units converted, models asked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final
from uuid import UUID

from app.domain.mixtures import AmountUnit, StatedComponent, components_of
from app.domain.predictions import inputs_hash, structure_hash
from app.domain.references import Match, keys_of
from app.errors import Fault, InvalidError
from app.science.composition import Part, Substance, converted, solvent_named
from app.science.models.cases import Composition, Conditions
from app.science.models.model import Prediction
from app.science.models.registry import CATALOGUE, STRUCTURE_MODELS, evaluate
from database.repositories.mixtures import Composition as StoredComposition
from database.repositories.mixtures import MixtureRepository
from database.repositories.molecules import MoleculeReader, MoleculeRepository
from database.repositories.predictions import NewPredictions, PredictionRepository, Stored
from database.repositories.provenance import Method
from database.session import WriteSession

_WHOLE: Final = "/components"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the models; no properties or no models mean all."""

    conditions: Conditions = field(default_factory=Conditions)
    properties: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Solute:
    """A part of a composition with the key that models know it by."""

    key: str
    part: Part


def predict_stated(
    molecules: MoleculeReader, components: Sequence[StatedComponent], solvent: str, question: Question
) -> list[Prediction]:
    """Return what the models say of a composition that is stored nowhere; one round trip finds its molecules.

    Raises:
        InvalidError: With pointers: a molecule is unknown or stands twice, or a conversion lacks data.
    """
    wanted = dict.fromkeys(key for item in components for key in keys_of(item.reference))
    matches = molecules.lookup([*wanted], densities=True)
    known = {match.id: match for match in matches}
    solutes = [
        _stated_solute(known[item.molecule_id], item.amount, item.unit, f"{_WHOLE}/{index}/unit")
        for index, item in enumerate(components_of(components, matches, _WHOLE))
    ]
    composition = solution_of(solutes, solvent, _WHOLE)
    return answers(composition, question)


def predict_mixture(session: WriteSession, mixture_id: UUID, question: Question, pointer: str = "") -> Stored:
    """Compute predictions of a mixture and keep them; those of the same inputs are there already.

    The mixture is held, so that what is kept is said of the composition that it has. `pointer` is where a fault of
    the mixture is shown to be.

    Raises:
        NotFoundError, ForbiddenError: The caller does not see the mixture, or may not change it.
        InvalidError: A conversion lacks data.
        UnavailableError: The database does not know the models yet.
    """
    mixtures = MixtureRepository(session)
    mixtures.hold(mixture_id)
    composition = composition_of(mixtures.composition(mixture_id), pointer)
    conditions = question.conditions.said()
    new = NewPredictions(
        mixture_id=mixture_id,
        conditions=conditions,
        inputs_hash=hash_of(composition, conditions),
        predictions=answers(composition, question),
    )
    return PredictionRepository(session).add(new)


def predict_molecule(session: WriteSession, molecule_id: UUID) -> Stored:
    """Compute what the models of pure molecules say of one and keep it; what is there already stays.

    Raises:
        NotFoundError, ForbiddenError: The caller does not see the molecule, or may not change it.
        InvalidError: It is a polymer.
        UnavailableError: The database does not know the models yet.
    """
    inchikey, descriptors = MoleculeRepository(session).hold(molecule_id)
    if inchikey is None:
        msg = "the models know molecules by their structure, and a polymer has none"
        raise InvalidError(msg, code="missing_data")
    new = NewPredictions(
        conditions={},
        inputs_hash=structure_hash(inchikey),
        predictions=rounded([model.prediction(descriptors) for model in STRUCTURE_MODELS]),
        molecule_id=molecule_id,
    )
    return PredictionRepository(session).add(new)


def composition_of(stored: StoredComposition, pointer: str = "") -> Composition:
    """Return what the models know of a stored mixture; `pointer` is where a fault of it is shown to be.

    Raises:
        InvalidError: A conversion lacks data.
    """
    solutes = [stored_solute(component, pointer) for component in stored.components]
    return solution_of(solutes, stored.solvent, pointer)


def hash_of(composition: Composition, conditions: Mapping[str, float | str]) -> str:
    """Return what tells this question to the models from another."""
    return inputs_hash(composition.molality_mol_kg, solvent_named(composition.solvent).name, conditions)


def methods() -> tuple[Method, ...]:
    """Return the models as the database keeps them beside their predictions."""
    return tuple(
        Method(
            name=model.name,
            version=model.version,
            description=f"{model.title}. Valid for: {model.valid_for}",
            equation=model.equation,
            reference=model.reference,
            parameters={
                f"{item.subject}: {item.name}": {
                    "value": item.value,
                    "unit": item.unit,
                    "source": item.source,
                    "seen": item.seen,
                }
                for item in model.parameters
            },
        )
        for model in CATALOGUE
    )


def answers(composition: Composition, question: Question) -> list[Prediction]:
    """Return what the models say of a composition, as it is shown and kept."""
    return rounded(evaluate(composition, question.conditions, question.properties, question.models))


def rounded(predictions: Sequence[Prediction]) -> list[Prediction]:
    """Return predictions as they are shown and kept."""
    return [
        replace(item, value=_rounded(item.value), standard_uncertainty=_rounded(item.standard_uncertainty))
        for item in predictions
    ]


def told(prediction: Prediction) -> dict[str, Any]:
    """Return a prediction as JSON shows it: a curve where it has one."""
    said = asdict(prediction)
    return said if prediction.curve else {name: value for name, value in said.items() if name != "curve"}


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.12g}")


def solution_of(solutes: Sequence[Solute], solvent: str, pointer: str) -> Composition:
    """Return a solution as the models count it.

    Raises:
        InvalidError: A conversion lacks data.
    """
    parts = [solute.part for solute in solutes]
    _refuse_without_mass(parts)
    amounts = converted(parts, solvent_named(solvent), AmountUnit.MOLALITY, pointer)
    if not all(map(math.isfinite, amounts)):
        raise InvalidError.at(pointer, "the amounts are beyond all measure")
    molality: dict[str, float] = {}
    for solute, amount in zip(solutes, amounts, strict=True):
        molality[solute.key] = molality.get(solute.key, 0.0) + amount
    return Composition(
        molality_mol_kg=molality,
        molar_mass_g_mol={solute.key: solute.part.substance.molar_mass_g_mol or 0.0 for solute in solutes},
        solvent=solvent,
        names={solute.key: solute.part.substance.name for solute in solutes},
    )


def _refuse_without_mass(parts: Sequence[Part]) -> None:
    faults = [
        Fault(part.pointer, f"the molar mass of {part.substance.name} is not known")
        for part in parts
        if not part.substance.molar_mass_g_mol
    ]
    if faults:
        missing = "; ".join(fault.detail for fault in faults)
        msg = f"models count in mol per kg of solvent: {missing}"
        raise InvalidError(msg, code="missing_data", faults=faults)


def _stated_solute(molecule: Match, amount: float, unit: AmountUnit, pointer: str) -> Solute:
    substance = Substance(molecule.name, molecule.molar_mass_g_mol, molecule.density_kg_m3)
    return Solute(molecule.inchikey or str(molecule.id), Part(substance, amount, unit, pointer))


def stored_solute(component: dict[str, Any], pointer: str) -> Solute:
    """Return a component of a stored mixture as a part of a solution."""
    substance = Substance(component["name"], component["molar_mass_g_mol"], component["density_kg_m3"])
    part = Part(substance, component["amount"], AmountUnit(component["unit"]), pointer)
    return Solute(component["inchikey"] or component["molecule_id"], part)
