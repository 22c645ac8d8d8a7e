"""What is predicted and what is measured of mixtures, side by side, seen with the caller's eyes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from app.domain.comparisons import ALL_CONDITIONS
from database.exchange import Row
from database.repositories.base import unseen
from database.repositories.mixtures import COMPONENTS, Composition
from database.session import ReadSession

PAGE_MIXTURES: Final = 100
"""How many mixtures a worker pairs before it lets other requests go on: 20 ms."""
_SAFE_DIGITS: Final = 16
_FIRST: Final = UUID(int=0)
_LAST: Final = UUID(int=2**128 - 1)

# Predictions are newest first. Of an experiment's conditions only those are read that anything is compared by.
COMPARED_MIXTURES_SQL: Final = """
SELECT x.id, x.version, x.solvent, (components), (
    SELECT coalesce(json_agg(row_to_json(y)), '[]')
    FROM (
        SELECT p.id, p.property_type, k.name AS model, k.version, p.value, p.unit, p.standard_uncertainty,
            p.in_domain, p.reason, p.conditions, p.inputs_hash
        FROM public.predictions AS p
        JOIN public.calculation_methods AS k ON k.id = p.method_id
        WHERE p.mixture_id = x.id
        ORDER BY p.created_at DESC, p.id DESC
    ) AS y
), (
    SELECT coalesce(json_agg(row_to_json(y)), '[]')
    FROM (
        SELECT e.id AS experiment_id, e.outcome, r.property_type, r.relation, r.value, r.unit, r.standard_deviation,
            r.replicates, (
                SELECT coalesce(jsonb_object_agg(c.key, c.value), '{}')
                FROM jsonb_each(e.conditions) AS c
                WHERE c.key = ANY (%(conditions)s)
            ) AS conditions
        FROM public.experiments AS e
        JOIN public.experiment_results AS r ON r.experiment_id = e.id
        WHERE e.mixture_id = x.id
        ORDER BY e.created_at, e.id, r.position
    ) AS y
)
FROM public.mixtures AS x
WHERE x.id BETWEEN %(first)s AND %(last)s
    AND (
        NOT %(both)s
        OR EXISTS (SELECT FROM public.experiments AS e WHERE e.mixture_id = x.id)
        AND EXISTS (SELECT FROM public.predictions AS p WHERE p.mixture_id = x.id)
    )
ORDER BY x.id
LIMIT %(limit)s
""".replace("(components)", COMPONENTS)


@dataclass(frozen=True, slots=True)
class Sides:
    """A mixture as it is now, with all that was ever predicted of it and all that was measured on it."""

    mixture_id: UUID
    composition: Composition
    predictions: list[dict[str, Any]]
    """Newest first: id, property_type, model, version, value, unit, standard_uncertainty, in_domain, reason,
    conditions, inputs_hash."""
    results: list[dict[str, Any]]
    """Oldest first: experiment_id, outcome, property_type, relation, value, unit, standard_deviation, replicates,
    conditions."""


class ComparisonReader:
    """Reads both sides; what the caller may not see is on neither."""

    def __init__(self, session: ReadSession) -> None:
        self._session = session

    def of_mixture(self, mixture_id: UUID) -> Sides:
        """Return both sides of one mixture.

        Raises:
            NotFoundError: No such mixture is visible to the caller.
        """
        rows = self._rows(mixture_id, mixture_id, both=False)
        if not rows:
            raise unseen("mixture", mixture_id)
        return _sides(rows[0])

    def of_all(self) -> Iterator[Sides]:
        """Give every mixture that has both sides, a page at a time."""
        first = _FIRST
        while True:
            rows = self._rows(first, _LAST, both=True)
            yield from map(_sides, rows)
            if len(rows) < PAGE_MIXTURES:
                return
            first = UUID(int=rows[-1][0].int + 1)

    def _rows(self, first: UUID, last: UUID, *, both: bool) -> list[Row]:
        parameters = {"conditions": [*ALL_CONDITIONS], "both": both, "limit": PAGE_MIXTURES}
        return self._session.rows(COMPARED_MIXTURES_SQL, {"first": first, "last": last, **parameters})


def _sides(row: Row) -> Sides:
    mixture_id, version, solvent, *texts = row
    components, predictions, results = (json.loads(text, parse_int=_whole) for text in texts)
    return Sides(mixture_id, Composition(version, solvent, components), predictions, results)


def _whole(digits: str) -> float:
    # jsonb holds whole numbers of any length; none that long is a condition.
    return int(digits) if len(digits) < _SAFE_DIGITS else float(digits)
