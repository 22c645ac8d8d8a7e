"""Toxicity results before they are stored, the assays that they are of, and the score of a mixture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from app.domain.experiments import Relation
from app.errors import Fault, InvalidError

ACTIVE_FROM: Final = 0.9
"""ToxCast's own rule: a continuous hit call from here on is active, all others are inactive.

Below zero the fitted curve runs against the direction that the assay is meant to tell of. Reference: Feshuk et al.
2023, doi:10.3389/ftox.2023.1275980, and the service's field description of `hitc`.
"""


class HitCall(StrEnum):
    """What an assay says of a molecule."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What an assay tells of: one kind of harm, or of interference."""

    name: str
    description: str
    is_scored: bool = True
    """False for what is context beside a score: an oral dose."""


@dataclass(frozen=True, slots=True)
class Assay:
    """An assay by its name or its number in its source; with endpoints it says enough to be made."""

    source: str
    name: str | None = None
    external_id: str | None = None
    description: str | None = None
    organism: str | None = None
    tissue: str | None = None
    cell_type: str | None = None
    target: str | None = None
    gene_symbol: str | None = None
    signal_direction: str | None = None
    exposure_h: float | None = None
    annotations: Mapping[str, Any] = field(default_factory=dict, hash=False)
    reference: str | None = None
    endpoints: tuple[Endpoint, ...] = ()

    @property
    def key(self) -> tuple[str, str | None, str | None]:
        """What tells it from other assays."""
        return self.source, self.name, self.external_id

    @property
    def is_annotated(self) -> bool:
        """Whether it may be made from what is said of it."""
        return self.name is not None and bool(self.endpoints)


@dataclass(frozen=True, slots=True)
class NewToxicityResult:
    """One replicate's result to store: a hit call, a potency, or both."""

    molecule: str
    """The molecule's id, InChIKey, CID, ChEMBL id, CAS number, DTXSID or name."""
    assay: Assay
    endpoint: str | None = None
    """None where the assay has one only."""
    hit_call: HitCall | None = None
    continuous_hit_call: float | None = None
    """-1 to 1; the hit call follows from it."""
    potency_type: str | None = None
    potency_relation: Relation = Relation.EQUAL
    potency: float | None = None
    potency_unit: str | None = None
    """uM where a score is to show it."""
    concentration_min: float | None = None
    concentration_max: float | None = None
    concentration_unit: str | None = None
    cell_type: str | None = None
    """None: the assay's."""
    flags: tuple[str, ...] = ()
    reference: str | None = None
    source_record: str | None = None
    """The replicate's id in its source: read again, it is the same result."""
    import_run_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class MolarScore:
    """A component's share of a mixture's solutes in mol, and the score of its molecule."""

    share: float
    score: float | None
    coverage: float
    confidence: float


@dataclass(frozen=True, slots=True)
class MixtureScore:
    """A mixture's score with what it rests on; without a score there is a reason."""

    score: float | None
    coverage: float
    confidence: float
    reason: str | None = None


def called(continuous_hit_call: float) -> HitCall:
    """Return the hit call that a continuous one means."""
    return HitCall.ACTIVE if continuous_hit_call >= ACTIVE_FROM else HitCall.INACTIVE


def contradictions(stated: Mapping[str, Any]) -> list[Fault]:
    """Return what in a result's body is missing or contradicts something else in it."""
    faults = []
    hit_call, continuous = stated.get("hit_call"), stated.get("continuous_hit_call")
    if hit_call is None and continuous is None and stated.get("potency") is None:
        faults.append(Fault("", "a result has a hit call or a potency"))
    if hit_call is not None and continuous is not None and hit_call != called(continuous):
        faults.append(Fault("/hit_call", f"a continuous hit call of {continuous:g} is {called(continuous)}"))
    potency = [stated.get(name) for name in ("potency_type", "potency", "potency_unit")]
    if None in potency and any(item is not None for item in potency):
        faults.append(Fault("/potency", "a potency has a type and a unit"))
    low, high, unit = (stated.get(f"concentration_{name}") for name in ("min", "max", "unit"))
    if (low is None and high is None) != (unit is None):
        faults.append(Fault("/concentration_unit", "concentrations have a unit, and a unit has concentrations"))
    if low is not None and high is not None and low > high:
        faults.append(Fault("/concentration_max", "the highest concentration is not below the lowest"))
    return faults


def checked(stated: Mapping[str, Any]) -> None:
    """Accept a result that contradicts nothing.

    Raises:
        InvalidError: With a pointer to each fault.
    """
    if faults := contradictions(stated):
        raise InvalidError(faults[0].detail, code="invalid_values", faults=faults)


def score_mixture(parts: Sequence[MolarScore]) -> MixtureScore:
    """Return the mean of the components' scores by mol, over those that have one.

    Coverage and confidence are means over all components, in which one without a score counts as zero: what is not
    known of a part is not known of the mixture.
    """
    scored = [part for part in parts if part.score is not None]
    weight = sum(part.share for part in scored)
    coverage = _share(sum(part.share * part.coverage for part in parts))
    confidence = _share(sum(part.share * part.confidence for part in scored))
    if not weight:
        return MixtureScore(None, coverage, 0.0, "no component has a conclusive hit call")
    score = _share(sum(part.share * part.score for part in scored if part.score is not None) / weight)
    missing = len(parts) - len(scored)
    reason = f"without {missing} of {len(parts)} components, which have no conclusive hit call" if missing else None
    return MixtureScore(score, coverage, confidence, reason)


def _share(value: float) -> float:
    # Ten tenths are a little more than one, and twelve digits are more than anybody measures.
    return min(float(f"{value:.12g}"), 1.0)
