"""Property types and the typed values of molecules, each with unit, method and source.

`content_hash` names a value by what it says, so that the same value imported twice is one row and two
sources that disagree are two.
"""

from __future__ import annotations

from typing import Final

from migrations.run import run

revision = "0005_properties"
down_revision = "0004_molecules"

UPGRADE_SQL: Final = """
CREATE TABLE public.property_types (
    name text CONSTRAINT property_types_pkey PRIMARY KEY
        CONSTRAINT property_types_name_check CHECK (name ~ '^[a-z][a-z0-9_]{0,79}$'),
    unit text,
    value_kind text NOT NULL CONSTRAINT property_types_value_kind_check
        CHECK (value_kind IN ('numeric', 'text', 'boolean')),
    description text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT property_types_unit_check CHECK ((unit IS NOT NULL) = (value_kind = 'numeric'))
);

CREATE TABLE public.molecular_properties (
    id uuid DEFAULT private.uuid_v7() CONSTRAINT molecular_properties_pkey PRIMARY KEY,
    molecule_id uuid NOT NULL
        CONSTRAINT molecular_properties_molecule_id_fkey REFERENCES public.molecules (id) ON DELETE CASCADE,
    property_type text NOT NULL CONSTRAINT molecular_properties_property_type_fkey
        REFERENCES public.property_types (name) ON UPDATE CASCADE ON DELETE RESTRICT,
    numeric_value float8 CONSTRAINT molecular_properties_numeric_value_check
        CHECK (numeric_value > '-Infinity' AND numeric_value < 'Infinity'),
    text_value text CONSTRAINT molecular_properties_text_value_check
        CHECK (char_length(text_value) BETWEEN 1 AND 10000),
    boolean_value boolean,
    unit text CONSTRAINT molecular_properties_unit_check CHECK (char_length(unit) <= 50),
    standard_uncertainty float8 CONSTRAINT molecular_properties_standard_uncertainty_check
        CHECK (standard_uncertainty >= 0 AND standard_uncertainty < 'Infinity'),
    method text CONSTRAINT molecular_properties_method_check CHECK (char_length(method) <= 2000),
    reference text CONSTRAINT molecular_properties_reference_check CHECK (char_length(reference) <= 2000),
    verified boolean NOT NULL DEFAULT true,
    import_run_id uuid
        CONSTRAINT molecular_properties_import_run_id_fkey REFERENCES public.import_runs (id) ON DELETE SET NULL,
    content_hash uuid GENERATED ALWAYS AS (
        md5(
            coalesce(numeric_value::text, '') || chr(31) || coalesce(text_value, '') || chr(31)
            || coalesce(boolean_value::text, '') || chr(31) || coalesce(unit, '') || chr(31)
            || coalesce(standard_uncertainty::text, '') || chr(31) || coalesce(method, '') || chr(31)
            || coalesce(reference, '')
        )::uuid
    ) STORED,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT molecular_properties_value_check CHECK (num_nonnulls(numeric_value, text_value, boolean_value) = 1),
    CONSTRAINT molecular_properties_molecule_id_property_type_content_hash_key
        UNIQUE (molecule_id, property_type, content_hash)
);
CREATE INDEX molecular_properties_property_type_idx
ON public.molecular_properties (property_type, numeric_value);
CREATE INDEX molecular_properties_import_run_id_idx ON public.molecular_properties (import_run_id);

ALTER TABLE public.property_types ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.property_types FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.property_types FROM anon, authenticated, service_role;
CREATE POLICY property_types_all_service_role ON public.property_types FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.property_types TO service_role;
ALTER TABLE public.molecular_properties ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.molecular_properties FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.molecular_properties FROM anon, authenticated, service_role;
CREATE POLICY molecular_properties_all_service_role ON public.molecular_properties FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.molecular_properties TO service_role;

GRANT SELECT ON public.property_types TO anon, authenticated;
GRANT SELECT ON public.molecular_properties TO anon, authenticated;
GRANT INSERT (
    molecule_id, property_type, numeric_value, text_value, boolean_value, unit, standard_uncertainty, method, reference,
    verified, import_run_id
), DELETE ON public.molecular_properties TO authenticated;
CREATE POLICY property_types_select_anon ON public.property_types FOR SELECT TO anon USING (true);
CREATE POLICY property_types_select_authenticated ON public.property_types FOR SELECT TO authenticated USING (true);

CREATE POLICY molecular_properties_select_anon ON public.molecular_properties FOR SELECT TO anon
USING (EXISTS (SELECT FROM public.molecules AS m WHERE m.id = molecule_id));
CREATE POLICY molecular_properties_select_authenticated ON public.molecular_properties FOR SELECT TO authenticated
USING (EXISTS (SELECT FROM public.molecules AS m WHERE m.id = molecule_id));
CREATE POLICY molecular_properties_insert_authenticated ON public.molecular_properties FOR INSERT TO authenticated
WITH CHECK (import_run_id IS NULL AND EXISTS (
    SELECT FROM public.molecules AS m
    WHERE m.id = molecule_id AND (
        m.created_by = (SELECT auth.uid()) AND m.project_id IS NULL AND NOT m.is_public
        OR m.project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
        OR m.project_id = ANY ((SELECT private.my_project_ids('{owner,editor}'))::uuid[]) AND NOT m.is_public
    )
));
CREATE POLICY molecular_properties_delete_authenticated ON public.molecular_properties FOR DELETE TO authenticated
USING (EXISTS (
    SELECT FROM public.molecules AS m
    WHERE m.id = molecule_id AND (
        m.created_by = (SELECT auth.uid()) AND m.project_id IS NULL AND NOT m.is_public
        OR m.project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
        OR m.project_id = ANY ((SELECT private.my_project_ids('{owner,editor}'))::uuid[]) AND NOT m.is_public
    )
));
"""

DOWNGRADE_SQL: Final = """
DROP TABLE public.molecular_properties, public.property_types;
"""


def upgrade() -> None:
    """Apply the migration."""
    run(UPGRADE_SQL)


def downgrade() -> None:
    """Take the migration back."""
    run(DOWNGRADE_SQL)
