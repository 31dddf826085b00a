-- End attempts, and write what became of them into job_logs, in one statement. Only the worker that
-- still owns an attempt (same job, worker and count of attempts) changes anything.
--
-- p_attempts is an array of objects:
--   job          the job's id
--   attempts     its count of attempts when it was fetched
--   status       what it becomes: succeeded, failed, aborted, or todo to run again
--   delete       whether its row goes instead
--   retry_at, priority, to_queue, lock    for todo: when (epoch seconds), and what changes unless null
--   task, queue, started_at, finished_at (epoch seconds), outcome, error_class, error_message,
--   traceback, result                     for job_logs
--
-- Returns what happened, for the jobs that were not simply finished:
--   repeated     it had been done before: the answer to an earlier call was lost
--   not owned    somebody else has the job, or it is gone: nothing was changed
--   has a twin   it failed instead of running again, as a job with its queueing lock is queued
CREATE FUNCTION joblogs_finish_jobs_v1(p_worker_id bigint, p_worker text, p_attempts jsonb)
    RETURNS TABLE (job bigint, verdict text)
    LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off
    SET enable_hashjoin = off SET enable_mergejoin = off
    SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    ended bigint[];
    queues varchar[];
    again record;
    its_queue varchar;
    its_status procrastinate_job_status;
    its_verdict text;
BEGIN
    WITH given AS MATERIALIZED (
        SELECT *
          FROM jsonb_to_recordset(p_attempts)
            AS (job bigint, attempts integer, status procrastinate_job_status, delete boolean,
                task varchar, queue varchar, started_at float8, finished_at float8,
                outcome varchar, error_class varchar, error_message text, traceback text,
                result jsonb)
         WHERE status <> 'todo'
         ORDER BY job
    ), updated AS (
        UPDATE procrastinate_jobs AS job
           SET status = given.status,
               attempts = job.attempts + 1,
               abort_requested = false,
               worker_id = NULL
          FROM given
         WHERE NOT given.delete
           AND job.id = given.job
           AND job.status = 'doing'
           AND job.worker_id IS NOT DISTINCT FROM p_worker_id
           AND job.attempts = given.attempts
        RETURNING given.*, job.lock
    ), deleted AS (
        DELETE FROM procrastinate_jobs AS job
         USING given
         WHERE given.delete
           AND job.id = given.job
           AND job.status = 'doing'
           AND job.worker_id IS NOT DISTINCT FROM p_worker_id
           AND job.attempts = given.attempts
        RETURNING given.*, job.lock
    ), logged AS (
        INSERT INTO job_logs (
            job_id, attempt, task_name, queue_name, worker, started_at, finished_at, outcome,
            error_class, error_message, traceback, result
        )
        SELECT job, attempts + 1, task, queue, p_worker, to_timestamp(started_at),
               to_timestamp(finished_at), outcome, coalesce(error_class, ''),
               coalesce(error_message, ''), coalesce(traceback, ''), result
          FROM (SELECT * FROM updated UNION ALL SELECT * FROM deleted) AS ended
        RETURNING job_id
    ), freed AS (
        -- Who waits behind the locks of these jobs may start now.
        SELECT (SELECT first.queue_name
                  FROM procrastinate_jobs AS first
                 WHERE first.status = 'todo'
                   AND first.lock = ended.lock
                 ORDER BY first.priority DESC, first.id
                 LIMIT 1) AS queue
          FROM (SELECT lock FROM updated UNION ALL SELECT lock FROM deleted) AS ended
         WHERE ended.lock IS NOT NULL
    )
    SELECT coalesce((SELECT array_agg(job_id) FROM logged), '{}'),
           coalesce((SELECT array_agg(DISTINCT queue) FROM freed WHERE queue IS NOT NULL), '{}')
      INTO ended, queues;

    FOR again IN
        SELECT *
          FROM jsonb_to_recordset(p_attempts)
            AS (job bigint, attempts integer, status text, retry_at float8, priority integer,
                to_queue varchar, lock text, task varchar, queue varchar, started_at float8,
                finished_at float8, outcome varchar, error_class varchar, error_message text,
                traceback text, result jsonb)
         WHERE status = 'todo'
         ORDER BY job
    LOOP
        its_status := NULL;
        its_verdict := NULL;
        BEGIN
            UPDATE procrastinate_jobs AS job
               -- Somebody asked for it to be aborted: it does not run again.
               SET status = CASE
                       WHEN job.abort_requested THEN 'failed' ELSE 'todo'
                   END::procrastinate_job_status,
                   attempts = job.attempts + 1,
                   abort_requested = false,
                   worker_id = NULL,
                   scheduled_at = to_timestamp(again.retry_at),
                   priority = coalesce(again.priority, job.priority),
                   queue_name = coalesce(again.to_queue, job.queue_name),
                   lock = coalesce(again.lock, job.lock)
             WHERE job.id = again.job
               AND job.status = 'doing'
               AND job.worker_id IS NOT DISTINCT FROM p_worker_id
               AND job.attempts = again.attempts
            RETURNING job.queue_name, job.status INTO its_queue, its_status;
        EXCEPTION WHEN unique_violation THEN
            UPDATE procrastinate_jobs AS job
               SET status = 'failed',
                   attempts = job.attempts + 1,
                   abort_requested = false,
                   worker_id = NULL
             WHERE job.id = again.job
               AND job.status = 'doing'
               AND job.worker_id IS NOT DISTINCT FROM p_worker_id
               AND job.attempts = again.attempts
            RETURNING job.status INTO its_status;
            its_verdict := 'has a twin';
        END;
        CONTINUE WHEN its_status IS NULL;
        ended := ended || again.job;
        IF its_status = 'todo' THEN
            queues := queues || its_queue;
        END IF;
        INSERT INTO job_logs (
            job_id, attempt, task_name, queue_name, worker, started_at, finished_at, outcome,
            error_class, error_message, traceback, result
        )
        VALUES (
            again.job, again.attempts + 1, again.task, again.queue, p_worker,
            -- Whoever gives back the job of a dead worker knows of its start only what is noted.
            coalesce(
                to_timestamp(again.started_at),
                (SELECT max(at) FROM procrastinate_events
                  WHERE job_id = again.job AND type = 'started'),
                now()
            ),
            to_timestamp(again.finished_at), again.outcome,
            coalesce(again.error_class, ''), coalesce(again.error_message, ''),
            coalesce(again.traceback, ''), again.result
        );
        IF its_verdict IS NOT NULL THEN
            RETURN QUERY SELECT again.job, its_verdict;
        END IF;
    END LOOP;
    PERFORM joblogs_notify_v1(queues);

    IF cardinality(ended) < jsonb_array_length(p_attempts) THEN
        RETURN QUERY
        SELECT other.job,
               CASE
                   WHEN EXISTS (
                       SELECT
                         FROM job_logs AS log
                        WHERE log.job_id = other.job
                          AND log.attempt = other.attempts + 1
                          AND log.worker = p_worker
                          AND log.started_at = to_timestamp(other.started_at)
                   ) THEN 'repeated'
                   ELSE 'not owned'
               END
          FROM jsonb_to_recordset(p_attempts)
            AS other (job bigint, attempts integer, started_at float8)
         WHERE other.job <> ALL (ended);
    END IF;
END;
$$;
