"""What the results of toxicity assays come to: profiles, scores, and the ranking of molecules.

Scores are kept beside the results and follow them by trigger (migration 0017); what is read here is what the caller
may see, for a molecule's scores are seen by whoever sees its results.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson

from app.errors import InvalidError
from database.listing import Detail, Field, Filter, Kind, Listing, Related, Sort
from database.repositories.base import Document, ReadRepository, unseen
from database.repositories.molecules import MOLECULES

ALL: Final = "all"
"""What stands for every endpoint, or every cell type."""

RANKING: Final = Listing(
    name="toxicity_ranking",
    source="""
    public.toxicity_scores AS x
    JOIN public.molecules AS m ON m.id = x.molecule_id AND x.method_id = (SELECT private.toxicity_method())
    """,
    fields=(
        Field("id", Kind.UUID, "x.id", Detail.FULL, description="Key of the score."),
        Field("molecule_id", Kind.UUID, "x.molecule_id", Detail.MINIMAL, description="The molecule."),
        Field("name", Kind.TEXT, "m.name", Detail.MINIMAL, description="Its preferred name."),
        Field("inchikey", Kind.TEXT, "m.inchikey", nullable=True, description="Its InChIKey."),
        Field("endpoint", Kind.TEXT, "x.ranked_endpoint", description="Which endpoint; `all` if not said."),
        Field("cell_type", Kind.TEXT, "x.ranked_cell_type", description="Which cells; `all` if not said."),
        Field(
            "score",
            Kind.FLOAT,
            "x.score",
            Detail.MINIMAL,
            sortable=True,
            nullable=True,
            description="Active share of the conclusive hit calls, 0-1; null without any.",
        ),
        Field("reason", Kind.TEXT, "x.reason", nullable=True, description="Why there is no score."),
        Field("coverage", Kind.FLOAT, "x.coverage", Detail.MINIMAL, description="Conclusive share of all assays."),
        Field("confidence", Kind.FLOAT, "x.confidence", Detail.MINIMAL, description="How sure the score is, 0-1."),
        Field("active", Kind.INTEGER, "x.active", description="Assays in which it is active."),
        Field("inactive", Kind.INTEGER, "x.inactive", description="Assays in which it is inactive."),
        Field("inconclusive", Kind.INTEGER, "x.inconclusive", description="Assays that leave it open."),
        Field("conflicting", Kind.INTEGER, "x.conflicting", description="Assays whose replicates contradict."),
        Field("updated_at", Kind.TIMESTAMP, "x.computed_at", description="When its results last changed, UTC."),
    ),
    related=(
        Related(
            "assays",
            """
            SELECT coalesce(json_agg(row_to_json(y)), '[]')
            FROM (
                SELECT a.source, a.name, e.name AS endpoint, c.cell_type, c.hit_call
                FROM public.toxicity_calls AS c
                JOIN public.toxicity_assays AS a ON a.id = c.assay_id
                JOIN public.toxicity_endpoints AS e ON e.id = c.endpoint_id AND e.is_scored
                WHERE c.molecule_id = x.molecule_id
                    AND (x.endpoint IS NULL OR e.name = x.endpoint)
                    AND (x.cell_type IS NULL OR c.cell_type = x.cell_type)
                ORDER BY a.source, a.name, e.name, c.cell_type
            ) AS y
            """,
            description="The assays that the score rests on.",
        ),
    ),
    default_order=(Sort("score", descending=True),),
    defaults=(Filter("endpoint", "exact", ALL), Filter("cell_type", "exact", ALL)),
)

PROFILE_SQL: Final = """
SELECT m.version, row_to_json(d)
FROM public.molecules AS m
CROSS JOIN LATERAL (
    SELECT m.id AS molecule_id, m.name,
        (
            SELECT coalesce(json_agg(row_to_json(p)), '[]')
            FROM (
                SELECT e.name AS endpoint, e.description, e.is_scored, count(*) AS tested,
                    count(*) FILTER (WHERE c.hit_call = 'active') AS active,
                    count(*) FILTER (WHERE c.hit_call = 'inactive') AS inactive,
                    count(*) FILTER (WHERE c.hit_call = 'inconclusive') AS inconclusive,
                    count(*) FILTER (WHERE c.is_conflicting) AS conflicting,
                    sum(c.replicates) AS results,
                    json_build_object(
                        'lowest_um', min(c.potency_um),
                        'median_um', percentile_cont(0.5) WITHIN GROUP (ORDER BY c.potency_um),
                        'highest_um', max(c.potency_um)
                    ) AS potency,
                    coalesce(json_agg(DISTINCT c.cell_type) FILTER (WHERE c.cell_type IS NOT NULL), '[]') AS cell_types
                FROM public.toxicity_calls AS c
                JOIN public.toxicity_endpoints AS e ON e.id = c.endpoint_id
                WHERE c.molecule_id = m.id
                GROUP BY e.id, e.name, e.description, e.is_scored
                ORDER BY e.name
            ) AS p
        ) AS endpoints,
        (
            SELECT coalesce(json_agg(row_to_json(o)), '[]')
            FROM (
                SELECT t.source, t.assay, t.dose, t.unit, t.results, t.bounds, t.lowest, t.median, t.highest
                FROM public.toxicity_doses AS t
                WHERE t.molecule_id = m.id
                ORDER BY t.source, t.assay, t.dose, t.unit
            ) AS o
        ) AS context
) AS d
WHERE m.id = %(id)s
"""

# One row for each molecule asked for, scored or not, in the order of its position.
SCORES_SQL: Final = """
SELECT w.position, w.version, row_to_json(d)
FROM (
    SELECT 0 AS position, m.id, m.name, m.version FROM public.molecules AS m WHERE m.id = %(molecule_id)s::uuid
    UNION ALL
    SELECT c.position, m.id, m.name, m.version
    FROM public.mixture_components AS c
    JOIN public.molecules AS m ON m.id = c.molecule_id
    WHERE c.mixture_id = %(mixture_id)s::uuid
) AS w
CROSS JOIN LATERAL (
    SELECT w.id AS molecule_id, w.name, coalesce(%(endpoint)s::text, 'all') AS endpoint,
        coalesce(%(cell_type)s::text, 'all') AS cell_type, s.score,
        CASE WHEN s.id IS NULL THEN 'no hit call is stored for it here' ELSE s.reason END AS reason,
        coalesce(s.coverage, 0) AS coverage, coalesce(s.confidence, 0) AS confidence,
        coalesce(s.active, 0) AS active, coalesce(s.inactive, 0) AS inactive,
        coalesce(s.inconclusive, 0) AS inconclusive, coalesce(s.conflicting, 0) AS conflicting,
        (
            SELECT coalesce(json_agg(row_to_json(y)), '[]')
            FROM (
                SELECT a.source, a.name, e.name AS endpoint, c.cell_type, c.hit_call, c.active_replicates,
                    c.inactive_replicates, c.potency_um
                FROM public.toxicity_calls AS c
                JOIN public.toxicity_assays AS a ON a.id = c.assay_id
                JOIN public.toxicity_endpoints AS e ON e.id = c.endpoint_id AND e.is_scored
                WHERE c.molecule_id = w.id
                    AND (%(endpoint)s::text IS NULL OR e.name = %(endpoint)s)
                    AND (%(cell_type)s::text IS NULL OR c.cell_type = %(cell_type)s)
                ORDER BY a.source, a.name, e.name, c.cell_type
            ) AS y
        ) AS assays,
        (
            SELECT coalesce(json_agg(row_to_json(o)), '[]')
            FROM (
                SELECT t.source, t.assay, t.dose, t.unit, t.results, t.bounds, t.lowest, t.median, t.highest
                FROM public.toxicity_doses AS t
                WHERE t.molecule_id = w.id
                ORDER BY t.source, t.assay, t.dose, t.unit
            ) AS o
        ) AS context
    FROM (SELECT) AS one
    LEFT JOIN public.toxicity_scores AS s
        ON s.molecule_id = w.id AND s.method_id = (SELECT private.toxicity_method())
        AND s.ranked_endpoint = coalesce(%(endpoint)s::text, 'all')
        AND s.ranked_cell_type = coalesce(%(cell_type)s::text, 'all')
) AS d
ORDER BY w.position, w.id
"""

ENDPOINT_EXISTS_SQL: Final = "SELECT FROM public.toxicity_endpoints WHERE name = %(endpoint)s::text AND is_scored"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which assays a score rests on; None means all."""

    endpoint: str | None = None
    cell_type: str | None = None


class RankingReader(ReadRepository):
    """Finds molecules by their scores, with the caller's eyes."""

    listing = RANKING
    noun = "toxicity score"


class ScoreReader(ReadRepository):
    """Finds what toxicity results come to, with the caller's eyes."""

    listing = MOLECULES
    noun = "molecule"

    def profile(self, molecule_id: UUID) -> Document:
        """Return what a molecule's results tell by endpoint, in one statement however many they are.

        Raises:
            NotFoundError: No such molecule is visible to the caller.
        """
        rows = self._session.rows(PROFILE_SQL, {"id": molecule_id})
        if not rows:
            raise unseen("molecule", molecule_id)
        version, document = rows[0]
        return Document(document, version)

    def score(self, molecule_id: UUID, selection: Selection) -> Document:
        """Return a molecule's score, with the assays that it rests on.

        Raises:
            NotFoundError: No such molecule is visible to the caller.
            InvalidError: There is no such endpoint.
        """
        rows = self._scores({"molecule_id": molecule_id, "mixture_id": None}, selection)
        if not rows:
            raise unseen("molecule", molecule_id)
        _, version, document = rows[0]
        return Document(document, version)

    def component_scores(self, mixture_id: UUID, selection: Selection) -> dict[str, dict[str, Any]]:
        """Return the scores of a mixture's molecules by their ids.

        Raises:
            InvalidError: There is no such endpoint.
        """
        rows = self._scores({"molecule_id": None, "mixture_id": mixture_id}, selection)
        scores = [orjson.loads(document) for _, _, document in rows]
        return {score["molecule_id"]: score for score in scores}

    def _scores(self, subject: dict[str, UUID | None], selection: Selection) -> list[tuple[Any, ...]]:
        said: dict[str, object] = {"endpoint": selection.endpoint, "cell_type": selection.cell_type}
        rows, known = self._reading.rows_of_each(
            [(SCORES_SQL, subject | said), (ENDPOINT_EXISTS_SQL, {"endpoint": selection.endpoint})]
        )
        if selection.endpoint is not None and not known:
            raise InvalidError.at("endpoint", "there is no such endpoint to be scored by: see /toxicity/endpoints")
        return rows
