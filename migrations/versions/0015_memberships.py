"""Members are parts of their team, invitations and shares of their project: each change raises the whole's version.

A trigger does it, for a viewer who leaves, or a team that gives an invitation back, may not change the whole.
"""

from __future__ import annotations

from typing import Final

from migrations.run import run

revision = "0015_memberships"
down_revision = "0014_audit"

UPGRADE_SQL: Final = """
ALTER TABLE public.team_members ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE public.team_members ALTER COLUMN updated_at SET DEFAULT clock_timestamp();
ALTER TABLE public.team_projects ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();
ALTER TABLE public.team_projects ALTER COLUMN updated_at SET DEFAULT clock_timestamp();
UPDATE public.team_members SET updated_at = created_at;
UPDATE public.team_projects SET updated_at = created_at;

CREATE FUNCTION private.touch_part() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    NEW.created_at := OLD.created_at;
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END
$$;
CREATE TRIGGER team_members_touch BEFORE UPDATE ON public.team_members
FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION private.touch_part();
CREATE TRIGGER team_projects_touch BEFORE UPDATE ON public.team_projects
FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION private.touch_part();

CREATE FUNCTION private.raise_team() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    UPDATE public.teams SET updated_at = clock_timestamp() WHERE id = coalesce(NEW.team_id, OLD.team_id);
    RETURN NULL;
END
$$;
-- Not for the first owner, whom another trigger adds to a new team.
CREATE TRIGGER team_members_raise_added AFTER INSERT ON public.team_members
FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION private.raise_team();
CREATE TRIGGER team_members_raise_changed AFTER UPDATE ON public.team_members
FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION private.raise_team();
CREATE TRIGGER team_members_raise_removed AFTER DELETE ON public.team_members
FOR EACH ROW EXECUTE FUNCTION private.raise_team();

CREATE FUNCTION private.raise_project() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    UPDATE public.projects SET updated_at = clock_timestamp() WHERE id = coalesce(NEW.project_id, OLD.project_id);
    RETURN NULL;
END
$$;
CREATE TRIGGER team_projects_raise AFTER INSERT OR DELETE ON public.team_projects
FOR EACH ROW EXECUTE FUNCTION private.raise_project();
CREATE TRIGGER team_projects_raise_changed AFTER UPDATE ON public.team_projects
FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION private.raise_project();
CREATE TRIGGER project_molecules_raise AFTER INSERT OR DELETE ON public.project_molecules
FOR EACH ROW EXECUTE FUNCTION private.raise_project();
CREATE TRIGGER project_mixtures_raise AFTER INSERT OR DELETE ON public.project_mixtures
FOR EACH ROW EXECUTE FUNCTION private.raise_project();

-- Whoever changes a part compares the whole's version, and must hold the whole first, or two would compare the same. A
-- viewer who leaves and a guest who shares may not lock it by themselves. Only what they see can be held.
CREATE FUNCTION private.hold_team(team_id uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    PERFORM FROM public.teams AS t
    WHERE t.id = team_id
        AND (t.id = ANY (private.my_team_ids('{owner,editor,viewer}')) OR private.is_service())
    FOR NO KEY UPDATE;
END
$$;
CREATE FUNCTION private.hold_project(project_id uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    PERFORM FROM public.projects AS p
    WHERE p.id = project_id
        AND (p.id = ANY (private.my_project_ids('{owner,editor,viewer}')) OR private.is_service())
    FOR NO KEY UPDATE;
END
$$;

REVOKE EXECUTE ON FUNCTION
    private.touch_part(), private.raise_team(), private.raise_project(), private.hold_team(uuid),
    private.hold_project(uuid)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION private.hold_team(uuid), private.hold_project(uuid) TO authenticated, service_role;

-- The maker sees the new team before the trigger's membership row is there, and no longer after leaving it.
DROP POLICY teams_select_authenticated ON public.teams;
CREATE POLICY teams_select_authenticated ON public.teams FOR SELECT TO authenticated
USING (
    id = ANY ((SELECT private.my_team_ids('{owner,editor,viewer}'))::uuid[])
    OR created_by = (SELECT auth.uid()) AND created_at >= (SELECT now())
);
"""

DOWNGRADE_SQL: Final = """
DROP FUNCTION private.hold_project(uuid);
DROP FUNCTION private.hold_team(uuid);
DROP POLICY teams_select_authenticated ON public.teams;
CREATE POLICY teams_select_authenticated ON public.teams FOR SELECT TO authenticated
USING (
    id = ANY ((SELECT private.my_team_ids('{owner,editor,viewer}'))::uuid[])
    OR created_by = (SELECT auth.uid())
);
DROP TRIGGER project_mixtures_raise ON public.project_mixtures;
DROP TRIGGER project_molecules_raise ON public.project_molecules;
DROP TRIGGER team_projects_raise_changed ON public.team_projects;
DROP TRIGGER team_projects_raise ON public.team_projects;
DROP TRIGGER team_projects_touch ON public.team_projects;
DROP TRIGGER team_members_raise_removed ON public.team_members;
DROP TRIGGER team_members_raise_changed ON public.team_members;
DROP TRIGGER team_members_raise_added ON public.team_members;
DROP TRIGGER team_members_touch ON public.team_members;
DROP FUNCTION private.raise_project();
DROP FUNCTION private.raise_team();
DROP FUNCTION private.touch_part();
ALTER TABLE public.team_projects DROP COLUMN updated_at;
ALTER TABLE public.team_members DROP COLUMN updated_at;
"""


def upgrade() -> None:
    """Apply the migration."""
    run(UPGRADE_SQL)


def downgrade() -> None:
    """Take the migration back."""
    run(DOWNGRADE_SQL)
