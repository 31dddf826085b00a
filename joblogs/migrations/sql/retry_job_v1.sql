-- Queue one job again, by hand. (What a worker does after a failure is joblogs_finish_jobs_v1.)

-- Whether the worker of a running job lives: it has sent a heartbeat in the last 30 seconds, as
-- Procrastinate has it, or holds its advisory lock. If not, its row is kept from whoever would delete
-- it until the end of this transaction.
CREATE FUNCTION joblogs_worker_lives_v1(p_worker_id bigint)
    RETURNS boolean
    LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    -- Not that of the transaction, which may have begun long ago.
    latest timestamptz := clock_timestamp() - interval '30 seconds';
BEGIN
    IF EXISTS (
        SELECT FROM procrastinate_workers WHERE id = p_worker_id AND last_heartbeat >= latest
    ) THEN
        RETURN true;
    END IF;
    -- Who rescues its jobs holds the advisory lock, too, and before it this row: wait for them first.
    PERFORM FROM procrastinate_workers WHERE id = p_worker_id FOR KEY SHARE;
    -- Shared, as others may ask the same at the same time.
    RETURN FOUND AND NOT pg_try_advisory_xact_lock_shared(joblogs_worker_lock_v1(p_worker_id));
END;
$$;

-- A job that failed or was aborted or cancelled is queued as it was, with p_retry_at as its time, and
-- with what else is given in the place of what it had. Its attempts stay as they are, as they have been
-- counted. A running one whose worker is gone is given back in the same way; its attempt is counted and
-- logged as lost. Returns
--   retried      it is queued
--   has a twin   a job with its queueing lock is queued: it was left alone, or if its worker is gone
--                it failed
--   aborted      its worker is gone, and somebody had asked for it to be aborted: now it is
--   not found    there is none
-- or its status if it was left alone for that: todo, succeeded, or doing while its worker lives.
CREATE FUNCTION joblogs_retry_job_v1(
    p_job_id bigint,
    p_retry_at timestamptz,
    p_priority integer,
    p_queue varchar,
    p_lock text
)
    RETURNS text
    LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    found_status procrastinate_job_status;
    found_worker bigint;
    job procrastinate_jobs;
    becomes text := 'todo';
    its_verdict text;
BEGIN
    LOOP
        -- A worker's row is locked before its jobs are, as by those who delete it.
        SELECT status, worker_id
          INTO found_status, found_worker
          FROM procrastinate_jobs
         WHERE id = p_job_id;
        IF found_status = 'doing' AND joblogs_worker_lives_v1(found_worker) THEN
            RETURN 'doing';
        END IF;
        SELECT * INTO job FROM procrastinate_jobs WHERE id = p_job_id FOR NO KEY UPDATE;
        -- Again if it has been started, or lost its worker's id, meanwhile.
        EXIT WHEN job.status IS DISTINCT FROM 'doing'
            OR (found_status = 'doing' AND job.worker_id IS NOT DISTINCT FROM found_worker);
    END LOOP;

    IF job.status = 'doing' THEN
        IF job.abort_requested THEN
            becomes := 'aborted';
        END IF;
        SELECT given.verdict
          INTO its_verdict
          FROM joblogs_finish_jobs_v1(
               job.worker_id,
               coalesce(
                   (SELECT host || ':' || pid FROM job_workers WHERE worker_id = job.worker_id),
                   'worker ' || job.worker_id,
                   'unknown'
               ),
               jsonb_build_object(
                   job.id,
                   jsonb_build_object(
                       'attempts', job.attempts,
                       'status', becomes,
                       'delete', false,
                       'retry_at', extract(epoch FROM p_retry_at),
                       'priority', p_priority,
                       'to_queue', p_queue,
                       'lock', p_lock,
                       'task', job.task_name,
                       'queue', job.queue_name,
                       'finished_at', extract(epoch FROM clock_timestamp()),
                       'outcome', 'lost',
                       'error_class', 'joblogs.WorkerDied',
                       'error_message', 'Its worker died while it was running.'
                   )
               )
          ) AS given;
        RETURN coalesce(its_verdict, CASE becomes WHEN 'todo' THEN 'retried' ELSE becomes END);
    END IF;

    IF job.status IN ('failed', 'cancelled', 'aborted') THEN
        BEGIN
            UPDATE procrastinate_jobs AS ended
               SET status = 'todo',
                   scheduled_at = p_retry_at,
                   priority = coalesce(p_priority, ended.priority),
                   queue_name = coalesce(p_queue, ended.queue_name),
                   lock = coalesce(p_lock, ended.lock),
                   abort_requested = false,
                   worker_id = NULL
             WHERE ended.id = p_job_id;
        EXCEPTION WHEN unique_violation THEN
            RETURN 'has a twin';
        END;
        -- Procrastinate's trigger notes the retry of failed jobs only.
        IF job.status <> 'failed' THEN
            INSERT INTO procrastinate_events (job_id, type) VALUES (p_job_id, 'retried');
        END IF;
        -- Also for one that is due later: workers ask anew when the next one is.
        PERFORM joblogs_notify_v1(ARRAY[coalesce(p_queue, job.queue_name)]);
        RETURN 'retried';
    END IF;
    RETURN coalesce(job.status::text, 'not found');
END;
$$;
