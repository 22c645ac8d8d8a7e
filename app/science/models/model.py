"""What a model is: an equation with its parameters, where they come from, where it holds, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.science.models.cases import Case

FROM_MEMORY: Final = "general knowledge, no source seen"
"""The source of a number that nobody has looked up."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One number of a model, with its source; `seen` says whether it was read there, or is only remembered."""

    subject: str
    name: str
    value: float
    unit: str
    source: str
    seen: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """A number with its standard uncertainty, or None with the reason.

    The standard uncertainty is that of a new measured value: value +- 1.645 u holds 90 % of measurements. A
    number may have a reason too, a reservation.
    """

    value: float | None
    standard_uncertainty: float | None
    reason: str | None = None
    curve: Curve | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """How a property came to its value: the two are of equal length."""

    time_min: Sequence[float]
    values: Sequence[float]


@dataclass(frozen=True, slots=True)
class Prediction:
    """One property of one case by one model, in the shape that clients receive it."""

    property_type: str
    value: float | None
    unit: str
    standard_uncertainty: float | None
    model: str
    version: str
    in_domain: bool
    reason: str | None
    reference: str
    curve: Curve | None = None
    """Not kept with a stored prediction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A published or fitted model; its name and version stay with every prediction that it made."""

    name: str
    version: str
    title: str
    properties: Mapping[str, str]
    """The unit of each property that it predicts."""
    equation: str
    parameters: tuple[Parameter, ...]
    valid_for: str
    reference: str
    default_for: frozenset[str]
    """The properties for which this model is taken where one has to be chosen."""
    answers: Callable[[Sequence[Case]], Sequence[Mapping[str, Answer]]]
    """All properties of all cases at once."""

    def predictions(self, cases: Sequence[Case], properties: frozenset[str]) -> list[tuple[Prediction, ...]]:
        """Return the wanted properties of each case."""
        wanted = [name for name in self.properties if name in properties]
        if not wanted:
            return [()] * len(cases)
        return [tuple(self._prediction(name, answer[name]) for name in wanted) for answer in self.answers(cases)]

    def _prediction(self, property_type: str, answer: Answer) -> Prediction:
        return Prediction(
            property_type=property_type,
            value=answer.value,
            unit=self.properties[property_type],
            standard_uncertainty=answer.standard_uncertainty,
            model=self.name,
            version=self.version,
            in_domain=answer.value is not None,
            reason=answer.reason,
            reference=self.reference,
            curve=answer.curve,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureModel:
    """A model of a pure molecule, which it knows by the descriptors that are kept with it."""

    name: str
    version: str
    title: str
    properties: Mapping[str, str]
    """The unit of each property that it predicts: there is one."""
    equation: str
    parameters: tuple[Parameter, ...]
    valid_for: str
    reference: str
    answer: Callable[[Mapping[str, float]], Answer]
    default_for: frozenset[str] = frozenset()

    def prediction(self, descriptors: Mapping[str, float]) -> Prediction:
        """Return what it says of a molecule."""
        answer = self.answer(descriptors)
        ((property_type, unit),) = self.properties.items()
        return Prediction(
            property_type=property_type,
            value=answer.value,
            unit=unit,
            standard_uncertainty=answer.standard_uncertainty,
            model=self.name,
            version=self.version,
            in_domain=answer.value is not None,
            reason=answer.reason,
            reference=self.reference,
        )
