"""What opens rows to each user, kept beside the memberships that it follows from: a policy then looks up one row.

The rule is in `refresh_user_keys` alone, which always reads everything anew. Of two changes at once the later has to
see the earlier, so both hold the team and then the rows of its members before they read.
"""

from __future__ import annotations

from typing import Final

from migrations.run import run

revision = "0016_user_keys"
down_revision = "0015_memberships"

UPGRADE_SQL: Final = """
-- Every project once, by the highest of the user's roles in it.
CREATE TABLE private.user_keys (
    user_id uuid CONSTRAINT user_keys_pkey PRIMARY KEY
        CONSTRAINT user_keys_user_id_fkey REFERENCES public.user_profiles (id) ON DELETE CASCADE,
    owned uuid[] NOT NULL DEFAULT '{}',
    edited uuid[] NOT NULL DEFAULT '{}',
    viewed uuid[] NOT NULL DEFAULT '{}'
);

-- A member of an invited team has the lesser of two roles: its own in the team and the team's in the project.
CREATE FUNCTION private.refresh_user_keys(users uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    roles text[] := '{owner,editor,viewer}';
BEGIN
    UPDATE private.user_keys AS k
    SET owned = found.owned, edited = found.edited, viewed = found.viewed
    FROM (
        SELECT u.user_id,
            coalesce(array_agg(b.project_id ORDER BY b.project_id) FILTER (WHERE b.rank = 1), '{}') AS owned,
            coalesce(array_agg(b.project_id ORDER BY b.project_id) FILTER (WHERE b.rank = 2), '{}') AS edited,
            coalesce(array_agg(b.project_id ORDER BY b.project_id) FILTER (WHERE b.rank = 3), '{}') AS viewed
        FROM private.user_keys AS u
        LEFT JOIN (
            SELECT m.user_id, r.project_id, min(greatest(array_position(roles, m.role), r.rank)) AS rank
            FROM public.team_members AS m
            JOIN (
                SELECT p.team_id, p.id AS project_id, 1 AS rank FROM public.projects AS p
                UNION ALL
                SELECT s.team_id, s.project_id, array_position(roles, s.role) FROM public.team_projects AS s
            ) AS r ON r.team_id = m.team_id
            WHERE m.user_id = ANY (users)
            GROUP BY m.user_id, r.project_id
        ) AS b ON b.user_id = u.user_id
        WHERE u.user_id = ANY (users)
        GROUP BY u.user_id
    ) AS found
    WHERE k.user_id = found.user_id
        AND (k.owned, k.edited, k.viewed) IS DISTINCT FROM (found.owned, found.edited, found.viewed);
END
$$;

-- Teams before users, and each in the order of their ids, or two changes could wait for each other. Without `users`,
-- for all members of the teams.
CREATE FUNCTION private.keep_user_keys(teams uuid[], users uuid[] DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    -- A snapshot from before the wait would miss what the others did.
    IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        RAISE feature_not_supported USING MESSAGE = 'members, projects and invitations change in READ COMMITTED only';
    END IF;
    PERFORM FROM public.teams AS t WHERE t.id = ANY (teams) ORDER BY t.id FOR NO KEY UPDATE;
    users := coalesce(users, ARRAY(SELECT m.user_id FROM public.team_members AS m WHERE m.team_id = ANY (teams)));
    PERFORM FROM private.user_keys AS k WHERE k.user_id = ANY (users) ORDER BY k.user_id FOR UPDATE;
    PERFORM private.refresh_user_keys(users);
END
$$;

CREATE FUNCTION private.keep_keys_of_member() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    PERFORM private.keep_user_keys(ARRAY[OLD.team_id, NEW.team_id], ARRAY[OLD.user_id, NEW.user_id]);
    RETURN NULL;
END
$$;
CREATE FUNCTION private.keep_keys_of_team() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    PERFORM private.keep_user_keys(ARRAY[OLD.team_id, NEW.team_id]);
    RETURN NULL;
END
$$;
-- The teams are held together, before each invitation that goes with the project holds its own.
CREATE FUNCTION private.hold_keys_of_project() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    PERFORM private.keep_user_keys(
        OLD.team_id || ARRAY(SELECT s.team_id FROM public.team_projects AS s WHERE s.project_id = OLD.id)
    );
    RETURN OLD;
END
$$;
CREATE FUNCTION private.keep_all_keys() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    PERFORM private.refresh_user_keys(ARRAY(SELECT k.user_id FROM private.user_keys AS k));
    RETURN NULL;
END
$$;
CREATE FUNCTION private.add_user_keys() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    INSERT INTO private.user_keys (user_id) VALUES (NEW.id);
    -- The statement that made the profile may have made it a member, too.
    PERFORM private.refresh_user_keys(ARRAY[NEW.id]);
    RETURN NULL;
END
$$;

CREATE TRIGGER user_profiles_user_keys AFTER INSERT ON public.user_profiles
FOR EACH ROW EXECUTE FUNCTION private.add_user_keys();
-- After those that raise the version, by name: whoever changes a part holds the whole first.
CREATE TRIGGER team_members_user_keys AFTER INSERT OR DELETE OR UPDATE OF team_id, user_id, role ON public.team_members
FOR EACH ROW EXECUTE FUNCTION private.keep_keys_of_member();
CREATE TRIGGER team_projects_user_keys
AFTER INSERT OR DELETE OR UPDATE OF team_id, project_id, role ON public.team_projects
FOR EACH ROW EXECUTE FUNCTION private.keep_keys_of_team();
CREATE TRIGGER projects_user_keys AFTER INSERT OR DELETE OR UPDATE OF id, team_id ON public.projects
FOR EACH ROW EXECUTE FUNCTION private.keep_keys_of_team();
CREATE TRIGGER projects_hold_user_keys BEFORE DELETE ON public.projects
FOR EACH ROW EXECUTE FUNCTION private.hold_keys_of_project();
-- Projects are never truncated without their invitations.
CREATE TRIGGER team_members_truncate_user_keys AFTER TRUNCATE ON public.team_members
FOR EACH STATEMENT EXECUTE FUNCTION private.keep_all_keys();
CREATE TRIGGER team_projects_truncate_user_keys AFTER TRUNCATE ON public.team_projects
FOR EACH STATEMENT EXECUTE FUNCTION private.keep_all_keys();

-- The triggers hold their tables against other writers until the end of this transaction.
INSERT INTO private.user_keys (user_id) SELECT id FROM public.user_profiles;
SELECT private.refresh_user_keys(ARRAY(SELECT user_id FROM private.user_keys));

-- A function with settings of its own is never inlined. Parsed now, ours needs none; Supabase's never had one.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_catalog.pg_proc
        WHERE oid = 'auth.uid()'::regprocedure AND proowner = current_user::regrole AND proconfig IS NOT NULL
    ) THEN
        EXECUTE $f$
            CREATE OR REPLACE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE
            RETURN (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
        $f$;
    END IF;
END
$$;

-- Put together here and not stored so: as it lies in the table a long array is compressed or elsewhere, and would be
-- unpacked for each row that it is compared with. Whoever never wrote has no profile yet, and is in no team.
CREATE OR REPLACE FUNCTION private.my_keys() RETURNS uuid[]
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    RETURN coalesce(
        (
            SELECT k.user_id || k.owned || k.edited || k.viewed
            FROM private.user_keys AS k WHERE k.user_id = auth.uid()
        ),
        array_remove(ARRAY[auth.uid()], NULL)
    );
END
$$;
CREATE OR REPLACE FUNCTION private.my_editable_keys() RETURNS uuid[]
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    RETURN coalesce(
        (SELECT k.user_id || k.owned || k.edited FROM private.user_keys AS k WHERE k.user_id = auth.uid()),
        array_remove(ARRAY[auth.uid()], NULL)
    );
END
$$;
-- By the highest of the caller's roles in each.
CREATE OR REPLACE FUNCTION private.my_project_ids(roles text[]) RETURNS uuid[]
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    RETURN coalesce(
        (
            SELECT CASE WHEN 'owner' = ANY (roles) THEN k.owned ELSE '{}' END
                || CASE WHEN 'editor' = ANY (roles) THEN k.edited ELSE '{}' END
                || CASE WHEN 'viewer' = ANY (roles) THEN k.viewed ELSE '{}' END
            FROM private.user_keys AS k WHERE k.user_id = auth.uid()
        ),
        '{}'
    );
END
$$;

REVOKE EXECUTE ON FUNCTION
    private.refresh_user_keys(uuid[]), private.keep_user_keys(uuid[], uuid[]), private.keep_keys_of_member(),
    private.keep_keys_of_team(), private.hold_keys_of_project(), private.keep_all_keys(), private.add_user_keys()
FROM PUBLIC;
ALTER TABLE private.user_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE private.user_keys FORCE ROW LEVEL SECURITY;
REVOKE ALL ON private.user_keys FROM anon, authenticated, service_role;
GRANT SELECT ON private.user_keys TO service_role;
CREATE POLICY user_keys_all_service_role ON private.user_keys FOR ALL TO service_role
USING (true) WITH CHECK (true);
"""

DOWNGRADE_SQL: Final = """
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_catalog.pg_proc
        WHERE oid = 'auth.uid()'::regprocedure AND proowner = current_user::regrole AND prosqlbody IS NOT NULL
    ) THEN
        EXECUTE $f$
            CREATE OR REPLACE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE SET search_path = '' AS
            'SELECT (nullif(current_setting(''request.jwt.claims'', true), '''')::jsonb ->> ''sub'')::uuid'
        $f$;
    END IF;
END
$$;
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
CREATE OR REPLACE FUNCTION private.my_editable_keys() RETURNS uuid[]
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    RETURN array_remove(auth.uid() || private.my_project_ids('{owner,editor}'), NULL);
END
$$;
DROP TRIGGER team_projects_truncate_user_keys ON public.team_projects;
DROP TRIGGER team_members_truncate_user_keys ON public.team_members;
DROP TRIGGER projects_hold_user_keys ON public.projects;
DROP TRIGGER projects_user_keys ON public.projects;
DROP TRIGGER team_projects_user_keys ON public.team_projects;
DROP TRIGGER team_members_user_keys ON public.team_members;
DROP TRIGGER user_profiles_user_keys ON public.user_profiles;
DROP FUNCTION private.add_user_keys();
DROP FUNCTION private.keep_all_keys();
DROP FUNCTION private.hold_keys_of_project();
DROP FUNCTION private.keep_keys_of_team();
DROP FUNCTION private.keep_keys_of_member();
DROP FUNCTION private.keep_user_keys(uuid[], uuid[]);
DROP FUNCTION private.refresh_user_keys(uuid[]);
DROP TABLE private.user_keys;
"""


def upgrade() -> None:
    """Apply the migration."""
    run(UPGRADE_SQL)


def downgrade() -> None:
    """Take the migration back."""
    run(DOWNGRADE_SQL)
