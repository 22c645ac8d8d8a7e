"""Molecules and their identifiers.

`acl` holds the keys that open a private row: its creator and its project. A policy compares it with the
caller's keys, one array per statement, which costs a fraction of asking a function for each row. Clients
get no grant on it; the trigger alone fills it.
"""

from __future__ import annotations

from typing import Final

from migrations.run import run

revision = "0004_molecules"
down_revision = "0003_provenance"

UPGRADE_SQL: Final = """
CREATE TABLE public.molecules (
    id uuid DEFAULT private.uuid_v7() CONSTRAINT molecules_pkey PRIMARY KEY,
    name text NOT NULL CONSTRAINT molecules_name_check CHECK (char_length(name) BETWEEN 1 AND 500),
    kind text NOT NULL DEFAULT 'molecule' CONSTRAINT molecules_kind_check CHECK (kind IN ('molecule', 'polymer')),
    canonical_smiles text CONSTRAINT molecules_canonical_smiles_check
        CHECK (char_length(canonical_smiles) BETWEEN 1 AND 20000),
    inchi text CONSTRAINT molecules_inchi_check CHECK (inchi LIKE 'InChI=1%' AND char_length(inchi) <= 40000),
    inchikey text CONSTRAINT molecules_inchikey_check CHECK (inchikey ~ '^[A-Z]{14}-[A-Z]{10}-[A-Z]$'),
    parent_inchikey text CONSTRAINT molecules_parent_inchikey_check
        CHECK (parent_inchikey ~ '^[A-Z]{14}-[A-Z]{10}-[A-Z]$'),
    formula text CONSTRAINT molecules_formula_check CHECK (char_length(formula) BETWEEN 1 AND 500),
    molar_mass_g_mol float8 CONSTRAINT molecules_molar_mass_g_mol_check
        CHECK (molar_mass_g_mol > 0 AND molar_mass_g_mol < 'Infinity'),
    descriptors jsonb NOT NULL DEFAULT '{}' CONSTRAINT molecules_descriptors_check
        CHECK (jsonb_typeof(descriptors) = 'object'),
    fingerprint bit(2048),
    is_public boolean NOT NULL DEFAULT false,
    project_id uuid CONSTRAINT molecules_project_id_fkey REFERENCES public.projects (id) ON DELETE RESTRICT,
    created_by uuid CONSTRAINT molecules_created_by_fkey REFERENCES public.user_profiles (id) ON DELETE RESTRICT,
    data_source_id uuid
        CONSTRAINT molecules_data_source_id_fkey REFERENCES public.data_sources (id) ON DELETE RESTRICT,
    source_record text CONSTRAINT molecules_source_record_check CHECK (char_length(source_record) <= 200),
    import_run_id uuid
        CONSTRAINT molecules_import_run_id_fkey REFERENCES public.import_runs (id) ON DELETE SET NULL,
    acl uuid[] NOT NULL DEFAULT '{}',
    search tsvector GENERATED ALWAYS AS (to_tsvector('simple'::regconfig, name)) STORED,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT molecules_structure_check CHECK (
        num_nulls(canonical_smiles, inchi, inchikey, parent_inchikey, formula, molar_mass_g_mol)
        = CASE kind WHEN 'polymer' THEN 6 ELSE 0 END
    )
);
CREATE UNIQUE INDEX molecules_inchikey_public_key ON public.molecules (inchikey) WHERE is_public;
CREATE UNIQUE INDEX molecules_project_id_inchikey_key ON public.molecules (project_id, inchikey)
WHERE NOT is_public AND project_id IS NOT NULL;
CREATE UNIQUE INDEX molecules_created_by_inchikey_key ON public.molecules (created_by, inchikey) NULLS NOT DISTINCT
WHERE NOT is_public AND project_id IS NULL AND inchikey IS NOT NULL;
CREATE UNIQUE INDEX molecules_name_polymer_key ON public.molecules (lower(name)) WHERE kind = 'polymer';
CREATE INDEX molecules_created_at_public_idx ON public.molecules (created_at, id) WHERE is_public;
CREATE INDEX molecules_created_at_idx ON public.molecules (created_at, id);
CREATE INDEX molecules_updated_at_idx ON public.molecules (updated_at, id);
CREATE INDEX molecules_name_idx ON public.molecules (name, id);
CREATE INDEX molecules_molar_mass_g_mol_idx ON public.molecules (molar_mass_g_mol, id);
CREATE INDEX molecules_inchikey_idx ON public.molecules (inchikey, id);
CREATE INDEX molecules_formula_idx ON public.molecules (formula, id);
CREATE INDEX molecules_parent_inchikey_idx ON public.molecules (parent_inchikey);
CREATE INDEX molecules_created_by_idx ON public.molecules (created_by);
CREATE INDEX molecules_project_id_idx ON public.molecules (project_id);
CREATE INDEX molecules_data_source_id_idx ON public.molecules (data_source_id);
CREATE INDEX molecules_import_run_id_idx ON public.molecules (import_run_id);
CREATE INDEX molecules_search_idx ON public.molecules USING gin (search);
CREATE INDEX molecules_acl_idx ON public.molecules USING gin (acl) WHERE NOT is_public;

CREATE FUNCTION private.set_acl() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    -- A project's row is its team's: whoever made it and then left the team sees it no longer.
    NEW.acl := array_remove(ARRAY[coalesce(NEW.project_id, NEW.created_by)], NULL);
    RETURN NEW;
END
$$;
CREATE TRIGGER molecules_acl BEFORE INSERT OR UPDATE ON public.molecules
FOR EACH ROW EXECUTE FUNCTION private.set_acl();
-- No policy sees the old row beside the new one. Taking a row out of a project is like deleting it there.
CREATE FUNCTION private.guard_project() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    IF OLD.project_id IS NOT NULL AND NEW.project_id IS DISTINCT FROM OLD.project_id
        AND current_user = 'authenticated'
        AND NOT OLD.project_id = ANY (private.my_project_ids('{owner}'))
    THEN
        RAISE insufficient_privilege USING MESSAGE = 'only an owner takes a row out of its project';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER molecules_project BEFORE UPDATE OF project_id ON public.molecules
FOR EACH ROW EXECUTE FUNCTION private.guard_project();
CREATE TRIGGER molecules_touch BEFORE UPDATE ON public.molecules
FOR EACH ROW EXECUTE FUNCTION private.touch_row();

CREATE TABLE public.molecule_identifiers (
    id uuid DEFAULT private.uuid_v7() CONSTRAINT molecule_identifiers_pkey PRIMARY KEY,
    molecule_id uuid NOT NULL
        CONSTRAINT molecule_identifiers_molecule_id_fkey REFERENCES public.molecules (id) ON DELETE CASCADE,
    source text NOT NULL CONSTRAINT molecule_identifiers_source_check CHECK (source ~ '^[a-z][a-z0-9_]{0,39}$'),
    kind text NOT NULL CONSTRAINT molecule_identifiers_kind_check CHECK (kind ~ '^[a-z][a-z0-9_]{0,39}$'),
    external_id text NOT NULL CONSTRAINT molecule_identifiers_external_id_check
        CHECK (char_length(external_id) BETWEEN 1 AND 500),
    verified boolean NOT NULL DEFAULT true,
    import_run_id uuid
        CONSTRAINT molecule_identifiers_import_run_id_fkey REFERENCES public.import_runs (id) ON DELETE SET NULL,
    search tsvector GENERATED ALWAYS AS (to_tsvector('simple'::regconfig, external_id)) STORED,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT molecule_identifiers_source_kind_external_id_molecule_id_key
        UNIQUE (source, kind, external_id, molecule_id)
);
CREATE INDEX molecule_identifiers_molecule_id_idx ON public.molecule_identifiers (molecule_id);
CREATE INDEX molecule_identifiers_external_id_idx ON public.molecule_identifiers (external_id);
CREATE INDEX molecule_identifiers_import_run_id_idx ON public.molecule_identifiers (import_run_id);
CREATE INDEX molecule_identifiers_search_idx ON public.molecule_identifiers USING gin (search);

-- Full text over names and synonyms. A text match is not leakproof, so behind a policy it would lose its
-- index. Run past the policies, it must itself leave out what the caller may not see: an id that matches a
-- guessed name would tell that somebody keeps such a molecule.
CREATE FUNCTION private.molecule_ids_matching(query text) RETURNS uuid[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(array_agg(found.id), '{}'::uuid[])
    FROM (
        SELECT m.id FROM public.molecules AS m
        WHERE m.search @@ pg_catalog.websearch_to_tsquery('simple'::regconfig, query)
            AND (m.is_public OR m.acl && (SELECT private.my_keys())
                OR (SELECT current_setting('role') = 'service_role'))
        UNION
        SELECT m.id FROM public.molecule_identifiers AS i
        JOIN public.molecules AS m ON m.id = i.molecule_id
        WHERE i.search @@ pg_catalog.websearch_to_tsquery('simple'::regconfig, query)
            AND (m.is_public OR m.acl && (SELECT private.my_keys())
                OR (SELECT current_setting('role') = 'service_role'))
    ) AS found
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA private FROM PUBLIC;
GRANT EXECUTE ON FUNCTION private.molecule_ids_matching(text) TO anon, authenticated, service_role;

ALTER TABLE public.molecules ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.molecules FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.molecules FROM anon, authenticated, service_role;
CREATE POLICY molecules_all_service_role ON public.molecules FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.molecules TO service_role;
ALTER TABLE public.molecule_identifiers ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.molecule_identifiers FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.molecule_identifiers FROM anon, authenticated, service_role;
CREATE POLICY molecule_identifiers_all_service_role ON public.molecule_identifiers FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.molecule_identifiers TO service_role;

GRANT SELECT (
    id, name, kind, canonical_smiles, inchi, inchikey, parent_inchikey, formula, molar_mass_g_mol, descriptors,
    fingerprint, is_public, project_id, created_by, data_source_id, source_record, import_run_id, version,
    created_at, updated_at
) ON public.molecules TO anon, authenticated;
GRANT INSERT (
    id, name, kind, canonical_smiles, inchi, inchikey, parent_inchikey, formula, molar_mass_g_mol, descriptors,
    fingerprint, is_public, project_id, created_by, data_source_id, source_record, import_run_id
) ON public.molecules TO authenticated;
GRANT UPDATE (name, is_public, project_id, updated_at), DELETE ON public.molecules TO authenticated;
GRANT SELECT ON public.molecule_identifiers TO anon, authenticated;
GRANT INSERT (molecule_id, source, kind, external_id, verified, import_run_id), DELETE
ON public.molecule_identifiers TO authenticated;

CREATE POLICY molecules_select_anon ON public.molecules FOR SELECT TO anon USING (is_public);
CREATE POLICY molecules_select_authenticated ON public.molecules FOR SELECT TO authenticated
USING (is_public OR acl && (SELECT private.my_keys()));
-- Private rows outside projects belong to their creator; a project's rows to its team's editors; only an
-- owner of the team publishes, and only an owner touches what is public.
CREATE POLICY molecules_insert_authenticated ON public.molecules FOR INSERT TO authenticated
WITH CHECK (
    kind = 'molecule'
    AND data_source_id IS NULL
    AND import_run_id IS NULL
    AND created_by = (SELECT auth.uid())
    AND (
        project_id IS NULL AND NOT is_public
        OR project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
        OR project_id = ANY ((SELECT private.my_project_ids('{owner,editor}'))::uuid[]) AND NOT is_public
    )
);
CREATE POLICY molecules_update_authenticated ON public.molecules FOR UPDATE TO authenticated
USING (
    created_by = (SELECT auth.uid()) AND project_id IS NULL AND NOT is_public
    OR project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
    OR project_id = ANY ((SELECT private.my_project_ids('{owner,editor}'))::uuid[]) AND NOT is_public
)
WITH CHECK (
    created_by = (SELECT auth.uid()) AND project_id IS NULL AND NOT is_public
    OR project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
    OR project_id = ANY ((SELECT private.my_project_ids('{owner,editor}'))::uuid[]) AND NOT is_public
);
CREATE POLICY molecules_delete_authenticated ON public.molecules FOR DELETE TO authenticated
USING (
    created_by = (SELECT auth.uid()) AND project_id IS NULL AND NOT is_public
    OR project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
);

CREATE POLICY molecule_identifiers_select_anon ON public.molecule_identifiers FOR SELECT TO anon
USING (EXISTS (SELECT FROM public.molecules AS m WHERE m.id = molecule_id));
CREATE POLICY molecule_identifiers_select_authenticated ON public.molecule_identifiers FOR SELECT TO authenticated
USING (EXISTS (SELECT FROM public.molecules AS m WHERE m.id = molecule_id));
CREATE POLICY molecule_identifiers_insert_authenticated ON public.molecule_identifiers FOR INSERT TO authenticated
WITH CHECK (import_run_id IS NULL AND EXISTS (
    SELECT FROM public.molecules AS m
    WHERE m.id = molecule_id AND (
        m.created_by = (SELECT auth.uid()) AND m.project_id IS NULL AND NOT m.is_public
        OR m.project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
        OR m.project_id = ANY ((SELECT private.my_project_ids('{owner,editor}'))::uuid[]) AND NOT m.is_public
    )
));
CREATE POLICY molecule_identifiers_delete_authenticated ON public.molecule_identifiers FOR DELETE TO authenticated
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
DROP TABLE public.molecule_identifiers, public.molecules;
DROP FUNCTION private.molecule_ids_matching(text);
DROP FUNCTION private.guard_project();
DROP FUNCTION private.set_acl();
"""


def upgrade() -> None:
    """Apply the migration."""
    run(UPGRADE_SQL)


def downgrade() -> None:
    """Take the migration back."""
    run(DOWNGRADE_SQL)
