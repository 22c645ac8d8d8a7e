"""Published mixtures and measurements: what a mixture is for, and how surely what a record states is known.

A record that was read in the publication itself is verified; one that was read where others quote it, or that is
remembered, is not. What a person entered says nothing of the kind.
"""

from __future__ import annotations

from typing import Final

from migrations.run import run

revision = "0018_published_mixtures"
down_revision = "0017_toxicity_scores"

UPGRADE_SQL: Final = """
ALTER TABLE public.mixtures
    ADD COLUMN purpose text CONSTRAINT mixtures_purpose_check CHECK (char_length(purpose) BETWEEN 1 AND 200),
    ADD COLUMN verified boolean NOT NULL DEFAULT true,
    ADD COLUMN certainty text CONSTRAINT mixtures_certainty_check
        CHECK (certainty IN ('seen', 'secondary', 'memory') AND verified = (certainty = 'seen'));
ALTER TABLE public.experiments
    ADD COLUMN certainty text CONSTRAINT experiments_certainty_check
        CHECK (certainty IN ('seen', 'secondary', 'memory') AND verified = (certainty = 'seen'));

-- The same record read again is the same mixture.
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX mixtures_data_source_id_source_record_key ON public.mixtures (data_source_id, source_record);
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX public.mixtures_data_source_id_idx;

DROP TRIGGER mixtures_touch ON public.mixtures;
CREATE TRIGGER mixtures_touch BEFORE UPDATE OF
    name, description, solvent, reference, purpose, certainty, verified, is_public, project_id, created_by,
    data_source_id, source_record, version, created_at, updated_at
ON public.mixtures
FOR EACH ROW EXECUTE FUNCTION private.touch_row();

-- They name the columns that they watch.
DROP TRIGGER mixtures_audit_insert ON public.mixtures;
DROP TRIGGER mixtures_audit_update ON public.mixtures;
DROP TRIGGER mixtures_audit_delete ON public.mixtures;
DROP TRIGGER experiments_audit_insert ON public.experiments;
DROP TRIGGER experiments_audit_update ON public.experiments;
DROP TRIGGER experiments_audit_delete ON public.experiments;
SELECT private.audit_table('public.mixtures', 'mixtures', 'id');
SELECT private.audit_table('public.experiments', 'experiments', 'id');

GRANT SELECT (purpose, certainty, verified) ON public.mixtures TO anon, authenticated;
GRANT SELECT (certainty) ON public.experiments TO anon, authenticated;
"""

DOWNGRADE_SQL: Final = """
DROP TRIGGER mixtures_touch ON public.mixtures;
CREATE TRIGGER mixtures_touch BEFORE UPDATE OF
    name, description, solvent, reference, is_public, project_id, created_by, data_source_id, source_record, version,
    created_at, updated_at
ON public.mixtures
FOR EACH ROW EXECUTE FUNCTION private.touch_row();
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX mixtures_data_source_id_idx ON public.mixtures (data_source_id);
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX public.mixtures_data_source_id_source_record_key;
DROP TRIGGER mixtures_audit_insert ON public.mixtures;
DROP TRIGGER mixtures_audit_update ON public.mixtures;
DROP TRIGGER mixtures_audit_delete ON public.mixtures;
DROP TRIGGER experiments_audit_insert ON public.experiments;
DROP TRIGGER experiments_audit_update ON public.experiments;
DROP TRIGGER experiments_audit_delete ON public.experiments;
ALTER TABLE public.experiments DROP COLUMN certainty;
ALTER TABLE public.mixtures
    DROP COLUMN certainty,
    DROP COLUMN verified,
    DROP COLUMN purpose;
SELECT private.audit_table('public.mixtures', 'mixtures', 'id');
SELECT private.audit_table('public.experiments', 'experiments', 'id');
"""


def upgrade() -> None:
    """Apply the migration."""
    run(UPGRADE_SQL)


def downgrade() -> None:
    """Take the migration back."""
    run(DOWNGRADE_SQL)
