"""Toxicity: assays, what they tell of, their results for molecules, and scores drawn from those.

A result is part of its molecule. Replicates that contradict each other stay side by side, told apart by their source
record; a score says how it resolved them. ToxCast's hit calls are continuous from -1 to 1, below zero where the fitted
curve runs against the assay's direction. A result without a hit call has a potency: an oral LD50 is no hit or miss.
"""

from __future__ import annotations

from typing import Final

from migrations.run import run

revision = "0011_toxicity"
down_revision = "0010_predictions"

UPGRADE_SQL: Final = """
CREATE TABLE public.toxicity_assays (
    id uuid DEFAULT private.uuid_v7() CONSTRAINT toxicity_assays_pkey PRIMARY KEY,
    source text NOT NULL CONSTRAINT toxicity_assays_source_check CHECK (source ~ '^[a-z][a-z0-9_]{0,39}$'),
    name text NOT NULL CONSTRAINT toxicity_assays_name_check CHECK (char_length(name) BETWEEN 1 AND 200),
    external_id text CONSTRAINT toxicity_assays_external_id_check CHECK (char_length(external_id) BETWEEN 1 AND 200),
    description text CONSTRAINT toxicity_assays_description_check CHECK (char_length(description) <= 10000),
    organism text CONSTRAINT toxicity_assays_organism_check CHECK (char_length(organism) BETWEEN 1 AND 200),
    tissue text CONSTRAINT toxicity_assays_tissue_check CHECK (char_length(tissue) BETWEEN 1 AND 200),
    cell_type text CONSTRAINT toxicity_assays_cell_type_check CHECK (char_length(cell_type) BETWEEN 1 AND 200),
    target text CONSTRAINT toxicity_assays_target_check CHECK (char_length(target) BETWEEN 1 AND 200),
    gene_symbol text CONSTRAINT toxicity_assays_gene_symbol_check CHECK (char_length(gene_symbol) BETWEEN 1 AND 100),
    signal_direction text
        CONSTRAINT toxicity_assays_signal_direction_check CHECK (signal_direction IN ('gain', 'loss', 'bidirectional')),
    exposure_h float8 CONSTRAINT toxicity_assays_exposure_h_check CHECK (exposure_h >= 0 AND exposure_h < 'Infinity'),
    annotations jsonb NOT NULL DEFAULT '{}'
        CONSTRAINT toxicity_assays_annotations_check CHECK (jsonb_typeof(annotations) = 'object'),
    reference text CONSTRAINT toxicity_assays_reference_check CHECK (char_length(reference) <= 2000),
    data_source_id uuid
        CONSTRAINT toxicity_assays_data_source_id_fkey REFERENCES public.data_sources (id) ON DELETE RESTRICT,
    import_run_id uuid
        CONSTRAINT toxicity_assays_import_run_id_fkey REFERENCES public.import_runs (id) ON DELETE SET NULL,
    search tsvector GENERATED ALWAYS AS (
        to_tsvector(
            'simple'::regconfig,
            replace(name, '_', ' ') || ' ' || coalesce(target, '') || ' ' || coalesce(gene_symbol, '') || ' '
            || coalesce(cell_type, '') || ' ' || coalesce(description, '')
        )
    ) STORED,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT toxicity_assays_source_name_key UNIQUE (source, name),
    CONSTRAINT toxicity_assays_source_external_id_key UNIQUE (source, external_id)
);
CREATE INDEX toxicity_assays_created_at_idx ON public.toxicity_assays (created_at, id);
CREATE INDEX toxicity_assays_updated_at_idx ON public.toxicity_assays (updated_at, id);
CREATE INDEX toxicity_assays_name_idx ON public.toxicity_assays (name, id);
CREATE INDEX toxicity_assays_data_source_id_idx ON public.toxicity_assays (data_source_id);
CREATE INDEX toxicity_assays_import_run_id_idx ON public.toxicity_assays (import_run_id);
CREATE INDEX toxicity_assays_annotations_idx ON public.toxicity_assays USING gin (annotations jsonb_path_ops);
CREATE INDEX toxicity_assays_search_idx ON public.toxicity_assays USING gin (search);
CREATE TRIGGER toxicity_assays_touch BEFORE UPDATE ON public.toxicity_assays
FOR EACH ROW EXECUTE FUNCTION private.touch_row();

CREATE TABLE public.toxicity_endpoints (
    id uuid DEFAULT private.uuid_v7() CONSTRAINT toxicity_endpoints_pkey PRIMARY KEY,
    name text NOT NULL CONSTRAINT toxicity_endpoints_name_check CHECK (name ~ '^[a-z][a-z0-9_]{0,79}$'),
    description text NOT NULL
        CONSTRAINT toxicity_endpoints_description_check CHECK (char_length(description) <= 10000),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT toxicity_endpoints_name_key UNIQUE (name)
);
CREATE TRIGGER toxicity_endpoints_touch BEFORE UPDATE ON public.toxicity_endpoints
FOR EACH ROW EXECUTE FUNCTION private.touch_row();

CREATE TABLE public.assay_endpoints (
    assay_id uuid NOT NULL
        CONSTRAINT assay_endpoints_assay_id_fkey REFERENCES public.toxicity_assays (id) ON DELETE CASCADE,
    endpoint_id uuid NOT NULL
        CONSTRAINT assay_endpoints_endpoint_id_fkey REFERENCES public.toxicity_endpoints (id) ON DELETE RESTRICT,
    CONSTRAINT assay_endpoints_pkey PRIMARY KEY (assay_id, endpoint_id)
);
CREATE INDEX assay_endpoints_endpoint_id_idx ON public.assay_endpoints (endpoint_id);

CREATE TABLE public.toxicity_results (
    id uuid DEFAULT private.uuid_v7() CONSTRAINT toxicity_results_pkey PRIMARY KEY,
    molecule_id uuid NOT NULL
        CONSTRAINT toxicity_results_molecule_id_fkey REFERENCES public.molecules (id) ON DELETE CASCADE,
    assay_id uuid NOT NULL,
    endpoint_id uuid NOT NULL,
    hit_call text
        CONSTRAINT toxicity_results_hit_call_check CHECK (hit_call IN ('active', 'inactive', 'inconclusive')),
    continuous_hit_call float8 CONSTRAINT toxicity_results_continuous_hit_call_check
        CHECK (continuous_hit_call >= -1 AND continuous_hit_call <= 1),
    potency_type text
        CONSTRAINT toxicity_results_potency_type_check CHECK (char_length(potency_type) BETWEEN 1 AND 50),
    potency_relation text NOT NULL DEFAULT '=' CONSTRAINT toxicity_results_potency_relation_check
        CHECK (potency_relation IN ('=', '<', '<=', '>', '>=', '~')),
    potency float8 CONSTRAINT toxicity_results_potency_check CHECK (potency > 0 AND potency < 'Infinity'),
    potency_unit text
        CONSTRAINT toxicity_results_potency_unit_check CHECK (char_length(potency_unit) BETWEEN 1 AND 50),
    concentration_min float8 CONSTRAINT toxicity_results_concentration_min_check
        CHECK (concentration_min >= 0 AND concentration_min < 'Infinity'),
    concentration_max float8 CONSTRAINT toxicity_results_concentration_max_check
        CHECK (concentration_max >= 0 AND concentration_max < 'Infinity'),
    concentration_unit text
        CONSTRAINT toxicity_results_concentration_unit_check CHECK (char_length(concentration_unit) BETWEEN 1 AND 50),
    cell_type text CONSTRAINT toxicity_results_cell_type_check CHECK (char_length(cell_type) BETWEEN 1 AND 200),
    flags text[] NOT NULL DEFAULT '{}',
    reference text CONSTRAINT toxicity_results_reference_check CHECK (char_length(reference) <= 2000),
    source_record text CONSTRAINT toxicity_results_source_record_check CHECK (char_length(source_record) <= 200),
    import_run_id uuid
        CONSTRAINT toxicity_results_import_run_id_fkey REFERENCES public.import_runs (id) ON DELETE SET NULL,
    created_by uuid
        CONSTRAINT toxicity_results_created_by_fkey REFERENCES public.user_profiles (id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    is_public boolean NOT NULL DEFAULT false,
    acl uuid[] NOT NULL DEFAULT '{}',
    CONSTRAINT toxicity_results_assay_id_endpoint_id_fkey FOREIGN KEY (assay_id, endpoint_id)
        REFERENCES public.assay_endpoints (assay_id, endpoint_id) ON DELETE RESTRICT,
    CONSTRAINT toxicity_results_outcome_check CHECK (num_nonnulls(hit_call, potency) >= 1),
    CONSTRAINT toxicity_results_continuous_outcome_check
        CHECK (continuous_hit_call IS NULL OR hit_call IS NOT NULL),
    CONSTRAINT toxicity_results_measured_check
        CHECK (num_nonnulls(potency_type, potency, potency_unit) IN (0, 3)),
    CONSTRAINT toxicity_results_concentrations_check CHECK (
        concentration_min <= concentration_max
        AND (num_nonnulls(concentration_min, concentration_max) = 0) = (concentration_unit IS NULL)
    ),
    -- The same record read again is the same result. A record is one replicate.
    CONSTRAINT toxicity_results_molecule_id_assay_id_source_record_key
        UNIQUE (molecule_id, assay_id, endpoint_id, source_record)
);
CREATE INDEX toxicity_results_created_at_public_idx ON public.toxicity_results (created_at, id) WHERE is_public;
CREATE INDEX toxicity_results_created_at_idx ON public.toxicity_results (created_at, id);
CREATE INDEX toxicity_results_assay_id_idx ON public.toxicity_results (assay_id, endpoint_id, molecule_id);
CREATE INDEX toxicity_results_endpoint_id_idx ON public.toxicity_results (endpoint_id, molecule_id);
CREATE INDEX toxicity_results_import_run_id_idx ON public.toxicity_results (import_run_id);
CREATE INDEX toxicity_results_created_by_idx ON public.toxicity_results (created_by);

CREATE TABLE public.toxicity_scores (
    id uuid DEFAULT private.uuid_v7() CONSTRAINT toxicity_scores_pkey PRIMARY KEY,
    mixture_id uuid CONSTRAINT toxicity_scores_mixture_id_fkey REFERENCES public.mixtures (id) ON DELETE CASCADE,
    molecule_id uuid CONSTRAINT toxicity_scores_molecule_id_fkey REFERENCES public.molecules (id) ON DELETE CASCADE,
    method_id uuid NOT NULL
        CONSTRAINT toxicity_scores_method_id_fkey REFERENCES public.calculation_methods (id) ON DELETE RESTRICT,
    cell_type text CONSTRAINT toxicity_scores_cell_type_check CHECK (char_length(cell_type) BETWEEN 1 AND 200),
    score float8 CONSTRAINT toxicity_scores_score_check CHECK (score >= 0 AND score <= 1),
    reason text CONSTRAINT toxicity_scores_reason_check CHECK (char_length(reason) BETWEEN 1 AND 2000),
    coverage float8 NOT NULL CONSTRAINT toxicity_scores_coverage_check CHECK (coverage >= 0 AND coverage <= 1),
    confidence float8 NOT NULL
        CONSTRAINT toxicity_scores_confidence_check CHECK (confidence >= 0 AND confidence <= 1),
    assays jsonb NOT NULL DEFAULT '[]'
        CONSTRAINT toxicity_scores_assays_check CHECK (jsonb_typeof(assays) = 'array'),
    computed_at timestamptz NOT NULL DEFAULT clock_timestamp()
        CONSTRAINT toxicity_scores_computed_at_check CHECK (isfinite(computed_at)),
    is_public boolean NOT NULL DEFAULT false,
    acl uuid[] NOT NULL DEFAULT '{}',
    CONSTRAINT toxicity_scores_subject_check CHECK (num_nonnulls(mixture_id, molecule_id) = 1),
    -- No data is no score, and never a score of nought.
    CONSTRAINT toxicity_scores_without_score_check CHECK (score IS NOT NULL OR reason IS NOT NULL),
    CONSTRAINT toxicity_scores_subject_method_id_cell_type_key
        UNIQUE NULLS NOT DISTINCT (mixture_id, molecule_id, method_id, cell_type)
);
CREATE INDEX toxicity_scores_mixture_id_idx ON public.toxicity_scores (mixture_id);
CREATE INDEX toxicity_scores_molecule_id_idx ON public.toxicity_scores (molecule_id);
CREATE INDEX toxicity_scores_method_id_idx ON public.toxicity_scores (method_id, score, id);

CREATE TRIGGER toxicity_results_follow BEFORE INSERT OR UPDATE OF molecule_id ON public.toxicity_results
FOR EACH ROW EXECUTE FUNCTION private.follow_molecule();
CREATE TRIGGER toxicity_scores_follow BEFORE INSERT OR UPDATE OF mixture_id, molecule_id ON public.toxicity_scores
FOR EACH ROW EXECUTE FUNCTION private.follow_subject();

CREATE OR REPLACE FUNCTION private.spread_molecule_access() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    UPDATE public.molecule_identifiers SET is_public = NEW.is_public, acl = NEW.acl WHERE molecule_id = NEW.id;
    UPDATE public.molecular_properties SET is_public = NEW.is_public, acl = NEW.acl WHERE molecule_id = NEW.id;
    UPDATE public.molecule_proteins SET is_public = NEW.is_public, acl = NEW.acl WHERE molecule_id = NEW.id;
    UPDATE public.predictions SET is_public = NEW.is_public, acl = NEW.acl WHERE molecule_id = NEW.id;
    UPDATE public.toxicity_results SET is_public = NEW.is_public, acl = NEW.acl WHERE molecule_id = NEW.id;
    UPDATE public.toxicity_scores SET is_public = NEW.is_public, acl = NEW.acl WHERE molecule_id = NEW.id;
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION private.spread_mixture_access() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    -- Others come to see the molecules, which are held as when they were put in.
    PERFORM FROM public.molecules AS m
    WHERE m.id = ANY (ARRAY(SELECT c.molecule_id FROM public.mixture_components AS c WHERE c.mixture_id = NEW.id))
    ORDER BY m.id
    FOR SHARE;
    UPDATE public.mixture_components SET is_public = NEW.is_public, acl = NEW.acl WHERE mixture_id = NEW.id;
    UPDATE public.predictions SET is_public = NEW.is_public, acl = NEW.acl WHERE mixture_id = NEW.id;
    UPDATE public.toxicity_scores SET is_public = NEW.is_public, acl = NEW.acl WHERE mixture_id = NEW.id;
    RETURN NULL;
END
$$;

ALTER TABLE public.toxicity_assays ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.toxicity_assays FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.toxicity_assays FROM anon, authenticated, service_role;
CREATE POLICY toxicity_assays_all_service_role ON public.toxicity_assays FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.toxicity_assays TO service_role;
ALTER TABLE public.toxicity_endpoints ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.toxicity_endpoints FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.toxicity_endpoints FROM anon, authenticated, service_role;
CREATE POLICY toxicity_endpoints_all_service_role ON public.toxicity_endpoints FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.toxicity_endpoints TO service_role;
ALTER TABLE public.assay_endpoints ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.assay_endpoints FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.assay_endpoints FROM anon, authenticated, service_role;
CREATE POLICY assay_endpoints_all_service_role ON public.assay_endpoints FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.assay_endpoints TO service_role;
ALTER TABLE public.toxicity_results ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.toxicity_results FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.toxicity_results FROM anon, authenticated, service_role;
CREATE POLICY toxicity_results_all_service_role ON public.toxicity_results FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.toxicity_results TO service_role;
ALTER TABLE public.toxicity_scores ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.toxicity_scores FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.toxicity_scores FROM anon, authenticated, service_role;
CREATE POLICY toxicity_scores_all_service_role ON public.toxicity_scores FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.toxicity_scores TO service_role;

GRANT SELECT ON public.toxicity_assays, public.toxicity_endpoints, public.assay_endpoints TO anon, authenticated;
GRANT SELECT (
    id, molecule_id, assay_id, endpoint_id, hit_call, continuous_hit_call, potency_type, potency_relation, potency,
    potency_unit, concentration_min, concentration_max, concentration_unit, cell_type, flags, reference, source_record,
    import_run_id, created_by, created_at
) ON public.toxicity_results TO anon, authenticated;
GRANT INSERT (
    id, molecule_id, assay_id, endpoint_id, hit_call, continuous_hit_call, potency_type, potency_relation, potency,
    potency_unit, concentration_min, concentration_max, concentration_unit, cell_type, flags, reference, source_record,
    created_by
), DELETE ON public.toxicity_results TO authenticated;
GRANT SELECT (
    id, mixture_id, molecule_id, method_id, cell_type, score, reason, coverage, confidence, assays, computed_at
) ON public.toxicity_scores TO anon, authenticated;

CREATE POLICY toxicity_assays_select_anon ON public.toxicity_assays FOR SELECT TO anon USING (true);
CREATE POLICY toxicity_assays_select_authenticated ON public.toxicity_assays FOR SELECT TO authenticated USING (true);
CREATE POLICY toxicity_endpoints_select_anon ON public.toxicity_endpoints FOR SELECT TO anon USING (true);
CREATE POLICY toxicity_endpoints_select_authenticated ON public.toxicity_endpoints FOR SELECT TO authenticated
USING (true);
CREATE POLICY assay_endpoints_select_anon ON public.assay_endpoints FOR SELECT TO anon USING (true);
CREATE POLICY assay_endpoints_select_authenticated ON public.assay_endpoints FOR SELECT TO authenticated USING (true);

CREATE POLICY toxicity_results_select_anon ON public.toxicity_results FOR SELECT TO anon USING (is_public);
CREATE POLICY toxicity_results_select_authenticated ON public.toxicity_results FOR SELECT TO authenticated
USING (is_public OR acl && (SELECT private.my_keys()));
CREATE POLICY toxicity_results_insert_authenticated ON public.toxicity_results FOR INSERT TO authenticated
WITH CHECK (
    import_run_id IS NULL
    AND created_by = (SELECT auth.uid())
    AND EXISTS (
        SELECT FROM public.molecules AS m
        WHERE m.id = molecule_id AND (
            coalesce(m.project_id, m.created_by) = ANY ((SELECT private.my_editable_keys())::uuid[]) AND NOT m.is_public
            OR m.project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
        )
    )
);
CREATE POLICY toxicity_results_delete_authenticated ON public.toxicity_results FOR DELETE TO authenticated
USING (
    EXISTS (
        SELECT FROM public.molecules AS m
        WHERE m.id = molecule_id AND (
            coalesce(m.project_id, m.created_by) = ANY ((SELECT private.my_editable_keys())::uuid[]) AND NOT m.is_public
            OR m.project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
        )
    )
);

-- A score follows from results: nobody but the service writes one.
CREATE POLICY toxicity_scores_select_anon ON public.toxicity_scores FOR SELECT TO anon USING (is_public);
CREATE POLICY toxicity_scores_select_authenticated ON public.toxicity_scores FOR SELECT TO authenticated
USING (is_public OR acl && (SELECT private.my_keys()));
"""

DOWNGRADE_SQL: Final = """
CREATE OR REPLACE FUNCTION private.spread_molecule_access() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    UPDATE public.molecule_identifiers SET is_public = NEW.is_public, acl = NEW.acl WHERE molecule_id = NEW.id;
    UPDATE public.molecular_properties SET is_public = NEW.is_public, acl = NEW.acl WHERE molecule_id = NEW.id;
    UPDATE public.molecule_proteins SET is_public = NEW.is_public, acl = NEW.acl WHERE molecule_id = NEW.id;
    UPDATE public.predictions SET is_public = NEW.is_public, acl = NEW.acl WHERE molecule_id = NEW.id;
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION private.spread_mixture_access() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    -- Others come to see the molecules, which are held as when they were put in.
    PERFORM FROM public.molecules AS m
    WHERE m.id = ANY (ARRAY(SELECT c.molecule_id FROM public.mixture_components AS c WHERE c.mixture_id = NEW.id))
    ORDER BY m.id
    FOR SHARE;
    UPDATE public.mixture_components SET is_public = NEW.is_public, acl = NEW.acl WHERE mixture_id = NEW.id;
    UPDATE public.predictions SET is_public = NEW.is_public, acl = NEW.acl WHERE mixture_id = NEW.id;
    RETURN NULL;
END
$$;
DROP TABLE public.toxicity_scores, public.toxicity_results, public.assay_endpoints, public.toxicity_endpoints,
    public.toxicity_assays;
"""


def upgrade() -> None:
    """Apply the migration."""
    run(UPGRADE_SQL)


def downgrade() -> None:
    """Take the migration back."""
    run(DOWNGRADE_SQL)
