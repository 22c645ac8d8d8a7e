"""A summary of the public molecules, and the record of the work that comes round by itself.

The summary is a materialized view, which knows no policies: it holds public molecules only, and clients come
to it through a view that asks the molecule's own policy for each row. So a molecule that is withdrawn or
deleted is gone from there at once, not at the next refresh.

A row of `maintenance_runs` is a task's schedule and its lease: whoever moves `due_at` on has the task until
`leased_until`, and a worker that died in the middle is overtaken then.
"""

from __future__ import annotations

from typing import Final

from migrations.run import run

revision = "0013_summary"
down_revision = "0012_tokens"

UPGRADE_SQL: Final = """
-- One part for each table that is counted, so that another one is another part.
CREATE MATERIALIZED VIEW private.public_molecule_summary AS
SELECT m.id, m.name, m.inchikey, m.formula, m.molar_mass_g_mol,
    coalesce(identifiers.count, 0) AS identifier_count,
    coalesce(properties.count, 0) AS property_count,
    coalesce(properties.types, 0) AS property_type_count,
    coalesce(mixtures.count, 0) AS mixture_count,
    coalesce(experiments.count, 0) AS experiment_count,
    coalesce(predictions.count, 0) AS prediction_count,
    coalesce(toxicity.count, 0) AS toxicity_result_count
FROM public.molecules AS m
LEFT JOIN (
    SELECT i.molecule_id, count(*) AS count
    FROM public.molecule_identifiers AS i WHERE i.is_public GROUP BY i.molecule_id
) AS identifiers ON identifiers.molecule_id = m.id
LEFT JOIN (
    SELECT p.molecule_id, count(*) AS count, count(DISTINCT p.property_type) AS types
    FROM public.molecular_properties AS p WHERE p.is_public GROUP BY p.molecule_id
) AS properties ON properties.molecule_id = m.id
LEFT JOIN (
    -- A mixture has a molecule once, and its components are as public as it is.
    SELECT c.molecule_id, count(*) AS count
    FROM public.mixture_components AS c WHERE c.is_public GROUP BY c.molecule_id
) AS mixtures ON mixtures.molecule_id = m.id
LEFT JOIN (
    SELECT x.molecule_id, count(*) AS count
    FROM public.experiments AS x WHERE x.is_public AND x.molecule_id IS NOT NULL GROUP BY x.molecule_id
) AS experiments ON experiments.molecule_id = m.id
LEFT JOIN (
    SELECT x.molecule_id, count(*) AS count
    FROM public.predictions AS x WHERE x.is_public AND x.molecule_id IS NOT NULL GROUP BY x.molecule_id
) AS predictions ON predictions.molecule_id = m.id
LEFT JOIN (
    SELECT x.molecule_id, count(*) AS count
    FROM public.toxicity_results AS x WHERE x.is_public AND x.molecule_id IS NOT NULL GROUP BY x.molecule_id
) AS toxicity ON toxicity.molecule_id = m.id
WHERE m.is_public;
-- Nobody reads the view before the migration ends.
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX public_molecule_summary_id_idx ON private.public_molecule_summary (id);
REVOKE ALL ON private.public_molecule_summary FROM anon, authenticated, service_role;
GRANT SELECT ON private.public_molecule_summary TO anon, authenticated, service_role;

CREATE VIEW public.molecule_summary WITH (security_invoker = true) AS
SELECT s.id, s.name, s.inchikey, s.formula, s.molar_mass_g_mol, s.identifier_count, s.property_count,
    s.property_type_count, s.mixture_count, s.experiment_count, s.prediction_count, s.toxicity_result_count
FROM private.public_molecule_summary AS s
JOIN public.molecules AS m ON m.id = s.id
WHERE m.is_public;
REVOKE ALL ON public.molecule_summary FROM anon, authenticated, service_role;
GRANT SELECT ON public.molecule_summary TO anon, authenticated, service_role;

CREATE TABLE private.maintenance_runs (
    task text CONSTRAINT maintenance_runs_pkey PRIMARY KEY
        CONSTRAINT maintenance_runs_task_check CHECK (char_length(task) BETWEEN 1 AND 100),
    due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    leased_until timestamptz,
    started_at timestamptz,
    -- The last run that ended well, and how long it took.
    finished_at timestamptz,
    took_ms bigint CONSTRAINT maintenance_runs_took_ms_check CHECK (took_ms >= 0),
    -- Why the last run failed; null where it did not.
    error text CONSTRAINT maintenance_runs_error_check CHECK (char_length(error) <= 1000),
    -- How many changes its tables had seen when the summary was last refreshed.
    changes bigint,
    CONSTRAINT maintenance_runs_lease_check CHECK (leased_until IS NULL OR started_at IS NOT NULL)
);
ALTER TABLE private.maintenance_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE private.maintenance_runs FORCE ROW LEVEL SECURITY;
REVOKE ALL ON private.maintenance_runs FROM anon, authenticated, service_role;
CREATE POLICY maintenance_runs_all_service_role ON private.maintenance_runs FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON private.maintenance_runs TO service_role;

-- With `if_changed` nothing happens where no row of the tables has changed since the last refresh. Whether it
-- refreshed is the answer.
CREATE FUNCTION private.refresh_molecule_summary(if_changed boolean DEFAULT false) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    began timestamptz := clock_timestamp();
    is_populated boolean := (
        SELECT c.relispopulated FROM pg_class AS c WHERE c.oid = 'private.public_molecule_summary'::regclass
    );
    -- The server's own counters cost writers nothing. They are read before the rows are: a change that comes
    -- meanwhile is one more at the next look.
    counted bigint := (
        SELECT sum(t.n_tup_ins + t.n_tup_upd + t.n_tup_del)
        FROM pg_stat_all_tables AS t
        WHERE t.relid = ANY (ARRAY[
            'public.molecules', 'public.molecule_identifiers', 'public.molecular_properties',
            'public.mixture_components', 'public.experiments', 'public.predictions', 'public.toxicity_results'
        ]::regclass[])
    );
BEGIN
    IF if_changed AND is_populated AND counted = (
        SELECT r.changes FROM private.maintenance_runs AS r WHERE r.task = 'molecule_summary'
    ) THEN
        RETURN false;
    END IF;
    IF is_populated THEN
        REFRESH MATERIALIZED VIEW CONCURRENTLY private.public_molecule_summary;
    ELSE
        REFRESH MATERIALIZED VIEW private.public_molecule_summary;
    END IF;
    INSERT INTO private.maintenance_runs AS r (task, finished_at, took_ms, changes)
    VALUES (
        'molecule_summary', clock_timestamp(), extract(epoch FROM clock_timestamp() - began) * 1000, counted
    )
    ON CONFLICT (task) DO UPDATE
    SET finished_at = excluded.finished_at, took_ms = excluded.took_ms, changes = excluded.changes, error = NULL;
    RETURN true;
END
$$;
REVOKE EXECUTE ON FUNCTION private.refresh_molecule_summary(boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION private.refresh_molecule_summary(boolean) TO service_role;
"""

DOWNGRADE_SQL: Final = """
DROP FUNCTION private.refresh_molecule_summary(boolean);
DROP TABLE private.maintenance_runs;
DROP VIEW public.molecule_summary;
DROP MATERIALIZED VIEW private.public_molecule_summary;
"""


def upgrade() -> None:
    """Apply the migration."""
    run(UPGRADE_SQL)


def downgrade() -> None:
    """Take the migration back."""
    run(DOWNGRADE_SQL)
