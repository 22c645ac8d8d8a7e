"""Records that say again what another one says: identifiers, properties, experiments, predictions, toxicity results.

A record goes where a better one says all that it says, so that nothing is lost: verified before unverified, then the
one that says more, then the newer one. What two records say differently keeps both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, LiteralString

from database.maintenance.deduplicate.work import Group, Tally, Work
from database.session import WriteSession

COUNT_IDENTIFIERS_SQL: Final = "SELECT count(*) FROM public.molecule_identifiers"
FIND_IDENTIFIERS_SQL: Final = """
WITH doubled AS (
    SELECT array_agg(i.id ORDER BY i.verified DESC, i.created_at DESC, i.id DESC) AS ids
    FROM public.molecule_identifiers AS i
    WHERE %(ids)s::uuid[] IS NULL OR i.id = ANY (%(ids)s::uuid[])
    GROUP BY i.molecule_id, i.source, i.kind, i.external_id
    HAVING count(*) > 1
)
SELECT d.ids[1], d.ids[2:], NULL, NULL
FROM doubled AS d
WHERE d.ids[1] > %(after)s
ORDER BY d.ids[1]
LIMIT %(limit)s
"""
LOCK_IDENTIFIERS_SQL: Final = """
SELECT m.id
FROM public.molecules AS m
WHERE m.id = ANY (ARRAY(SELECT i.molecule_id FROM public.molecule_identifiers AS i WHERE i.id = ANY (%(ids)s::uuid[])))
ORDER BY m.id
FOR NO KEY UPDATE
"""
REMOVE_IDENTIFIERS_SQL: Final = """
WITH gone AS (
    DELETE FROM public.molecule_identifiers WHERE id = ANY (%(ids)s::uuid[]) RETURNING molecule_id
), touched AS (
    UPDATE public.molecules SET updated_at = clock_timestamp() WHERE id IN (SELECT g.molecule_id FROM gone AS g)
)
SELECT count(*) FROM gone
"""
# One molecule has one number in a register. Names are shared by right.
FIND_SHARED_IDENTIFIERS_SQL: Final = """
SELECT i.source || ' ' || i.kind || ' ' || i.external_id, array_agg(DISTINCT i.molecule_id)
FROM public.molecule_identifiers AS i
JOIN public.molecules AS m ON m.id = i.molecule_id
WHERE i.source <> 'name'
GROUP BY i.source, i.kind, i.external_id, m.is_public,
    CASE WHEN NOT m.is_public THEN coalesce(m.project_id, m.created_by) END
HAVING count(DISTINCT i.molecule_id) > 1
ORDER BY 1
"""

COUNT_PROPERTIES_SQL: Final = "SELECT count(*) FROM public.molecular_properties"
FIND_PROPERTIES_SQL: Final = """
WITH doubled AS (
    SELECT row_number() OVER () AS number, array_agg(v.id) AS ids
    FROM public.molecular_properties AS v
    LEFT JOIN public.import_runs AS r ON r.id = v.import_run_id
    LEFT JOIN public.data_sources AS s ON s.id = r.data_source_id
    WHERE %(ids)s::uuid[] IS NULL OR v.id = ANY (%(ids)s::uuid[])
    GROUP BY v.molecule_id, v.property_type, v.numeric_value, v.text_value, v.boolean_value, v.unit, v.reference, s.name
    HAVING count(*) > 1
), members AS (
    SELECT d.number, v.id, v.method, v.standard_uncertainty,
        (v.verified::int, num_nonnulls(v.method, v.standard_uncertainty), v.created_at, v.id) AS rank
    FROM doubled AS d
    JOIN public.molecular_properties AS v ON v.id = ANY (d.ids)
), repeats AS (
    SELECT DISTINCT ON (a.id) a.id, b.id AS kept
    FROM members AS a
    JOIN members AS b ON b.number = a.number AND b.rank > a.rank
        AND (a.method IS NULL OR a.method = b.method)
        AND (a.standard_uncertainty IS NULL OR a.standard_uncertainty = b.standard_uncertainty)
    ORDER BY a.id, b.rank DESC
)
SELECT r.kept, array_agg(r.id ORDER BY r.id), NULL, NULL
FROM repeats AS r
WHERE r.kept > %(after)s
GROUP BY r.kept
ORDER BY r.kept
LIMIT %(limit)s
"""
LOCK_PROPERTIES_SQL: Final = """
SELECT m.id
FROM public.molecules AS m
WHERE m.id = ANY (ARRAY(SELECT v.molecule_id FROM public.molecular_properties AS v WHERE v.id = ANY (%(ids)s::uuid[])))
ORDER BY m.id
FOR NO KEY UPDATE
"""
REMOVE_PROPERTIES_SQL: Final = """
WITH gone AS (
    DELETE FROM public.molecular_properties WHERE id = ANY (%(ids)s::uuid[]) RETURNING molecule_id
), touched AS (
    UPDATE public.molecules SET updated_at = clock_timestamp() WHERE id IN (SELECT g.molecule_id FROM gone AS g)
)
SELECT count(*) FROM gone
"""

COUNT_EXPERIMENTS_SQL: Final = "SELECT count(*) FROM public.experiments"
# Records that their source tells apart are two experiments, whatever they state.
FIND_EXPERIMENTS_SQL: Final = """
WITH doubled AS (
    SELECT row_number() OVER () AS number, array_agg(e.id) AS ids
    FROM public.experiments AS e
    WHERE %(ids)s::uuid[] IS NULL OR e.id = ANY (%(ids)s::uuid[])
    GROUP BY e.mixture_id, e.molecule_id, e.outcome, e.protocol, e.conditions, e.started_at, e.completed_at,
        e.created_by, e.project_id, e.is_public, e.data_source_id
    HAVING count(*) > 1
), members AS (
    SELECT d.number, e.id, e.name, e.reference, e.notes, e.source_record,
        ARRAY(
            SELECT (x.property_type, x.relation, x.value, x.unit, x.standard_deviation, x.replicates)::text
            FROM public.experiment_results AS x WHERE x.experiment_id = e.id ORDER BY 1
        ) AS results,
        ARRAY(
            SELECT f.reason FROM public.experiment_failures AS f WHERE f.experiment_id = e.id ORDER BY 1
        ) AS failures,
        ARRAY(
            SELECT l.molecule_id FROM public.molecule_experiments AS l WHERE l.experiment_id = e.id ORDER BY 1
        ) AS involved,
        (
            e.verified::int,
            CASE e.certainty WHEN 'seen' THEN 3 WHEN 'secondary' THEN 2 WHEN 'memory' THEN 1 ELSE 0 END,
            num_nonnulls(e.source_record, e.reference, e.name, e.notes), e.created_at, e.id
        ) AS rank
    FROM doubled AS d
    JOIN public.experiments AS e ON e.id = ANY (d.ids)
), repeats AS (
    SELECT DISTINCT ON (a.id) a.id, b.id AS kept
    FROM members AS a
    JOIN members AS b ON b.number = a.number AND b.rank > a.rank
        AND b.results = a.results AND b.failures = a.failures AND b.involved = a.involved
        AND (a.name IS NULL OR a.name = b.name)
        AND (a.reference IS NULL OR a.reference = b.reference)
        AND (a.notes IS NULL OR a.notes = b.notes)
        AND (a.source_record IS NULL OR a.source_record = b.source_record)
    ORDER BY a.id, b.rank DESC
)
SELECT r.kept, array_agg(r.id ORDER BY r.id), NULL, NULL
FROM repeats AS r
WHERE r.kept > %(after)s
GROUP BY r.kept
ORDER BY r.kept
LIMIT %(limit)s
"""
LOCK_EXPERIMENTS_SQL: Final = """
SELECT e.id FROM public.experiments AS e WHERE e.id = ANY (%(ids)s::uuid[]) ORDER BY e.id FOR UPDATE
"""
REMOVE_EXPERIMENTS_SQL: Final = """
WITH gone AS (
    DELETE FROM public.experiments WHERE id = ANY (%(ids)s::uuid[]) RETURNING 1
)
SELECT count(*) FROM gone
"""

COUNT_PREDICTIONS_SQL: Final = "SELECT count(*) FROM public.predictions"
FIND_PREDICTIONS_SQL: Final = """
WITH doubled AS (
    SELECT array_agg(
        x.id ORDER BY x.in_domain DESC, num_nonnulls(x.standard_uncertainty, x.reference) DESC, x.created_at DESC,
            x.id DESC
    ) AS ids
    FROM public.predictions AS x
    WHERE %(ids)s::uuid[] IS NULL OR x.id = ANY (%(ids)s::uuid[])
    GROUP BY x.mixture_id, x.molecule_id, x.property_type, x.method_id, x.inputs_hash
    HAVING count(*) > 1
)
SELECT d.ids[1], d.ids[2:], NULL, NULL
FROM doubled AS d
WHERE d.ids[1] > %(after)s
ORDER BY d.ids[1]
LIMIT %(limit)s
"""
LOCK_PREDICTIONS_SQL: Final = """
SELECT x.id FROM public.predictions AS x WHERE x.id = ANY (%(ids)s::uuid[]) ORDER BY x.id FOR UPDATE
"""
REMOVE_PREDICTIONS_SQL: Final = """
WITH gone AS (
    DELETE FROM public.predictions WHERE id = ANY (%(ids)s::uuid[]) RETURNING 1
)
SELECT count(*) FROM gone
"""

COUNT_TOXICITY_RESULTS_SQL: Final = "SELECT count(*) FROM public.toxicity_results"
# Values that came within the window of the one before belong together. A source record is one replicate: two of them
# stay two, however alike.
FIND_TOXICITY_RESULTS_SQL: Final = """
WITH stated AS (
    SELECT t.id, t.molecule_id, t.assay_id, t.endpoint_id, t.created_at, t.source_record, t.reference,
        (
            t.hit_call, t.continuous_hit_call, t.potency_type, t.potency_relation, t.potency, t.potency_unit,
            t.concentration_min, t.concentration_max, t.concentration_unit, t.cell_type, t.flags, t.created_by, s.name
        )::text AS says
    FROM public.toxicity_results AS t
    LEFT JOIN public.import_runs AS r ON r.id = t.import_run_id
    LEFT JOIN public.data_sources AS s ON s.id = r.data_source_id
    -- All of a molecule: one that stays may be what ties two others together.
    WHERE %(ids)s::uuid[] IS NULL OR t.molecule_id = ANY (
        ARRAY(SELECT g.molecule_id FROM public.toxicity_results AS g WHERE g.id = ANY (%(ids)s::uuid[]))
    )
), timed AS (
    SELECT t.*,
        count(*) OVER (PARTITION BY t.molecule_id, t.assay_id, t.endpoint_id, t.says) > 1 AS is_doubled,
        t.created_at - lag(t.created_at) OVER (
            PARTITION BY t.molecule_id, t.assay_id, t.endpoint_id, t.says ORDER BY t.created_at, t.id
        ) > %(window_days)s * interval '1 day' AS comes_late
    FROM stated AS t
), members AS (
    SELECT t.id, t.molecule_id, t.assay_id, t.endpoint_id, t.says, t.source_record, t.reference,
        count(*) FILTER (WHERE t.comes_late) OVER (
            PARTITION BY t.molecule_id, t.assay_id, t.endpoint_id, t.says ORDER BY t.created_at, t.id
        ) AS spell,
        (num_nonnulls(t.source_record, t.reference), t.created_at, t.id) AS rank
    FROM timed AS t
    WHERE t.is_doubled
), repeats AS (
    SELECT DISTINCT ON (a.id) a.id, b.id AS kept
    FROM members AS a
    JOIN members AS b ON b.molecule_id = a.molecule_id AND b.assay_id = a.assay_id AND b.endpoint_id = a.endpoint_id
        AND b.says = a.says AND b.spell = a.spell AND b.rank > a.rank
        AND (a.source_record IS NULL OR a.source_record = b.source_record)
        AND (a.reference IS NULL OR a.reference = b.reference)
    ORDER BY a.id, b.rank DESC
)
SELECT r.kept, array_agg(r.id ORDER BY r.id), NULL, NULL
FROM repeats AS r
WHERE r.kept > %(after)s
GROUP BY r.kept
ORDER BY r.kept
LIMIT %(limit)s
"""
LOCK_TOXICITY_RESULTS_SQL: Final = """
SELECT m.id
FROM public.molecules AS m
WHERE m.id = ANY (ARRAY(SELECT t.molecule_id FROM public.toxicity_results AS t WHERE t.id = ANY (%(ids)s::uuid[])))
ORDER BY m.id
FOR NO KEY UPDATE
"""
REMOVE_TOXICITY_RESULTS_SQL: Final = """
WITH gone AS (
    DELETE FROM public.toxicity_results WHERE id = ANY (%(ids)s::uuid[]) RETURNING 1
)
SELECT count(*) FROM gone
"""


@dataclass(frozen=True, slots=True)
class _Removal:
    """Takes out the records of one table that go; nothing but their own parts refers to them."""

    table: str
    statement: LiteralString

    def __call__(self, session: WriteSession, groups: Sequence[Group]) -> Tally:
        ids = [removed for group in groups for removed in group.removed]
        return Tally(removed=Counter({self.table: int(session.rows(self.statement, {"ids": ids})[0][0])}))


def _repeats(
    table: str, *, count: LiteralString, find: LiteralString, lock: LiteralString, remove: LiteralString
) -> Work:
    return Work(table, count=count, find=find, locks=(lock,), settle=_Removal(table, remove))


REPEATS: Final = (
    _repeats(
        "molecule_identifiers",
        count=COUNT_IDENTIFIERS_SQL,
        find=FIND_IDENTIFIERS_SQL,
        lock=LOCK_IDENTIFIERS_SQL,
        remove=REMOVE_IDENTIFIERS_SQL,
    ),
    _repeats(
        "molecular_properties",
        count=COUNT_PROPERTIES_SQL,
        find=FIND_PROPERTIES_SQL,
        lock=LOCK_PROPERTIES_SQL,
        remove=REMOVE_PROPERTIES_SQL,
    ),
    _repeats(
        "experiments",
        count=COUNT_EXPERIMENTS_SQL,
        find=FIND_EXPERIMENTS_SQL,
        lock=LOCK_EXPERIMENTS_SQL,
        remove=REMOVE_EXPERIMENTS_SQL,
    ),
    _repeats(
        "predictions",
        count=COUNT_PREDICTIONS_SQL,
        find=FIND_PREDICTIONS_SQL,
        lock=LOCK_PREDICTIONS_SQL,
        remove=REMOVE_PREDICTIONS_SQL,
    ),
    _repeats(
        "toxicity_results",
        count=COUNT_TOXICITY_RESULTS_SQL,
        find=FIND_TOXICITY_RESULTS_SQL,
        lock=LOCK_TOXICITY_RESULTS_SQL,
        remove=REMOVE_TOXICITY_RESULTS_SQL,
    ),
)
"""In this order: what one step takes out may make two records of the next the same."""
OWN_PARTS: Final[dict[str, frozenset[tuple[str, str]]]] = {
    "public.experiments": frozenset(
        {
            ("public.experiment_results", "experiment_id"),
            ("public.experiment_failures", "experiment_id"),
            ("public.molecule_experiments", "experiment_id"),
        }
    ),
    **dict.fromkeys(
        (
            "public.molecule_identifiers",
            "public.molecular_properties",
            "public.predictions",
            "public.toxicity_results",
        ),
        frozenset(),
    ),
}
"""What refers to a record and goes with it, for the record that stays has the same."""
