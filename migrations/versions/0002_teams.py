"""Who works where: profiles, teams, members and projects, and the helpers that policies ask.

A helper is SECURITY DEFINER and owned by a role with BYPASSRLS, else the policies that call it would ask
themselves. Policies wrap it in `(SELECT ...)`, so that it runs once per statement and not once per row.
"""

from __future__ import annotations

from typing import Final

from migrations.run import run

revision = "0002_teams"
down_revision = "0001_platform"

UPGRADE_SQL: Final = """
CREATE TABLE public.user_profiles (
    id uuid CONSTRAINT user_profiles_pkey PRIMARY KEY,
    display_name text CONSTRAINT user_profiles_display_name_check CHECK (char_length(display_name) BETWEEN 1 AND 200),
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE public.teams (
    id uuid DEFAULT private.uuid_v7() CONSTRAINT teams_pkey PRIMARY KEY,
    name text NOT NULL CONSTRAINT teams_name_check CHECK (char_length(name) BETWEEN 1 AND 200),
    created_by uuid CONSTRAINT teams_created_by_fkey REFERENCES public.user_profiles (id) ON DELETE SET NULL,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX teams_created_by_idx ON public.teams (created_by);

CREATE TABLE public.team_members (
    team_id uuid NOT NULL CONSTRAINT team_members_team_id_fkey REFERENCES public.teams (id) ON DELETE CASCADE,
    user_id uuid NOT NULL CONSTRAINT team_members_user_id_fkey REFERENCES public.user_profiles (id) ON DELETE CASCADE,
    role text NOT NULL CONSTRAINT team_members_role_check CHECK (role IN ('owner', 'editor', 'viewer')),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT team_members_pkey PRIMARY KEY (team_id, user_id)
);
CREATE INDEX team_members_user_id_idx ON public.team_members (user_id, role);

CREATE TABLE public.projects (
    id uuid DEFAULT private.uuid_v7() CONSTRAINT projects_pkey PRIMARY KEY,
    team_id uuid NOT NULL CONSTRAINT projects_team_id_fkey REFERENCES public.teams (id) ON DELETE RESTRICT,
    name text NOT NULL CONSTRAINT projects_name_check CHECK (char_length(name) BETWEEN 1 AND 200),
    description text CONSTRAINT projects_description_check CHECK (char_length(description) <= 10000),
    created_by uuid CONSTRAINT projects_created_by_fkey REFERENCES public.user_profiles (id) ON DELETE SET NULL,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT projects_team_id_name_key UNIQUE (team_id, name)
);
CREATE INDEX projects_created_by_idx ON public.projects (created_by);

CREATE TRIGGER user_profiles_touch BEFORE UPDATE ON public.user_profiles
FOR EACH ROW EXECUTE FUNCTION private.touch_row();
CREATE TRIGGER teams_touch BEFORE UPDATE ON public.teams
FOR EACH ROW EXECUTE FUNCTION private.touch_row();
CREATE TRIGGER projects_touch BEFORE UPDATE ON public.projects
FOR EACH ROW EXECUTE FUNCTION private.touch_row();

CREATE FUNCTION private.ensure_profile() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = '' AS $$
    INSERT INTO public.user_profiles (id)
    SELECT auth.uid() WHERE auth.uid() IS NOT NULL
    ON CONFLICT (id) DO NOTHING
$$;

CREATE FUNCTION private.my_team_ids(roles text[]) RETURNS uuid[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(array_agg(m.team_id), '{}'::uuid[])
    FROM public.team_members AS m
    WHERE m.user_id = auth.uid() AND m.role = ANY (roles)
$$;

CREATE FUNCTION private.my_project_ids(roles text[]) RETURNS uuid[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT coalesce(array_agg(p.id), '{}'::uuid[])
    FROM public.projects AS p
    JOIN public.team_members AS m ON m.team_id = p.team_id
    WHERE m.user_id = auth.uid() AND m.role = ANY (roles)
$$;

-- What opens a private row to the caller: the caller's own id and the projects that the caller may read.
CREATE FUNCTION private.my_keys() RETURNS uuid[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT array_remove(auth.uid() || private.my_project_ids('{owner,editor,viewer}'), NULL)
$$;

CREATE FUNCTION private.my_colleague_ids() RETURNS uuid[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT array_remove(auth.uid() || array_agg(DISTINCT m.user_id), NULL)
    FROM public.team_members AS m
    WHERE m.team_id = ANY (private.my_team_ids('{owner,editor,viewer}'))
$$;

-- Whoever makes a team owns it; without this nobody could add the first member.
CREATE FUNCTION private.own_new_team() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    IF NEW.created_by IS NOT NULL THEN
        INSERT INTO public.team_members (team_id, user_id, role) VALUES (NEW.id, NEW.created_by, 'owner');
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER teams_own_new AFTER INSERT ON public.teams
FOR EACH ROW EXECUTE FUNCTION private.own_new_team();

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA private FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    private.ensure_profile(), private.my_team_ids(text[]), private.my_project_ids(text[]),
    private.my_keys(), private.my_colleague_ids()
TO authenticated, service_role;

ALTER TABLE public.user_profiles ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.user_profiles FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.user_profiles FROM anon, authenticated, service_role;
CREATE POLICY user_profiles_all_service_role ON public.user_profiles FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.user_profiles TO service_role;
ALTER TABLE public.teams ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.teams FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.teams FROM anon, authenticated, service_role;
CREATE POLICY teams_all_service_role ON public.teams FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.teams TO service_role;
ALTER TABLE public.team_members ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.team_members FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.team_members FROM anon, authenticated, service_role;
CREATE POLICY team_members_all_service_role ON public.team_members FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.team_members TO service_role;
ALTER TABLE public.projects ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.projects FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.projects FROM anon, authenticated, service_role;
CREATE POLICY projects_all_service_role ON public.projects FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.projects TO service_role;

GRANT SELECT ON public.user_profiles, public.teams, public.team_members, public.projects TO authenticated;
GRANT UPDATE (display_name) ON public.user_profiles TO authenticated;
GRANT INSERT (name, created_by), UPDATE (name), DELETE ON public.teams TO authenticated;
GRANT INSERT (team_id, user_id, role), UPDATE (role), DELETE ON public.team_members TO authenticated;
GRANT INSERT (team_id, name, description, created_by), UPDATE (name, description), DELETE ON public.projects
TO authenticated;

CREATE POLICY user_profiles_select_authenticated ON public.user_profiles FOR SELECT TO authenticated
USING (id = ANY ((SELECT private.my_colleague_ids())::uuid[]));
CREATE POLICY user_profiles_update_authenticated ON public.user_profiles FOR UPDATE TO authenticated
USING (id = (SELECT auth.uid())) WITH CHECK (id = (SELECT auth.uid()));

-- The maker sees the new team even before the trigger's membership row: RETURNING asks this policy first.
CREATE POLICY teams_select_authenticated ON public.teams FOR SELECT TO authenticated
USING (
    id = ANY ((SELECT private.my_team_ids('{owner,editor,viewer}'))::uuid[])
    OR created_by = (SELECT auth.uid())
);
CREATE POLICY teams_insert_authenticated ON public.teams FOR INSERT TO authenticated
WITH CHECK (created_by = (SELECT auth.uid()));
CREATE POLICY teams_update_authenticated ON public.teams FOR UPDATE TO authenticated
USING (id = ANY ((SELECT private.my_team_ids('{owner}'))::uuid[]))
WITH CHECK (id = ANY ((SELECT private.my_team_ids('{owner}'))::uuid[]));
CREATE POLICY teams_delete_authenticated ON public.teams FOR DELETE TO authenticated
USING (id = ANY ((SELECT private.my_team_ids('{owner}'))::uuid[]));

CREATE POLICY team_members_select_authenticated ON public.team_members FOR SELECT TO authenticated
USING (team_id = ANY ((SELECT private.my_team_ids('{owner,editor,viewer}'))::uuid[]));
CREATE POLICY team_members_insert_authenticated ON public.team_members FOR INSERT TO authenticated
WITH CHECK (team_id = ANY ((SELECT private.my_team_ids('{owner}'))::uuid[]));
CREATE POLICY team_members_update_authenticated ON public.team_members FOR UPDATE TO authenticated
USING (team_id = ANY ((SELECT private.my_team_ids('{owner}'))::uuid[]))
WITH CHECK (team_id = ANY ((SELECT private.my_team_ids('{owner}'))::uuid[]));
CREATE POLICY team_members_delete_authenticated ON public.team_members FOR DELETE TO authenticated
USING (
    user_id = (SELECT auth.uid())
    OR team_id = ANY ((SELECT private.my_team_ids('{owner}'))::uuid[])
);

CREATE POLICY projects_select_authenticated ON public.projects FOR SELECT TO authenticated
USING (team_id = ANY ((SELECT private.my_team_ids('{owner,editor,viewer}'))::uuid[]));
CREATE POLICY projects_insert_authenticated ON public.projects FOR INSERT TO authenticated
WITH CHECK (
    created_by = (SELECT auth.uid())
    AND team_id = ANY ((SELECT private.my_team_ids('{owner,editor}'))::uuid[])
);
CREATE POLICY projects_update_authenticated ON public.projects FOR UPDATE TO authenticated
USING (team_id = ANY ((SELECT private.my_team_ids('{owner,editor}'))::uuid[]))
WITH CHECK (team_id = ANY ((SELECT private.my_team_ids('{owner,editor}'))::uuid[]));
CREATE POLICY projects_delete_authenticated ON public.projects FOR DELETE TO authenticated
USING (team_id = ANY ((SELECT private.my_team_ids('{owner}'))::uuid[]));
"""

DOWNGRADE_SQL: Final = """
DROP TABLE public.projects, public.team_members, public.teams, public.user_profiles;
DROP FUNCTION private.own_new_team();
DROP FUNCTION private.my_colleague_ids();
DROP FUNCTION private.my_keys();
DROP FUNCTION private.my_project_ids(text[]);
DROP FUNCTION private.my_team_ids(text[]);
DROP FUNCTION private.ensure_profile();
"""


def upgrade() -> None:
    """Apply the migration."""
    run(UPGRADE_SQL)


def downgrade() -> None:
    """Take the migration back."""
    run(DOWNGRADE_SQL)
