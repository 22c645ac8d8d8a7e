"""Predictions of a mixture or a molecule, each with the model that made it.

A prediction is part of its subject: seen by whoever sees that, made and removed by whoever may change it, never
changed. The service role alone stores predictions of what is public. A row without a value says why: its subject lies
outside the model's range.
"""

from __future__ import annotations

from typing import Final

from migrations.run import run

revision = "0010_predictions"
down_revision = "0009_experiments"

UPGRADE_SQL: Final = """
CREATE TABLE public.calculation_methods (
    id uuid DEFAULT private.uuid_v7() CONSTRAINT calculation_methods_pkey PRIMARY KEY,
    name text NOT NULL CONSTRAINT calculation_methods_name_check CHECK (name ~ '^[a-z][a-z0-9_]{0,79}$'),
    version text NOT NULL CONSTRAINT calculation_methods_version_check CHECK (char_length(version) BETWEEN 1 AND 50),
    description text NOT NULL
        CONSTRAINT calculation_methods_description_check CHECK (char_length(description) <= 10000),
    equation text CONSTRAINT calculation_methods_equation_check CHECK (char_length(equation) <= 10000),
    reference text CONSTRAINT calculation_methods_reference_check CHECK (char_length(reference) <= 2000),
    parameters jsonb NOT NULL DEFAULT '{}'
        CONSTRAINT calculation_methods_parameters_check CHECK (jsonb_typeof(parameters) = 'object'),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT calculation_methods_name_version_key UNIQUE (name, version)
);

CREATE TABLE public.predictions (
    id uuid DEFAULT private.uuid_v7() CONSTRAINT predictions_pkey PRIMARY KEY,
    mixture_id uuid CONSTRAINT predictions_mixture_id_fkey REFERENCES public.mixtures (id) ON DELETE CASCADE,
    molecule_id uuid CONSTRAINT predictions_molecule_id_fkey REFERENCES public.molecules (id) ON DELETE CASCADE,
    property_type text NOT NULL CONSTRAINT predictions_property_type_fkey
        REFERENCES public.property_types (name) ON UPDATE CASCADE ON DELETE RESTRICT,
    method_id uuid NOT NULL
        CONSTRAINT predictions_method_id_fkey REFERENCES public.calculation_methods (id) ON DELETE RESTRICT,
    conditions jsonb NOT NULL DEFAULT '{}'
        CONSTRAINT predictions_conditions_check CHECK (jsonb_typeof(conditions) = 'object'),
    value float8 CONSTRAINT predictions_value_check CHECK (value > '-Infinity' AND value < 'Infinity'),
    unit text NOT NULL CONSTRAINT predictions_unit_check CHECK (char_length(unit) BETWEEN 1 AND 50),
    standard_uncertainty float8 CONSTRAINT predictions_standard_uncertainty_check
        CHECK (standard_uncertainty >= 0 AND standard_uncertainty < 'Infinity'),
    in_domain boolean NOT NULL,
    reason text CONSTRAINT predictions_reason_check CHECK (char_length(reason) BETWEEN 1 AND 2000),
    reference text CONSTRAINT predictions_reference_check CHECK (char_length(reference) <= 2000),
    inputs_hash text NOT NULL CONSTRAINT predictions_inputs_hash_check CHECK (inputs_hash ~ '^[0-9a-f]{64}$'),
    created_by uuid
        CONSTRAINT predictions_created_by_fkey REFERENCES public.user_profiles (id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    is_public boolean NOT NULL DEFAULT false,
    acl uuid[] NOT NULL DEFAULT '{}',
    CONSTRAINT predictions_subject_check CHECK (num_nonnulls(mixture_id, molecule_id) = 1),
    CONSTRAINT predictions_in_domain_check
        CHECK (in_domain = (value IS NOT NULL) AND (in_domain OR reason IS NOT NULL)),
    CONSTRAINT predictions_uncertain_value_check CHECK (value IS NOT NULL OR standard_uncertainty IS NULL),
    CONSTRAINT predictions_subject_property_type_method_id_inputs_hash_key
        UNIQUE NULLS NOT DISTINCT (mixture_id, molecule_id, property_type, method_id, inputs_hash)
);
CREATE INDEX predictions_created_at_public_idx ON public.predictions (created_at, id) WHERE is_public;
CREATE INDEX predictions_created_at_idx ON public.predictions (created_at, id);
CREATE INDEX predictions_mixture_id_idx ON public.predictions (mixture_id, created_at, id);
CREATE INDEX predictions_molecule_id_idx ON public.predictions (molecule_id, created_at, id);
CREATE INDEX predictions_property_type_idx ON public.predictions (property_type, method_id);
CREATE INDEX predictions_method_id_idx ON public.predictions (method_id, created_at, id);
CREATE INDEX predictions_created_by_idx ON public.predictions (created_by);

CREATE FUNCTION private.follow_subject() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    IF NEW.mixture_id IS NULL THEN
        SELECT m.is_public, m.acl INTO NEW.is_public, NEW.acl
        FROM public.molecules AS m WHERE m.id = NEW.molecule_id FOR NO KEY UPDATE;
    ELSE
        SELECT x.is_public, x.acl INTO NEW.is_public, NEW.acl
        FROM public.mixtures AS x WHERE x.id = NEW.mixture_id FOR NO KEY UPDATE;
    END IF;
    NEW.is_public := coalesce(NEW.is_public, false);
    NEW.acl := coalesce(NEW.acl, '{}');
    RETURN NEW;
END
$$;
CREATE TRIGGER predictions_follow BEFORE INSERT OR UPDATE OF mixture_id, molecule_id ON public.predictions
FOR EACH ROW EXECUTE FUNCTION private.follow_subject();

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

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA private FROM PUBLIC;

ALTER TABLE public.calculation_methods ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.calculation_methods FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.calculation_methods FROM anon, authenticated, service_role;
CREATE POLICY calculation_methods_all_service_role ON public.calculation_methods FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.calculation_methods TO service_role;
ALTER TABLE public.predictions ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.predictions FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.predictions FROM anon, authenticated, service_role;
CREATE POLICY predictions_all_service_role ON public.predictions FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.predictions TO service_role;

GRANT SELECT ON public.calculation_methods TO anon, authenticated;
GRANT SELECT (
    id, mixture_id, molecule_id, property_type, method_id, conditions, value, unit, standard_uncertainty, in_domain,
    reason, reference, inputs_hash, created_by, created_at
) ON public.predictions TO anon, authenticated;
GRANT INSERT (
    id, mixture_id, molecule_id, property_type, method_id, conditions, value, unit, standard_uncertainty, in_domain,
    reason, reference, inputs_hash, created_by
), DELETE ON public.predictions TO authenticated;

CREATE POLICY calculation_methods_select_anon ON public.calculation_methods FOR SELECT TO anon USING (true);
CREATE POLICY calculation_methods_select_authenticated ON public.calculation_methods FOR SELECT TO authenticated
USING (true);

CREATE POLICY predictions_select_anon ON public.predictions FOR SELECT TO anon USING (is_public);
CREATE POLICY predictions_select_authenticated ON public.predictions FOR SELECT TO authenticated
USING (is_public OR acl && (SELECT private.my_keys()));
CREATE POLICY predictions_insert_authenticated ON public.predictions FOR INSERT TO authenticated
WITH CHECK (
    created_by = (SELECT auth.uid())
    AND (
        EXISTS (
            SELECT FROM public.mixtures AS x
            WHERE x.id = mixture_id AND (
                coalesce(x.project_id, x.created_by) = ANY ((SELECT private.my_editable_keys())::uuid[])
                AND NOT x.is_public
                OR x.project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
            )
        )
        OR EXISTS (
            SELECT FROM public.molecules AS m
            WHERE m.id = molecule_id AND (
                coalesce(m.project_id, m.created_by) = ANY ((SELECT private.my_editable_keys())::uuid[])
                AND NOT m.is_public
                OR m.project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
            )
        )
    )
);
CREATE POLICY predictions_delete_authenticated ON public.predictions FOR DELETE TO authenticated
USING (
    EXISTS (
        SELECT FROM public.mixtures AS x
        WHERE x.id = mixture_id AND (
            coalesce(x.project_id, x.created_by) = ANY ((SELECT private.my_editable_keys())::uuid[]) AND NOT x.is_public
            OR x.project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
        )
    )
    OR EXISTS (
        SELECT FROM public.molecules AS m
        WHERE m.id = molecule_id AND (
            coalesce(m.project_id, m.created_by) = ANY ((SELECT private.my_editable_keys())::uuid[]) AND NOT m.is_public
            OR m.project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
        )
    )
);
"""

DOWNGRADE_SQL: Final = """
CREATE OR REPLACE FUNCTION private.spread_molecule_access() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    UPDATE public.molecule_identifiers SET is_public = NEW.is_public, acl = NEW.acl WHERE molecule_id = NEW.id;
    UPDATE public.molecular_properties SET is_public = NEW.is_public, acl = NEW.acl WHERE molecule_id = NEW.id;
    UPDATE public.molecule_proteins SET is_public = NEW.is_public, acl = NEW.acl WHERE molecule_id = NEW.id;
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
    RETURN NULL;
END
$$;
DROP TABLE public.predictions, public.calculation_methods;
DROP FUNCTION private.follow_subject();
"""


def upgrade() -> None:
    """Apply the migration."""
    run(UPGRADE_SQL)


def downgrade() -> None:
    """Take the migration back."""
    run(DOWNGRADE_SQL)
