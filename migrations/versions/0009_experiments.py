"""Experiments on a mixture or a molecule, with their results and failures; proteins that molecules bind.

Three rules look at several rows and so are checked when the transaction ends: an experiment has a result; its failure
reasons go with its outcome; and whoever may see it by its being public or in a project may see its subject and every
further molecule in it. Whoever makes an experiment or shows it to others holds those rows, as a mixture does (0008).
"""

from __future__ import annotations

from typing import Final

from migrations.run import run

revision = "0009_experiments"
down_revision = "0008_mixtures"

UPGRADE_SQL: Final = """
CREATE TABLE public.experiments (
    id uuid DEFAULT private.uuid_v7() CONSTRAINT experiments_pkey PRIMARY KEY,
    name text CONSTRAINT experiments_name_check CHECK (char_length(name) BETWEEN 1 AND 500),
    mixture_id uuid CONSTRAINT experiments_mixture_id_fkey REFERENCES public.mixtures (id) ON DELETE RESTRICT,
    molecule_id uuid CONSTRAINT experiments_molecule_id_fkey REFERENCES public.molecules (id) ON DELETE RESTRICT,
    outcome text NOT NULL
        CONSTRAINT experiments_outcome_check CHECK (outcome IN ('pass', 'fail', 'inconclusive')),
    protocol text CONSTRAINT experiments_protocol_check CHECK (char_length(protocol) <= 20000),
    conditions jsonb NOT NULL DEFAULT '{}'
        CONSTRAINT experiments_conditions_check CHECK (jsonb_typeof(conditions) = 'object'),
    started_at timestamptz CONSTRAINT experiments_started_at_check CHECK (isfinite(started_at)),
    completed_at timestamptz
        CONSTRAINT experiments_completed_at_check CHECK (isfinite(completed_at) AND completed_at >= started_at),
    reference text CONSTRAINT experiments_reference_check CHECK (char_length(reference) <= 2000),
    notes text CONSTRAINT experiments_notes_check CHECK (char_length(notes) <= 10000),
    verified boolean NOT NULL DEFAULT true,
    is_public boolean NOT NULL DEFAULT false,
    project_id uuid CONSTRAINT experiments_project_id_fkey REFERENCES public.projects (id) ON DELETE RESTRICT,
    created_by uuid CONSTRAINT experiments_created_by_fkey REFERENCES public.user_profiles (id) ON DELETE RESTRICT,
    data_source_id uuid
        CONSTRAINT experiments_data_source_id_fkey REFERENCES public.data_sources (id) ON DELETE RESTRICT,
    source_record text CONSTRAINT experiments_source_record_check CHECK (char_length(source_record) <= 500),
    import_run_id uuid
        CONSTRAINT experiments_import_run_id_fkey REFERENCES public.import_runs (id) ON DELETE SET NULL,
    acl uuid[] NOT NULL DEFAULT '{}',
    search tsvector GENERATED ALWAYS AS (
        to_tsvector(
            'simple'::regconfig, coalesce(name, '') || ' ' || coalesce(protocol, '') || ' ' || coalesce(notes, '')
        )
    ) STORED,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT experiments_subject_check CHECK (num_nonnulls(mixture_id, molecule_id) = 1),
    -- The same record read again is the same experiment.
    CONSTRAINT experiments_data_source_id_source_record_key UNIQUE (data_source_id, source_record)
);
CREATE INDEX experiments_created_at_public_idx ON public.experiments (created_at, id) WHERE is_public;
CREATE INDEX experiments_created_at_idx ON public.experiments (created_at, id);
CREATE INDEX experiments_updated_at_idx ON public.experiments (updated_at, id);
CREATE INDEX experiments_started_at_idx ON public.experiments (started_at, id);
CREATE INDEX experiments_mixture_id_idx ON public.experiments (mixture_id, created_at, id);
CREATE INDEX experiments_molecule_id_idx ON public.experiments (molecule_id, created_at, id);
CREATE INDEX experiments_project_id_idx ON public.experiments (project_id, created_at, id);
CREATE INDEX experiments_created_by_idx ON public.experiments (created_by);
CREATE INDEX experiments_import_run_id_idx ON public.experiments (import_run_id);
CREATE INDEX experiments_conditions_idx ON public.experiments USING gin (conditions jsonb_path_ops);
CREATE INDEX experiments_search_idx ON public.experiments USING gin (search);

CREATE TABLE public.experiment_results (
    experiment_id uuid NOT NULL
        CONSTRAINT experiment_results_experiment_id_fkey REFERENCES public.experiments (id) ON DELETE CASCADE,
    position integer NOT NULL CONSTRAINT experiment_results_position_check CHECK (position >= 0),
    property_type text NOT NULL CONSTRAINT experiment_results_property_type_fkey
        REFERENCES public.property_types (name) ON UPDATE CASCADE ON DELETE RESTRICT,
    -- A rate that was too slow to measure is known to be less than the slowest tried.
    relation text NOT NULL DEFAULT '='
        CONSTRAINT experiment_results_relation_check CHECK (relation IN ('=', '<', '<=', '>', '>=', '~')),
    value float8 NOT NULL
        CONSTRAINT experiment_results_value_check CHECK (value > '-Infinity' AND value < 'Infinity'),
    unit text NOT NULL CONSTRAINT experiment_results_unit_check CHECK (char_length(unit) BETWEEN 1 AND 50),
    standard_deviation float8 CONSTRAINT experiment_results_standard_deviation_check
        CHECK (standard_deviation >= 0 AND standard_deviation < 'Infinity'),
    replicates integer CONSTRAINT experiment_results_replicates_check CHECK (replicates >= 1),
    is_public boolean NOT NULL DEFAULT false,
    acl uuid[] NOT NULL DEFAULT '{}',
    CONSTRAINT experiment_results_pkey PRIMARY KEY (experiment_id, position),
    CONSTRAINT experiment_results_percentage_check CHECK (unit NOT IN ('%', 'percent') OR value BETWEEN 0 AND 100),
    CONSTRAINT experiment_results_kelvin_check CHECK (unit NOT IN ('K', 'kelvin') OR value >= 0)
);
CREATE INDEX experiment_results_property_type_idx ON public.experiment_results (property_type, value);

CREATE TABLE public.experiment_failures (
    experiment_id uuid NOT NULL
        CONSTRAINT experiment_failures_experiment_id_fkey REFERENCES public.experiments (id) ON DELETE CASCADE,
    reason text NOT NULL
        CONSTRAINT experiment_failures_reason_check CHECK (char_length(reason) BETWEEN 1 AND 500),
    position integer NOT NULL CONSTRAINT experiment_failures_position_check CHECK (position >= 0),
    is_public boolean NOT NULL DEFAULT false,
    acl uuid[] NOT NULL DEFAULT '{}',
    CONSTRAINT experiment_failures_pkey PRIMARY KEY (experiment_id, reason)
);

CREATE TABLE public.molecule_experiments (
    experiment_id uuid NOT NULL
        CONSTRAINT molecule_experiments_experiment_id_fkey REFERENCES public.experiments (id) ON DELETE CASCADE,
    molecule_id uuid NOT NULL
        CONSTRAINT molecule_experiments_molecule_id_fkey REFERENCES public.molecules (id) ON DELETE RESTRICT,
    is_public boolean NOT NULL DEFAULT false,
    acl uuid[] NOT NULL DEFAULT '{}',
    CONSTRAINT molecule_experiments_pkey PRIMARY KEY (experiment_id, molecule_id)
);
CREATE INDEX molecule_experiments_molecule_id_idx ON public.molecule_experiments (molecule_id);

CREATE TABLE public.proteins (
    id uuid DEFAULT private.uuid_v7() CONSTRAINT proteins_pkey PRIMARY KEY,
    name text NOT NULL CONSTRAINT proteins_name_check CHECK (char_length(name) BETWEEN 1 AND 500),
    uniprot_accession text CONSTRAINT proteins_uniprot_accession_check
        CHECK (uniprot_accession ~ '^[A-Z][A-Z0-9]{5,9}(-[0-9]{1,3})?$'),
    gene_symbol text CONSTRAINT proteins_gene_symbol_check CHECK (char_length(gene_symbol) BETWEEN 1 AND 100),
    organism text CONSTRAINT proteins_organism_check CHECK (char_length(organism) BETWEEN 1 AND 200),
    import_run_id uuid
        CONSTRAINT proteins_import_run_id_fkey REFERENCES public.import_runs (id) ON DELETE SET NULL,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT proteins_uniprot_accession_key UNIQUE (uniprot_accession)
);
CREATE INDEX proteins_name_idx ON public.proteins (name, id);
CREATE INDEX proteins_gene_symbol_idx ON public.proteins (gene_symbol);
CREATE INDEX proteins_import_run_id_idx ON public.proteins (import_run_id);

CREATE TABLE public.molecule_proteins (
    id uuid DEFAULT private.uuid_v7() CONSTRAINT molecule_proteins_pkey PRIMARY KEY,
    molecule_id uuid NOT NULL
        CONSTRAINT molecule_proteins_molecule_id_fkey REFERENCES public.molecules (id) ON DELETE CASCADE,
    protein_id uuid NOT NULL
        CONSTRAINT molecule_proteins_protein_id_fkey REFERENCES public.proteins (id) ON DELETE RESTRICT,
    affinity_type text CONSTRAINT molecule_proteins_affinity_type_check
        CHECK (char_length(affinity_type) BETWEEN 1 AND 50),
    relation text NOT NULL DEFAULT '='
        CONSTRAINT molecule_proteins_relation_check CHECK (relation IN ('=', '<', '<=', '>', '>=', '~')),
    affinity float8 CONSTRAINT molecule_proteins_affinity_check CHECK (affinity > 0 AND affinity < 'Infinity'),
    affinity_unit text CONSTRAINT molecule_proteins_affinity_unit_check
        CHECK (char_length(affinity_unit) BETWEEN 1 AND 50),
    source text NOT NULL CONSTRAINT molecule_proteins_source_check CHECK (source ~ '^[a-z][a-z0-9_]{0,39}$'),
    source_record text CONSTRAINT molecule_proteins_source_record_check CHECK (char_length(source_record) <= 200),
    reference text CONSTRAINT molecule_proteins_reference_check CHECK (char_length(reference) <= 2000),
    import_run_id uuid
        CONSTRAINT molecule_proteins_import_run_id_fkey REFERENCES public.import_runs (id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    is_public boolean NOT NULL DEFAULT false,
    acl uuid[] NOT NULL DEFAULT '{}',
    CONSTRAINT molecule_proteins_measured_check
        CHECK (num_nonnulls(affinity_type, affinity, affinity_unit) IN (0, 3)),
    CONSTRAINT molecule_proteins_molecule_id_protein_id_source_record_key
        UNIQUE NULLS NOT DISTINCT (molecule_id, protein_id, affinity_type, source, source_record)
);
CREATE INDEX molecule_proteins_protein_id_idx ON public.molecule_proteins (protein_id);
CREATE INDEX molecule_proteins_import_run_id_idx ON public.molecule_proteins (import_run_id);

CREATE FUNCTION private.set_experiment_acl() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    NEW.acl := array_remove(ARRAY[coalesce(NEW.project_id, NEW.created_by)], NULL);
    RETURN NEW;
END
$$;
CREATE TRIGGER experiments_acl BEFORE INSERT OR UPDATE OF project_id, created_by, acl ON public.experiments
FOR EACH ROW EXECUTE FUNCTION private.set_experiment_acl();
CREATE TRIGGER experiments_project BEFORE UPDATE OF project_id ON public.experiments
FOR EACH ROW EXECUTE FUNCTION private.guard_project();
CREATE TRIGGER experiments_touch BEFORE UPDATE OF
    name, mixture_id, molecule_id, outcome, protocol, conditions, started_at, completed_at, reference, notes, verified,
    is_public, project_id, created_by, data_source_id, source_record, import_run_id, version, created_at, updated_at
ON public.experiments
FOR EACH ROW EXECUTE FUNCTION private.touch_row();
CREATE TRIGGER proteins_touch BEFORE UPDATE ON public.proteins
FOR EACH ROW EXECUTE FUNCTION private.touch_row();

CREATE FUNCTION private.hold_subject() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    PERFORM FROM public.mixtures WHERE id = NEW.mixture_id FOR SHARE;
    PERFORM FROM public.molecules WHERE id = NEW.molecule_id FOR SHARE;
    RETURN NEW;
END
$$;
CREATE TRIGGER experiments_hold BEFORE INSERT OR UPDATE OF mixture_id, molecule_id ON public.experiments
FOR EACH ROW EXECUTE FUNCTION private.hold_subject();
CREATE TRIGGER molecule_experiments_hold BEFORE INSERT OR UPDATE OF molecule_id ON public.molecule_experiments
FOR EACH ROW EXECUTE FUNCTION private.hold_molecule();

CREATE FUNCTION private.follow_experiment() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    SELECT e.is_public, e.acl INTO NEW.is_public, NEW.acl
    FROM public.experiments AS e WHERE e.id = NEW.experiment_id FOR NO KEY UPDATE;
    NEW.is_public := coalesce(NEW.is_public, false);
    NEW.acl := coalesce(NEW.acl, '{}');
    RETURN NEW;
END
$$;
CREATE TRIGGER experiment_results_follow BEFORE INSERT OR UPDATE OF experiment_id ON public.experiment_results
FOR EACH ROW EXECUTE FUNCTION private.follow_experiment();
CREATE TRIGGER experiment_failures_follow BEFORE INSERT OR UPDATE OF experiment_id ON public.experiment_failures
FOR EACH ROW EXECUTE FUNCTION private.follow_experiment();
CREATE TRIGGER molecule_experiments_follow BEFORE INSERT OR UPDATE OF experiment_id ON public.molecule_experiments
FOR EACH ROW EXECUTE FUNCTION private.follow_experiment();
CREATE TRIGGER molecule_proteins_follow BEFORE INSERT OR UPDATE OF molecule_id ON public.molecule_proteins
FOR EACH ROW EXECUTE FUNCTION private.follow_molecule();

CREATE FUNCTION private.spread_experiment_access() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    PERFORM FROM public.mixtures WHERE id = NEW.mixture_id FOR SHARE;
    PERFORM FROM public.molecules AS m
    WHERE m.id = ANY (
        NEW.molecule_id
        || ARRAY(SELECT l.molecule_id FROM public.molecule_experiments AS l WHERE l.experiment_id = NEW.id)
    )
    ORDER BY m.id
    FOR SHARE;
    UPDATE public.experiment_results SET is_public = NEW.is_public, acl = NEW.acl WHERE experiment_id = NEW.id;
    UPDATE public.experiment_failures SET is_public = NEW.is_public, acl = NEW.acl WHERE experiment_id = NEW.id;
    UPDATE public.molecule_experiments SET is_public = NEW.is_public, acl = NEW.acl WHERE experiment_id = NEW.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER experiments_spread_access AFTER UPDATE ON public.experiments
FOR EACH ROW WHEN (OLD.is_public IS DISTINCT FROM NEW.is_public OR OLD.acl IS DISTINCT FROM NEW.acl)
EXECUTE FUNCTION private.spread_experiment_access();

CREATE OR REPLACE FUNCTION private.spread_molecule_access() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    UPDATE public.molecule_identifiers SET is_public = NEW.is_public, acl = NEW.acl WHERE molecule_id = NEW.id;
    UPDATE public.molecular_properties SET is_public = NEW.is_public, acl = NEW.acl WHERE molecule_id = NEW.id;
    UPDATE public.molecule_proteins SET is_public = NEW.is_public, acl = NEW.acl WHERE molecule_id = NEW.id;
    RETURN NULL;
END
$$;

CREATE FUNCTION private.check_experiment() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    checked uuid[];
    experiment public.experiments;
    newly_public boolean;
    newcomers uuid[];
    failed boolean;
BEGIN
    IF TG_TABLE_NAME = 'experiments' THEN
        checked := ARRAY[NEW.id];
    ELSE
        checked := ARRAY[OLD.experiment_id, NEW.experiment_id];
    END IF;
    -- What is deleted by now is not found.
    FOR experiment IN SELECT e.* FROM public.experiments AS e WHERE e.id = ANY (checked) LOOP
        -- As for mixtures: of those who see the experiment already nobody is asked again.
        IF TG_TABLE_NAME IN ('experiment_results', 'experiment_failures') THEN
            newly_public := false;
            newcomers := '{}';
        ELSIF TG_TABLE_NAME = 'experiments' AND TG_OP = 'UPDATE' THEN
            newly_public := NEW.is_public AND NOT OLD.is_public;
            newcomers := private.newcomers(OLD.acl, NEW.acl);
        ELSE
            newly_public := experiment.is_public;
            newcomers := experiment.acl;
        END IF;
        newcomers := private.audience(newcomers, experiment.project_id, experiment.created_by);
        failed := EXISTS (SELECT FROM public.experiment_failures AS f WHERE f.experiment_id = experiment.id);
        IF NOT EXISTS (SELECT FROM public.experiment_results AS r WHERE r.experiment_id = experiment.id) THEN
            RAISE check_violation
            USING MESSAGE = 'an experiment has a result', CONSTRAINT = 'experiments_results_check';
        END IF;
        IF experiment.outcome = 'fail' AND NOT failed OR experiment.outcome = 'pass' AND failed THEN
            RAISE check_violation
            USING MESSAGE = 'outcome and failure reasons contradict each other',
                CONSTRAINT = 'experiments_failures_check';
        END IF;
        IF EXISTS (
            SELECT FROM public.mixtures AS x
            WHERE x.id = experiment.mixture_id AND NOT x.is_public
                AND (newly_public OR NOT x.acl @> newcomers)
        ) OR EXISTS (
            SELECT FROM public.molecules AS m
            WHERE m.id = experiment.molecule_id AND NOT m.is_public
                AND (newly_public OR NOT m.acl @> newcomers)
        ) THEN
            RAISE check_violation
            USING MESSAGE = 'the subject is hidden from some who see the experiment',
                CONSTRAINT = 'experiments_subject_visible_check';
        END IF;
        IF EXISTS (
            SELECT FROM public.molecule_experiments AS l
            JOIN public.molecules AS m ON m.id = l.molecule_id
            WHERE l.experiment_id = experiment.id AND NOT m.is_public
                AND (newly_public OR NOT m.acl @> newcomers)
        ) THEN
            RAISE check_violation
            USING MESSAGE = 'a molecule is hidden from some who see the experiment',
                CONSTRAINT = 'experiments_molecules_visible_check';
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER experiments_whole AFTER INSERT OR UPDATE ON public.experiments
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION private.check_experiment();
CREATE CONSTRAINT TRIGGER experiment_results_whole AFTER DELETE OR UPDATE OF experiment_id ON public.experiment_results
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION private.check_experiment();
CREATE CONSTRAINT TRIGGER experiment_failures_whole
AFTER INSERT OR DELETE OR UPDATE OF experiment_id ON public.experiment_failures
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION private.check_experiment();
CREATE CONSTRAINT TRIGGER molecule_experiments_whole
AFTER INSERT OR UPDATE OF experiment_id, molecule_id ON public.molecule_experiments
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION private.check_experiment();

-- What a public experiment shows stays public, too.
CREATE OR REPLACE FUNCTION private.check_molecule_use() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    IF EXISTS (
        SELECT FROM public.molecules AS m
        JOIN public.mixture_components AS c ON c.molecule_id = m.id
        JOIN public.mixtures AS x ON x.id = c.mixture_id
        WHERE m.id = NEW.id AND NOT m.is_public AND x.is_public
    ) OR EXISTS (
        SELECT FROM public.molecules AS m
        JOIN public.experiments AS e ON e.molecule_id = m.id
        WHERE m.id = NEW.id AND NOT m.is_public AND e.is_public
    ) OR EXISTS (
        SELECT FROM public.molecules AS m
        JOIN public.molecule_experiments AS l ON l.molecule_id = m.id
        JOIN public.experiments AS e ON e.id = l.experiment_id
        WHERE m.id = NEW.id AND NOT m.is_public AND e.is_public
    ) THEN
        RAISE check_violation
        USING MESSAGE = 'the molecule is part of what others see', CONSTRAINT = 'molecules_in_use_check';
    END IF;
    RETURN NULL;
END
$$;
CREATE FUNCTION private.check_mixture_use() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    IF EXISTS (
        SELECT FROM public.mixtures AS x
        JOIN public.experiments AS e ON e.mixture_id = x.id
        WHERE x.id = NEW.id AND NOT x.is_public AND e.is_public
    ) THEN
        RAISE check_violation
        USING MESSAGE = 'the mixture is part of what others see', CONSTRAINT = 'mixtures_in_use_check';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER mixtures_in_use AFTER UPDATE ON public.mixtures
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
WHEN (OLD.is_public AND NOT NEW.is_public)
EXECUTE FUNCTION private.check_mixture_use();

CREATE FUNCTION private.experiment_ids_matching(query text) RETURNS uuid[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(array_agg(e.id), '{}'::uuid[])
    FROM public.experiments AS e
    WHERE e.search @@ pg_catalog.websearch_to_tsquery('simple'::regconfig, query)
        AND (e.is_public OR e.acl && (SELECT private.my_keys()) OR (SELECT private.is_service()))
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA private FROM PUBLIC;
GRANT EXECUTE ON FUNCTION private.experiment_ids_matching(text) TO anon, authenticated, service_role;

ALTER TABLE public.experiments ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.experiments FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.experiments FROM anon, authenticated, service_role;
CREATE POLICY experiments_all_service_role ON public.experiments FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.experiments TO service_role;
ALTER TABLE public.experiment_results ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.experiment_results FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.experiment_results FROM anon, authenticated, service_role;
CREATE POLICY experiment_results_all_service_role ON public.experiment_results FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.experiment_results TO service_role;
ALTER TABLE public.experiment_failures ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.experiment_failures FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.experiment_failures FROM anon, authenticated, service_role;
CREATE POLICY experiment_failures_all_service_role ON public.experiment_failures FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.experiment_failures TO service_role;
ALTER TABLE public.molecule_experiments ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.molecule_experiments FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.molecule_experiments FROM anon, authenticated, service_role;
CREATE POLICY molecule_experiments_all_service_role ON public.molecule_experiments FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.molecule_experiments TO service_role;
ALTER TABLE public.proteins ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.proteins FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.proteins FROM anon, authenticated, service_role;
CREATE POLICY proteins_all_service_role ON public.proteins FOR ALL TO service_role USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.proteins TO service_role;
ALTER TABLE public.molecule_proteins ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.molecule_proteins FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.molecule_proteins FROM anon, authenticated, service_role;
CREATE POLICY molecule_proteins_all_service_role ON public.molecule_proteins FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.molecule_proteins TO service_role;

GRANT SELECT (
    id, name, mixture_id, molecule_id, outcome, protocol, conditions, started_at, completed_at, reference, notes,
    verified, is_public, project_id, created_by, data_source_id, source_record, import_run_id, version, created_at,
    updated_at
) ON public.experiments TO anon, authenticated;
GRANT INSERT (
    id, name, mixture_id, molecule_id, outcome, protocol, conditions, started_at, completed_at, reference, notes,
    verified, is_public, project_id, created_by
) ON public.experiments TO authenticated;
-- What was measured stays what was measured: another subject is another experiment.
GRANT UPDATE (
    name, outcome, protocol, conditions, started_at, completed_at, reference, notes, verified, is_public, project_id,
    updated_at
), DELETE ON public.experiments TO authenticated;
GRANT SELECT (experiment_id, position, property_type, relation, value, unit, standard_deviation, replicates)
ON public.experiment_results TO anon, authenticated;
GRANT INSERT (experiment_id, position, property_type, relation, value, unit, standard_deviation, replicates), DELETE
ON public.experiment_results TO authenticated;
GRANT SELECT (experiment_id, reason, position) ON public.experiment_failures TO anon, authenticated;
GRANT INSERT (experiment_id, reason, position), DELETE ON public.experiment_failures TO authenticated;
GRANT SELECT (experiment_id, molecule_id) ON public.molecule_experiments TO anon, authenticated;
GRANT INSERT (experiment_id, molecule_id), DELETE ON public.molecule_experiments TO authenticated;
GRANT SELECT ON public.proteins TO anon, authenticated;
GRANT SELECT (
    id, molecule_id, protein_id, affinity_type, relation, affinity, affinity_unit, source, source_record, reference,
    import_run_id, created_at
) ON public.molecule_proteins TO anon, authenticated;
GRANT INSERT (
    molecule_id, protein_id, affinity_type, relation, affinity, affinity_unit, source, source_record, reference
), DELETE ON public.molecule_proteins TO authenticated;

CREATE POLICY experiments_select_anon ON public.experiments FOR SELECT TO anon USING (is_public);
CREATE POLICY experiments_select_authenticated ON public.experiments FOR SELECT TO authenticated
USING (is_public OR acl && (SELECT private.my_keys()));
-- The subject has to be one that the writer sees: its own policy says so.
CREATE POLICY experiments_insert_authenticated ON public.experiments FOR INSERT TO authenticated
WITH CHECK (
    data_source_id IS NULL
    AND import_run_id IS NULL
    AND created_by = (SELECT auth.uid())
    AND (
        coalesce(project_id, created_by) = ANY ((SELECT private.my_editable_keys())::uuid[]) AND NOT is_public
        OR project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
    )
    AND (mixture_id IS NULL OR EXISTS (SELECT FROM public.mixtures AS x WHERE x.id = mixture_id))
    AND (molecule_id IS NULL OR EXISTS (SELECT FROM public.molecules AS m WHERE m.id = molecule_id))
);
CREATE POLICY experiments_update_authenticated ON public.experiments FOR UPDATE TO authenticated
USING (
    coalesce(project_id, created_by) = ANY ((SELECT private.my_editable_keys())::uuid[]) AND NOT is_public
    OR project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
)
WITH CHECK (
    coalesce(project_id, created_by) = ANY ((SELECT private.my_editable_keys())::uuid[]) AND NOT is_public
    OR project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
);
CREATE POLICY experiments_delete_authenticated ON public.experiments FOR DELETE TO authenticated
USING (
    project_id IS NULL AND created_by = (SELECT auth.uid()) AND NOT is_public
    OR project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
);

CREATE POLICY experiment_results_select_anon ON public.experiment_results FOR SELECT TO anon USING (is_public);
CREATE POLICY experiment_results_select_authenticated ON public.experiment_results FOR SELECT TO authenticated
USING (is_public OR acl && (SELECT private.my_keys()));
CREATE POLICY experiment_results_insert_authenticated ON public.experiment_results FOR INSERT TO authenticated
WITH CHECK (
    EXISTS (
        SELECT FROM public.experiments AS e
        WHERE e.id = experiment_id AND (
            coalesce(e.project_id, e.created_by) = ANY ((SELECT private.my_editable_keys())::uuid[]) AND NOT e.is_public
            OR e.project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
        )
    )
);
CREATE POLICY experiment_results_delete_authenticated ON public.experiment_results FOR DELETE TO authenticated
USING (
    EXISTS (
        SELECT FROM public.experiments AS e
        WHERE e.id = experiment_id AND (
            coalesce(e.project_id, e.created_by) = ANY ((SELECT private.my_editable_keys())::uuid[]) AND NOT e.is_public
            OR e.project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
        )
    )
);

CREATE POLICY experiment_failures_select_anon ON public.experiment_failures FOR SELECT TO anon USING (is_public);
CREATE POLICY experiment_failures_select_authenticated ON public.experiment_failures FOR SELECT TO authenticated
USING (is_public OR acl && (SELECT private.my_keys()));
CREATE POLICY experiment_failures_insert_authenticated ON public.experiment_failures FOR INSERT TO authenticated
WITH CHECK (
    EXISTS (
        SELECT FROM public.experiments AS e
        WHERE e.id = experiment_id AND (
            coalesce(e.project_id, e.created_by) = ANY ((SELECT private.my_editable_keys())::uuid[]) AND NOT e.is_public
            OR e.project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
        )
    )
);
CREATE POLICY experiment_failures_delete_authenticated ON public.experiment_failures FOR DELETE TO authenticated
USING (
    EXISTS (
        SELECT FROM public.experiments AS e
        WHERE e.id = experiment_id AND (
            coalesce(e.project_id, e.created_by) = ANY ((SELECT private.my_editable_keys())::uuid[]) AND NOT e.is_public
            OR e.project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
        )
    )
);

CREATE POLICY molecule_experiments_select_anon ON public.molecule_experiments FOR SELECT TO anon USING (is_public);
CREATE POLICY molecule_experiments_select_authenticated ON public.molecule_experiments FOR SELECT TO authenticated
USING (is_public OR acl && (SELECT private.my_keys()));
CREATE POLICY molecule_experiments_insert_authenticated ON public.molecule_experiments FOR INSERT TO authenticated
WITH CHECK (
    EXISTS (SELECT FROM public.molecules AS m WHERE m.id = molecule_id)
    AND EXISTS (
        SELECT FROM public.experiments AS e
        WHERE e.id = experiment_id AND (
            coalesce(e.project_id, e.created_by) = ANY ((SELECT private.my_editable_keys())::uuid[]) AND NOT e.is_public
            OR e.project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
        )
    )
);
CREATE POLICY molecule_experiments_delete_authenticated ON public.molecule_experiments FOR DELETE TO authenticated
USING (
    EXISTS (
        SELECT FROM public.experiments AS e
        WHERE e.id = experiment_id AND (
            coalesce(e.project_id, e.created_by) = ANY ((SELECT private.my_editable_keys())::uuid[]) AND NOT e.is_public
            OR e.project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
        )
    )
);

CREATE POLICY proteins_select_anon ON public.proteins FOR SELECT TO anon USING (true);
CREATE POLICY proteins_select_authenticated ON public.proteins FOR SELECT TO authenticated USING (true);

CREATE POLICY molecule_proteins_select_anon ON public.molecule_proteins FOR SELECT TO anon USING (is_public);
CREATE POLICY molecule_proteins_select_authenticated ON public.molecule_proteins FOR SELECT TO authenticated
USING (is_public OR acl && (SELECT private.my_keys()));
CREATE POLICY molecule_proteins_insert_authenticated ON public.molecule_proteins FOR INSERT TO authenticated
WITH CHECK (
    import_run_id IS NULL
    AND EXISTS (
        SELECT FROM public.molecules AS m
        WHERE m.id = molecule_id AND (
            coalesce(m.project_id, m.created_by) = ANY ((SELECT private.my_editable_keys())::uuid[]) AND NOT m.is_public
            OR m.project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
        )
    )
);
CREATE POLICY molecule_proteins_delete_authenticated ON public.molecule_proteins FOR DELETE TO authenticated
USING (
    EXISTS (
        SELECT FROM public.molecules AS m
        WHERE m.id = molecule_id AND (
            coalesce(m.project_id, m.created_by) = ANY ((SELECT private.my_editable_keys())::uuid[]) AND NOT m.is_public
            OR m.project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
        )
    )
);
"""

DOWNGRADE_SQL: Final = """
DROP TRIGGER mixtures_in_use ON public.mixtures;
DROP FUNCTION private.check_mixture_use();
CREATE OR REPLACE FUNCTION private.check_molecule_use() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    IF EXISTS (
        SELECT FROM public.molecules AS m
        JOIN public.mixture_components AS c ON c.molecule_id = m.id
        JOIN public.mixtures AS x ON x.id = c.mixture_id
        WHERE m.id = NEW.id AND NOT m.is_public AND x.is_public
    ) THEN
        RAISE check_violation
        USING MESSAGE = 'the molecule is part of what others see', CONSTRAINT = 'molecules_in_use_check';
    END IF;
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION private.spread_molecule_access() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    UPDATE public.molecule_identifiers SET is_public = NEW.is_public, acl = NEW.acl WHERE molecule_id = NEW.id;
    UPDATE public.molecular_properties SET is_public = NEW.is_public, acl = NEW.acl WHERE molecule_id = NEW.id;
    RETURN NULL;
END
$$;
DROP TABLE public.molecule_proteins, public.proteins, public.molecule_experiments, public.experiment_failures,
    public.experiment_results, public.experiments;
DROP FUNCTION private.experiment_ids_matching(text);
DROP FUNCTION private.check_experiment();
DROP FUNCTION private.spread_experiment_access();
DROP FUNCTION private.follow_experiment();
DROP FUNCTION private.hold_subject();
DROP FUNCTION private.set_experiment_acl();
"""


def upgrade() -> None:
    """Apply the migration."""
    run(UPGRADE_SQL)


def downgrade() -> None:
    """Take the migration back."""
    run(DOWNGRADE_SQL)
