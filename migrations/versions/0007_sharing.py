"""Sharing: projects that other teams work on, molecules that other projects see, and what single checks ask.

A molecule's `acl` now holds the projects that it is shared with as well, and each of its parts has a copy of
`is_public` and `acl`: a policy that looks up the parent of each row costs half as much again as the list itself,
one that compares two columns a tenth. Triggers keep both. Whoever changes who may see a molecule holds its row, and
so does whoever gives it a part, so that neither can miss the other.
"""

from __future__ import annotations

from typing import Final

from migrations.run import run

revision = "0007_sharing"
down_revision = "0006_bookkeeping"

UPGRADE_SQL: Final = """
CREATE TABLE public.team_projects (
    team_id uuid NOT NULL CONSTRAINT team_projects_team_id_fkey REFERENCES public.teams (id) ON DELETE CASCADE,
    project_id uuid NOT NULL
        CONSTRAINT team_projects_project_id_fkey REFERENCES public.projects (id) ON DELETE CASCADE,
    role text NOT NULL CONSTRAINT team_projects_role_check CHECK (role IN ('editor', 'viewer')),
    created_by uuid
        CONSTRAINT team_projects_created_by_fkey REFERENCES public.user_profiles (id) ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT team_projects_pkey PRIMARY KEY (team_id, project_id)
);
CREATE INDEX team_projects_project_id_idx ON public.team_projects (project_id);
CREATE INDEX team_projects_created_by_idx ON public.team_projects (created_by);

CREATE TABLE public.project_molecules (
    project_id uuid NOT NULL
        CONSTRAINT project_molecules_project_id_fkey REFERENCES public.projects (id) ON DELETE CASCADE,
    molecule_id uuid NOT NULL
        CONSTRAINT project_molecules_molecule_id_fkey REFERENCES public.molecules (id) ON DELETE CASCADE,
    created_by uuid
        CONSTRAINT project_molecules_created_by_fkey REFERENCES public.user_profiles (id) ON DELETE SET NULL,
    opens boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT project_molecules_pkey PRIMARY KEY (project_id, molecule_id)
);
CREATE INDEX project_molecules_molecule_id_idx ON public.project_molecules (molecule_id);
CREATE INDEX project_molecules_created_by_idx ON public.project_molecules (created_by);

-- A member of an invited team has the lesser of two roles: its own in the team and the team's in the project.
-- In plpgsql, because the body of an SQL function is planned at every call before PostgreSQL 18.
CREATE OR REPLACE FUNCTION private.my_project_ids(roles text[]) RETURNS uuid[]
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    me uuid := auth.uid();
BEGIN
    RETURN ARRAY(
        SELECT p.id
        FROM public.team_members AS m
        JOIN public.projects AS p ON p.team_id = m.team_id
        WHERE m.user_id = me AND m.role = ANY (roles)
        UNION
        SELECT s.project_id
        FROM public.team_members AS m
        JOIN public.team_projects AS s ON s.team_id = m.team_id
        WHERE m.user_id = me AND CASE WHEN 'viewer' IN (m.role, s.role) THEN 'viewer' ELSE 'editor' END = ANY (roles)
    );
END
$$;

-- Nearly every statement asks this one, so it does not go through the one above: any role opens.
CREATE OR REPLACE FUNCTION private.my_keys() RETURNS uuid[]
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    me uuid := auth.uid();
    my_teams uuid[] := ARRAY(SELECT m.team_id FROM public.team_members AS m WHERE m.user_id = me);
BEGIN
    RETURN ARRAY(
        SELECT me WHERE me IS NOT NULL
        UNION ALL
        SELECT p.id FROM public.projects AS p WHERE p.team_id = ANY (my_teams)
        UNION ALL
        SELECT s.project_id FROM public.team_projects AS s WHERE s.team_id = ANY (my_teams)
    );
END
$$;

-- Whose private rows the caller may change: its own and those of the projects that it edits.
CREATE FUNCTION private.my_editable_keys() RETURNS uuid[]
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    RETURN array_remove(auth.uid() || private.my_project_ids('{owner,editor}'), NULL);
END
$$;

CREATE FUNCTION private.is_service() RETURNS boolean
LANGUAGE sql STABLE SET search_path = '' AS $$
    SELECT current_setting('role') = 'service_role'
$$;

-- Single checks, for a caller that asks about one row. Policies never call them.
CREATE FUNCTION private.has_molecule_access(molecule_id uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT EXISTS (
        SELECT FROM public.molecules AS m
        WHERE m.id = molecule_id AND (m.is_public OR m.acl && private.my_keys() OR private.is_service())
    )
$$;
CREATE FUNCTION private.is_team_member(team_id uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT team_id = ANY (private.my_team_ids('{owner,editor,viewer}')) OR private.is_service()
$$;
CREATE FUNCTION private.user_has_permission(permission text, project_id uuid) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    roles text[] := CASE
        WHEN permission = 'read' THEN '{owner,editor,viewer}'
        WHEN permission IN ('create', 'change', 'share') THEN '{owner,editor}'
        WHEN permission IN ('delete', 'publish', 'manage') THEN '{owner}'
    END;
BEGIN
    IF roles IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = 'no such permission: ' || coalesce(permission, 'null');
    END IF;
    RETURN project_id = ANY (private.my_project_ids(roles)) OR private.is_service();
END
$$;

-- Whoever joins a team needs a profile, also before its own first write.
CREATE FUNCTION private.ensure_member_profile() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    INSERT INTO public.user_profiles (id) VALUES (NEW.user_id) ON CONFLICT (id) DO NOTHING;
    RETURN NEW;
END
$$;
CREATE TRIGGER team_members_profile BEFORE INSERT ON public.team_members
FOR EACH ROW EXECUTE FUNCTION private.ensure_member_profile();

CREATE FUNCTION private.keep_an_owner() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    -- Two owners who leave at once go one after the other. A team that is being deleted is not found.
    PERFORM FROM public.teams WHERE id = OLD.team_id FOR NO KEY UPDATE;
    IF FOUND AND NOT EXISTS (SELECT FROM public.team_members WHERE team_id = OLD.team_id AND role = 'owner') THEN
        RAISE check_violation USING MESSAGE = 'a team keeps an owner', CONSTRAINT = 'team_members_last_owner_check';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER team_members_last_owner AFTER UPDATE OR DELETE ON public.team_members
FOR EACH ROW WHEN (OLD.role = 'owner') EXECUTE FUNCTION private.keep_an_owner();

CREATE OR REPLACE FUNCTION private.set_acl() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    -- A project's row is its team's: whoever made it and then left the team sees it no longer.
    NEW.acl := array_remove(ARRAY[coalesce(NEW.project_id, NEW.created_by)], NULL);
    -- A public row opens without a key, and may be in more projects than an index takes in.
    IF TG_OP = 'UPDATE' AND NOT NEW.is_public THEN
        NEW.acl := NEW.acl || ARRAY(
            SELECT s.project_id FROM public.project_molecules AS s WHERE s.molecule_id = NEW.id AND s.opens
            ORDER BY s.project_id
        );
    END IF;
    RETURN NEW;
END
$$;
DROP TRIGGER molecules_acl ON public.molecules;
CREATE TRIGGER molecules_acl BEFORE INSERT OR UPDATE OF is_public, project_id, created_by, acl ON public.molecules
FOR EACH ROW EXECUTE FUNCTION private.set_acl();
-- Counting reads the index alone, and a btree takes 2,704 bytes a row. Since its triggers went, this transaction
-- holds the table in any case.
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE public.molecules ADD CONSTRAINT molecules_acl_check CHECK (cardinality(acl) <= 100);
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX molecules_is_public_idx ON public.molecules (is_public) INCLUDE (acl);
-- Behind `is_public OR` an index of private rows alone is never chosen.
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX public.molecules_acl_idx;
-- An identifier is looked up by its source and kind, too, and those have a unique index with it.
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX public.molecule_identifiers_external_id_idx;
-- `acl` alone is no new version.
DROP TRIGGER molecules_touch ON public.molecules;
CREATE TRIGGER molecules_touch BEFORE UPDATE OF
    name, kind, canonical_smiles, inchi, inchikey, parent_inchikey, formula, molar_mass_g_mol, descriptors, fingerprint,
    is_public, project_id, created_by, data_source_id, source_record, version, created_at, updated_at
ON public.molecules
FOR EACH ROW EXECUTE FUNCTION private.touch_row();

-- A client, as against the service role and whoever keeps the database.
CREATE FUNCTION private.is_client() RETURNS boolean
LANGUAGE sql STABLE SET search_path = '' AS $$
    SELECT current_setting('role') IN ('anon', 'authenticated')
$$;
-- Everybody may point a project of their own to what is public. Only a share by those who may change the molecule
-- opens it when it is withdrawn; the others end then.
CREATE FUNCTION private.mark_molecule_share() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    -- Held, the molecule cannot be withdrawn past this share.
    SELECT NOT m.is_public OR NOT private.is_client()
        OR coalesce(coalesce(m.project_id, m.created_by) = ANY (private.my_editable_keys()), false)
    INTO NEW.opens
    FROM public.molecules AS m WHERE m.id = NEW.molecule_id FOR NO KEY UPDATE;
    NEW.opens := coalesce(NEW.opens, false);
    RETURN NEW;
END
$$;
CREATE TRIGGER project_molecules_mark BEFORE INSERT ON public.project_molecules
FOR EACH ROW EXECUTE FUNCTION private.mark_molecule_share();
CREATE FUNCTION private.end_molecule_shares() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    DELETE FROM public.project_molecules WHERE molecule_id = NEW.id AND NOT opens;
    RETURN NULL;
END
$$;
CREATE TRIGGER molecules_end_shares AFTER UPDATE ON public.molecules
FOR EACH ROW WHEN (OLD.is_public AND NOT NEW.is_public) EXECUTE FUNCTION private.end_molecule_shares();

CREATE FUNCTION private.share_molecule() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    shared uuid := coalesce(NEW.molecule_id, OLD.molecule_id);
BEGIN
    IF TG_OP = 'UPDATE' THEN
        RAISE feature_not_supported USING MESSAGE = 'a share is added or removed';
    END IF;
    UPDATE public.molecules SET acl = acl, updated_at = clock_timestamp() WHERE id = shared AND NOT is_public;
    RETURN NULL;
END
$$;
CREATE TRIGGER project_molecules_share AFTER INSERT OR UPDATE OR DELETE ON public.project_molecules
FOR EACH ROW EXECUTE FUNCTION private.share_molecule();

ALTER TABLE public.molecule_identifiers
ADD COLUMN is_public boolean NOT NULL DEFAULT false,
ADD COLUMN acl uuid[] NOT NULL DEFAULT '{}';
ALTER TABLE public.molecular_properties
ADD COLUMN is_public boolean NOT NULL DEFAULT false,
ADD COLUMN acl uuid[] NOT NULL DEFAULT '{}';
UPDATE public.molecule_identifiers AS p SET is_public = m.is_public, acl = m.acl
FROM public.molecules AS m WHERE m.id = p.molecule_id;
UPDATE public.molecular_properties AS p SET is_public = m.is_public, acl = m.acl
FROM public.molecules AS m WHERE m.id = p.molecule_id;

CREATE FUNCTION private.follow_molecule() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    SELECT m.is_public, m.acl INTO NEW.is_public, NEW.acl
    FROM public.molecules AS m WHERE m.id = NEW.molecule_id FOR NO KEY UPDATE;
    -- Without a molecule the foreign key refuses the row.
    NEW.is_public := coalesce(NEW.is_public, false);
    NEW.acl := coalesce(NEW.acl, '{}');
    RETURN NEW;
END
$$;
CREATE TRIGGER molecule_identifiers_follow BEFORE INSERT OR UPDATE OF molecule_id ON public.molecule_identifiers
FOR EACH ROW EXECUTE FUNCTION private.follow_molecule();
CREATE TRIGGER molecular_properties_follow BEFORE INSERT OR UPDATE OF molecule_id ON public.molecular_properties
FOR EACH ROW EXECUTE FUNCTION private.follow_molecule();

CREATE FUNCTION private.spread_molecule_access() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    UPDATE public.molecule_identifiers SET is_public = NEW.is_public, acl = NEW.acl WHERE molecule_id = NEW.id;
    UPDATE public.molecular_properties SET is_public = NEW.is_public, acl = NEW.acl WHERE molecule_id = NEW.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER molecules_spread_access AFTER UPDATE ON public.molecules
FOR EACH ROW WHEN (OLD.is_public IS DISTINCT FROM NEW.is_public OR OLD.acl IS DISTINCT FROM NEW.acl)
EXECUTE FUNCTION private.spread_molecule_access();

-- Keys and values come past the policies together, so what the caller may not see is left out here (see 0004).
CREATE OR REPLACE FUNCTION private.molecule_ids_matching(query text) RETURNS uuid[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(array_agg(found.id), '{}'::uuid[])
    FROM (
        SELECT m.id FROM public.molecules AS m
        WHERE m.search @@ pg_catalog.websearch_to_tsquery('simple'::regconfig, query)
            AND (m.is_public OR m.acl && (SELECT private.my_keys()) OR (SELECT private.is_service()))
        UNION
        SELECT i.molecule_id FROM public.molecule_identifiers AS i
        WHERE i.search @@ pg_catalog.websearch_to_tsquery('simple'::regconfig, query)
            AND (i.is_public OR i.acl && (SELECT private.my_keys()) OR (SELECT private.is_service()))
    ) AS found
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA private FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    private.my_editable_keys(), private.has_molecule_access(uuid), private.is_team_member(uuid),
    private.user_has_permission(text, uuid)
TO authenticated, service_role;
GRANT EXECUTE ON FUNCTION private.has_molecule_access(uuid) TO anon;

ALTER TABLE public.team_projects ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.team_projects FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.team_projects FROM anon, authenticated, service_role;
CREATE POLICY team_projects_all_service_role ON public.team_projects FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.team_projects TO service_role;
ALTER TABLE public.project_molecules ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.project_molecules FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.project_molecules FROM anon, authenticated, service_role;
CREATE POLICY project_molecules_all_service_role ON public.project_molecules FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.project_molecules TO service_role;

DROP POLICY projects_select_authenticated ON public.projects;
CREATE POLICY projects_select_authenticated ON public.projects FOR SELECT TO authenticated
USING (
    team_id = ANY ((SELECT private.my_team_ids('{owner,editor,viewer}'))::uuid[])
    OR id = ANY ((SELECT private.my_project_ids('{owner,editor,viewer}'))::uuid[])
);

GRANT SELECT, INSERT (team_id, project_id, role, created_by), UPDATE (role), DELETE ON public.team_projects
TO authenticated;
CREATE POLICY team_projects_select_authenticated ON public.team_projects FOR SELECT TO authenticated
USING (
    team_id = ANY ((SELECT private.my_team_ids('{owner,editor,viewer}'))::uuid[])
    OR project_id = ANY ((SELECT private.my_project_ids('{owner,editor,viewer}'))::uuid[])
);
-- Only between teams that the owner knows from inside: nobody pushes a project on strangers.
CREATE POLICY team_projects_insert_authenticated ON public.team_projects FOR INSERT TO authenticated
WITH CHECK (
    created_by = (SELECT auth.uid())
    AND project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
    AND team_id = ANY ((SELECT private.my_team_ids('{owner,editor,viewer}'))::uuid[])
);
CREATE POLICY team_projects_update_authenticated ON public.team_projects FOR UPDATE TO authenticated
USING (project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[]))
WITH CHECK (project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[]));
CREATE POLICY team_projects_delete_authenticated ON public.team_projects FOR DELETE TO authenticated
USING (
    project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
    OR team_id = ANY ((SELECT private.my_team_ids('{owner}'))::uuid[])
);

GRANT SELECT, INSERT (project_id, molecule_id, created_by), DELETE ON public.project_molecules TO authenticated;
-- Seen in the project, and by those who may change the molecule and so may take it back.
CREATE POLICY project_molecules_select_authenticated ON public.project_molecules FOR SELECT TO authenticated
USING (
    project_id = ANY ((SELECT private.my_project_ids('{owner,editor,viewer}'))::uuid[])
    OR EXISTS (
        SELECT FROM public.molecules AS m
        WHERE m.id = molecule_id AND NOT m.is_public
            AND coalesce(m.project_id, m.created_by) = ANY ((SELECT private.my_editable_keys())::uuid[])
    )
);
CREATE POLICY project_molecules_insert_authenticated ON public.project_molecules FOR INSERT TO authenticated
WITH CHECK (
    created_by = (SELECT auth.uid())
    AND project_id = ANY ((SELECT private.my_project_ids('{owner,editor}'))::uuid[])
    AND EXISTS (
        SELECT FROM public.molecules AS m
        WHERE m.id = molecule_id AND (
            m.is_public
            OR coalesce(m.project_id, m.created_by) = ANY ((SELECT private.my_editable_keys())::uuid[])
        )
    )
);
CREATE POLICY project_molecules_delete_authenticated ON public.project_molecules FOR DELETE TO authenticated
USING (
    project_id = ANY ((SELECT private.my_project_ids('{owner,editor}'))::uuid[])
    OR EXISTS (
        SELECT FROM public.molecules AS m
        WHERE m.id = molecule_id AND NOT m.is_public
            AND coalesce(m.project_id, m.created_by) = ANY ((SELECT private.my_editable_keys())::uuid[])
    )
);

-- Clients see the parts without the copies.
REVOKE SELECT ON public.molecule_identifiers, public.molecular_properties FROM anon, authenticated;
GRANT SELECT (id, molecule_id, source, kind, external_id, verified, import_run_id, created_at)
ON public.molecule_identifiers TO anon, authenticated;
GRANT SELECT (
    id, molecule_id, property_type, numeric_value, text_value, boolean_value, unit, standard_uncertainty, method,
    reference, verified, import_run_id, content_hash, created_at
) ON public.molecular_properties TO anon, authenticated;

DROP POLICY molecule_identifiers_select_anon ON public.molecule_identifiers;
CREATE POLICY molecule_identifiers_select_anon ON public.molecule_identifiers FOR SELECT TO anon USING (is_public);
DROP POLICY molecule_identifiers_select_authenticated ON public.molecule_identifiers;
CREATE POLICY molecule_identifiers_select_authenticated ON public.molecule_identifiers FOR SELECT TO authenticated
USING (is_public OR acl && (SELECT private.my_keys()));
DROP POLICY molecular_properties_select_anon ON public.molecular_properties;
CREATE POLICY molecular_properties_select_anon ON public.molecular_properties FOR SELECT TO anon USING (is_public);
DROP POLICY molecular_properties_select_authenticated ON public.molecular_properties;
CREATE POLICY molecular_properties_select_authenticated ON public.molecular_properties FOR SELECT TO authenticated
USING (is_public OR acl && (SELECT private.my_keys()));
"""

DOWNGRADE_SQL: Final = """
DROP POLICY molecule_identifiers_select_anon ON public.molecule_identifiers;
CREATE POLICY molecule_identifiers_select_anon ON public.molecule_identifiers FOR SELECT TO anon
USING (EXISTS (SELECT FROM public.molecules AS m WHERE m.id = molecule_id));
DROP POLICY molecule_identifiers_select_authenticated ON public.molecule_identifiers;
CREATE POLICY molecule_identifiers_select_authenticated ON public.molecule_identifiers FOR SELECT TO authenticated
USING (EXISTS (SELECT FROM public.molecules AS m WHERE m.id = molecule_id));
DROP POLICY molecular_properties_select_anon ON public.molecular_properties;
CREATE POLICY molecular_properties_select_anon ON public.molecular_properties FOR SELECT TO anon
USING (EXISTS (SELECT FROM public.molecules AS m WHERE m.id = molecule_id));
DROP POLICY molecular_properties_select_authenticated ON public.molecular_properties;
CREATE POLICY molecular_properties_select_authenticated ON public.molecular_properties FOR SELECT TO authenticated
USING (EXISTS (SELECT FROM public.molecules AS m WHERE m.id = molecule_id));
REVOKE SELECT ON public.molecule_identifiers, public.molecular_properties FROM anon, authenticated;
GRANT SELECT ON public.molecule_identifiers, public.molecular_properties TO anon, authenticated;
DROP POLICY projects_select_authenticated ON public.projects;
CREATE POLICY projects_select_authenticated ON public.projects FOR SELECT TO authenticated
USING (team_id = ANY ((SELECT private.my_team_ids('{owner,editor,viewer}'))::uuid[]));

CREATE OR REPLACE FUNCTION private.molecule_ids_matching(query text) RETURNS uuid[]
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

DROP TRIGGER molecules_spread_access ON public.molecules;
DROP TRIGGER molecule_identifiers_follow ON public.molecule_identifiers;
DROP TRIGGER molecular_properties_follow ON public.molecular_properties;
ALTER TABLE public.molecule_identifiers DROP COLUMN is_public, DROP COLUMN acl;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX molecule_identifiers_external_id_idx ON public.molecule_identifiers (external_id);
ALTER TABLE public.molecular_properties DROP COLUMN is_public, DROP COLUMN acl;
DROP FUNCTION private.spread_molecule_access();
DROP FUNCTION private.follow_molecule();
DROP TABLE public.project_molecules, public.team_projects;
DROP FUNCTION private.share_molecule();
DROP TRIGGER molecules_end_shares ON public.molecules;
DROP FUNCTION private.end_molecule_shares();
DROP FUNCTION private.mark_molecule_share();
DROP FUNCTION private.is_client();

CREATE OR REPLACE FUNCTION private.set_acl() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    -- A project's row is its team's: whoever made it and then left the team sees it no longer.
    NEW.acl := array_remove(ARRAY[coalesce(NEW.project_id, NEW.created_by)], NULL);
    RETURN NEW;
END
$$;
DROP TRIGGER molecules_touch ON public.molecules;
DROP TRIGGER molecules_acl ON public.molecules;
CREATE TRIGGER molecules_acl BEFORE INSERT OR UPDATE ON public.molecules
FOR EACH ROW EXECUTE FUNCTION private.set_acl();
-- squawk-ignore ban-drop-constraint
ALTER TABLE public.molecules DROP CONSTRAINT molecules_acl_check;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX molecules_acl_idx ON public.molecules USING gin (acl) WHERE NOT is_public;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX public.molecules_is_public_idx;
UPDATE public.molecules SET acl = acl WHERE cardinality(acl) > 1;
CREATE TRIGGER molecules_touch BEFORE UPDATE ON public.molecules
FOR EACH ROW EXECUTE FUNCTION private.touch_row();

DROP TRIGGER team_members_last_owner ON public.team_members;
DROP TRIGGER team_members_profile ON public.team_members;
DROP FUNCTION private.keep_an_owner();
DROP FUNCTION private.ensure_member_profile();
DROP FUNCTION private.user_has_permission(text, uuid);
DROP FUNCTION private.is_team_member(uuid);
DROP FUNCTION private.has_molecule_access(uuid);
DROP FUNCTION private.is_service();
DROP FUNCTION private.my_editable_keys();

CREATE OR REPLACE FUNCTION private.my_project_ids(roles text[]) RETURNS uuid[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(array_agg(p.id), '{}'::uuid[])
    FROM public.projects AS p
    JOIN public.team_members AS m ON m.team_id = p.team_id
    WHERE m.user_id = auth.uid() AND m.role = ANY (roles)
$$;
CREATE OR REPLACE FUNCTION private.my_keys() RETURNS uuid[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT array_remove(auth.uid() || private.my_project_ids('{owner,editor,viewer}'), NULL)
$$;
"""


def upgrade() -> None:
    """Apply the migration."""
    run(UPGRADE_SQL)


def downgrade() -> None:
    """Take the migration back."""
    run(DOWNGRADE_SQL)
