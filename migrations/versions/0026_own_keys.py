"""Who reads looks up the keys in the statement's own plan, and not through a function.

To call `my_keys` takes as long again as what it looks up. A view opens the caller's row of `private.user_keys` with the
rights of its owner, as the function does. Whoever has no row there has no profile, and so no private record.
"""

from __future__ import annotations

from typing import Final

from migrations.run import run

revision = "0026_own_keys"
down_revision = "0025_visible_count"

UPGRADE_SQL: Final = """
-- A barrier, or a function in somebody's own condition would be shown the rows of others.
CREATE VIEW private.own_keys WITH (security_barrier) AS
SELECT k.user_id || k.owned || k.edited || k.viewed AS keys
FROM private.user_keys AS k WHERE k.user_id = auth.uid();
REVOKE ALL ON private.own_keys FROM anon, authenticated, service_role;
GRANT SELECT ON private.own_keys TO authenticated;

ALTER POLICY molecules_select_authenticated ON public.molecules
USING (is_public OR acl && (SELECT k.keys FROM private.own_keys AS k));
ALTER POLICY molecule_identifiers_select_authenticated ON public.molecule_identifiers
USING (is_public OR acl && (SELECT k.keys FROM private.own_keys AS k));
ALTER POLICY molecular_properties_select_authenticated ON public.molecular_properties
USING (is_public OR acl && (SELECT k.keys FROM private.own_keys AS k));
ALTER POLICY molecule_proteins_select_authenticated ON public.molecule_proteins
USING (is_public OR acl && (SELECT k.keys FROM private.own_keys AS k));
ALTER POLICY mixtures_select_authenticated ON public.mixtures
USING (is_public OR acl && (SELECT k.keys FROM private.own_keys AS k));
ALTER POLICY mixture_components_select_authenticated ON public.mixture_components
USING (is_public OR acl && (SELECT k.keys FROM private.own_keys AS k));
ALTER POLICY experiments_select_authenticated ON public.experiments
USING (is_public OR acl && (SELECT k.keys FROM private.own_keys AS k));
ALTER POLICY experiment_results_select_authenticated ON public.experiment_results
USING (is_public OR acl && (SELECT k.keys FROM private.own_keys AS k));
ALTER POLICY experiment_failures_select_authenticated ON public.experiment_failures
USING (is_public OR acl && (SELECT k.keys FROM private.own_keys AS k));
ALTER POLICY molecule_experiments_select_authenticated ON public.molecule_experiments
USING (is_public OR acl && (SELECT k.keys FROM private.own_keys AS k));
ALTER POLICY predictions_select_authenticated ON public.predictions
USING (is_public OR acl && (SELECT k.keys FROM private.own_keys AS k));
ALTER POLICY toxicity_results_select_authenticated ON public.toxicity_results
USING (is_public OR acl && (SELECT k.keys FROM private.own_keys AS k));
ALTER POLICY toxicity_scores_select_authenticated ON public.toxicity_scores
USING (is_public OR acl && (SELECT k.keys FROM private.own_keys AS k));
"""

DOWNGRADE_SQL: Final = """
ALTER POLICY molecules_select_authenticated ON public.molecules
USING (is_public OR acl && (SELECT private.my_keys()));
ALTER POLICY molecule_identifiers_select_authenticated ON public.molecule_identifiers
USING (is_public OR acl && (SELECT private.my_keys()));
ALTER POLICY molecular_properties_select_authenticated ON public.molecular_properties
USING (is_public OR acl && (SELECT private.my_keys()));
ALTER POLICY molecule_proteins_select_authenticated ON public.molecule_proteins
USING (is_public OR acl && (SELECT private.my_keys()));
ALTER POLICY mixtures_select_authenticated ON public.mixtures
USING (is_public OR acl && (SELECT private.my_keys()));
ALTER POLICY mixture_components_select_authenticated ON public.mixture_components
USING (is_public OR acl && (SELECT private.my_keys()));
ALTER POLICY experiments_select_authenticated ON public.experiments
USING (is_public OR acl && (SELECT private.my_keys()));
ALTER POLICY experiment_results_select_authenticated ON public.experiment_results
USING (is_public OR acl && (SELECT private.my_keys()));
ALTER POLICY experiment_failures_select_authenticated ON public.experiment_failures
USING (is_public OR acl && (SELECT private.my_keys()));
ALTER POLICY molecule_experiments_select_authenticated ON public.molecule_experiments
USING (is_public OR acl && (SELECT private.my_keys()));
ALTER POLICY predictions_select_authenticated ON public.predictions
USING (is_public OR acl && (SELECT private.my_keys()));
ALTER POLICY toxicity_results_select_authenticated ON public.toxicity_results
USING (is_public OR acl && (SELECT private.my_keys()));
ALTER POLICY toxicity_scores_select_authenticated ON public.toxicity_scores
USING (is_public OR acl && (SELECT private.my_keys()));
DROP VIEW private.own_keys;
"""


def upgrade() -> None:
    """Apply the migration."""
    run(UPGRADE_SQL)


def downgrade() -> None:
    """Take the migration back."""
    run(DOWNGRADE_SQL)
