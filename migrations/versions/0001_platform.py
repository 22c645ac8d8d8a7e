"""Schemas, roles and Supabase's own objects, the last only where they are missing.

Roles belong to the whole cluster and other databases may lean on them, so the way down leaves them.
"""

from __future__ import annotations

from typing import Final

from migrations.run import run

revision = "0001_platform"
down_revision = None

UPGRADE_SQL: Final = """
CREATE SCHEMA IF NOT EXISTS private;
CREATE SCHEMA IF NOT EXISTS extensions;

DO $$
BEGIN
    IF to_regrole('anon') IS NULL THEN
        CREATE ROLE anon NOLOGIN NOINHERIT;
    END IF;
    IF to_regrole('authenticated') IS NULL THEN
        CREATE ROLE authenticated NOLOGIN NOINHERIT;
    END IF;
    IF to_regrole('service_role') IS NULL THEN
        CREATE ROLE service_role NOLOGIN NOINHERIT;
    END IF;
    IF to_regrole('authenticator') IS NULL THEN
        CREATE ROLE authenticator NOLOGIN NOINHERIT;
        GRANT anon, authenticated, service_role TO authenticator;
    END IF;
    IF to_regrole('cryoprotect_request') IS NULL THEN
        CREATE ROLE cryoprotect_request LOGIN NOINHERIT;
    END IF;
    IF to_regrole('cryoprotect_service') IS NULL THEN
        CREATE ROLE cryoprotect_service LOGIN NOINHERIT;
    END IF;
END
$$;

GRANT anon, authenticated TO cryoprotect_request;
GRANT service_role TO cryoprotect_service;
ALTER ROLE cryoprotect_request SET statement_timeout = '30s';
ALTER ROLE cryoprotect_request SET idle_in_transaction_session_timeout = '30s';
ALTER ROLE cryoprotect_service SET statement_timeout = '30s';
ALTER ROLE cryoprotect_service SET idle_in_transaction_session_timeout = '5min';
ALTER ROLE cryoprotect_request SET timezone = 'UTC';
ALTER ROLE cryoprotect_service SET timezone = 'UTC';

-- What Supabase brings along, for a plain Postgres. EXECUTE, because Supabase's own `auth` belongs to
-- another role, and even CREATE OR REPLACE of an object that is there would be refused.
DO $$
BEGIN
    IF to_regnamespace('auth') IS NULL THEN
        EXECUTE 'CREATE SCHEMA auth';
        EXECUTE 'GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role';
    END IF;
    IF to_regclass('auth.users') IS NULL THEN
        EXECUTE 'CREATE TABLE auth.users (id uuid CONSTRAINT users_pkey PRIMARY KEY, email text)';
        EXECUTE 'ALTER TABLE auth.users ENABLE ROW LEVEL SECURITY';
    END IF;
    IF to_regprocedure('auth.jwt()') IS NULL THEN
        EXECUTE $f$
            CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE SET search_path = '' AS
            'SELECT nullif(current_setting(''request.jwt.claims'', true), '''')::jsonb'
        $f$;
    END IF;
    IF to_regprocedure('auth.uid()') IS NULL THEN
        EXECUTE $f$
            CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE SET search_path = '' AS
            'SELECT (nullif(current_setting(''request.jwt.claims'', true), '''')::jsonb ->> ''sub'')::uuid'
        $f$;
    END IF;
    IF to_regprocedure('auth.role()') IS NULL THEN
        EXECUTE $f$
            CREATE FUNCTION auth.role() RETURNS text LANGUAGE sql STABLE SET search_path = '' AS
            'SELECT nullif(current_setting(''request.jwt.claims'', true), '''')::jsonb ->> ''role'''
        $f$;
    END IF;
END
$$;

GRANT USAGE ON SCHEMA public, private TO anon, authenticated, service_role;

-- Alembic's own table; readiness asks it whether the code and the schema belong together.
ALTER TABLE private.alembic_version ENABLE ROW LEVEL SECURITY;
ALTER TABLE private.alembic_version FORCE ROW LEVEL SECURITY;
CREATE POLICY alembic_version_select_service_role ON private.alembic_version FOR SELECT TO service_role USING (true);
GRANT SELECT ON private.alembic_version TO service_role;

-- Keys that sort by time (RFC 9562, version 7): 48 bits of milliseconds, the rest random.
CREATE FUNCTION private.uuid_v7() RETURNS uuid LANGUAGE sql VOLATILE SET search_path = '' AS $$
    SELECT encode(
        set_bit(set_bit(overlay(
            uuid_send(gen_random_uuid())
            PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
            FROM 1 FOR 6
        ), 52, 1), 53, 1), 'hex')::uuid
$$;
REVOKE EXECUTE ON FUNCTION private.uuid_v7() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION private.uuid_v7() TO authenticated, service_role;

CREATE FUNCTION private.touch_row() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$
BEGIN
    NEW.created_at := OLD.created_at;
    NEW.updated_at := clock_timestamp();
    NEW.version := OLD.version + 1;
    RETURN NEW;
END
$$;
REVOKE EXECUTE ON FUNCTION private.touch_row() FROM PUBLIC;
"""

DOWNGRADE_SQL: Final = """
DROP POLICY alembic_version_select_service_role ON private.alembic_version;
DROP FUNCTION private.touch_row();
DROP FUNCTION private.uuid_v7();
"""


def upgrade() -> None:
    """Apply the migration."""
    run(UPGRADE_SQL)


def downgrade() -> None:
    """Take the migration back."""
    run(DOWNGRADE_SQL)
