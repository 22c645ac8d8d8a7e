"""The connection pools of one worker as JSON: how they stand, what they have been through, how they are set."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any, Final

from api.common.openapi import Answer
from database.measures import Histogram
from database.pool import IDLE_S, LEAK_S, LIFETIME_S, Pool
from database.session import Database

_NUMBER: Final = {"type": "number"}
_OPTIONAL_NUMBER: Final = {"type": ["number", "null"]}
_COUNT: Final = {"type": "integer", "minimum": 0}
_COUNTERS: Final = ("saturations", "timeouts", "losses", "drains", "leaks")
_SIZES: Final = ("min_size", "max_size", "size", "in_use", "waiting")


def _object(**properties: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON Schema
    return {"type": "object", "properties": properties, "required": list(properties)}


_TIMES: Final = _object(
    count=_COUNT, mean_ms=_OPTIONAL_NUMBER, p50_at_most_ms=_OPTIONAL_NUMBER, p99_at_most_ms=_OPTIONAL_NUMBER
)
_POOL: Final = _object(
    name={"type": "string"},
    saturated={"type": "boolean"},
    acquisition=_TIMES,
    use=_TIMES,
    statements={"type": "object", "additionalProperties": _TIMES},
    **dict.fromkeys((*_SIZES, *_COUNTERS), _COUNT),
)
_BREAKER: Final = _object(
    dependency={"type": "string"},
    state={"type": "string", "enum": ["closed", "open", "half_open"]},
    transitions={"type": "object", "additionalProperties": _COUNT},
    refused=_COUNT,
)
_CONFIGURATION: Final = _object(
    workers=_COUNT,
    share=_NUMBER,
    prepares_statements={"type": "boolean"},
    timeout_s=_NUMBER,
    lifetime_s=_NUMBER,
    idle_s=_NUMBER,
    leak_s=_NUMBER,
    breaker={"type": "object", "additionalProperties": _NUMBER},
)
POOL: Final = Answer(
    "Pool",
    _object(worker=_COUNT, pools={"type": "array", "items": _POOL}, breaker=_BREAKER, configuration=_CONFIGURATION),
)


def pool_state(database: Database) -> dict[str, object]:
    """Return this worker's pools, its breaker and their configuration."""
    breaker = database.breaker
    return {
        "worker": os.getpid(),
        "pools": [_pool(pool) for pool in database.pools],
        "breaker": {
            "dependency": breaker.name,
            "state": breaker.state.value,
            "transitions": {state.value: count for state, count in breaker.transitions.items()},
            "refused": breaker.refused,
        },
        "configuration": {
            "workers": database.workers,
            "share": database.share,
            "prepares_statements": database.pools[0].prepares,
            "timeout_s": database.pools[0].timeout_s,
            "lifetime_s": LIFETIME_S,
            "idle_s": IDLE_S,
            "leak_s": LEAK_S,
            "breaker": asdict(breaker.rules),
        },
    }


def _pool(pool: Pool) -> dict[str, object]:
    state, measures = pool.state, pool.measures
    return {
        **asdict(state),
        "saturated": state.saturated,
        **{name: getattr(measures, name) for name in _COUNTERS},
        "acquisition": _times(measures.acquisition),
        "use": _times(measures.use),
        "statements": {name: _times(measures.statements[name]) for name in sorted(measures.statements)},
    }


def _times(histogram: Histogram) -> dict[str, object]:
    """Return a histogram's figures, in milliseconds; of quantiles only their bucket's bound is known."""
    count = histogram.count
    return {
        "count": count,
        "mean_ms": round(histogram.sum_s / count * 1e3, 3) if count else None,
        "p50_at_most_ms": _ms(histogram.quantile_s(0.5)),
        "p99_at_most_ms": _ms(histogram.quantile_s(0.99)),
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3
