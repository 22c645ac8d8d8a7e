"""Toxicity assays and what they tell of; everybody reads them, the service role makes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final
from uuid import UUID

import orjson

from app.domain.toxicity import Assay
from database.listing import Detail, Field, Kind, Listing, Related, Sort
from database.repositories.base import ReadRepository, WriteRepository

AssayKey = tuple[str, str | None, str | None]

ASSAYS: Final = Listing(
    name="toxicity_assays",
    source="public.toxicity_assays AS a",
    search="a.search @@ websearch_to_tsquery('simple'::regconfig, %(q)s)",
    fields=(
        Field("id", Kind.UUID, "a.id", Detail.MINIMAL, sortable=True, description="Key; sorts by time of creation."),
        Field("source", Kind.TEXT, "a.source", Detail.MINIMAL, description="Where it comes from: tox21, toxcast, ice."),
        Field("name", Kind.TEXT, "a.name", Detail.MINIMAL, sortable=True, description="Its name there."),
        Field("external_id", Kind.TEXT, "a.external_id", nullable=True, description="Its number there."),
        Field("organism", Kind.TEXT, "a.organism", nullable=True, description="Organism that the cells come from."),
        Field("tissue", Kind.TEXT, "a.tissue", nullable=True, description="Tissue that the cells come from."),
        Field("cell_type", Kind.TEXT, "a.cell_type", nullable=True, description="Cells that are exposed."),
        Field("target", Kind.TEXT, "a.target", nullable=True, description="What is to be met."),
        Field("gene_symbol", Kind.TEXT, "a.gene_symbol", nullable=True, description="Gene of the target."),
        Field("signal_direction", Kind.TEXT, "a.signal_direction", nullable=True, description="gain, loss or both."),
        Field("exposure_h", Kind.FLOAT, "a.exposure_h", nullable=True, description="Time of exposure, hours."),
        Field("reference", Kind.TEXT, "a.reference", nullable=True, description="Where it is described."),
        Field("version", Kind.INTEGER, "a.version", description="Grows by one with each change."),
        Field("created_at", Kind.TIMESTAMP, "a.created_at", sortable=True, description="Time of creation, UTC."),
        Field("updated_at", Kind.TIMESTAMP, "a.updated_at", sortable=True, description="Time of last change, UTC."),
        Field("description", Kind.TEXT, "a.description", Detail.FULL, nullable=True, description="What is done."),
        Field("annotations", Kind.JSON, "a.annotations", Detail.FULL, description="What the source says further."),
    ),
    related=(
        Related(
            "endpoints",
            """
            SELECT coalesce(json_agg(e.name ORDER BY e.name), '[]')
            FROM public.assay_endpoints AS l
            JOIN public.toxicity_endpoints AS e ON e.id = l.endpoint_id
            WHERE l.assay_id = a.id
            """,
            Detail.STANDARD,
            description="What it tells of.",
        ),
    ),
)

ENDPOINTS: Final = Listing(
    name="toxicity_endpoints",
    source="public.toxicity_endpoints AS e",
    fields=(
        Field("id", Kind.UUID, "e.id", Detail.MINIMAL, sortable=True, description="Key; sorts by time of creation."),
        Field("name", Kind.TEXT, "e.name", Detail.MINIMAL, sortable=True, description="Its name."),
        Field("description", Kind.TEXT, "e.description", description="What it stands for."),
        Field("is_scored", Kind.BOOLEAN, "e.is_scored", description="Whether its hit calls count in scores."),
        Field("version", Kind.INTEGER, "e.version", description="Grows by one with each change."),
        Field("created_at", Kind.TIMESTAMP, "e.created_at", description="Time of creation, UTC."),
        Field("updated_at", Kind.TIMESTAMP, "e.updated_at", description="Time of last change, UTC."),
    ),
    default_order=(Sort("name"),),
)

FIND_ASSAYS_SQL: Final = """
SELECT DISTINCT s.index, f.id, coalesce(
    (
        SELECT jsonb_object_agg(e.name, e.id)
        FROM public.assay_endpoints AS l
        JOIN public.toxicity_endpoints AS e ON e.id = l.endpoint_id
        WHERE l.assay_id = f.id
    ),
    '{}'
)
FROM jsonb_to_recordset(%(rows)s::jsonb) AS s (index int, source text, name text, external_id text)
CROSS JOIN LATERAL (
    SELECT a.id FROM public.toxicity_assays AS a WHERE a.source = s.source AND a.name = s.name
    UNION
    SELECT a.id FROM public.toxicity_assays AS a WHERE a.source = s.source AND a.external_id = s.external_id
) AS f
"""

ADD_ASSAYS_SQL: Final = """
INSERT INTO public.toxicity_assays (
    source, name, external_id, description, organism, tissue, cell_type, target, gene_symbol, signal_direction,
    exposure_h, annotations, reference, import_run_id
)
SELECT s.source, s.name, s.external_id, s.description, s.organism, s.tissue, s.cell_type, s.target, s.gene_symbol,
    s.signal_direction, s.exposure_h, s.annotations, s.reference, %(run_id)s::uuid
FROM jsonb_to_recordset(%(rows)s::jsonb) AS s (
    source text, name text, external_id text, description text, organism text, tissue text, cell_type text,
    target text, gene_symbol text, signal_direction text, exposure_h float8, annotations jsonb, reference text
)
ORDER BY s.source, s.name
ON CONFLICT DO NOTHING
RETURNING id
"""

ADD_ENDPOINTS_SQL: Final = """
INSERT INTO public.toxicity_endpoints (name, description, is_scored)
SELECT DISTINCT ON (s.name) s.name, s.description, s.is_scored
FROM jsonb_to_recordset(%(rows)s::jsonb) AS s (name text, description text, is_scored boolean)
ORDER BY s.name
ON CONFLICT DO NOTHING
"""

LINK_ENDPOINTS_SQL: Final = """
INSERT INTO public.assay_endpoints (assay_id, endpoint_id)
SELECT DISTINCT a.id, e.id
FROM jsonb_to_recordset(%(rows)s::jsonb) AS s (source text, assay text, name text)
JOIN public.toxicity_assays AS a ON a.source = s.source AND a.name = s.assay
JOIN public.toxicity_endpoints AS e ON e.name = s.name
ORDER BY a.id, e.id
ON CONFLICT DO NOTHING
RETURNING assay_id
"""

REFRESH_COVERAGE_SQL: Final = "SELECT private.refresh_toxicity_coverage()"


class AssayReader(ReadRepository):
    """Finds toxicity assays."""

    listing = ASSAYS
    noun = "toxicity assay"


class EndpointReader(ReadRepository):
    """Finds what toxicity assays tell of."""

    listing = ENDPOINTS
    noun = "toxicity endpoint"


@dataclass(frozen=True, slots=True)
class FoundAssay:
    """An assay as it is stored, with the ids of its endpoints by name."""

    id: UUID
    endpoints: Mapping[str, str]


class AssayRepository(WriteRepository):
    """Finds and makes assays inside the caller's transaction."""

    listing = ASSAYS
    noun = "toxicity assay"

    def ensure(self, stated: Iterable[Assay]) -> tuple[dict[AssayKey, list[FoundAssay]], bool]:
        """Return the stored assays that each key means, and whether any was made now.

        The service role makes those that are not known yet and come with enough to be made.
        """
        assays = _merged(stated)
        found = self.find(list(assays))
        missing = [assay for key, assay in assays.items() if not _covers(found.get(key, []), assay)]
        is_any_new = self._caller.role == "service_role" and self.put(missing)
        return (self.find(list(assays)) if is_any_new else found), is_any_new

    def find(self, keys: Sequence[AssayKey]) -> dict[AssayKey, list[FoundAssay]]:
        """Return the stored assays that each key means: none, one, or two where its parts contradict each other."""
        rows = [
            {"index": index, "source": source, "name": name, "external_id": external_id}
            for index, (source, name, external_id) in enumerate(keys)
        ]
        found: dict[AssayKey, list[FoundAssay]] = {}
        for index, assay_id, endpoints in self._session.rows(FIND_ASSAYS_SQL, {"rows": _json(rows)}):
            found.setdefault(keys[index], []).append(FoundAssay(assay_id, orjson.loads(endpoints)))
        return found

    def put(self, assays: Iterable[Assay], run_id: UUID | None = None) -> bool:
        """Make the assays that are not known yet and say enough, and return whether any is new.

        Of known ones only endpoints are added: what somebody corrected stays.
        """
        wanted = {assay.key: assay for assay in assays if assay.is_annotated}
        if not wanted:
            return False
        rows = [asdict(assay) | {"endpoints": None} for assay in wanted.values()]
        added = self._session.rows(ADD_ASSAYS_SQL, {"rows": _json(rows), "run_id": run_id})
        endpoints = [asdict(endpoint) for assay in wanted.values() for endpoint in assay.endpoints]
        self._session.rows(ADD_ENDPOINTS_SQL, {"rows": _json(endpoints)})
        links = [
            {"source": assay.source, "assay": assay.name, "name": endpoint.name}
            for assay in wanted.values()
            for endpoint in assay.endpoints
        ]
        linked = self._session.rows(LINK_ENDPOINTS_SQL, {"rows": _json(links)})
        return bool(added or linked)

    def refresh_coverage(self) -> None:
        """Let the scores that are kept know how many assays there are now."""
        self._session.rows(REFRESH_COVERAGE_SQL, {})


def _merged(stated: Iterable[Assay]) -> dict[AssayKey, Assay]:
    """Return of each key what says most, with the endpoints that any has."""
    assays: dict[AssayKey, Assay] = {}
    for assay in stated:
        known = assays.setdefault(assay.key, assay)
        if known != assay and assay.endpoints:
            fuller = known if known.is_annotated else assay
            endpoints = tuple(dict.fromkeys((*known.endpoints, *assay.endpoints)))
            assays[assay.key] = replace(fuller, endpoints=endpoints)
    return assays


def _covers(found: Sequence[FoundAssay], assay: Assay) -> bool:
    return bool(found) and all(endpoint.name in found[0].endpoints for endpoint in assay.endpoints)


def _json(rows: Sequence[Mapping[str, Any]]) -> str:
    return orjson.dumps(rows).decode()
