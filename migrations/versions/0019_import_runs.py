"""Import runs that survive their workers: a lease, a fence, a checkpoint and the numbers of progress.

Whoever takes a run's lease raises its fence. A page is stored in one transaction with the checkpoint behind it, and
only under the fence that its worker was given, so that a worker which was overtaken stores nothing any more.

A file is one run, whoever starts it and how often: its SHA-256 and the mapping of its columns say which.
"""

from __future__ import annotations

from typing import Final

from migrations.run import run

revision = "0019_import_runs"
down_revision = "0018_published_mixtures"

UPGRADE_SQL: Final = """
ALTER TABLE public.import_runs
    -- What is imported: {"source": "file", "path": ..., "columns": {...}}; other sources have words of their own.
    ADD COLUMN parameters jsonb NOT NULL DEFAULT '{}' CONSTRAINT import_runs_parameters_check
        CHECK (jsonb_typeof(parameters) = 'object'),
    ADD COLUMN sha256 text CONSTRAINT import_runs_sha256_check CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    ADD COLUMN fence bigint NOT NULL DEFAULT 0 CONSTRAINT import_runs_fence_check CHECK (fence >= 0),
    ADD COLUMN lease_until timestamptz,
    ADD COLUMN cancel_requested boolean NOT NULL DEFAULT false,
    -- Why a run failed, a sentence for who started it.
    ADD COLUMN failure text CONSTRAINT import_runs_failure_check CHECK (char_length(failure) BETWEEN 1 AND 1000),
    -- Between 0 and 1; null where the source does not tell how much there is.
    ADD COLUMN done_fraction float8 CONSTRAINT import_runs_done_fraction_check
        CHECK (done_fraction >= 0 AND done_fraction <= 1),
    -- Time that workers spent on it, waits between them left out: what rate and eta are worked out from.
    ADD COLUMN working_s float8 NOT NULL DEFAULT 0 CONSTRAINT import_runs_working_s_check
        CHECK (working_s >= 0 AND working_s < 'Infinity');

-- The table is as long as there were imports.
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX import_runs_sha256_columns_key ON public.import_runs (sha256, (parameters -> 'columns'))
NULLS NOT DISTINCT WHERE sha256 IS NOT NULL;

-- A run's progress is its own record: page by page it would fill the audit log.
DROP TRIGGER import_runs_audit_update ON public.import_runs;
CREATE TRIGGER import_runs_audit_update
AFTER UPDATE OF id, data_source_id, state, started_at, finished_at, parameters, sha256, cancel_requested, failure
ON public.import_runs FOR EACH ROW
WHEN (
    (
        OLD.id, OLD.data_source_id, OLD.state, OLD.started_at, OLD.finished_at, OLD.parameters, OLD.sha256,
        OLD.cancel_requested, OLD.failure
    ) IS DISTINCT FROM (
        NEW.id, NEW.data_source_id, NEW.state, NEW.started_at, NEW.finished_at, NEW.parameters, NEW.sha256,
        NEW.cancel_requested, NEW.failure
    )
)
EXECUTE FUNCTION private.audit_update('import_runs', 'id', 'entered');
"""

DOWNGRADE_SQL: Final = """
DROP TRIGGER import_runs_audit_insert ON public.import_runs;
DROP TRIGGER import_runs_audit_update ON public.import_runs;
DROP TRIGGER import_runs_audit_delete ON public.import_runs;
-- It goes with its columns in the same transaction in any case.
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX public.import_runs_sha256_columns_key;
ALTER TABLE public.import_runs
    DROP COLUMN parameters,
    DROP COLUMN sha256,
    DROP COLUMN fence,
    DROP COLUMN lease_until,
    DROP COLUMN cancel_requested,
    DROP COLUMN failure,
    DROP COLUMN done_fraction,
    DROP COLUMN working_s;
SELECT private.audit_table('public.import_runs', 'import_runs', 'id');
"""


def upgrade() -> None:
    """Apply the migration."""
    run(UPGRADE_SQL)


def downgrade() -> None:
    """Take the migration back."""
    run(DOWNGRADE_SQL)
