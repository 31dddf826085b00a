-- What becomes of the jobs of workers that died, and of jobs that a worker puts back.

-- Give back jobs of a worker that died (of none, when NULL), each on its own. Each counts one more
-- attempt and has a row in job_logs that says it was lost. It runs again, unless it was running in
-- p_most_deaths workers that died (then it fails), was to be aborted (then it is), or a job with its
-- queueing lock is queued (then it fails). Returns what joblogs_finish_jobs_v1 does.
CREATE FUNCTION joblogs_lose_jobs_v1(
    p_worker_id bigint, p_worker text, p_jobs bigint[], p_most_deaths integer
)
    RETURNS TABLE (job bigint, verdict text)
    LANGUAGE sql
AS $$
    SELECT *
      FROM joblogs_finish_jobs_v1(
           p_worker_id,
           p_worker,
           (SELECT coalesce(jsonb_object_agg(lost.id, lost.attempt), '{}')
              FROM (
                   SELECT job.id,
                          jsonb_build_object(
                              'attempts', job.attempts,
                              'status', CASE
                                  WHEN job.abort_requested THEN 'aborted'
                                  WHEN deaths.number >= p_most_deaths THEN 'failed'
                                  ELSE 'todo'
                              END,
                              'delete', false,
                              'retry_at', extract(epoch FROM now()),
                              'task', job.task_name,
                              'queue', job.queue_name,
                              'finished_at', extract(epoch FROM now()),
                              'outcome', 'lost',
                              'error_class', 'joblogs.WorkerDied',
                              'error_message', CASE
                                  WHEN deaths.number >= p_most_deaths AND NOT job.abort_requested
                                  THEN format(
                                      'It was running in %s workers that died, and is not tried again '
                                      'by itself: it may be what ends them.',
                                      deaths.number
                                  )
                                  ELSE 'Its worker died while it was running.'
                              END
                          ) AS attempt
                     FROM procrastinate_jobs AS job
                    CROSS JOIN LATERAL (
                          -- Ids can start anew: what has the number of an attempt to come is of
                          -- another job.
                          SELECT count(DISTINCT log.attempt) + 1 AS number
                            FROM job_logs AS log
                           WHERE log.job_id = job.id
                             AND log.outcome = 'lost'
                             AND log.attempt <= job.attempts
                    ) AS deaths
                    WHERE job.id = ANY (p_jobs)
                      AND job.status::text = 'doing'
                      AND job.worker_id IS NOT DISTINCT FROM p_worker_id
              ) AS lost)
      );
$$;

-- The same for many, one by one if that fails together: what cannot be given back keeps no other one.
-- Returns how many were given back, and which of them ended instead.
CREATE FUNCTION joblogs_lose_each_v1(
    p_worker_id bigint,
    p_worker text,
    p_jobs bigint[],
    p_most_deaths integer,
    OUT jobs integer,
    OUT ended bigint[]
)
    LANGUAGE plpgsql
AS $$
DECLARE
    its_id bigint;
BEGIN
    BEGIN
        PERFORM joblogs_lose_jobs_v1(p_worker_id, p_worker, p_jobs, p_most_deaths);
    EXCEPTION WHEN OTHERS THEN
        FOREACH its_id IN ARRAY p_jobs LOOP
            BEGIN
                PERFORM joblogs_lose_jobs_v1(p_worker_id, p_worker, ARRAY[its_id], p_most_deaths);
            EXCEPTION WHEN OTHERS THEN
                RAISE WARNING 'Job % of a worker that died cannot be given back: %', its_id, SQLERRM;
            END;
        END LOOP;
    END;
    SELECT count(*) FILTER (WHERE status::text <> 'doing'),
           coalesce(
               array_agg(id ORDER BY id) FILTER (WHERE status::text NOT IN ('todo', 'doing')), '{}'
           )
      INTO jobs, ended
      FROM procrastinate_jobs
     WHERE id = ANY (p_jobs);
END;
$$;

-- Give back the jobs of workers without a heartbeat for p_timeout seconds and without their lock, and
-- those of p_orphans (with their counts of attempts) that still run for nobody; up to p_limit of each.
-- Workers that are not in job_workers are given twice as long: stock ones hold no lock, and send no
-- heartbeat while they finish what runs before they stop.
-- A row that somebody is changing is left for the next time. Returns a row for each worker that died
-- (null for the orphans): how many of its jobs were given back, and which of them ended instead.
CREATE FUNCTION joblogs_rescue_jobs_v1(
    p_timeout float8,
    p_most_deaths integer,
    p_orphans bigint[],
    p_orphan_attempts integer[],
    p_limit integer,
    OUT worker text,
    OUT jobs integer,
    OUT ended bigint[]
)
    RETURNS SETOF record
    LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    silent bigint;
    lost bigint[];
BEGIN
    FOR silent IN
        SELECT id
          FROM procrastinate_workers AS worker
         WHERE last_heartbeat < now() - make_interval(secs => p_timeout)
           AND (last_heartbeat < now() - make_interval(secs => 2 * p_timeout)
                OR EXISTS (SELECT FROM job_workers WHERE worker_id = worker.id))
         ORDER BY last_heartbeat
           FOR UPDATE SKIP LOCKED
    LOOP
        -- Held until the end of this transaction: it cannot come back to life meanwhile.
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(joblogs_worker_lock_v1(silent));
        worker := coalesce(
            (SELECT host || ':' || pid FROM job_workers WHERE worker_id = silent),
            'worker ' || silent
        );
        lost := ARRAY(
            SELECT job.id
              FROM procrastinate_jobs AS job
             WHERE job.worker_id = silent
               AND job.status = 'doing'
             LIMIT p_limit
               FOR NO KEY UPDATE SKIP LOCKED
        );
        SELECT * INTO jobs, ended FROM joblogs_lose_each_v1(silent, worker, lost, p_most_deaths);
        RETURN NEXT;
        -- What it has left are jobs that somebody is changing, or more than fit in here.
        IF NOT EXISTS (
            SELECT FROM procrastinate_jobs WHERE worker_id = silent AND status = 'doing'
        ) THEN
            DELETE FROM procrastinate_workers WHERE id = silent;
        END IF;
    END LOOP;

    worker := NULL;
    lost := ARRAY(
        SELECT job.id
          FROM unnest(p_orphans, p_orphan_attempts) AS orphan (id, attempts)
         CROSS JOIN LATERAL (
               SELECT same.id
                 FROM procrastinate_jobs AS same
                WHERE same.id = orphan.id
                  AND same.attempts = orphan.attempts
                  AND same.status::text = 'doing'
                  AND same.worker_id IS NULL
                  FOR NO KEY UPDATE SKIP LOCKED
         ) AS job
    );
    IF lost <> '{}' THEN
        SELECT * INTO jobs, ended FROM joblogs_lose_each_v1(NULL, 'unknown', lost, p_most_deaths);
        RETURN NEXT;
    END IF;

    -- What a worker left that was not registered any more.
    DELETE FROM job_workers AS left_over
     WHERE left_over.seen_at < now() - make_interval(secs => p_timeout)
       AND NOT EXISTS (SELECT FROM procrastinate_workers WHERE id = left_over.worker_id);
END;
$$;

-- Put jobs back that a worker has fetched and not begun, to start in so many seconds, as if it had not
-- fetched them. Returns those that are; not so one that is to be aborted, or whose queueing lock a
-- queued job has by now.
CREATE FUNCTION joblogs_put_back_v1(p_worker_id bigint, p_jobs bigint[], p_seconds float8)
    RETURNS SETOF bigint
    LANGUAGE plpgsql
AS $$
DECLARE
    its_id bigint;
BEGIN
    FOREACH its_id IN ARRAY p_jobs LOOP
        BEGIN
            RETURN QUERY
            UPDATE procrastinate_jobs
               SET status = 'todo',
                   worker_id = NULL,
                   scheduled_at = now() + make_interval(secs => p_seconds)
             WHERE id = its_id
               AND status::text = 'doing'
               AND worker_id = p_worker_id
               AND NOT abort_requested
            RETURNING id;
        EXCEPTION WHEN unique_violation THEN
            NULL;
        END;
    END LOOP;
END;
$$;
