"""Searches for mixtures that take longer than a request may, and how many jobs one user may have open.

A search has a table of its own beside the batches of predictions: it keeps a result where those count what they have
stored elsewhere. All else they share: the queue, the lock of their user, retries, and the end of a job given up.
"""

from __future__ import annotations

from typing import Final

from migrations.run import run

revision = "0024_optimizations"
down_revision = "0023_rest_reads"

UPGRADE_SQL: Final = """
CREATE TABLE private.optimizations (
    id uuid CONSTRAINT optimizations_pkey PRIMARY KEY,
    state text NOT NULL DEFAULT 'queued' CONSTRAINT optimizations_state_check
        CHECK (state IN ('queued', 'running', 'finished', 'failed')),
    -- Null where it is the service's.
    created_by uuid CONSTRAINT optimizations_created_by_fkey REFERENCES public.user_profiles (id) ON DELETE CASCADE,
    job_id bigint NOT NULL,
    request jsonb NOT NULL CONSTRAINT optimizations_request_check CHECK (jsonb_typeof(request) = 'object'),
    -- What the request's candidates meant to its caller then, in their order.
    molecules jsonb NOT NULL CONSTRAINT optimizations_molecules_check
        CHECK (jsonb_typeof(molecules) = 'array' AND jsonb_array_length(molecules) <= 20),
    -- Raised by each worker that begins: whoever has a lower one was overtaken.
    fence integer NOT NULL DEFAULT 0 CONSTRAINT optimizations_fence_check CHECK (fence >= 0),
    done_fraction float8 NOT NULL DEFAULT 0 CONSTRAINT optimizations_done_fraction_check
        CHECK (done_fraction BETWEEN 0 AND 1),
    generation_count integer NOT NULL DEFAULT 0 CONSTRAINT optimizations_generation_count_check
        CHECK (generation_count >= 0),
    best_objective float8 CONSTRAINT optimizations_best_objective_check
        CHECK (best_objective > '-Infinity' AND best_objective < 'Infinity'),
    result jsonb CONSTRAINT optimizations_result_check CHECK (jsonb_typeof(result) = 'object'),
    failure jsonb CONSTRAINT optimizations_failure_check CHECK (jsonb_typeof(failure) = 'object'),
    started_at timestamptz,
    finished_at timestamptz,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT optimizations_outcome_check
        CHECK ((state = 'finished') = (result IS NOT NULL) AND (state = 'failed') = (failure IS NOT NULL))
);
CREATE INDEX optimizations_created_by_id_idx ON private.optimizations (created_by, id);
CREATE TRIGGER optimizations_touch BEFORE UPDATE ON private.optimizations
FOR EACH ROW EXECUTE FUNCTION private.touch_row();

ALTER TABLE private.optimizations ENABLE ROW LEVEL SECURITY;
ALTER TABLE private.optimizations FORCE ROW LEVEL SECURITY;
REVOKE ALL ON private.optimizations FROM anon, authenticated, service_role;
CREATE POLICY optimizations_all_service_role ON private.optimizations FOR ALL TO service_role
USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON private.optimizations TO service_role;
CREATE POLICY optimizations_select_authenticated ON private.optimizations FOR SELECT TO authenticated
USING (created_by = (SELECT auth.uid()));
CREATE POLICY optimizations_delete_authenticated ON private.optimizations FOR DELETE TO authenticated
USING (created_by = (SELECT auth.uid()));
GRANT SELECT, DELETE ON private.optimizations TO authenticated;

-- What waits is taken out of the queue; a search under way finds its row gone when it next tells how far it is.
CREATE FUNCTION private.cancel_optimization_job() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    PERFORM jobs.procrastinate_cancel_job_v1(OLD.job_id, false, false);
    RETURN NULL;
END
$$;
CREATE TRIGGER optimizations_cancel_job AFTER DELETE ON private.optimizations
FOR EACH ROW EXECUTE FUNCTION private.cancel_optimization_job();

-- What a caller lets workers compute. The lock is the caller's: whoever asks for much waits for himself, not others for
-- him. A user has so many jobs at once that wait or run; the service's are not counted.
CREATE FUNCTION private.enqueue_own(task text, args jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    -- The role that the session has taken. A claim may say anything.
    caller_role text := current_setting('role');
    own_lock text := 'predictions ' || coalesce(auth.uid()::text, caller_role);
BEGIN
    IF caller_role <> 'service_role' THEN
        -- Of two requests at once the second counts the first one's.
        PERFORM pg_advisory_xact_lock(hashtextextended(own_lock, 0));
        IF (
            SELECT count(*) FROM jobs.procrastinate_jobs AS j
            WHERE j.lock = own_lock AND j.status IN ('todo', 'doing')
        ) >= 20 THEN
            RAISE check_violation USING CONSTRAINT = 'jobs_of_one_user_check',
                MESSAGE = 'one user has so many jobs that wait or run';
        END IF;
    END IF;
    RETURN private.enqueue('predictions', task, args, own_lock);
END
$$;

CREATE OR REPLACE FUNCTION private.enqueue_predictions(question jsonb, mixture_ids uuid[]) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    -- The role that the session has taken. A claim may say anything.
    caller_role text := current_setting('role');
    batch_id uuid;
BEGIN
    INSERT INTO private.prediction_batches (role, created_by, token_id, question, mixture_ids)
    VALUES (
        caller_role, CASE caller_role WHEN 'authenticated' THEN auth.uid() END, auth.jwt() ->> 'jti',
        enqueue_predictions.question, enqueue_predictions.mixture_ids
    )
    RETURNING id INTO batch_id;
    PERFORM private.enqueue_own('predict_mixtures', jsonb_build_object('batch_id', batch_id));
    RETURN batch_id;
END
$$;

CREATE FUNCTION private.enqueue_optimization(request jsonb, molecules jsonb) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    optimization_id uuid := private.uuid_v7();
BEGIN
    INSERT INTO private.optimizations (id, created_by, job_id, request, molecules)
    VALUES (
        optimization_id, CASE current_setting('role') WHEN 'authenticated' THEN auth.uid() END,
        private.enqueue_own('optimize_mixtures', jsonb_build_object('optimization_id', optimization_id)),
        enqueue_optimization.request, enqueue_optimization.molecules
    );
    RETURN optimization_id;
END
$$;

-- As before, and the searches' too.
CREATE OR REPLACE FUNCTION private.follow_failed_job() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    IF NEW.task_name = 'run_import' THEN
        UPDATE public.import_runs
        SET state = CASE WHEN cancel_requested THEN 'cancelled' ELSE 'failed' END,
            failure = coalesce(failure, 'its job was given up after too many attempts'),
            finished_at = clock_timestamp(), lease_until = NULL
        WHERE id = (NEW.args ->> 'run_id')::uuid AND state IN ('queued', 'running')
            AND coalesce(lease_until, '-infinity') <= clock_timestamp();
    ELSIF NEW.task_name = 'predict_mixtures' THEN
        UPDATE private.prediction_batches
        SET state = 'failed', finished_at = clock_timestamp()
        WHERE id = (NEW.args ->> 'batch_id')::uuid AND state IN ('queued', 'running');
    ELSIF NEW.task_name = 'optimize_mixtures' THEN
        UPDATE private.optimizations
        SET state = 'failed', finished_at = clock_timestamp(),
            failure = jsonb_build_object(
                'code', 'given_up', 'detail', 'its job was given up after too many attempts', 'errors', '[]'::jsonb
            )
        WHERE id = (NEW.args ->> 'optimization_id')::uuid AND state IN ('queued', 'running');
    END IF;
    RETURN NULL;
END
$$;

REVOKE EXECUTE ON FUNCTION private.cancel_optimization_job(), private.enqueue_own(text, jsonb),
    private.enqueue_optimization(jsonb, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION private.enqueue_optimization(jsonb, jsonb) TO authenticated, service_role;
"""

DOWNGRADE_SQL: Final = """
CREATE OR REPLACE FUNCTION private.follow_failed_job() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    IF NEW.task_name = 'run_import' THEN
        UPDATE public.import_runs
        SET state = CASE WHEN cancel_requested THEN 'cancelled' ELSE 'failed' END,
            failure = coalesce(failure, 'its job was given up after too many attempts'),
            finished_at = clock_timestamp(), lease_until = NULL
        WHERE id = (NEW.args ->> 'run_id')::uuid AND state IN ('queued', 'running')
            AND coalesce(lease_until, '-infinity') <= clock_timestamp();
    ELSIF NEW.task_name = 'predict_mixtures' THEN
        UPDATE private.prediction_batches
        SET state = 'failed', finished_at = clock_timestamp()
        WHERE id = (NEW.args ->> 'batch_id')::uuid AND state IN ('queued', 'running');
    END IF;
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION private.enqueue_predictions(question jsonb, mixture_ids uuid[]) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
DECLARE
    -- The role that the session has taken. A claim may say anything.
    caller_role text := current_setting('role');
    batch_id uuid;
BEGIN
    INSERT INTO private.prediction_batches (role, created_by, token_id, question, mixture_ids)
    VALUES (
        caller_role, CASE caller_role WHEN 'authenticated' THEN auth.uid() END, auth.jwt() ->> 'jti',
        enqueue_predictions.question, enqueue_predictions.mixture_ids
    )
    RETURNING id INTO batch_id;
    PERFORM private.enqueue(
        'predictions', 'predict_mixtures', jsonb_build_object('batch_id', batch_id),
        'predictions ' || coalesce(auth.uid()::text, caller_role)
    );
    RETURN batch_id;
END
$$;
DROP FUNCTION private.enqueue_optimization(jsonb, jsonb);
DROP FUNCTION private.enqueue_own(text, jsonb);
DROP TABLE private.optimizations;
DROP FUNCTION private.cancel_optimization_job();
-- The workers of before do not know this task.
DELETE FROM jobs.procrastinate_jobs WHERE task_name = 'optimize_mixtures';
"""


def upgrade() -> None:
    """Apply the migration."""
    run(UPGRADE_SQL)


def downgrade() -> None:
    """Take the migration back."""
    run(DOWNGRADE_SQL)
