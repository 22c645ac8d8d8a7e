"""Mixtures and experiments as published sources state them: each record of a source is stored once, for everybody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final
from uuid import UUID

import orjson

from app.domain.experiments import PublishedExperiment
from app.domain.mixtures import PublishedMixture
from app.domain.provenance import Certainty, Origin
from database.repositories.experiments import ADD_RESULTS_SQL, result_rows
from database.repositories.mixtures import ADD_COMPONENTS_SQL, component_rows
from database.session import WriteSession

ADD_PUBLISHED_MIXTURES_SQL: Final = """
INSERT INTO public.mixtures (
    name, description, solvent, reference, purpose, is_public, data_source_id, source_record, import_run_id, certainty,
    verified
)
SELECT r.name, r.description, r.solvent, r.reference, r.purpose, true, r.data_source_id, r.source_record,
    r.import_run_id, r.certainty, r.verified
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r (
    name text, description text, solvent text, reference text, purpose text, data_source_id uuid, source_record text,
    import_run_id uuid, certainty text, verified boolean
)
ON CONFLICT (data_source_id, source_record) DO NOTHING
RETURNING source_record, id
"""

MIXTURES_OF_SOURCE_SQL: Final = """
SELECT x.source_record, x.id FROM public.mixtures AS x
WHERE x.data_source_id = %(source_id)s AND x.source_record IS NOT NULL AND x.is_public
"""

ADD_PUBLISHED_EXPERIMENTS_SQL: Final = """
INSERT INTO public.experiments (
    name, mixture_id, molecule_id, outcome, protocol, conditions, reference, notes, is_public, data_source_id,
    source_record, import_run_id, certainty, verified
)
SELECT r.name, r.mixture_id, r.molecule_id, r.outcome, r.protocol, r.conditions, r.reference, r.notes, true,
    r.data_source_id, r.source_record, r.import_run_id, r.certainty, r.verified
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r (
    name text, mixture_id uuid, molecule_id uuid, outcome text, protocol text, conditions jsonb, reference text,
    notes text, data_source_id uuid, source_record text, import_run_id uuid, certainty text, verified boolean
)
-- An experiment holds its subject's row: in one order, so that this and a batch never deadlock.
ORDER BY r.mixture_id, r.molecule_id, r.source_record
ON CONFLICT (data_source_id, source_record) DO NOTHING
RETURNING source_record, id
"""


class PublicationRepository:
    """Stores what sources state inside the caller's transaction; for the service role."""

    def __init__(self, session: WriteSession) -> None:
        self._session = session

    def mixtures_of(self, source_id: UUID) -> dict[str, UUID]:
        """Return the public mixtures of a source by their records' keys."""
        return dict(self._session.rows(MIXTURES_OF_SOURCE_SQL, {"source_id": source_id}))

    def add_mixtures(self, published: Sequence[PublishedMixture]) -> int:
        """Store mixtures and return how many are new; those of known records stay as they are."""
        rows = [
            {**asdict(item.mixture), "components": None, "purpose": item.purpose, **_origin(item.origin)}
            for item in published
        ]
        new: dict[str, UUID] = dict(self._session.rows(ADD_PUBLISHED_MIXTURES_SQL, {"rows": _json(rows)}))
        parts = [
            part
            for item in published
            if item.origin.source_record in new
            for part in component_rows(new[item.origin.source_record], item.mixture.components)
        ]
        self._session.rows(ADD_COMPONENTS_SQL, {"rows": _json(parts)})
        return len(new)

    def add_experiments(self, published: Sequence[PublishedExperiment]) -> int:
        """Store experiments and return how many are new; those of known records stay as they are."""
        rows = [{**asdict(item.experiment), "results": None, **_origin(item.origin)} for item in published]
        new: dict[str, UUID] = dict(self._session.rows(ADD_PUBLISHED_EXPERIMENTS_SQL, {"rows": _json(rows)}))
        parts = [
            part
            for item in published
            if item.origin.source_record in new
            for part in result_rows(new[item.origin.source_record], item.experiment.results)
        ]
        self._session.rows(ADD_RESULTS_SQL, {"rows": _json(parts)})
        return len(new)


def _origin(origin: Origin) -> dict[str, Any]:
    return {**asdict(origin), "verified": origin.certainty is Certainty.SEEN}


def _json(rows: list[dict[str, Any]]) -> str:
    return orjson.dumps(rows).decode()
