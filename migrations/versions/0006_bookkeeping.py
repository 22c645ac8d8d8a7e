"""Idempotency keys: the answers that a repeated POST gets again.

A key row is written in its effect's own transaction, by the caller's own role, so the policies let each
caller see and add only its own.
"""

from __future__ import annotations

from typing import Final

from migrations.run import run

revision = "0006_bookkeeping"
down_revision = "0005_properties"

UPGRADE_SQL: Final = """
CREATE TABLE private.idempotency_keys (
    caller text NOT NULL,
    key text NOT NULL CONSTRAINT idempotency_keys_key_check CHECK (char_length(key) BETWEEN 1 AND 255),
    request_hash bytea NOT NULL,
    status integer NOT NULL CONSTRAINT idempotency_keys_status_check CHECK (status BETWEEN 200 AND 299),
    headers jsonb NOT NULL,
    body bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (caller, key)
);
CREATE INDEX idempotency_keys_created_at_idx ON private.idempotency_keys (created_at);

ALTER TABLE private.idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE private.idempotency_keys FORCE ROW LEVEL SECURITY;
REVOKE ALL ON private.idempotency_keys FROM anon, authenticated, service_role;
CREATE POLICY idempotency_keys_all_service_role ON private.idempotency_keys FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON private.idempotency_keys TO service_role;
GRANT SELECT, INSERT, DELETE ON private.idempotency_keys TO authenticated;
CREATE POLICY idempotency_keys_select_authenticated ON private.idempotency_keys FOR SELECT TO authenticated
USING (caller = (SELECT auth.uid())::text);
CREATE POLICY idempotency_keys_insert_authenticated ON private.idempotency_keys FOR INSERT TO authenticated
WITH CHECK (caller = (SELECT auth.uid())::text);
CREATE POLICY idempotency_keys_delete_authenticated ON private.idempotency_keys FOR DELETE TO authenticated
USING (caller = (SELECT auth.uid())::text);
"""

DOWNGRADE_SQL: Final = """
DROP TABLE private.idempotency_keys;
"""


def upgrade() -> None:
    """Apply the migration."""
    run(UPGRADE_SQL)


def downgrade() -> None:
    """Take the migration back."""
    run(DOWNGRADE_SQL)
