"""Service tokens that were minted, and those that were revoked; never a token's own text.

A token's row outlives its token while something minted from it lives on, so that revoking a token
finds all that came from it. Neither table refers to the other: a token that was minted without a
database has no row, and can be revoked all the same.
"""

from __future__ import annotations

from typing import Final

from migrations.run import run

revision = "0012_tokens"
down_revision = "0011_toxicity"

UPGRADE_SQL: Final = """
CREATE TABLE private.service_tokens (
    jti text NOT NULL CONSTRAINT service_tokens_jti_check CHECK (char_length(jti) BETWEEN 1 AND 128),
    scopes text[],
    parent_jti text CONSTRAINT service_tokens_parent_jti_check CHECK (char_length(parent_jti) BETWEEN 1 AND 128),
    issued_at timestamptz NOT NULL CONSTRAINT service_tokens_issued_at_check CHECK (isfinite(issued_at)),
    expires_at timestamptz NOT NULL,
    CONSTRAINT service_tokens_pkey PRIMARY KEY (jti),
    CONSTRAINT service_tokens_scopes_check CHECK (array_position(scopes, NULL) IS NULL),
    CONSTRAINT service_tokens_expires_at_check
    CHECK (expires_at > issued_at AND expires_at <= issued_at + interval '24 hours'),
    CONSTRAINT service_tokens_lineage_check CHECK (parent_jti <> jti)
);
CREATE INDEX service_tokens_parent_jti_idx ON private.service_tokens (parent_jti);
CREATE INDEX service_tokens_issued_at_idx ON private.service_tokens (issued_at);
CREATE INDEX service_tokens_expires_at_idx ON private.service_tokens (expires_at);

CREATE TABLE private.token_revocations (
    jti text NOT NULL CONSTRAINT token_revocations_jti_check CHECK (char_length(jti) BETWEEN 1 AND 128),
    expires_at timestamptz NOT NULL CONSTRAINT token_revocations_expires_at_check CHECK (isfinite(expires_at)),
    revoked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_by text CONSTRAINT token_revocations_revoked_by_check CHECK (char_length(revoked_by) BETWEEN 1 AND 128),
    CONSTRAINT token_revocations_pkey PRIMARY KEY (jti)
);
CREATE INDEX token_revocations_expires_at_idx ON private.token_revocations (expires_at);

ALTER TABLE private.service_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE private.service_tokens FORCE ROW LEVEL SECURITY;
REVOKE ALL ON private.service_tokens FROM anon, authenticated, service_role;
GRANT SELECT, INSERT, DELETE ON private.service_tokens TO service_role;
CREATE POLICY service_tokens_all_service_role ON private.service_tokens FOR ALL TO service_role
USING (true) WITH CHECK (true);

ALTER TABLE private.token_revocations ENABLE ROW LEVEL SECURITY;
ALTER TABLE private.token_revocations FORCE ROW LEVEL SECURITY;
REVOKE ALL ON private.token_revocations FROM anon, authenticated, service_role;
GRANT SELECT, INSERT, DELETE ON private.token_revocations TO service_role;
CREATE POLICY token_revocations_all_service_role ON private.token_revocations FOR ALL TO service_role
USING (true) WITH CHECK (true);
"""

DOWNGRADE_SQL: Final = """
DROP TABLE private.token_revocations;
DROP TABLE private.service_tokens;
"""


def upgrade() -> None:
    """Apply the migration."""
    run(UPGRADE_SQL)


def downgrade() -> None:
    """Take the migration back."""
    run(DOWNGRADE_SQL)
