"""Where data comes from: sources, import runs and the records that a run had to leave out."""

from __future__ import annotations

from typing import Final

from migrations.run import run

revision = "0003_provenance"
down_revision = "0002_teams"

UPGRADE_SQL: Final = """
CREATE TABLE public.data_sources (
    id uuid DEFAULT private.uuid_v7() CONSTRAINT data_sources_pkey PRIMARY KEY,
    name text NOT NULL CONSTRAINT data_sources_name_check CHECK (char_length(name) BETWEEN 1 AND 200),
    release text NOT NULL DEFAULT '' CONSTRAINT data_sources_release_check CHECK (char_length(release) <= 200),
    url text CONSTRAINT data_sources_url_check CHECK (char_length(url) <= 2000),
    licence text CONSTRAINT data_sources_licence_check CHECK (char_length(licence) <= 500),
    sha256 text CONSTRAINT data_sources_sha256_check CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    retrieved_at timestamptz,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT data_sources_name_release_key UNIQUE (name, release)
);
CREATE TRIGGER data_sources_touch BEFORE UPDATE ON public.data_sources
FOR EACH ROW EXECUTE FUNCTION private.touch_row();

CREATE TABLE public.import_runs (
    id uuid DEFAULT private.uuid_v7() CONSTRAINT import_runs_pkey PRIMARY KEY,
    data_source_id uuid NOT NULL
        CONSTRAINT import_runs_data_source_id_fkey REFERENCES public.data_sources (id) ON DELETE RESTRICT,
    state text NOT NULL DEFAULT 'running' CONSTRAINT import_runs_state_check
        CHECK (state IN ('queued', 'running', 'finished', 'failed', 'cancelled')),
    added_count bigint NOT NULL DEFAULT 0 CONSTRAINT import_runs_added_count_check CHECK (added_count >= 0),
    existing_count bigint NOT NULL DEFAULT 0 CONSTRAINT import_runs_existing_count_check
        CHECK (existing_count >= 0),
    refused_count bigint NOT NULL DEFAULT 0 CONSTRAINT import_runs_refused_count_check CHECK (refused_count >= 0),
    checkpoint jsonb,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT import_runs_finished_at_check CHECK (finished_at >= started_at)
);
CREATE INDEX import_runs_data_source_id_idx ON public.import_runs (data_source_id);
CREATE TRIGGER import_runs_touch BEFORE UPDATE ON public.import_runs
FOR EACH ROW EXECUTE FUNCTION private.touch_row();

CREATE TABLE public.import_errors (
    id uuid DEFAULT private.uuid_v7() CONSTRAINT import_errors_pkey PRIMARY KEY,
    import_run_id uuid NOT NULL
        CONSTRAINT import_errors_import_run_id_fkey REFERENCES public.import_runs (id) ON DELETE CASCADE,
    record_index bigint NOT NULL CONSTRAINT import_errors_record_index_check CHECK (record_index >= 0),
    source_record text,
    reason text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX import_errors_import_run_id_idx ON public.import_errors (import_run_id, record_index);

ALTER TABLE public.data_sources ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.data_sources FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.data_sources FROM anon, authenticated, service_role;
CREATE POLICY data_sources_all_service_role ON public.data_sources FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.data_sources TO service_role;
ALTER TABLE public.import_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.import_runs FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.import_runs FROM anon, authenticated, service_role;
CREATE POLICY import_runs_all_service_role ON public.import_runs FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.import_runs TO service_role;
ALTER TABLE public.import_errors ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.import_errors FORCE ROW LEVEL SECURITY;
REVOKE ALL ON public.import_errors FROM anon, authenticated, service_role;
CREATE POLICY import_errors_all_service_role ON public.import_errors FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON public.import_errors TO service_role;

GRANT SELECT ON public.data_sources TO anon, authenticated;
CREATE POLICY data_sources_select_anon ON public.data_sources FOR SELECT TO anon USING (true);
CREATE POLICY data_sources_select_authenticated ON public.data_sources FOR SELECT TO authenticated USING (true);
"""

DOWNGRADE_SQL: Final = """
DROP TABLE public.import_errors, public.import_runs, public.data_sources;
"""


def upgrade() -> None:
    """Apply the migration."""
    run(UPGRADE_SQL)


def downgrade() -> None:
    """Take the migration back."""
    run(DOWNGRADE_SQL)
