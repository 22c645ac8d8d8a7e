"""What became of each record of a batch or an import, by index."""

from __future__ import annotations

from typing import Any

from flask import Response

from api.common.effects import Effect
from app.errors import Fault
from database.repositories.outcomes import Outcome, OutcomeStatus


def done(effect: Effect) -> Response:
    """Return the answer that the view gave its effect.

    Raises:
        RuntimeError: The view gave none.
    """
    if effect.answer is None:
        msg = "a write ended without an answer"
        raise RuntimeError(msg)
    return effect.answer


def result(index: int, outcome: Outcome | None, faults: list[Fault]) -> dict[str, Any]:
    """Return one record's result; no outcome means that its faults kept it from being tried."""
    if outcome is not None and outcome.reason:
        faults = [*faults, Fault(outcome.pointer, outcome.reason)]
    return {
        "index": index,
        "status": outcome.status if outcome else OutcomeStatus.REFUSED,
        "id": outcome.id if outcome else None,
        "errors": [{"pointer": fault.pointer, "detail": fault.detail} for fault in faults],
    }


def report(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the results with their counts by status."""
    counts = {status.value: sum(item["status"] is status for item in results) for status in OutcomeStatus}
    return {**counts, "results": results}
