"""Request budgets: how often all processes together may ask a service on the web.

A row is one service. A process takes a request from it before it sends one: requests come one by one, each as far
behind the last as the stricter of the two rates says, so that no second and no minute ever sees more. What the
service says of its load makes the distance longer for a while, or puts the next request off, for everybody at once.
"""

from __future__ import annotations

from typing import Final

from migrations.run import run

revision = "0021_request_budgets"
down_revision = "0020_jobs"

UPGRADE_SQL: Final = """
CREATE TABLE private.request_budgets (
    name text NOT NULL CONSTRAINT request_budgets_name_check CHECK (char_length(name) BETWEEN 1 AND 50),
    per_second float8 NOT NULL CONSTRAINT request_budgets_per_second_check
        CHECK (per_second > 0 AND per_second < 'Infinity'),
    per_minute float8 NOT NULL CONSTRAINT request_budgets_per_minute_check
        CHECK (per_minute > 0 AND per_minute < 'Infinity'),
    next_at timestamptz NOT NULL DEFAULT '-infinity',
    -- How many times as far apart as usual requests are until then.
    slowness float8 NOT NULL DEFAULT 1 CONSTRAINT request_budgets_slowness_check
        CHECK (slowness >= 1 AND slowness < 'Infinity'),
    slow_until timestamptz NOT NULL DEFAULT '-infinity',
    CONSTRAINT request_budgets_pkey PRIMARY KEY (name)
);
ALTER TABLE private.request_budgets ENABLE ROW LEVEL SECURITY;
ALTER TABLE private.request_budgets FORCE ROW LEVEL SECURITY;
REVOKE ALL ON private.request_budgets FROM anon, authenticated, service_role;
CREATE POLICY request_budgets_all_service_role ON private.request_budgets FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, UPDATE ON private.request_budgets TO service_role;

-- PubChem asks for these rates. ChEMBL names none: we keep to one that its users hardly notice.
INSERT INTO private.request_budgets (name, per_second, per_minute) VALUES ('pubchem', 5, 400), ('chembl', 5, 300);

-- Gives 0 and takes a request, or takes none and gives the seconds until there may be one.
CREATE FUNCTION private.take_request(budget_name text) RETURNS float8
LANGUAGE plpgsql SET search_path = '' AS $$
DECLARE
    budget private.request_budgets;
    now timestamptz;
BEGIN
    SELECT b.* INTO STRICT budget FROM private.request_budgets AS b WHERE b.name = budget_name FOR NO KEY UPDATE;
    -- Read only when the row is ours: whoever waited for it is not in the past.
    now := clock_timestamp();
    IF budget.next_at > now THEN
        RETURN extract(epoch FROM budget.next_at - now)::float8;
    END IF;
    UPDATE private.request_budgets AS b
    SET next_at = now + interval '1 second' * (
        greatest(1 / b.per_second, 60 / b.per_minute) * CASE WHEN b.slow_until > now THEN b.slowness ELSE 1 END
    )
    WHERE b.name = budget_name;
    RETURN 0;
END
$$;
REVOKE EXECUTE ON FUNCTION private.take_request(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION private.take_request(text) TO service_role;
"""

DOWNGRADE_SQL: Final = """
DROP FUNCTION private.take_request(text);
DROP TABLE private.request_budgets;
"""


def upgrade() -> None:
    """Apply the migration."""
    run(UPGRADE_SQL)


def downgrade() -> None:
    """Take the migration back."""
    run(DOWNGRADE_SQL)
