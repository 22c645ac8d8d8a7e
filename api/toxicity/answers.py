"""JSON shapes that the toxicity views answer with."""

from __future__ import annotations

from typing import Any, Final

from api.common.openapi import Answer
from api.common.shapes import OPTIONAL_TEXT, TEXT, UUID_TEXT, array, record
from api.predictions.answers import PREDICTION
from app.domain.toxicity import HitCall

_OPTIONAL_NUMBER: Final = {"type": ["number", "null"]}
_FLAG: Final = {"type": "boolean"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_SHARE: Final = {"type": "number", "minimum": 0, "maximum": 1}
_OPTIONAL_SHARE: Final = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
_HIT_CALL: Final = {"type": "string", "enum": [call.value for call in HitCall]}
RELATED: Final[dict[str, dict[str, Any]]] = {
    "toxicity_assays.endpoints": array(TEXT),
    "toxicity_results.flags": array(TEXT),
    "toxicity_ranking.assays": array(
        record(source=TEXT, name=TEXT, endpoint=TEXT, cell_type=OPTIONAL_TEXT, hit_call=_HIT_CALL)
    ),
}

_DOSES: Final = array(
    record(
        source=TEXT,
        assay=TEXT,
        dose=TEXT,
        unit=TEXT,
        results=_COUNT,
        bounds=_COUNT,
        lowest=_OPTIONAL_NUMBER,
        median=_OPTIONAL_NUMBER,
        highest=_OPTIONAL_NUMBER,
    )
)
_CALL_COUNTS: Final = {"active": _COUNT, "inactive": _COUNT, "inconclusive": _COUNT, "conflicting": _COUNT}
PROFILE: Final = Answer(
    "ToxicityProfile",
    record(
        molecule_id=UUID_TEXT,
        name=TEXT,
        endpoints=array(
            record(
                endpoint=TEXT,
                description=TEXT,
                is_scored=_FLAG,
                tested=_COUNT,
                **_CALL_COUNTS,
                results=_COUNT,
                potency=record(lowest_um=_OPTIONAL_NUMBER, median_um=_OPTIONAL_NUMBER, highest_um=_OPTIONAL_NUMBER),
                cell_types=array(TEXT),
            )
        ),
        context=_DOSES,
    ),
)
_SCORE: Final[dict[str, Any]] = {
    "molecule_id": UUID_TEXT,
    "name": TEXT,
    "endpoint": TEXT,
    "cell_type": TEXT,
    "score": _OPTIONAL_SHARE,
    "reason": OPTIONAL_TEXT,
    "coverage": _SHARE,
    "confidence": _SHARE,
    **_CALL_COUNTS,
    "assays": array(
        record(
            source=TEXT,
            name=TEXT,
            endpoint=TEXT,
            cell_type=OPTIONAL_TEXT,
            hit_call=_HIT_CALL,
            active_replicates=_COUNT,
            inactive_replicates=_COUNT,
            potency_um=_OPTIONAL_NUMBER,
        )
    ),
    "context": _DOSES,
}
SCORE: Final = Answer("ToxicityScore", record(**_SCORE))
MIXTURE_SCORE: Final = Answer(
    "MixtureToxicityScore",
    record(
        mixture_id=UUID_TEXT,
        endpoint=TEXT,
        assay_cell_type=TEXT,
        score=_OPTIONAL_SHARE,
        coverage=_SHARE,
        confidence=_SHARE,
        reason=OPTIONAL_TEXT,
        components=array(record(**_SCORE, molality_mol_kg=_OPTIONAL_NUMBER, share=_OPTIONAL_SHARE)),
        survival=record(
            conditions=record(cell_type=OPTIONAL_TEXT, exposure_min=_OPTIONAL_NUMBER, temperature_k=_OPTIONAL_NUMBER),
            predictions=array(PREDICTION),
            reason=OPTIONAL_TEXT,
        ),
    ),
)
