"""JSON shapes of the comparison of predictions with experiments."""

from __future__ import annotations

from typing import Any, Final

from api.common.openapi import Answer
from api.common.shapes import OPTIONAL_TEXT, TEXT, UUID_TEXT, array, record


def _said(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {**schema, "description": description}


_NUMBER: Final = {"type": "number"}
_OPTIONAL_NUMBER: Final = {"type": ["number", "null"]}
_COUNT: Final = {"type": "integer", "minimum": 0}
_OBJECT: Final = {"type": "object"}


def _or_null(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}], "description": description}


_COMPUTE: Final = _or_null(
    record(method={"type": "string", "const": "POST"}, path=TEXT, body=_OBJECT),
    "The request that makes the predictions that are missing; null where none are, or no model applies.",
)
_HETEROGENEITY: Final = _or_null(
    record(
        q=_said(_OPTIONAL_NUMBER, "Cochran's Q."),
        degrees_of_freedom=_COUNT,
        i_squared=_said(_OPTIONAL_NUMBER, "Part of the variation that the results' own errors do not explain, 0 to 1."),
        between_variance=_said(_OPTIONAL_NUMBER, "Variance between results, in the unit squared."),
    ),
    "How far results differ beyond their own errors; null of a single result, and where none states its error.",
)
_MEASURED: Final = _or_null(
    record(
        mean=_OPTIONAL_NUMBER,
        standard_error=_said(_OPTIONAL_NUMBER, "Of the mean."),
        sd=_said(_OPTIONAL_NUMBER, "Of a single measurement, within results and between them."),
        n=_said(_COUNT, "Measurements: replicates where they are stated, else one a result."),
        results=_COUNT,
        experiment_count=_COUNT,
        experiment_ids=array(UUID_TEXT),
        pooling=_said(TEXT, "How the results became one."),
        heterogeneity=_HETEROGENEITY,
    ),
    "The results of all experiments under these conditions, pooled; null where there are none.",
)
_PREDICTION: Final = record(
    id=UUID_TEXT,
    model=TEXT,
    version=TEXT,
    value=_OPTIONAL_NUMBER,
    standard_uncertainty=_OPTIONAL_NUMBER,
    in_domain={"type": "boolean"},
    reason=OPTIONAL_TEXT,
    residual=_said(_OPTIONAL_NUMBER, "Measured minus predicted."),
    z_score=_said(_OPTIONAL_NUMBER, "Residual over the root of both errors' squares."),
    within_uncertainty=_said({"type": ["boolean", "null"]}, "Whether the z-score lies within +-1.645, 90 %."),
)
_GROUP: Final = record(
    conditions=_said(_OBJECT, "What the values hold under, as it was stated first; others are never pooled with them."),
    unit=TEXT,
    experiments=_MEASURED,
    predictions=array(_PREDICTION),
    reason=_said(OPTIONAL_TEXT, "Why one side is missing."),
    not_predicted_by=_said(array(TEXT), "Models of this property that have no current prediction here."),
    compute=_COMPUTE,
)
_MODEL: Final = record(
    model=TEXT,
    version=TEXT,
    rmse=_said(_OPTIONAL_NUMBER, "Root of the mean squared residual over the mixture's groups; null of none."),
    n=_said(_COUNT, "Groups with both sides."),
)
COMPARISON: Final = Answer(
    "Comparison",
    record(
        mixture_id=UUID_TEXT,
        properties=array(record(property_type=TEXT, groups=array(_GROUP), models=array(_MODEL))),
        left_out=_said(array(record(what=TEXT, count=_COUNT, reason=TEXT)), "What is stored and was not compared."),
        reason=_said(OPTIONAL_TEXT, "Why there is nothing at all."),
        compute=_COMPUTE,
    ),
    has_etag=True,
)
CALIBRATION: Final = Answer(
    "Calibration",
    record(
        data=array(
            record(
                property_type=TEXT,
                unit=TEXT,
                model=TEXT,
                version=TEXT,
                n=_said(_COUNT, "Compared values: one for each mixture and its comparable conditions."),
                rmse=_OPTIONAL_NUMBER,
                bias=_said(_OPTIONAL_NUMBER, "Mean of predicted minus measured."),
                r2=_said(_OPTIONAL_NUMBER, "1 - residual over total sum of squares; below 0 the mean would do better."),
                coverage=array(
                    record(
                        level=_NUMBER,
                        observed=_said(_OPTIONAL_NUMBER, "Part of the measured values inside the interval."),
                        n=_COUNT,
                    )
                ),
            )
        ),
        reason=_said(OPTIONAL_TEXT, "Why there is nothing."),
    ),
    has_etag=True,
)
