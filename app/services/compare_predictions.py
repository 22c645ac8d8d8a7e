"""Predictions beside experiments: paired by property and conditions, for one mixture or for all that can be seen.

A stored prediction counts where it is of the composition that the mixture has now: its inputs hash says so.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from app.domain.comparisons import askable, condition_key, relevant, stated
from app.domain.experiments import ExperimentOutcome, Relation
from app.errors import InvalidError
from app.science.comparison import (
    Measured,
    Point,
    Pooled,
    agreement,
    calibration,
    pooled,
    rmse,
)
from app.science.models.cases import Composition
from app.science.models.registry import MODELS, PROPERTIES
from app.services.predict_properties import composition_of, hash_of
from database.repositories.comparisons import ComparisonReader, Sides

Model = tuple[str, str]
"""Name and version."""
Series = tuple[str, str, str, str]
"""Property, its unit, model, version."""
_VALUES: Final = frozenset({Relation.EQUAL, Relation.ABOUT})
_STALE: Final = ("stale_predictions", "they are of a composition or data that the mixture no longer has")
_BOUNDS: Final = ("bounds", "a result that is only known to be less or more than its value has no mean")
_INCONCLUSIVE: Final = ("results_of_inconclusive_experiments", "whoever made the experiment does not trust it")
_NOT_MEASURED: Final = "no experiment that you may see has measured this under these conditions"
_NOT_PREDICTED: Final = (
    "no model has a prediction of this for the present composition and these conditions: see `compute`"
)
_OTHER_CONDITIONS: Final = "the models say nothing of such conditions"
_NOTHING: Final = "nothing is predicted or measured of this mixture yet: see `compute`"
_NO_PAIRS: Final = "no mixture that you may see has both a current prediction and a measured value of one property"


@dataclass(slots=True)
class Group:
    """What is known of one property under comparable conditions."""

    property_type: str
    unit: str
    conditions: dict[str, Any]
    """As they were stated first."""
    results: list[dict[str, Any]] = field(default_factory=list)
    predictions: dict[Model, dict[str, Any]] = field(default_factory=dict)
    """The newest of each model and version."""

    def pooled(self) -> Pooled | None:
        """Return the measured values as one; None where there are none."""
        values = [Measured(item["value"], item["standard_deviation"], item["replicates"]) for item in self.results]
        return pooled(values) if values else None


@dataclass(frozen=True, slots=True)
class Paired:
    """Both sides of a mixture by group, and what was left out, counted by kind and reason."""

    groups: list[Group]
    left_out: Counter[tuple[str, str]]


def compare_mixture(sides: Sides, path: str) -> dict[str, Any]:
    """Return what is predicted of a mixture beside what is measured, as clients receive it.

    `path` is where predictions of the mixture are made.
    """
    paired = pair(sides)
    by_property: dict[str, list[Group]] = {}
    for group in paired.groups:
        by_property.setdefault(group.property_type, []).append(group)
    return {
        "mixture_id": sides.mixture_id,
        "properties": [_property(name, by_property[name], path) for name in sorted(by_property)],
        "left_out": [
            {"what": what, "count": count, "reason": reason}
            for (what, reason), count in sorted(paired.left_out.items())
        ],
        "reason": None if by_property else _NOTHING,
        "compute": None if by_property else _request(path, {}),
    }


def pair(sides: Sides) -> Paired:
    """Return predictions and results by property and conditions: first those that are measured, in their order."""
    groups: dict[tuple[object, ...], Group] = {}
    left_out: Counter[tuple[str, str]] = Counter()
    for result in sides.results:
        if result["outcome"] == ExperimentOutcome.INCONCLUSIVE:
            left_out[_INCONCLUSIVE] += 1
        elif result["relation"] not in _VALUES:
            left_out[_BOUNDS] += 1
        else:
            _group(groups, result).results.append(result)
    for prediction in _current(sides, left_out):
        key = prediction["model"], prediction["version"]
        _group(groups, prediction).predictions.setdefault(key, prediction)
    return Paired([*groups.values()], left_out)


def _group(groups: dict[tuple[object, ...], Group], item: Mapping[str, Any]) -> Group:
    name, conditions = item["property_type"], item["conditions"]
    key = (name, item["unit"], condition_key(name, conditions))
    return groups.setdefault(key, Group(name, item["unit"], stated(name, conditions)))


def _current(sides: Sides, left_out: Counter[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    """Give the predictions of the composition as it is now, newest first."""
    if not sides.predictions:
        return
    try:
        composition = composition_of(sides.composition)
    except InvalidError as error:
        left_out["unchecked_predictions", f"whether they are of the present composition is not known: {error}"] += len(
            sides.predictions
        )
        return
    hashes: dict[str, str] = {}
    for prediction in sides.predictions:
        if prediction["inputs_hash"] == _hash(composition, prediction["conditions"], hashes):
            yield prediction
        else:
            left_out[_STALE] += 1


def _hash(composition: Composition, conditions: Mapping[str, Any], known: dict[str, str]) -> str:
    key = json.dumps(conditions, sort_keys=True)
    if key not in known:
        known[key] = hash_of(composition, conditions)
    return known[key]


def _property(name: str, groups: list[Group], path: str) -> dict[str, Any]:
    residuals: dict[Model, list[float]] = {}
    answers = []
    for group in groups:
        measured = group.pooled()
        answers.append(_answer(group, measured, path))
        for model, item in group.predictions.items():
            known = residuals.setdefault(model, [])
            if measured is not None and item["value"] is not None:
                known.append(measured.mean - item["value"])
    return {
        "property_type": name,
        "groups": answers,
        "models": [
            {"model": model, "version": version, "rmse": _number(rmse(known)), "n": len(known)}
            for (model, version), known in sorted(residuals.items())
        ],
    }


def _answer(group: Group, measured: Pooled | None, path: str) -> dict[str, Any]:
    missing = [model for model in _predicting(group.property_type) if model not in group.predictions]
    asked = askable(group.property_type, group.conditions) if missing else None
    names = [f"{name}@{version}" for name, version in missing]
    return {
        "conditions": group.conditions,
        "unit": group.unit,
        "experiments": _measured(group, measured),
        "predictions": [_prediction(item, measured) for item in _ordered(group)],
        "reason": _reason(group, measured, asked),
        "not_predicted_by": names,
        "compute": None
        if asked is None
        else _request(path, {"conditions": asked, "properties": [group.property_type], "models": names}),
    }


def _ordered(group: Group) -> list[dict[str, Any]]:
    return [item for _, item in sorted(group.predictions.items())]


def _predicting(property_type: str) -> list[Model]:
    return [(model.name, model.version) for model in MODELS if property_type in model.properties]


def _request(path: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"method": "POST", "path": path, "body": body}


def _reason(group: Group, measured: Pooled | None, asked: dict[str, Any] | None) -> str | None:
    if measured is None:
        return _NOT_MEASURED
    if group.predictions:
        return None
    if group.property_type not in PROPERTIES:
        return f"no model predicts {group.property_type}"
    if asked is None:
        return _OTHER_CONDITIONS
    unsaid = [name for name in relevant(group.property_type) if name not in group.conditions]
    return f"{_NOT_PREDICTED}; the experiments do not say {', '.join(unsaid)}" if unsaid else _NOT_PREDICTED


def _measured(group: Group, measured: Pooled | None) -> dict[str, Any] | None:
    if measured is None:
        return None
    experiments = [*dict.fromkeys(item["experiment_id"] for item in group.results)]
    found = measured.heterogeneity
    return {
        "mean": _number(measured.mean),
        "standard_error": _number(measured.standard_error),
        "sd": _number(measured.standard_deviation),
        "n": measured.n,
        "results": len(group.results),
        "experiment_count": len(experiments),
        "experiment_ids": experiments,
        "pooling": measured.method,
        "heterogeneity": None
        if found is None
        else {
            "q": _number(found.q),
            "degrees_of_freedom": found.degrees_of_freedom,
            "i_squared": _number(found.i_squared),
            "between_variance": _number(found.between_variance),
        },
    }


def _prediction(item: Mapping[str, Any], measured: Pooled | None) -> dict[str, Any]:
    said = {name: item[name] for name in ("id", "model", "version", "value", "standard_uncertainty", "in_domain")}
    met = None
    if measured is not None and item["value"] is not None:
        met = agreement(item["value"], item["standard_uncertainty"], measured)
    return {
        **said,
        "reason": item["reason"],
        "residual": _number(met.residual) if met else None,
        "z_score": _number(met.z_score) if met else None,
        "within_uncertainty": met.within_uncertainty if met else None,
    }


def calibrate(
    reader: ComparisonReader, property_type: str | None = None, model: str | None = None
) -> tuple[dict[str, Any], dict[Series, list[Point]]]:
    """Return how well the models meet all experiments that the caller may see, and the points behind that.

    `model` is a name, or name@version. A point is a mixture's property under comparable conditions.
    """
    points = _points(reader.of_all(), property_type, model)
    found = [_calibrated(series, points[series]) for series in sorted(points)]
    return {"data": found, "reason": None if found else _NO_PAIRS}, points


def _points(mixtures: Iterable[Sides], property_type: str | None, model: str | None) -> dict[Series, list[Point]]:
    points: dict[Series, list[Point]] = {}
    for group in (group for sides in mixtures for group in pair(sides).groups):
        measured = group.pooled() if property_type in {None, group.property_type} and group.predictions else None
        if measured is None:
            continue
        for (name, version), item in group.predictions.items():
            if item["value"] is not None and model in {None, name, f"{name}@{version}"}:
                point = Point(item["value"], item["standard_uncertainty"], measured.mean)
                points.setdefault((group.property_type, group.unit, name, version), []).append(point)
    return points


def _calibrated(series: Series, points: list[Point]) -> dict[str, Any]:
    found = calibration(points)
    if found is None:
        msg = "a series has at least one point"
        raise RuntimeError(msg)
    property_type, unit, model, version = series
    return {
        "property_type": property_type,
        "unit": unit,
        "model": model,
        "version": version,
        "n": found.n,
        "rmse": _number(found.rmse),
        "bias": _number(found.bias),
        "r2": _number(found.r2),
        "coverage": [asdict(item) | {"observed": _number(item.observed)} for item in found.coverage],
    }


def _number(value: float | None) -> float | None:
    # Twelve digits are more than anybody measures, and the same on every processor.
    return float(f"{value:.12g}") if value is not None and math.isfinite(value) else None
