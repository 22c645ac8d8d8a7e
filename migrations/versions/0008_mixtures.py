"""Mixtures: named compositions in a solvent, their components, and the projects that share them.

Two rules look at several rows and so are checked when the transaction ends: a mixture has a component and no more
than 100 % of them; and whoever may see a mixture by its being public or in a project may see each of its molecules.
Whoever adds a component or shows the mixture to others holds the molecules' rows, so that none can be withdrawn
unseen at the same moment.
"""

from __future__ import annotations

from typing import Final

from migrations.run import run

revision = "0008_mixtures"
down_revision = "0007_sharing"

UPGRADE_SQL: Final = """
CREATE TABLE public.mixtures (
    id uuid DEFAULT private.uuid_v7() CONSTRAINT mixtures_pkey PRIMARY KEY,
    name text NOT NULL CONSTRAINT mixtures_name_check CHECK (char_length(name) BETWEEN 1 AND 500),
    description text CONSTRAINT mixtures_description_check CHECK (char_length(description) <= 10000),
    solvent text NOT NULL DEFAULT 'water'
        CONSTRAINT mixtures_solvent_check CHECK (char_length(solvent) BETWEEN 1 AND 200),
    reference text CONSTRAINT mixtures_reference_check CHECK (char_length(reference) <= 2000),
    is_public boolean NOT NULL DEFAULT false,
    project_id uuid CONSTRAINT mixtures_project_id_fkey REFERENCES public.projects (id) ON DELETE RESTRICT,
    created_by uuid CONSTRAINT mixtures_created_by_fkey REFERENCES public.user_profiles (id) ON DELETE RESTRICT,
    data_source_id uuid
        CONSTRAINT mixtures_data_source_id_fkey REFERENCES public.data_sources (id) ON DELETE RESTRICT,
    source_record text CONSTRAINT mixtures_source_record_check CHECK (char_length(source_record) <= 500),
    import_run_id uuid
        CONSTRAINT mixtures_import_run_id_fkey REFERENCES public.import_runs (id) ON DELETE SET NULL,
    acl uuid[] NOT NULL DEFAULT '{}' CONSTRAINT mixtures_acl_check CHECK (cardinality(acl) <= 100),
    search tsvector GENERATED ALWAYS AS (to_tsvector('simple'::regconfig, name || ' ' || coalesce(description, '')))
        STORED,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX mixtures_created_at_public_idx ON public.mixtures (created_at, id) WHERE is_public;
CREATE INDEX mixtures_created_at_idx ON public.mixtures (created_at, id);
CREATE INDEX mixtures_updated_at_idx ON public.mixtures (updated_at, id);
CREATE INDEX mixtures_name_idx ON public.mixtures (name, id);
CREATE INDEX mixtures_project_id_idx ON public.mixtures (project_id);
CREATE INDEX mixtures_created_by_idx ON public.mixtures (created_by);
CREATE INDEX mixtures_data_source_id_idx ON public.mixtures (data_source_id);
CREATE INDEX mixtures_import_run_id_idx ON public.mixtures (import_run_id);
CREATE INDEX mixtures_search_idx ON public.mixtures USING gin (search);

CREATE TABLE public.mixture_components (
    mixture_id uuid NOT NULL
        CONSTRAINT mixture_components_mixture_id_fkey REFERENCES public.mixtures (id) ON DELETE CASCADE,
    molecule_id uuid NOT NULL
        CONSTRAINT mixture_components_molecule_id_fkey REFERENCES public.molecules (id) ON DELETE RESTRICT,
    position integer NOT NULL CONSTRAINT mixture_components_position_check CHECK (position >= 0),
    amount float8 NOT NULL CONSTRAINT mixture_components_amount_check CHECK (amount > 0 AND amount < 'Infinity'),
    unit text NOT NULL CONSTRAINT mixture_components_unit_check
        CHECK (unit IN ('mol/L', 'mol/kg', 'g/L', '%w/w', '%w/v', '%v/v', 'mole_fraction')),
    is_public boolean NOT NULL DEFAULT false,
    acl uuid[] NOT NULL DEFAULT '{}',
    CONSTRAINT mixture_components_pkey PRIMARY KEY (mixture_id, molecule_id),
    CONSTRAINT mixture_components_share_check
        CHECK (unit NOT IN ('%w/w', '%v/v') OR amount <= 100),
    CONSTRAINT mixture_components_mole_fraction_check CHECK (unit <> 'mole_fraction' OR amount <= 1)
);
CREATE INDEX mixture_components_molecule_id_idx ON public.mixture_components (molecule_id);

CREATE TABLE public.project_mixtures (
    project_id uuid NOT NULL
        CONSTRAINT project_mixtures_project_id_fkey REFERENCES public.projects (id) ON DELETE CASCADE,
    mixture_id uuid NOT NULL
        CONSTRAINT project_mixtures_mixture_id_fkey REFERENCES public.mixtures (id) ON DELETE CASCADE,
    created_by uuid
        CONSTRAINT project_mixtures_created_by_fkey REFERENCES public.user_profiles (id) ON DELETE SET NULL,
    opens boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT project_mixtures_pkey PRIMARY KEY (project_id, mixture_id)
);
CREATE INDEX project_mixtures_mixture_id_idx ON public.project_mixtures (mixture_id);
CREATE INDEX project_mixtures_created_by_idx ON public.project_mixtures (created_by);

CREATE FUNCTION private.set_mixture_acl() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    NEW.acl := array_remove(ARRAY[coalesce(NEW.project_id, NEW.created_by)], NULL);
    IF TG_OP = 'UPDATE' AND NOT NEW.is_public THEN
        NEW.acl := NEW.acl || ARRAY(
            SELECT s.project_id FROM public.project_mixtures AS s WHERE s.mixture_id = NEW.id AND s.opens
            ORDER BY s.project_id
        );
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER mixtures_acl BEFORE INSERT OR UPDATE OF is_public, project_id, created_by, acl ON public.mixtures
FOR EACH ROW EXECUTE FUNCTION private.set_mixture_acl();
CREATE TRIGGER mixtures_project BEFORE UPDATE OF project_id ON public.mixtures
FOR EACH ROW EXECUTE FUNCTION private.guard_project();
CREATE TRIGGER mixtures_touch BEFORE UPDATE OF
    name, description, solvent, reference, is_public, project_id, created_by, data_source_id, source_record, version,
    created_at, updated_at
ON public.mixtures
FOR EACH ROW EXECUTE FUNCTION private.touch_row();

CREATE FUNCTION private.mark_mixture_share() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    SELECT NOT x.is_public OR NOT private.is_client()
        OR coalesce(coalesce(x.project_id, x.created_by) = ANY (private.my_editable_keys()), false)
    INTO NEW.opens
    FROM public.mixtures AS x WHERE x.id = NEW.mixture_id FOR NO KEY UPDATE;
    NEW.opens := coalesce(NEW.opens, false);
    RETURN NEW;
END
$$;
CREATE TRIGGER project_mixtures_mark BEFORE INSERT ON public.project_mixtures
FOR EACH ROW EXECUTE FUNCTION private.mark_mixture_share();
CREATE FUNCTION private.end_mixture_shares() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    DELETE FROM public.project_mixtures WHERE mixture_id = NEW.id AND NOT opens;
    RETURN NULL;
END
$$;
CREATE TRIGGER mixtures_end_shares AFTER UPDATE ON public.mixtures
FOR EACH ROW WHEN (OLD.is_public AND NOT NEW.is_public) EXECUTE FUNCTION private.end_mixture_shares();

CREATE FUNCTION private.share_mixture() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    shared uuid := coalesce(NEW.mixture_id, OLD.mixture_id);
BEGIN
    IF TG_OP = 'UPDATE' THEN
        RAISE feature_not_supported USING MESSAGE = 'a share is added or removed';
    END IF;
    UPDATE public.mixtures SET acl = acl, updated_at = clock_timestamp() WHERE id = shared AND NOT is_public;
    RETURN NULL;
END
$$;
CREATE TRIGGER project_mixtures_share AFTER INSERT OR UPDATE OR DELETE ON public.project_mixtures
FOR EACH ROW EXECUTE FUNCTION private.share_mixture();

CREATE FUNCTION private.follow_mixture() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    SELECT x.is_public, x.acl INTO NEW.is_public, NEW.acl
    FROM public.mixtures AS x WHERE x.id = NEW.mixture_id FOR NO KEY UPDATE;
    NEW.is_public := coalesce(NEW.is_public, false);
    NEW.acl := coalesce(NEW.acl, '{}');
    RETURN NEW;
END
$$;
CREATE TRIGGER mixture_components_follow BEFORE INSERT OR UPDATE OF mixture_id ON public.mixture_components
FOR EACH ROW EXECUTE FUNCTION private.follow_mixture();

CREATE FUNCTION private.hold_molecule() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    PERFORM FROM public.molecules WHERE id = NEW.molecule_id FOR SHARE;
    RETURN NEW;
END
$$;
CREATE TRIGGER mixture_components_hold BEFORE INSERT OR UPDATE OF molecule_id ON public.mixture_components
FOR EACH ROW EXECUTE FUNCTION private.hold_molecule();

CREATE FUNCTION private.spread_mixture_access() RETURNS trigger
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
CREATE TRIGGER mixtures_spread_access AFTER UPDATE ON public.mixtures
FOR EACH ROW WHEN (OLD.is_public IS DISTINCT FROM NEW.is_public OR OLD.acl IS DISTINCT FROM NEW.acl)
EXECUTE FUNCTION private.spread_mixture_access();

-- The projects that see a row. Whoever made a private row outside projects saw what it refers to when making it.
CREATE FUNCTION private.audience(acl uuid[], project_id uuid, created_by uuid) RETURNS uuid[]
LANGUAGE sql IMMUTABLE SET search_path = '' AS $$
    SELECT CASE WHEN project_id IS NULL THEN array_remove(acl, created_by) ELSE acl END
$$;

CREATE FUNCTION private.newcomers(before uuid[], after uuid[]) RETURNS uuid[]
LANGUAGE sql IMMUTABLE SET search_path = '' AS $$
    SELECT ARRAY(SELECT unnest(after) EXCEPT SELECT unnest(before))
$$;

CREATE FUNCTION private.check_mixture() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    checked uuid;
    mixture public.mixtures;
    newly_public boolean;
    newcomers uuid[];
BEGIN
    checked := CASE TG_TABLE_NAME WHEN 'mixtures' THEN to_jsonb(NEW) ->> 'id'
        ELSE coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> 'mixture_id' END;
    SELECT x.* INTO mixture FROM public.mixtures AS x WHERE x.id = checked;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM public.mixture_components AS c WHERE c.mixture_id = checked) THEN
        RAISE check_violation USING MESSAGE = 'a mixture has a component', CONSTRAINT = 'mixtures_components_check';
    END IF;
    IF EXISTS (
        SELECT FROM public.mixture_components AS c
        WHERE c.mixture_id = checked AND c.unit IN ('%w/w', '%v/v', 'mole_fraction')
        GROUP BY c.unit
        -- Shares that are rounded, each in its last digit, may add up to a hair more.
        HAVING sum(c.amount) > CASE c.unit WHEN 'mole_fraction' THEN 1 ELSE 100 END * (1 + 1e-9)
    ) THEN
        RAISE check_violation
        USING MESSAGE = 'the shares exceed the whole', CONSTRAINT = 'mixtures_components_sum_check';
    END IF;
    -- Whoever comes to see the mixture has to see what it is made of. A molecule may be withdrawn later from those who
    -- see the mixture already; that must not hinder other changes.
    IF TG_TABLE_NAME = 'mixtures' AND TG_OP = 'UPDATE' THEN
        newly_public := NEW.is_public AND NOT OLD.is_public;
        newcomers := private.newcomers(OLD.acl, NEW.acl);
    ELSE
        newly_public := mixture.is_public;
        newcomers := mixture.acl;
    END IF;
    newcomers := private.audience(newcomers, mixture.project_id, mixture.created_by);
    IF EXISTS (
        SELECT FROM public.mixture_components AS c
        JOIN public.molecules AS m ON m.id = c.molecule_id
        WHERE c.mixture_id = checked AND NOT m.is_public AND (newly_public OR NOT m.acl @> newcomers)
    ) THEN
        RAISE check_violation
        USING MESSAGE = 'a component is hidden from some who see the mixture',
            CONSTRAINT = 'mixtures_components_visible_check';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER mixtures_whole AFTER INSERT OR UPDATE ON public.mixtures
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION private.check_mixture();
CREATE CONSTRAINT TRIGGER mixture_components_whole AFTER INSERT OR UPDATE OR DELETE ON public.mixture_components
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION private.check_mixture();

-- What a public mixture shows stays public. From a project a molecule is taken back at any time: who sees a mixture of
-- it there then sees that a component is hidden.
CREATE FUNCTION private.check_molecule_use() RETURNS trigger
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
CREATE CONSTRAINT TRIGGER molecules_in_use AFTER UPDATE ON public.molecules
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
WHEN (OLD.is_public AND NOT NEW.is_public)
EXECUTE FUNCTION private.check_molecule_use();

CREATE FUNCTION private.mixture_ids_matching(query text) RETURNS uuid[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(array_agg(x.id), '{}'::uuid[])
    FROM public.mixtures AS x
    WHERE x.search @@ pg_catalog.websearch_to_tsquery('simple'::regconfig, query)
        AND (x.is_public OR x.acl && (SELECT private.my_keys()) OR (SELECT private.is_service()))
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA private FROM PUBLIC;
GRANT EXECUTE ON FUNCTION private.mixture_ids_matching(text) TO anon, authenticated, service_role;

ALTER TABLE public.mixtures ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.mixtures FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.mixtures FROM anon, authenticated, service_role;
CREATE POLICY mixtures_all_service_role ON public.mixtures FOR ALL TO service_role USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.mixtures TO service_role;
ALTER TABLE public.mixture_components ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.mixture_components FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.mixture_components FROM anon, authenticated, service_role;
CREATE POLICY mixture_components_all_service_role ON public.mixture_components FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.mixture_components TO service_role;
ALTER TABLE public.project_mixtures ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.project_mixtures FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.project_mixtures FROM anon, authenticated, service_role;
CREATE POLICY project_mixtures_all_service_role ON public.project_mixtures FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.project_mixtures TO service_role;

GRANT SELECT (
    id, name, description, solvent, reference, is_public, project_id, created_by, data_source_id, source_record,
    import_run_id, version, created_at, updated_at
) ON public.mixtures TO anon, authenticated;
GRANT INSERT (id, name, description, solvent, reference, is_public, project_id, created_by) ON public.mixtures
TO authenticated;
GRANT UPDATE (name, description, solvent, reference, is_public, project_id, updated_at), DELETE ON public.mixtures
TO authenticated;
GRANT SELECT (mixture_id, molecule_id, position, amount, unit) ON public.mixture_components TO anon, authenticated;
GRANT INSERT (mixture_id, molecule_id, position, amount, unit), DELETE ON public.mixture_components TO authenticated;
GRANT SELECT, INSERT (project_id, mixture_id, created_by), DELETE ON public.project_mixtures TO authenticated;

CREATE POLICY mixtures_select_anon ON public.mixtures FOR SELECT TO anon USING (is_public);
CREATE POLICY mixtures_select_authenticated ON public.mixtures FOR SELECT TO authenticated
USING (is_public OR acl && (SELECT private.my_keys()));
CREATE POLICY mixtures_insert_authenticated ON public.mixtures FOR INSERT TO authenticated
WITH CHECK (
    data_source_id IS NULL
    AND import_run_id IS NULL
    AND created_by = (SELECT auth.uid())
    AND (
        coalesce(project_id, created_by) = ANY ((SELECT private.my_editable_keys())::uuid[]) AND NOT is_public
        OR project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
    )
);
CREATE POLICY mixtures_update_authenticated ON public.mixtures FOR UPDATE TO authenticated
USING (
    coalesce(project_id, created_by) = ANY ((SELECT private.my_editable_keys())::uuid[]) AND NOT is_public
    OR project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
)
WITH CHECK (
    coalesce(project_id, created_by) = ANY ((SELECT private.my_editable_keys())::uuid[]) AND NOT is_public
    OR project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
);
CREATE POLICY mixtures_delete_authenticated ON public.mixtures FOR DELETE TO authenticated
USING (
    project_id IS NULL AND created_by = (SELECT auth.uid()) AND NOT is_public
    OR project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
);

CREATE POLICY mixture_components_select_anon ON public.mixture_components FOR SELECT TO anon USING (is_public);
CREATE POLICY mixture_components_select_authenticated ON public.mixture_components FOR SELECT TO authenticated
USING (is_public OR acl && (SELECT private.my_keys()));
-- The molecule, too, has to be one that the writer sees: its own policy says so.
CREATE POLICY mixture_components_insert_authenticated ON public.mixture_components FOR INSERT TO authenticated
WITH CHECK (
    EXISTS (SELECT FROM public.molecules AS m WHERE m.id = molecule_id)
    AND EXISTS (
        SELECT FROM public.mixtures AS x
        WHERE x.id = mixture_id AND (
            coalesce(x.project_id, x.created_by) = ANY ((SELECT private.my_editable_keys())::uuid[]) AND NOT x.is_public
            OR x.project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
        )
    )
);
CREATE POLICY mixture_components_delete_authenticated ON public.mixture_components FOR DELETE TO authenticated
USING (
    EXISTS (
        SELECT FROM public.mixtures AS x
        WHERE x.id = mixture_id AND (
            coalesce(x.project_id, x.created_by) = ANY ((SELECT private.my_editable_keys())::uuid[]) AND NOT x.is_public
            OR x.project_id = ANY ((SELECT private.my_project_ids('{owner}'))::uuid[])
        )
    )
);

CREATE POLICY project_mixtures_select_authenticated ON public.project_mixtures FOR SELECT TO authenticated
USING (
    project_id = ANY ((SELECT private.my_project_ids('{owner,editor,viewer}'))::uuid[])
    OR EXISTS (
        SELECT FROM public.mixtures AS x
        WHERE x.id = mixture_id AND NOT x.is_public
            AND coalesce(x.project_id, x.created_by) = ANY ((SELECT private.my_editable_keys())::uuid[])
    )
);
CREATE POLICY project_mixtures_insert_authenticated ON public.project_mixtures FOR INSERT TO authenticated
WITH CHECK (
    created_by = (SELECT auth.uid())
    AND project_id = ANY ((SELECT private.my_project_ids('{owner,editor}'))::uuid[])
    AND EXISTS (
        SELECT FROM public.mixtures AS x
        WHERE x.id = mixture_id AND (
            x.is_public
            OR coalesce(x.project_id, x.created_by) = ANY ((SELECT private.my_editable_keys())::uuid[])
        )
    )
);
CREATE POLICY project_mixtures_delete_authenticated ON public.project_mixtures FOR DELETE TO authenticated
USING (
    project_id = ANY ((SELECT private.my_project_ids('{owner,editor}'))::uuid[])
    OR EXISTS (
        SELECT FROM public.mixtures AS x
        WHERE x.id = mixture_id AND NOT x.is_public
            AND coalesce(x.project_id, x.created_by) = ANY ((SELECT private.my_editable_keys())::uuid[])
    )
);
"""

DOWNGRADE_SQL: Final = """
DROP TABLE public.project_mixtures, public.mixture_components, public.mixtures;
DROP TRIGGER molecules_in_use ON public.molecules;
DROP FUNCTION private.mixture_ids_matching(text);
DROP FUNCTION private.check_molecule_use();
DROP FUNCTION private.check_mixture();
DROP FUNCTION private.newcomers(uuid[], uuid[]);
DROP FUNCTION private.audience(uuid[], uuid, uuid);
DROP FUNCTION private.spread_mixture_access();
DROP FUNCTION private.hold_molecule();
DROP FUNCTION private.follow_mixture();
DROP FUNCTION private.share_mixture();
DROP FUNCTION private.end_mixture_shares();
DROP FUNCTION private.mark_mixture_share();
DROP FUNCTION private.set_mixture_acl();
"""


def upgrade() -> None:
    """Apply the migration."""
    run(UPGRADE_SQL)


def downgrade() -> None:
    """Take the migration back."""
    run(DOWNGRADE_SQL)
