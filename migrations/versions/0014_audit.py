"""The audit log: who changed what, before and after, written by triggers and by nothing else.

Inserts and deletes are recorded by statement, so that a bulk load costs one row for each run that it belongs to;
updates are recorded row by row, and not where only the database's own columns changed. What a part's change belongs
to is the record that it is a part of: `resource` and `resource_id` name that.

Nobody has a privilege to write the table, and its triggers stop its owner, too. Clients read it through
`private.history`, which asks first whether they may change the record.
"""

from __future__ import annotations

from typing import Final

from migrations.run import run

revision = "0014_audit"
down_revision = "0013_summary"

UPGRADE_SQL: Final = """
CREATE TABLE public.audit_log (
    id uuid DEFAULT private.uuid_v7() CONSTRAINT audit_log_pkey PRIMARY KEY,
    occurred_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    resource text NOT NULL,
    resource_id uuid,
    table_name text NOT NULL,
    action text NOT NULL CONSTRAINT audit_log_action_check CHECK (action IN ('insert', 'update', 'delete')),
    row_count bigint NOT NULL DEFAULT 1 CONSTRAINT audit_log_row_count_check CHECK (row_count > 0),
    import_run_id uuid,
    actor_id uuid,
    role text NOT NULL,
    token_id text,
    request_id text,
    before jsonb,
    after jsonb
);
CREATE INDEX audit_log_resource_idx ON public.audit_log (resource, resource_id, occurred_at);
CREATE INDEX audit_log_import_run_id_idx ON public.audit_log (import_run_id) WHERE import_run_id IS NOT NULL;

CREATE FUNCTION private.keep_audit_log() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    RAISE insufficient_privilege USING MESSAGE = 'the audit log is only ever added to';
END
$$;
CREATE TRIGGER audit_log_keep BEFORE UPDATE OR DELETE OR TRUNCATE ON public.audit_log
FOR EACH STATEMENT EXECUTE FUNCTION private.keep_audit_log();

-- Large columns that follow from others, and the keys and copies that triggers keep.
CREATE FUNCTION private.audited(record jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE SET search_path = '' AS $$
    SELECT record - '{search,fingerprint,acl,content_hash}'::text[]
$$;

CREATE FUNCTION private.add_to_audit_log(
    resource text, resource_id uuid, table_name text, action text, before jsonb, after jsonb,
    row_count bigint DEFAULT 1, import_run_id uuid DEFAULT NULL
) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = '' AS $$
    INSERT INTO public.audit_log (
        resource, resource_id, table_name, action, before, after, row_count, import_run_id, actor_id, role, token_id,
        request_id
    )
    SELECT add_to_audit_log.resource, add_to_audit_log.resource_id, add_to_audit_log.table_name,
        add_to_audit_log.action, add_to_audit_log.before, add_to_audit_log.after, add_to_audit_log.row_count,
        add_to_audit_log.import_run_id, (claims ->> 'sub')::uuid,
        coalesce(nullif(current_setting('role'), 'none'), session_user), claims ->> 'jti',
        nullif(current_setting('cryoprotect.request_id', true), '')
    FROM (SELECT nullif(current_setting('request.jwt.claims', true), '')::jsonb AS claims) AS caller
$$;

-- Arguments of these triggers: what the row is a part of, the column that names it, whether imports fill the table.
CREATE FUNCTION private.audit_inserts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    IF TG_ARGV[2] = 'imported' AND private.is_service() THEN
        PERFORM private.add_to_audit_log(
            TG_ARGV[0], NULL, TG_TABLE_NAME, 'insert', NULL, NULL, count(*), n.import_run_id
        )
        FROM new_rows AS n WHERE n.import_run_id IS NOT NULL GROUP BY n.import_run_id;
        PERFORM private.add_to_audit_log(
            TG_ARGV[0], (r.record ->> TG_ARGV[1])::uuid, TG_TABLE_NAME, 'insert', NULL, private.audited(r.record)
        )
        FROM (SELECT to_jsonb(n) AS record FROM new_rows AS n WHERE n.import_run_id IS NULL) AS r;
    ELSE
        PERFORM private.add_to_audit_log(
            TG_ARGV[0], (r.record ->> TG_ARGV[1])::uuid, TG_TABLE_NAME, 'insert', NULL, private.audited(r.record)
        )
        FROM (SELECT to_jsonb(n) AS record FROM new_rows AS n) AS r;
    END IF;
    RETURN NULL;
END
$$;
CREATE FUNCTION private.audit_deletes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    PERFORM private.add_to_audit_log(
        TG_ARGV[0], (r.record ->> TG_ARGV[1])::uuid, TG_TABLE_NAME, 'delete', private.audited(r.record), NULL
    )
    FROM (SELECT to_jsonb(o) AS record FROM old_rows AS o) AS r;
    RETURN NULL;
END
$$;
CREATE FUNCTION private.audit_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    before jsonb := private.audited(to_jsonb(OLD));
    after jsonb := private.audited(to_jsonb(NEW));
BEGIN
    IF before - '{version,updated_at}'::text[] <> after - '{version,updated_at}'::text[] THEN
        PERFORM private.add_to_audit_log(
            TG_ARGV[0], (after ->> TG_ARGV[1])::uuid, TG_TABLE_NAME, 'update', before, after
        );
    END IF;
    RETURN NULL;
END
$$;

-- For migrations: each table of `public` is audited from the day that it is made.
CREATE FUNCTION private.audit_table(audited regclass, resource text, id_column text) RETURNS void
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    -- A run that is forgotten (ON DELETE SET NULL) changes none of its records.
    kept text[] := '{version,created_at,updated_at,acl,search,import_run_id}';
    arguments text;
    columns text;
    name text := (SELECT relname FROM pg_catalog.pg_class WHERE oid = audited);
    is_part boolean := resource <> name;
BEGIN
    -- A part's visibility is a copy: changed with the record, and audited there.
    SELECT string_agg(format('%I', attname), ', ' ORDER BY attnum) INTO columns
    FROM pg_catalog.pg_attribute
    WHERE attrelid = audited AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
        AND NOT attname = ANY (kept) AND NOT (is_part AND attname = 'is_public');
    arguments := format('%L, %L, %L', resource, id_column, CASE WHEN EXISTS (
        SELECT FROM pg_catalog.pg_attribute WHERE attrelid = audited AND attname = 'import_run_id' AND NOT attisdropped
    ) THEN 'imported' ELSE 'entered' END);
    EXECUTE format(
        'CREATE TRIGGER %I AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows '
        'FOR EACH STATEMENT EXECUTE FUNCTION private.audit_inserts(%s)', name || '_audit_insert', audited, arguments
    );
    EXECUTE format(
        'CREATE TRIGGER %I AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows '
        'FOR EACH STATEMENT EXECUTE FUNCTION private.audit_deletes(%s)', name || '_audit_delete', audited, arguments
    );
    EXECUTE format(
        'CREATE TRIGGER %I AFTER UPDATE OF %s ON %s '
        'FOR EACH ROW EXECUTE FUNCTION private.audit_update(%s)', name || '_audit_update', columns, audited, arguments
    );
END
$$;

SELECT private.audit_table('public.user_profiles', 'user_profiles', 'id');
SELECT private.audit_table('public.teams', 'teams', 'id');
SELECT private.audit_table('public.team_members', 'teams', 'team_id');
SELECT private.audit_table('public.projects', 'projects', 'id');
SELECT private.audit_table('public.team_projects', 'projects', 'project_id');
SELECT private.audit_table('public.data_sources', 'data_sources', 'id');
SELECT private.audit_table('public.import_runs', 'import_runs', 'id');
SELECT private.audit_table('public.import_errors', 'import_runs', 'import_run_id');
SELECT private.audit_table('public.property_types', 'property_types', 'id');
SELECT private.audit_table('public.molecules', 'molecules', 'id');
SELECT private.audit_table('public.molecule_identifiers', 'molecules', 'molecule_id');
SELECT private.audit_table('public.molecular_properties', 'molecules', 'molecule_id');
SELECT private.audit_table('public.project_molecules', 'molecules', 'molecule_id');
SELECT private.audit_table('public.mixtures', 'mixtures', 'id');
SELECT private.audit_table('public.mixture_components', 'mixtures', 'mixture_id');
SELECT private.audit_table('public.project_mixtures', 'mixtures', 'mixture_id');
SELECT private.audit_table('public.experiments', 'experiments', 'id');
SELECT private.audit_table('public.experiment_results', 'experiments', 'experiment_id');
SELECT private.audit_table('public.experiment_failures', 'experiments', 'experiment_id');
SELECT private.audit_table('public.molecule_experiments', 'experiments', 'experiment_id');
SELECT private.audit_table('public.proteins', 'proteins', 'id');
SELECT private.audit_table('public.molecule_proteins', 'molecules', 'molecule_id');
SELECT private.audit_table('public.calculation_methods', 'calculation_methods', 'id');
SELECT private.audit_table('public.predictions', 'predictions', 'id');
SELECT private.audit_table('public.toxicity_assays', 'toxicity_assays', 'id');
SELECT private.audit_table('public.toxicity_endpoints', 'toxicity_endpoints', 'id');
SELECT private.audit_table('public.assay_endpoints', 'toxicity_assays', 'assay_id');
SELECT private.audit_table('public.toxicity_results', 'molecules', 'molecule_id');
SELECT private.audit_table('public.toxicity_scores', 'toxicity_scores', 'id');
SELECT private.audit_table('private.service_tokens', 'tokens', 'id');
SELECT private.audit_table('private.token_revocations', 'tokens', 'id');

CREATE FUNCTION private.may_change(resource text, record_id uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    SELECT private.is_service() OR EXISTS (
        SELECT FROM (
            SELECT m.project_id, m.created_by, m.is_public FROM public.molecules AS m
            WHERE resource = 'molecules' AND m.id = record_id
            UNION ALL
            SELECT x.project_id, x.created_by, x.is_public FROM public.mixtures AS x
            WHERE resource = 'mixtures' AND x.id = record_id
            UNION ALL
            SELECT e.project_id, e.created_by, e.is_public FROM public.experiments AS e
            WHERE resource = 'experiments' AND e.id = record_id
        ) AS r
        WHERE coalesce(r.project_id, r.created_by) = ANY (private.my_editable_keys()) AND NOT r.is_public
            OR r.project_id = ANY (private.my_project_ids('{owner}'))
    ) OR CASE resource
        WHEN 'teams' THEN record_id = ANY (private.my_team_ids('{owner}'))
        -- Not of a project that one is a guest in: guests do not change it.
        WHEN 'projects' THEN EXISTS (
            SELECT FROM public.projects AS p
            WHERE p.id = record_id AND p.team_id = ANY (private.my_team_ids('{owner,editor}'))
        )
        ELSE false
    END
$$;

-- Users read on from where the record became theirs: after a deletion, for a key may have been somebody else's before,
-- and from the move into its project, for what it was before that is its former owner's. They read nothing of strangers
-- who point to a public record, and no token's id.
CREATE FUNCTION private.history(resource text, record_id uuid) RETURNS SETOF public.audit_log
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS $$
    WITH asking AS (
        SELECT private.is_service() AS is_service,
            private.may_change(history.resource, history.record_id) AS may_change,
            private.my_project_ids('{owner,editor,viewer}') AS projects
    ), beginning AS (
        SELECT max(b.occurred_at + CASE b.action WHEN 'delete' THEN interval '1 microsecond' ELSE interval '0' END)
            AS occurred_at
        FROM public.audit_log AS b
        WHERE b.resource = history.resource AND b.resource_id = history.record_id AND b.table_name = history.resource
            AND (
                b.action = 'delete'
                OR b.action = 'update' AND b.before -> 'project_id' IS DISTINCT FROM b.after -> 'project_id'
            )
    )
    SELECT a.id, a.occurred_at, a.resource, a.resource_id, a.table_name, a.action, a.row_count, a.import_run_id,
        a.actor_id, a.role, CASE WHEN q.is_service THEN a.token_id END, a.request_id, a.before, a.after
    FROM public.audit_log AS a
    CROSS JOIN asking AS q
    CROSS JOIN beginning AS b
    WHERE a.resource = history.resource AND a.resource_id = history.record_id AND q.may_change
        AND (
            q.is_service
            OR a.occurred_at >= coalesce(b.occurred_at, '-infinity') AND (
                coalesce(a.after, a.before) -> 'opens' IS DISTINCT FROM 'false'::jsonb
                OR (coalesce(a.after, a.before) ->> 'project_id')::uuid = ANY (q.projects)
            )
        )
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA private FROM PUBLIC;
GRANT EXECUTE ON FUNCTION private.may_change(text, uuid), private.history(text, uuid) TO authenticated, service_role;

ALTER TABLE public.audit_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.audit_log FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.audit_log FROM anon, authenticated, service_role;
CREATE POLICY audit_log_select_service_role ON public.audit_log FOR SELECT TO service_role USING (true);
GRANT SELECT ON public.audit_log TO service_role;
"""

DOWNGRADE_SQL: Final = """
DO $$
DECLARE
    audit record;
BEGIN
    FOR audit IN
        SELECT tgname, tgrelid::regclass AS audited FROM pg_catalog.pg_trigger
        WHERE tgfoid IN (
            'private.audit_inserts'::regproc, 'private.audit_deletes'::regproc, 'private.audit_update'::regproc
        )
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', audit.tgname, audit.audited);
    END LOOP;
END
$$;
DROP FUNCTION private.history(text, uuid);
DROP FUNCTION private.may_change(text, uuid);
DROP FUNCTION private.audit_table(regclass, text, text);
DROP FUNCTION private.audit_update();
DROP FUNCTION private.audit_deletes();
DROP FUNCTION private.audit_inserts();
DROP FUNCTION private.add_to_audit_log(text, uuid, text, text, jsonb, jsonb, bigint, uuid);
DROP FUNCTION private.audited(jsonb);
DROP TABLE public.audit_log;
DROP FUNCTION private.keep_audit_log();
"""


def upgrade() -> None:
    """Apply the migration."""
    run(UPGRADE_SQL)


def downgrade() -> None:
    """Take the migration back."""
    run(DOWNGRADE_SQL)
