"""What refers to a molecule, and how each reference moves when several records of it become one.

Where a record that goes and the one that stays say the same, one of both goes first: a table's own constraint would
refuse the move, and a constraint that still does tells of two statements that contradict each other.

`removed` and `kept` are arrays of the same length: each molecule that goes, and the one that takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, LiteralString

Column = tuple[str, str]
"""A table with its schema, and a column."""

DROP_IDENTIFIERS_SQL: Final = """
WITH gone AS (
    DELETE FROM public.molecule_identifiers
    WHERE id = ANY (ARRAY(
        SELECT s.id
        FROM (
            SELECT i.id, row_number() OVER (
                PARTITION BY coalesce(p.kept, i.molecule_id), i.source, i.kind, i.external_id
                ORDER BY i.verified DESC, p.kept IS NULL DESC, i.created_at DESC, i.id DESC
            ) AS place
            FROM public.molecule_identifiers AS i
            LEFT JOIN unnest(%(removed)s::uuid[], %(kept)s::uuid[]) AS p (removed, kept) ON p.removed = i.molecule_id
            WHERE i.molecule_id = ANY (%(removed)s::uuid[] || %(kept)s::uuid[])
        ) AS s
        WHERE s.place > 1
    ))
    RETURNING 1
)
SELECT count(*) FROM gone
"""
MOVE_IDENTIFIERS_SQL: Final = """
WITH moved AS (
    UPDATE public.molecule_identifiers AS i
    SET molecule_id = p.kept
    FROM unnest(%(removed)s::uuid[], %(kept)s::uuid[]) AS p (removed, kept)
    WHERE i.molecule_id = p.removed
    RETURNING 1
)
SELECT count(*) FROM moved
"""

DROP_PROPERTIES_SQL: Final = """
WITH gone AS (
    DELETE FROM public.molecular_properties
    WHERE id = ANY (ARRAY(
        SELECT s.id
        FROM (
            SELECT v.id, row_number() OVER (
                PARTITION BY coalesce(p.kept, v.molecule_id), v.property_type, v.content_hash
                ORDER BY v.verified DESC, p.kept IS NULL DESC, v.created_at DESC, v.id DESC
            ) AS place
            FROM public.molecular_properties AS v
            LEFT JOIN unnest(%(removed)s::uuid[], %(kept)s::uuid[]) AS p (removed, kept) ON p.removed = v.molecule_id
            WHERE v.molecule_id = ANY (%(removed)s::uuid[] || %(kept)s::uuid[])
        ) AS s
        WHERE s.place > 1
    ))
    RETURNING 1
)
SELECT count(*) FROM gone
"""
MOVE_PROPERTIES_SQL: Final = """
WITH moved AS (
    UPDATE public.molecular_properties AS v
    SET molecule_id = p.kept
    FROM unnest(%(removed)s::uuid[], %(kept)s::uuid[]) AS p (removed, kept)
    WHERE v.molecule_id = p.removed
    RETURNING 1
)
SELECT count(*) FROM moved
"""

# The mixtures in which a molecule's records stand in units that cannot be added up, or in one that counts another form
# of the molecule, a salt perhaps, by its own mass or volume.
FIND_CLASHES_SQL: Final = """
SELECT s.kept, min(s.mixture_id::text)::uuid
FROM (
    SELECT coalesce(p.kept, c.molecule_id) AS kept, c.mixture_id, c.unit,
        p.kept IS NOT NULL
        AND c.unit NOT IN ('mol/L', 'mol/kg', 'mole_fraction')
        AND EXISTS (
            SELECT FROM public.molecules AS other
            JOIN public.molecules AS m ON m.id = p.kept
            WHERE other.id = p.removed AND other.inchikey IS DISTINCT FROM m.inchikey
        ) AS counts_another_form
    FROM public.mixture_components AS c
    LEFT JOIN unnest(%(removed)s::uuid[], %(kept)s::uuid[]) AS p (removed, kept) ON p.removed = c.molecule_id
    WHERE c.molecule_id = ANY (%(removed)s::uuid[] || %(kept)s::uuid[])
) AS s
WHERE s.counts_another_form OR EXISTS (
    SELECT FROM public.mixture_components AS c
    LEFT JOIN unnest(%(removed)s::uuid[], %(kept)s::uuid[]) AS p (removed, kept) ON p.removed = c.molecule_id
    WHERE c.mixture_id = s.mixture_id AND coalesce(p.kept, c.molecule_id) = s.kept AND c.unit <> s.unit
)
GROUP BY s.kept
"""
# A mixture's shown composition changes with its parts, and so does its version.
TOUCH_MIXTURES_SQL: Final = """
WITH touched AS (
    UPDATE public.mixtures
    SET updated_at = clock_timestamp()
    WHERE id = ANY (ARRAY(
        SELECT c.mixture_id FROM public.mixture_components AS c WHERE c.molecule_id = ANY (%(removed)s::uuid[])
    ))
    RETURNING 1
)
SELECT count(*) FROM touched
"""
DROP_COMPONENTS_SQL: Final = """
WITH stated AS (
    SELECT c.mixture_id, c.molecule_id, w.place, w.total, w.parts
    FROM public.mixture_components AS c
    JOIN (
        SELECT d.mixture_id, d.molecule_id,
            row_number() OVER (
                PARTITION BY d.mixture_id, coalesce(p.kept, d.molecule_id)
                ORDER BY p.kept IS NOT NULL, d.position, d.molecule_id
            ) AS place,
            sum(d.amount) OVER (PARTITION BY d.mixture_id, coalesce(p.kept, d.molecule_id)) AS total,
            count(*) OVER (PARTITION BY d.mixture_id, coalesce(p.kept, d.molecule_id)) AS parts
        FROM public.mixture_components AS d
        LEFT JOIN unnest(%(removed)s::uuid[], %(kept)s::uuid[]) AS p (removed, kept) ON p.removed = d.molecule_id
        WHERE d.molecule_id = ANY (%(removed)s::uuid[] || %(kept)s::uuid[])
    ) AS w ON w.mixture_id = c.mixture_id AND w.molecule_id = c.molecule_id
    WHERE w.parts > 1
), added_up AS (
    UPDATE public.mixture_components AS c
    SET amount = s.total
    FROM stated AS s
    WHERE c.mixture_id = s.mixture_id AND c.molecule_id = s.molecule_id AND s.place = 1
), gone AS (
    DELETE FROM public.mixture_components AS c
    USING stated AS s
    WHERE c.mixture_id = s.mixture_id AND c.molecule_id = s.molecule_id AND s.place > 1
    RETURNING 1
)
SELECT count(*) FROM gone
"""
MOVE_COMPONENTS_SQL: Final = """
WITH moved AS (
    UPDATE public.mixture_components AS c
    SET molecule_id = p.kept
    FROM unnest(%(removed)s::uuid[], %(kept)s::uuid[]) AS p (removed, kept)
    WHERE c.molecule_id = p.removed
    RETURNING 1
)
SELECT count(*) FROM moved
"""

MOVE_EXPERIMENTS_SQL: Final = """
WITH moved AS (
    UPDATE public.experiments AS e
    SET molecule_id = p.kept
    FROM unnest(%(removed)s::uuid[], %(kept)s::uuid[]) AS p (removed, kept)
    WHERE e.molecule_id = p.removed
    RETURNING 1
)
SELECT count(*) FROM moved
"""

TOUCH_EXPERIMENTS_SQL: Final = """
WITH touched AS (
    UPDATE public.experiments
    SET updated_at = clock_timestamp()
    WHERE id = ANY (ARRAY(
        SELECT l.experiment_id FROM public.molecule_experiments AS l WHERE l.molecule_id = ANY (%(removed)s::uuid[])
    ))
    RETURNING 1
)
SELECT count(*) FROM touched
"""
DROP_INVOLVED_SQL: Final = """
WITH gone AS (
    DELETE FROM public.molecule_experiments AS l
    USING unnest(%(removed)s::uuid[], %(kept)s::uuid[]) AS p (removed, kept)
    WHERE l.molecule_id = p.removed AND EXISTS (
        SELECT FROM public.molecule_experiments AS other
        LEFT JOIN unnest(%(removed)s::uuid[], %(kept)s::uuid[]) AS q (removed, kept) ON q.removed = other.molecule_id
        WHERE other.experiment_id = l.experiment_id AND coalesce(q.kept, other.molecule_id) = p.kept
            AND (q.removed IS NULL OR q.removed < p.removed)
    )
    RETURNING 1
)
SELECT count(*) FROM gone
"""
MOVE_INVOLVED_SQL: Final = """
WITH moved AS (
    UPDATE public.molecule_experiments AS l
    SET molecule_id = p.kept
    FROM unnest(%(removed)s::uuid[], %(kept)s::uuid[]) AS p (removed, kept)
    WHERE l.molecule_id = p.removed
    RETURNING 1
)
SELECT count(*) FROM moved
"""

DROP_PROTEINS_SQL: Final = """
WITH gone AS (
    DELETE FROM public.molecule_proteins
    WHERE id = ANY (ARRAY(
        SELECT s.id
        FROM (
            SELECT b.id, row_number() OVER (
                PARTITION BY coalesce(p.kept, b.molecule_id), b.protein_id, b.affinity_type, b.relation, b.affinity,
                    b.affinity_unit, b.source, b.source_record
                ORDER BY b.reference IS NOT NULL DESC, b.created_at DESC, b.id DESC
            ) AS place
            FROM public.molecule_proteins AS b
            LEFT JOIN unnest(%(removed)s::uuid[], %(kept)s::uuid[]) AS p (removed, kept) ON p.removed = b.molecule_id
            WHERE b.molecule_id = ANY (%(removed)s::uuid[] || %(kept)s::uuid[])
        ) AS s
        WHERE s.place > 1
    ))
    RETURNING 1
)
SELECT count(*) FROM gone
"""
MOVE_PROTEINS_SQL: Final = """
WITH moved AS (
    UPDATE public.molecule_proteins AS b
    SET molecule_id = p.kept
    FROM unnest(%(removed)s::uuid[], %(kept)s::uuid[]) AS p (removed, kept)
    WHERE b.molecule_id = p.removed
    RETURNING 1
)
SELECT count(*) FROM moved
"""

DROP_PREDICTIONS_SQL: Final = """
WITH gone AS (
    DELETE FROM public.predictions
    WHERE id = ANY (ARRAY(
        SELECT s.id
        FROM (
            SELECT x.id, row_number() OVER (
                PARTITION BY coalesce(p.kept, x.molecule_id), x.property_type, x.method_id, x.inputs_hash
                ORDER BY x.in_domain DESC, x.created_at DESC, x.id DESC
            ) AS place
            FROM public.predictions AS x
            LEFT JOIN unnest(%(removed)s::uuid[], %(kept)s::uuid[]) AS p (removed, kept) ON p.removed = x.molecule_id
            WHERE x.molecule_id = ANY (%(removed)s::uuid[] || %(kept)s::uuid[])
        ) AS s
        WHERE s.place > 1
    ))
    RETURNING 1
)
SELECT count(*) FROM gone
"""
MOVE_PREDICTIONS_SQL: Final = """
WITH moved AS (
    UPDATE public.predictions AS x
    SET molecule_id = p.kept
    FROM unnest(%(removed)s::uuid[], %(kept)s::uuid[]) AS p (removed, kept)
    WHERE x.molecule_id = p.removed
    RETURNING 1
)
SELECT count(*) FROM moved
"""

# Two values of one source record contradict each other: those stay, and the table's constraint refuses the move.
DROP_TOXICITY_RESULTS_SQL: Final = """
WITH gone AS (
    DELETE FROM public.toxicity_results
    WHERE id = ANY (ARRAY(
        SELECT s.id
        FROM (
            SELECT t.id, row_number() OVER (
                PARTITION BY coalesce(p.kept, t.molecule_id), t.assay_id, t.endpoint_id, t.source_record, t.hit_call,
                    t.continuous_hit_call, t.potency_type, t.potency_relation, t.potency, t.potency_unit,
                    t.concentration_min, t.concentration_max, t.concentration_unit, t.cell_type, t.flags
                ORDER BY t.reference IS NOT NULL DESC, t.created_at DESC, t.id DESC
            ) AS place
            FROM public.toxicity_results AS t
            LEFT JOIN unnest(%(removed)s::uuid[], %(kept)s::uuid[]) AS p (removed, kept) ON p.removed = t.molecule_id
            WHERE t.molecule_id = ANY (%(removed)s::uuid[] || %(kept)s::uuid[]) AND t.source_record IS NOT NULL
        ) AS s
        WHERE s.place > 1
    ))
    RETURNING 1
)
SELECT count(*) FROM gone
"""
MOVE_TOXICITY_RESULTS_SQL: Final = """
WITH moved AS (
    UPDATE public.toxicity_results AS t
    SET molecule_id = p.kept
    FROM unnest(%(removed)s::uuid[], %(kept)s::uuid[]) AS p (removed, kept)
    WHERE t.molecule_id = p.removed
    RETURNING 1
)
SELECT count(*) FROM moved
"""

DROP_SHARES_SQL: Final = """
WITH gone AS (
    DELETE FROM public.project_molecules AS s
    USING unnest(%(removed)s::uuid[], %(kept)s::uuid[]) AS p (removed, kept)
    WHERE s.molecule_id = p.removed AND EXISTS (
        SELECT FROM public.project_molecules AS other
        LEFT JOIN unnest(%(removed)s::uuid[], %(kept)s::uuid[]) AS q (removed, kept) ON q.removed = other.molecule_id
        WHERE other.project_id = s.project_id AND coalesce(q.kept, other.molecule_id) = p.kept
            AND (q.removed IS NULL OR q.removed < p.removed)
    )
    RETURNING 1
)
SELECT count(*) FROM gone
"""
# Who shared one owner's record may not thereby open another owner's.
MOVE_SHARES_SQL: Final = """
WITH moved AS (
    UPDATE public.project_molecules AS s
    SET molecule_id = p.kept,
        opens = s.opens AND coalesce(old.project_id, old.created_by) IS NOT DISTINCT FROM
            coalesce(new.project_id, new.created_by)
    FROM unnest(%(removed)s::uuid[], %(kept)s::uuid[]) AS p (removed, kept)
    JOIN public.molecules AS old ON old.id = p.removed
    JOIN public.molecules AS new ON new.id = p.kept
    WHERE s.molecule_id = p.removed
    RETURNING 1
)
SELECT count(*) FROM moved
"""

# Every column that refers to the table. A column that is in the database and not here stops the command.
REFERENCES_SQL: Final = """
SELECT n.nspname || '.' || r.relname, a.attname
FROM pg_catalog.pg_constraint AS c
JOIN pg_catalog.pg_class AS r ON r.oid = c.conrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
CROSS JOIN unnest(c.conkey) AS k (attnum)
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.attnum
WHERE c.contype = 'f' AND c.confrelid = %(table)s::regclass
ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Reference:
    """How the references of one column move; each statement returns how many rows it met."""

    move: LiteralString
    drop: LiteralString | None = None
    """Takes out what would stand twice."""
    touch: LiteralString | None = None
    """Raises the versions of the records that the rows are parts of."""


REFERENCES: Final[dict[Column, Reference]] = {
    ("public.molecule_identifiers", "molecule_id"): Reference(MOVE_IDENTIFIERS_SQL, DROP_IDENTIFIERS_SQL),
    ("public.molecular_properties", "molecule_id"): Reference(MOVE_PROPERTIES_SQL, DROP_PROPERTIES_SQL),
    ("public.mixture_components", "molecule_id"): Reference(
        MOVE_COMPONENTS_SQL, DROP_COMPONENTS_SQL, TOUCH_MIXTURES_SQL
    ),
    ("public.experiments", "molecule_id"): Reference(MOVE_EXPERIMENTS_SQL),
    ("public.molecule_experiments", "molecule_id"): Reference(
        MOVE_INVOLVED_SQL, DROP_INVOLVED_SQL, TOUCH_EXPERIMENTS_SQL
    ),
    ("public.molecule_proteins", "molecule_id"): Reference(MOVE_PROTEINS_SQL, DROP_PROTEINS_SQL),
    ("public.predictions", "molecule_id"): Reference(MOVE_PREDICTIONS_SQL, DROP_PREDICTIONS_SQL),
    ("public.toxicity_results", "molecule_id"): Reference(MOVE_TOXICITY_RESULTS_SQL, DROP_TOXICITY_RESULTS_SQL),
    ("public.project_molecules", "molecule_id"): Reference(MOVE_SHARES_SQL, DROP_SHARES_SQL),
}
"""What refers to a molecule."""
FOLLOWING: Final = frozenset({("public.toxicity_scores", "molecule_id")})
"""What refers to a molecule, and is computed anew by triggers when its results move."""
