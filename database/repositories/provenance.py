"""Data sources, the runs that import from them, what a run had to leave out; property types and models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Final
from uuid import UUID

import orjson

from app.domain.molecules import PropertyType
from database.session import WriteSession

ADD_SOURCE_SQL: Final = """
INSERT INTO public.data_sources (name, release, url, licence, retrieved_at)
VALUES (%(name)s, %(release)s, %(url)s, %(licence)s, clock_timestamp())
ON CONFLICT (name, release) DO NOTHING
"""
FIND_SOURCE_SQL: Final = "SELECT id FROM public.data_sources WHERE name = %(name)s AND release = %(release)s"

START_RUN_SQL: Final = """
INSERT INTO public.import_runs (data_source_id) VALUES (%(source_id)s) RETURNING id
"""
FINISH_RUN_SQL: Final = """
UPDATE public.import_runs
SET state = 'finished', finished_at = clock_timestamp(), added_count = %(added)s, existing_count = %(existing)s,
    refused_count = %(refused)s
WHERE id = %(id)s
"""
ADD_ERRORS_SQL: Final = """
INSERT INTO public.import_errors (import_run_id, record_index, source_record, reason)
SELECT %(run_id)s, r.index, r.source_record, r.reason
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r (index bigint, source_record text, reason text)
"""
PUT_PROPERTY_TYPES_SQL: Final = """
INSERT INTO public.property_types (name, unit, value_kind, description)
SELECT r.name, r.unit, r.value_kind, r.description
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r (name text, unit text, value_kind text, description text)
ON CONFLICT (name) DO UPDATE SET description = excluded.description
"""
PUT_METHODS_SQL: Final = """
INSERT INTO public.calculation_methods AS k (name, version, description, equation, reference, parameters)
SELECT r.name, r.version, r.description, r.equation, r.reference, r.parameters
FROM jsonb_to_recordset(%(rows)s::jsonb)
    AS r (name text, version text, description text, equation text, reference text, parameters jsonb)
ON CONFLICT (name, version) DO UPDATE
SET description = excluded.description, equation = excluded.equation, reference = excluded.reference,
    parameters = excluded.parameters
WHERE (k.description, k.equation, k.reference, k.parameters)
    IS DISTINCT FROM (excluded.description, excluded.equation, excluded.reference, excluded.parameters)
"""


@dataclass(frozen=True, slots=True)
class SourceStatement:
    """A data source as it is stated: name, release, address, licence."""

    name: str
    release: str = ""
    url: str | None = None
    licence: str | None = None


@dataclass(frozen=True, slots=True)
class ImportFault:
    """A record that a run left out, and why."""

    index: int
    source_record: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Method:
    """A model as it is kept beside its predictions."""

    name: str
    version: str
    description: str
    equation: str
    reference: str
    parameters: Mapping[str, Mapping[str, object]]


class ProvenanceRepository:
    """Keeps provenance inside the caller's transaction; for the service role."""

    def __init__(self, session: WriteSession) -> None:
        self._session = session

    def source_id(self, source: SourceStatement) -> UUID | None:
        """Return the id of a source, None where it is not known yet."""
        rows = self._session.rows(FIND_SOURCE_SQL, asdict(source))
        return rows[0][0] if rows else None

    def ensure_source(self, source: SourceStatement) -> UUID:
        """Return the id of a source, which is added where it is not known yet."""
        self._session.rows(ADD_SOURCE_SQL, asdict(source))
        return UUID(str(self._session.rows(FIND_SOURCE_SQL, asdict(source))[0][0]))

    def start_run(self, source_id: UUID) -> UUID:
        """Return the id of a new import run."""
        return UUID(str(self._session.rows(START_RUN_SQL, {"source_id": source_id})[0][0]))

    def finish_run(self, run_id: UUID, *, added: int, existing: int, faults: Iterable[ImportFault]) -> None:
        """Close a run with its counts and the records that it left out."""
        rows = [asdict(fault) for fault in faults]
        self._session.rows(FINISH_RUN_SQL, {"id": run_id, "added": added, "existing": existing, "refused": len(rows)})
        if rows:
            self._session.rows(ADD_ERRORS_SQL, {"run_id": run_id, "rows": orjson.dumps(rows).decode()})

    def put_property_types(self, types: Iterable[PropertyType]) -> None:
        """Add property types; of known ones only the description changes."""
        rows = [asdict(item) for item in types]
        self._session.rows(PUT_PROPERTY_TYPES_SQL, {"rows": orjson.dumps(rows).decode()})

    def put_methods(self, methods: Iterable[Method]) -> None:
        """Add models; of known versions only what is said about them changes."""
        rows = [asdict(item) for item in methods]
        self._session.rows(PUT_METHODS_SQL, {"rows": orjson.dumps(rows).decode()})
