"""Scores of toxicity, kept beside the results that they follow from.

How replicates that contradict each other are resolved is said once, by `toxicity_calls`; how a score comes from the
calls once, by `private.score_molecules`. A molecule's results are seen together or not at all, so its score may be
kept: whoever sees the one sees the other. Triggers score a molecule anew in the transaction that changes its results.
"""

from __future__ import annotations

from typing import Final

from migrations.run import run

revision = "0017_toxicity_scores"
down_revision = "0015_memberships"

UPGRADE_SQL: Final = """
-- An oral dose is context beside a score, never a part of it.
ALTER TABLE public.toxicity_endpoints ADD COLUMN is_scored boolean NOT NULL DEFAULT true;
DROP TRIGGER toxicity_endpoints_audit_insert ON public.toxicity_endpoints;
DROP TRIGGER toxicity_endpoints_audit_update ON public.toxicity_endpoints;
DROP TRIGGER toxicity_endpoints_audit_delete ON public.toxicity_endpoints;
SELECT private.audit_table('public.toxicity_endpoints', 'toxicity_endpoints', 'id');

-- The majority of the replicates with a call; a tie, or none but inconclusive ones, is inconclusive.
CREATE VIEW public.toxicity_calls WITH (security_invoker = true) AS
SELECT t.molecule_id, t.assay_id, t.endpoint_id, t.cell_type, t.replicates, t.active_replicates, t.inactive_replicates,
    CASE
        WHEN t.active_replicates > t.inactive_replicates THEN 'active'
        WHEN t.active_replicates < t.inactive_replicates THEN 'inactive'
        ELSE 'inconclusive'
    END AS hit_call,
    t.active_replicates > 0 AND t.inactive_replicates > 0 AS is_conflicting,
    CASE WHEN t.active_replicates > t.inactive_replicates THEN t.potency_um END AS potency_um
FROM (
    SELECT r.molecule_id, r.assay_id, r.endpoint_id, coalesce(r.cell_type, a.cell_type) AS cell_type,
        count(*) AS replicates,
        count(*) FILTER (WHERE r.hit_call = 'active') AS active_replicates,
        count(*) FILTER (WHERE r.hit_call = 'inactive') AS inactive_replicates,
        min(r.potency) FILTER (
            WHERE r.hit_call = 'active' AND r.potency_unit = 'uM' AND r.potency_relation IN ('=', '~')
        ) AS potency_um
    FROM public.toxicity_results AS r
    JOIN public.toxicity_assays AS a ON a.id = r.assay_id
    WHERE r.hit_call IS NOT NULL
    GROUP BY r.molecule_id, r.assay_id, r.endpoint_id, coalesce(r.cell_type, a.cell_type)
) AS t;
REVOKE ALL ON public.toxicity_calls FROM anon, authenticated, service_role;
GRANT SELECT ON public.toxicity_calls TO anon, authenticated, service_role;

-- What has a potency and no hit call, such as an oral LD50; bounds count, but are no values.
CREATE VIEW public.toxicity_doses WITH (security_invoker = true) AS
SELECT r.molecule_id, a.source, a.name AS assay, r.potency_type AS dose, r.potency_unit AS unit, count(*) AS results,
    count(*) FILTER (WHERE r.potency_relation NOT IN ('=', '~')) AS bounds,
    min(r.potency) FILTER (WHERE r.potency_relation IN ('=', '~')) AS lowest,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY r.potency) FILTER (WHERE r.potency_relation IN ('=', '~')) AS median,
    max(r.potency) FILTER (WHERE r.potency_relation IN ('=', '~')) AS highest
FROM public.toxicity_results AS r
JOIN public.toxicity_assays AS a ON a.id = r.assay_id
WHERE r.hit_call IS NULL
GROUP BY r.molecule_id, a.source, a.name, r.potency_type, r.potency_unit;
REVOKE ALL ON public.toxicity_doses FROM anon, authenticated, service_role;
GRANT SELECT ON public.toxicity_doses TO anon, authenticated, service_role;

-- Null in `endpoint` or `cell_type` means all of them. Nobody wrote scores before: the table is empty.
ALTER TABLE public.toxicity_scores
    ADD COLUMN endpoint text,
    ADD COLUMN active integer NOT NULL DEFAULT 0 CONSTRAINT toxicity_scores_active_check CHECK (active >= 0),
    ADD COLUMN inactive integer NOT NULL DEFAULT 0 CONSTRAINT toxicity_scores_inactive_check CHECK (inactive >= 0),
    ADD COLUMN inconclusive integer NOT NULL DEFAULT 0
        CONSTRAINT toxicity_scores_inconclusive_check CHECK (inconclusive >= 0),
    ADD COLUMN conflicting integer NOT NULL DEFAULT 0
        CONSTRAINT toxicity_scores_conflicting_check CHECK (conflicting >= 0),
    -- Row-level security keeps a condition on coalesce(...), which might leak, from any index: so they are columns.
    ADD COLUMN ranked_endpoint text GENERATED ALWAYS AS (coalesce(endpoint, 'all')) STORED,
    ADD COLUMN ranked_cell_type text GENERATED ALWAYS AS (coalesce(cell_type, 'all')) STORED;
ALTER TABLE public.toxicity_scores
    -- squawk-ignore adding-foreign-key-constraint, constraint-missing-not-valid
    ADD CONSTRAINT toxicity_scores_endpoint_fkey FOREIGN KEY (endpoint)
        REFERENCES public.toxicity_endpoints (name) ON UPDATE CASCADE ON DELETE CASCADE;
-- squawk-ignore ban-drop-constraint
ALTER TABLE public.toxicity_scores DROP CONSTRAINT toxicity_scores_subject_method_id_cell_type_key;
ALTER TABLE public.toxicity_scores
    -- squawk-ignore disallowed-unique-constraint, constraint-missing-not-valid
    ADD CONSTRAINT toxicity_scores_subject_method_id_endpoint_cell_type_key
        UNIQUE NULLS NOT DISTINCT (mixture_id, molecule_id, method_id, endpoint, cell_type);
GRANT SELECT (endpoint, active, inactive, inconclusive, conflicting, ranked_endpoint, ranked_cell_type)
ON public.toxicity_scores TO anon, authenticated;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX toxicity_scores_endpoint_idx ON public.toxicity_scores (endpoint);
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX toxicity_scores_ranking_idx
ON public.toxicity_scores (method_id, ranked_endpoint, ranked_cell_type, score, id);
-- The new one begins like it, and is taken in its place.
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX public.toxicity_scores_method_id_idx;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX toxicity_results_potency_idx ON public.toxicity_results (potency, id) WHERE potency IS NOT NULL;
-- A score follows from results, and these are audited: triggers keep it, and nobody else may.
REVOKE INSERT, UPDATE, DELETE ON public.toxicity_scores FROM service_role;
DROP TRIGGER toxicity_scores_audit_insert ON public.toxicity_scores;
DROP TRIGGER toxicity_scores_audit_update ON public.toxicity_scores;
DROP TRIGGER toxicity_scores_audit_delete ON public.toxicity_scores;

-- How many assays there are to be tested in, by endpoint and cell type; null means all.
CREATE FUNCTION private.scored_assays() RETURNS TABLE (endpoint text, cell_type text, assays bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT e.name, a.cell_type, count(*)
    FROM public.assay_endpoints AS l
    JOIN public.toxicity_endpoints AS e ON e.id = l.endpoint_id AND e.is_scored
    JOIN public.toxicity_assays AS a ON a.id = l.assay_id
    GROUP BY GROUPING SETS ((), (e.name), (a.cell_type), (e.name, a.cell_type))
    HAVING grouping(a.cell_type) = 1 OR a.cell_type IS NOT NULL
$$;

CREATE FUNCTION private.toxicity_method() RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT k.id FROM public.calculation_methods AS k WHERE k.name = 'toxicity_hit_share' AND k.version = '1'
$$;

-- The score is the share of active calls among the conclusive ones. Confidence is how narrow its 95 % interval
-- (Wilson's) is, times the share of replicates that agree with the call that they led to.
CREATE FUNCTION private.score_molecules(ids uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    began timestamptz := clock_timestamp();
    method uuid;
BEGIN
    IF ids IS NULL THEN
        RETURN;
    END IF;
    -- Whoever adds results to the same molecules waits here, and then counts these ones, too.
    PERFORM FROM public.molecules AS m WHERE m.id = ANY (ids) ORDER BY m.id FOR NO KEY UPDATE;
    method := private.toxicity_method();
    IF method IS NULL THEN
        INSERT INTO public.calculation_methods (name, version, description, equation)
        VALUES (
            'toxicity_hit_share', '1', 'Share of active calls among the conclusive calls of a molecule',
            'score = active / (active + inactive)'
        )
        ON CONFLICT DO NOTHING;
        method := private.toxicity_method();
    END IF;
    INSERT INTO public.toxicity_scores AS s (
        molecule_id, method_id, endpoint, cell_type, score, reason, coverage, confidence, active, inactive,
        inconclusive, conflicting, computed_at
    )
    SELECT c.molecule_id, method, c.endpoint, c.cell_type, c.active / nullif(n.conclusive, 0),
        CASE WHEN n.conclusive = 0 THEN 'none of the hit calls is conclusive' END,
        n.conclusive / greatest(coalesce(t.assays, 0), c.calls),
        CASE
            WHEN n.conclusive = 0 THEN 0
            ELSE c.agreement * (
                1 - 2 * 1.96 / (1 + 1.96 ^ 2 / n.conclusive) * sqrt(
                    (c.active / n.conclusive) * (c.inactive / n.conclusive) / n.conclusive
                    + 1.96 ^ 2 / (4 * n.conclusive ^ 2)
                )
            )
        END,
        c.active, c.inactive, c.inconclusive, c.conflicting, clock_timestamp()
    FROM (
        SELECT x.molecule_id, e.name AS endpoint, x.cell_type, count(*) AS calls,
            count(*) FILTER (WHERE x.hit_call = 'active') AS active,
            count(*) FILTER (WHERE x.hit_call = 'inactive') AS inactive,
            count(*) FILTER (WHERE x.hit_call = 'inconclusive') AS inconclusive,
            count(*) FILTER (WHERE x.is_conflicting) AS conflicting,
            avg(
                greatest(x.active_replicates, x.inactive_replicates)
                / (x.active_replicates + x.inactive_replicates)::float8
            ) FILTER (WHERE x.hit_call <> 'inconclusive') AS agreement
        FROM public.toxicity_calls AS x
        JOIN public.toxicity_endpoints AS e ON e.id = x.endpoint_id AND e.is_scored
        WHERE x.molecule_id = ANY (ids)
        GROUP BY GROUPING SETS (
            (x.molecule_id), (x.molecule_id, e.name), (x.molecule_id, x.cell_type),
            (x.molecule_id, e.name, x.cell_type)
        )
        HAVING grouping(x.cell_type) = 1 OR x.cell_type IS NOT NULL
    ) AS c
    CROSS JOIN LATERAL (SELECT (c.active + c.inactive)::float8 AS conclusive) AS n
    LEFT JOIN private.scored_assays() AS t
        ON coalesce(t.endpoint, '') = coalesce(c.endpoint, '') AND coalesce(t.cell_type, '') = coalesce(c.cell_type, '')
    -- In the cascade of its deletion a molecule is gone before its results are.
    WHERE EXISTS (SELECT FROM public.molecules AS m WHERE m.id = c.molecule_id)
    ORDER BY c.molecule_id
    ON CONFLICT ON CONSTRAINT toxicity_scores_subject_method_id_endpoint_cell_type_key DO UPDATE
    SET score = excluded.score, reason = excluded.reason, coverage = excluded.coverage,
        confidence = excluded.confidence, active = excluded.active, inactive = excluded.inactive,
        inconclusive = excluded.inconclusive, conflicting = excluded.conflicting, computed_at = excluded.computed_at;
    DELETE FROM public.toxicity_scores AS s
    WHERE s.molecule_id = ANY (ids) AND s.method_id = method AND s.computed_at < began;
END
$$;

-- What is covered changes with the assays that there are: whoever adds some calls this when done.
CREATE FUNCTION private.refresh_toxicity_coverage() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = '' AS $$
    UPDATE public.toxicity_scores AS s
    SET coverage = (s.active + s.inactive)::float8 / greatest(t.assays, s.active + s.inactive + s.inconclusive)
    FROM private.scored_assays() AS t
    WHERE s.method_id = private.toxicity_method()
        AND coalesce(t.endpoint, '') = coalesce(s.endpoint, '')
        AND coalesce(t.cell_type, '') = coalesce(s.cell_type, '')
        AND s.coverage <>
            (s.active + s.inactive)::float8 / greatest(t.assays, s.active + s.inactive + s.inconclusive)
$$;

CREATE FUNCTION private.score_added() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    PERFORM private.score_molecules(array_agg(DISTINCT n.molecule_id)) FROM new_rows AS n WHERE n.hit_call IS NOT NULL;
    RETURN NULL;
END
$$;
CREATE FUNCTION private.score_removed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    PERFORM private.score_molecules(array_agg(DISTINCT o.molecule_id)) FROM old_rows AS o WHERE o.hit_call IS NOT NULL;
    RETURN NULL;
END
$$;
CREATE FUNCTION private.score_changed() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    PERFORM private.score_molecules(ARRAY[OLD.molecule_id, NEW.molecule_id]);
    RETURN NULL;
END
$$;
CREATE TRIGGER toxicity_results_score_added AFTER INSERT ON public.toxicity_results
REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.score_added();
CREATE TRIGGER toxicity_results_score_removed AFTER DELETE ON public.toxicity_results
REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION private.score_removed();
CREATE TRIGGER toxicity_results_score_changed AFTER UPDATE OF
    molecule_id, assay_id, endpoint_id, hit_call, cell_type
ON public.toxicity_results FOR EACH ROW EXECUTE FUNCTION private.score_changed();

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA private FROM PUBLIC;
GRANT EXECUTE ON FUNCTION private.toxicity_method() TO anon, authenticated, service_role;
GRANT EXECUTE ON FUNCTION private.refresh_toxicity_coverage() TO service_role;

SELECT private.score_molecules(array_agg(DISTINCT r.molecule_id))
FROM public.toxicity_results AS r WHERE r.hit_call IS NOT NULL;
"""

DOWNGRADE_SQL: Final = """
DROP TRIGGER toxicity_results_score_changed ON public.toxicity_results;
DROP TRIGGER toxicity_results_score_removed ON public.toxicity_results;
DROP TRIGGER toxicity_results_score_added ON public.toxicity_results;
DROP FUNCTION private.score_changed();
DROP FUNCTION private.score_removed();
DROP FUNCTION private.score_added();
DROP FUNCTION private.refresh_toxicity_coverage();
DROP FUNCTION private.score_molecules(uuid[]);
DROP FUNCTION private.scored_assays();
DELETE FROM public.toxicity_scores WHERE method_id = private.toxicity_method() OR endpoint IS NOT NULL;
DROP FUNCTION private.toxicity_method();
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX public.toxicity_results_potency_idx;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX public.toxicity_scores_ranking_idx;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX toxicity_scores_method_id_idx ON public.toxicity_scores (method_id, score, id);
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX public.toxicity_scores_endpoint_idx;
-- squawk-ignore ban-drop-constraint
ALTER TABLE public.toxicity_scores DROP CONSTRAINT toxicity_scores_subject_method_id_endpoint_cell_type_key;
ALTER TABLE public.toxicity_scores
    -- squawk-ignore disallowed-unique-constraint, constraint-missing-not-valid
    ADD CONSTRAINT toxicity_scores_subject_method_id_cell_type_key
        UNIQUE NULLS NOT DISTINCT (mixture_id, molecule_id, method_id, cell_type);
ALTER TABLE public.toxicity_scores
    DROP COLUMN ranked_cell_type,
    DROP COLUMN ranked_endpoint,
    DROP COLUMN conflicting,
    DROP COLUMN inconclusive,
    DROP COLUMN inactive,
    DROP COLUMN active,
    DROP COLUMN endpoint;
GRANT INSERT, UPDATE, DELETE ON public.toxicity_scores TO service_role;
SELECT private.audit_table('public.toxicity_scores', 'toxicity_scores', 'id');
DROP VIEW public.toxicity_doses;
DROP VIEW public.toxicity_calls;
DROP TRIGGER toxicity_endpoints_audit_insert ON public.toxicity_endpoints;
DROP TRIGGER toxicity_endpoints_audit_update ON public.toxicity_endpoints;
DROP TRIGGER toxicity_endpoints_audit_delete ON public.toxicity_endpoints;
ALTER TABLE public.toxicity_endpoints DROP COLUMN is_scored;
SELECT private.audit_table('public.toxicity_endpoints', 'toxicity_endpoints', 'id');
"""


def upgrade() -> None:
    """Apply the migration."""
    run(UPGRADE_SQL)


def downgrade() -> None:
    """Take the migration back."""
    run(DOWNGRADE_SQL)
