-- End attempts, and write what became of them into job_logs, in one statement. Only the worker that
-- still owns an attempt (same job, worker and count of attempts) changes anything.
--
-- p_attempts is an object with the jobs' ids as names. Its values are objects, too:
--   attempts     the job's count of attempts when it was fetched
--   status       what it becomes: succeeded, failed, aborted, or todo to run again
--   delete       whether its row goes instead
--   retry_at, priority, to_queue, lock    for todo: when (epoch seconds), and what changes unless null
--   task, queue, started_at, finished_at (epoch seconds), outcome, error_class, error_message,
--   traceback, result                     for job_logs
--
-- Returns what happened, for the jobs that were not simply finished:
--   repeated       it had been done before: the answer to an earlier call was lost
--   not owned      somebody else has the job, or it is gone: nothing was changed
--   has a twin     it failed instead of running again, as a job with its queueing lock is queued
--   to be aborted  the same, as somebody has asked for it to be aborted

-- The number of an attempt, whatever somebody wrote into the job's row.
CREATE FUNCTION joblogs_next_attempt_v1(p_attempts bigint)
    RETURNS integer
    LANGUAGE sql IMMUTABLE
AS $$
    SELECT least(greatest(p_attempts + 1, 0), 2147483647)::integer;
$$;

CREATE FUNCTION joblogs_owns_v1(
    p_job procrastinate_jobs, p_worker_id bigint, p_attempts jsonb
)
    RETURNS boolean
    LANGUAGE sql STABLE
AS $$
    -- As text: no index but the one of ids fits, so that no plan made for a small table is kept.
    SELECT p_job.status::text = 'doing'
       AND p_job.worker_id IS NOT DISTINCT FROM p_worker_id
       AND p_job.attempts = (p_attempts -> p_job.id::text ->> 'attempts')::int;
$$;

CREATE FUNCTION joblogs_log_attempts_v1(p_ids bigint[], p_worker text, p_attempts jsonb)
    RETURNS void
    LANGUAGE sql
AS $$
    INSERT INTO job_logs (
        job_id, attempt, task_name, queue_name, worker, started_at, finished_at, outcome,
        error_class, error_message, traceback, result
    )
    SELECT job_id,
           joblogs_next_attempt_v1(attempts),
           task,
           queue,
           p_worker,
           -- Who gives back the job of a dead worker knows of its start only what is noted.
           coalesce(
               to_timestamp(started_at),
               (SELECT max(event.at)
                  FROM procrastinate_events AS event
                 WHERE event.job_id = ended.job_id
                   AND event.type = 'started'),
               now()
           ),
           to_timestamp(finished_at),
           outcome,
           coalesce(error_class, ''),
           coalesce(error_message, ''),
           coalesce(traceback, ''),
           result
      FROM unnest(p_ids) AS ended (job_id)
     CROSS JOIN LATERAL jsonb_to_record(p_attempts -> job_id::text)
        AS (attempts integer, task varchar, queue varchar, started_at float8, finished_at float8,
            outcome varchar, error_class varchar, error_message text, traceback text, result jsonb);
$$;

CREATE FUNCTION joblogs_finish_jobs_v1(p_worker_id bigint, p_worker text, p_attempts jsonb)
    RETURNS TABLE (job bigint, verdict text)
    LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off
    SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    again_ids bigint[] := '{}';
    delete_ids bigint[] := '{}';
    update_ids bigint[] := '{}';
    ended bigint[];
    queues varchar[] := '{}';
    freed_locks text[];
    again_id bigint;
    again jsonb;
    its_queue varchar;
    its_verdict text;
BEGIN
    SELECT coalesce(array_agg(id) FILTER (WHERE attempt ->> 'status' = 'todo'), '{}'),
           coalesce(array_agg(id) FILTER (
               WHERE attempt ->> 'status' <> 'todo' AND attempt -> 'delete' = 'true'
           ), '{}'),
           -- In one order, so that two that change some of the same jobs do not block each other.
           coalesce(array_agg(id ORDER BY id) FILTER (
               WHERE attempt ->> 'status' <> 'todo' AND attempt -> 'delete' <> 'true'
           ), '{}')
      INTO again_ids, delete_ids, update_ids
      FROM (SELECT key::bigint AS id, value AS attempt FROM jsonb_each(p_attempts)) AS given;

    WITH updated AS (
        UPDATE procrastinate_jobs AS job
           SET status = (p_attempts -> job.id::text ->> 'status')::procrastinate_job_status,
               attempts = joblogs_next_attempt_v1(job.attempts),
               abort_requested = false,
               worker_id = NULL
         WHERE job.id = ANY (update_ids)
           AND joblogs_owns_v1(job, p_worker_id, p_attempts)
        RETURNING job.id, job.lock
    )
    SELECT coalesce(array_agg(updated.id), '{}'), array_agg(updated.lock)
      INTO ended, freed_locks
      FROM updated;

    IF delete_ids <> '{}' THEN
        WITH gone AS (
            DELETE FROM procrastinate_jobs AS job
             WHERE job.id = ANY (delete_ids)
               AND joblogs_owns_v1(job, p_worker_id, p_attempts)
            RETURNING job.id, job.lock
        )
        SELECT ended || array_agg(gone.id), freed_locks || array_agg(gone.lock)
          INTO ended, freed_locks
          FROM gone;
    END IF;

    IF again_ids <> '{}' THEN
        -- A job that fails after all, or is to run with another lock, frees the one it had.
        freed_locks := freed_locks || ARRAY(
            SELECT lock FROM procrastinate_jobs WHERE id = ANY (again_ids)
        );
    END IF;
    FOREACH again_id IN ARRAY again_ids LOOP
        again := p_attempts -> again_id::text;
        its_verdict := NULL;
        BEGIN
            UPDATE procrastinate_jobs AS job
               SET status = 'todo',
                   attempts = joblogs_next_attempt_v1(job.attempts),
                   worker_id = NULL,
                   scheduled_at = to_timestamp((again ->> 'retry_at')::float8),
                   priority = coalesce((again ->> 'priority')::int, job.priority),
                   queue_name = coalesce(again ->> 'to_queue', job.queue_name),
                   lock = coalesce(again ->> 'lock', job.lock)
             WHERE job.id = again_id
               AND NOT job.abort_requested
               AND joblogs_owns_v1(job, p_worker_id, p_attempts)
            RETURNING job.queue_name INTO its_queue;
            IF FOUND THEN
                ended := ended || again_id;
                queues := queues || its_queue;
                CONTINUE;
            END IF;
            its_verdict := 'to be aborted';
        EXCEPTION WHEN unique_violation THEN
            its_verdict := 'has a twin';
        END;
        UPDATE procrastinate_jobs AS job
           SET status = 'failed',
               attempts = joblogs_next_attempt_v1(job.attempts),
               abort_requested = false,
               worker_id = NULL
         WHERE job.id = again_id
           AND joblogs_owns_v1(job, p_worker_id, p_attempts);
        IF FOUND THEN
            ended := ended || again_id;
            RETURN QUERY SELECT again_id, its_verdict;
        END IF;
    END LOOP;

    PERFORM joblogs_log_attempts_v1(ended, p_worker, p_attempts);
    -- Who waits behind the locks of these jobs may start now.
    queues := queues || ARRAY(
        SELECT waiting.queue_name
          FROM (SELECT DISTINCT lock FROM unnest(freed_locks) AS lock WHERE lock IS NOT NULL) AS freed
         CROSS JOIN LATERAL (
               SELECT first.queue_name
                 FROM procrastinate_jobs AS first
                WHERE first.status = 'todo'
                  AND first.lock = freed.lock
                ORDER BY -first.priority::bigint, first.id
                LIMIT 1
         ) AS waiting
    );
    PERFORM joblogs_notify_v1(queues);

    IF cardinality(ended) < cardinality(again_ids) + cardinality(delete_ids) + cardinality(update_ids)
    THEN
        RETURN QUERY
        SELECT other.id,
               CASE
                   WHEN EXISTS (
                       SELECT
                         FROM job_logs AS log
                        WHERE log.job_id = other.id
                          AND log.attempt = joblogs_next_attempt_v1(
                              (other.attempt ->> 'attempts')::int
                          )
                          AND log.worker = p_worker
                          AND log.started_at
                              = to_timestamp((other.attempt ->> 'started_at')::float8)
                   ) THEN 'repeated'
                   ELSE 'not owned'
               END
          FROM (SELECT key::bigint AS id, value AS attempt FROM jsonb_each(p_attempts)) AS other
         WHERE other.id <> ALL (ended);
    END IF;
END;
$$;
