"""What a signed-in user sees is counted in the indexes of public molecules and of each project's private ones.

That of a project's says who may see them, so that counting looks at no record; the one that served the count before,
of all molecules and their keys, serves nothing any more.
"""

from __future__ import annotations

from typing import Final

from migrations.run import run

revision = "0025_visible_count"
down_revision = "0024_optimizations"

UPGRADE_SQL: Final = """
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX public.molecules_is_public_idx;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX public.molecules_project_id_inchikey_key;
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX molecules_project_id_inchikey_key ON public.molecules (project_id, inchikey)
INCLUDE (is_public, acl) WHERE NOT is_public AND project_id IS NOT NULL;
"""

DOWNGRADE_SQL: Final = """
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX public.molecules_project_id_inchikey_key;
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX molecules_project_id_inchikey_key ON public.molecules (project_id, inchikey)
WHERE NOT is_public AND project_id IS NOT NULL;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX molecules_is_public_idx ON public.molecules (is_public) INCLUDE (acl);
"""


def upgrade() -> None:
    """Make the index anew."""
    run(UPGRADE_SQL)


def downgrade() -> None:
    """Make it as it was."""
    run(DOWNGRADE_SQL)
