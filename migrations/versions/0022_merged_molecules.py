"""When two records of one molecule become one, its shares go along.

A share that was added anew would count as the service's own and so open the molecule when it is withdrawn, also where
a stranger had merely pointed a project to what was public. So the service may turn a share to another molecule, and
both molecules' keys follow. Clients have no privilege to change a share.
"""

from __future__ import annotations

from typing import Final

from migrations.run import run

revision = "0022_merged_molecules"
down_revision = "0021_request_budgets"

UPGRADE_SQL: Final = """
CREATE OR REPLACE FUNCTION private.share_molecule() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.project_id <> OLD.project_id THEN
        RAISE feature_not_supported USING MESSAGE = 'a share is added or removed';
    END IF;
    UPDATE public.molecules SET acl = acl, updated_at = clock_timestamp()
    WHERE id IN (OLD.molecule_id, NEW.molecule_id) AND NOT is_public;
    RETURN NULL;
END
$$;
CREATE TRIGGER project_molecules_raise_changed AFTER UPDATE ON public.project_molecules
FOR EACH ROW EXECUTE FUNCTION private.raise_project();
"""

DOWNGRADE_SQL: Final = """
DROP TRIGGER project_molecules_raise_changed ON public.project_molecules;
CREATE OR REPLACE FUNCTION private.share_molecule() RETURNS trigger
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
"""


def upgrade() -> None:
    """Apply the migration."""
    run(UPGRADE_SQL)


def downgrade() -> None:
    """Take the migration back."""
    run(DOWNGRADE_SQL)
