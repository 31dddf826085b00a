-- How workers take the jobs that may start. Workers call the last function.

-- Which of these queues (of all, when NULL) are not paused, each once; NULL for all there are.
CREATE FUNCTION joblogs_served_queues_v1(p_queues varchar[])
    RETURNS varchar[]
    LANGUAGE plpgsql STABLE
AS $$
DECLARE
    paused varchar[] := ARRAY(SELECT name FROM job_queues WHERE paused_at IS NOT NULL);
    queues varchar[] := p_queues;
BEGIN
    IF p_queues IS NULL AND paused = '{}' THEN
        RETURN NULL;
    END IF;
    IF p_queues IS NULL THEN
        -- Those that have waiting jobs, hopping from one name to the next.
        queues := ARRAY(
            WITH RECURSIVE hop AS (
                (SELECT job.queue_name
                   FROM procrastinate_jobs AS job
                  WHERE job.status = 'todo'
                  ORDER BY job.queue_name, (job.lock IS NOT NULL)::int
                  LIMIT 1)
                UNION ALL
                SELECT next.queue_name
                  FROM hop
                 CROSS JOIN LATERAL (
                       SELECT job.queue_name
                         FROM procrastinate_jobs AS job
                        WHERE job.status = 'todo'
                          AND job.queue_name > hop.queue_name
                        ORDER BY job.queue_name, (job.lock IS NOT NULL)::int
                        LIMIT 1
                 ) AS next
            )
            SELECT hop.queue_name FROM hop
        );
    END IF;
    RETURN ARRAY(SELECT unnest(queues) EXCEPT SELECT unnest(paused));
END;
$$;

-- Start those of these jobs that nobody else is about to change, or has run since they were found:
-- who ran one may have given it back for later, to another queue, or with another lock. Returns their
-- ids.
CREATE FUNCTION joblogs_start_v1(p_worker_id bigint, p_jobs joblogs_waiting_job_v1[])
    RETURNS bigint[]
    LANGUAGE plpgsql
AS $$
DECLARE
    free_ids bigint[] := ARRAY(
        SELECT free.id
          FROM unnest(p_jobs) AS found
         CROSS JOIN LATERAL (
               SELECT job.id
                 FROM procrastinate_jobs AS job
                WHERE job.id = found.id
                  AND job.attempts = found.attempts
                  -- As text: no index but the one of ids fits.
                  AND job.status::text = 'todo'
                  FOR NO KEY UPDATE SKIP LOCKED
         ) AS free
    );
BEGIN
    UPDATE procrastinate_jobs SET status = 'doing', worker_id = p_worker_id WHERE id = ANY (free_ids);
    RETURN free_ids;
END;
$$;

-- Number the starts that these jobs make, in their order: each job is one, but for tasks that take
-- many. Returns the jobs of the first p_starts of them.
CREATE FUNCTION joblogs_number_starts_v1(
    p_jobs joblogs_waiting_job_v1[],
    p_starts integer,
    p_batch_tasks varchar[],
    p_batch_sizes integer[],
    OUT jobs joblogs_waiting_job_v1[],
    OUT starts integer[]
)
    LANGUAGE plpgsql STABLE
AS $$
BEGIN
    WITH counted AS (
        SELECT given.*,
               batch.size,
               row_number() OVER (
                   PARTITION BY given.queue_name, given.task_name ORDER BY given.place
               ) - 1 AS nth_of_task
          FROM unnest(p_jobs) WITH ORDINALITY
               AS given (id, priority, queue_name, task_name, lock, attempts, place)
          LEFT JOIN unnest(p_batch_tasks, p_batch_sizes) AS batch (task, size)
                 ON batch.task = given.task_name
    ), numbered AS (
        SELECT counted.*,
               count(*) FILTER (WHERE size IS NULL OR nth_of_task % size = 0)
                   OVER (ORDER BY place) AS nth_start
          FROM counted
    ), given AS (
        SELECT numbered.*,
               CASE
                   WHEN size IS NULL THEN nth_start
                   -- All of a batch belong to the start that its first one makes.
                   ELSE min(nth_start) OVER (
                       PARTITION BY queue_name, task_name, nth_of_task / size
                   )
               END AS start
          FROM numbered
    )
    SELECT array_agg(
               (id, priority, queue_name, task_name, lock, attempts)::joblogs_waiting_job_v1
               ORDER BY place
           ),
           array_agg(start::integer ORDER BY place)
      INTO jobs, starts
      FROM given
     WHERE start <= p_starts;
END;
$$;

-- Take jobs of these queues (of all, when NULL) for a worker that can make p_starts starts. A start
-- is one job, or for the tasks named in p_batch_tasks up to as many jobs of one queue as their entry
-- in p_batch_sizes says. Paused queues are left alone. Rows of one start have one number.
--
-- Arguments come as text, and times only if Python knows them, so that whatever somebody wrote into
-- a row concerns that job alone. `waited` is in seconds: since the job was deferred, or since the
-- moment it was scheduled (or retried) for, by the database's clock.
--
-- Plans are made once, perhaps while the table is empty. So each query is written for one index, and
-- these settings leave it no other way.
CREATE FUNCTION joblogs_fetch_jobs_v1(
    p_worker_id bigint,
    p_queues varchar[],
    p_starts integer,
    p_batch_tasks varchar[],
    p_batch_sizes integer[]
)
    RETURNS TABLE (
        start integer,
        id bigint,
        task_name varchar,
        queue_name varchar,
        priority integer,
        lock text,
        queueing_lock text,
        args text,
        scheduled_at timestamptz,
        attempts integer,
        waited float8
    )
    LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
    SET enable_incremental_sort = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    batch_window CONSTANT integer := 1000;
    queues varchar[] := joblogs_served_queues_v1(p_queues);
    at_most integer;
    starts_left integer := p_starts;
    has_batches boolean;
    tried bigint[] := '{}';
    found joblogs_waiting_job_v1[];
    found_starts integer[];
    locked joblogs_waiting_job_v1[];
    taken bigint[];
BEGIN
    -- Again when other workers were quicker with some of the jobs found.
    FOR round IN 1..5 LOOP
        at_most := starts_left + cardinality(tried);
        LOOP
            found := ARRAY(
                SELECT job FROM joblogs_startable_v1(queues, at_most) AS job
                 WHERE job.id <> ALL (tried)
            );
            has_batches := EXISTS (
                SELECT FROM unnest(found) AS job WHERE job.task_name = ANY (p_batch_tasks)
            );
            -- A batch takes more jobs than one: look further ahead for them, if there are more.
            EXIT WHEN NOT has_batches
                OR at_most >= batch_window
                OR cardinality(found) < at_most - cardinality(tried);
            at_most := batch_window;
        END LOOP;
        EXIT WHEN cardinality(found) = 0;
        IF has_batches AND cardinality(found) > 1 THEN
            SELECT numbered.jobs, numbered.starts
              INTO found, found_starts
              FROM joblogs_number_starts_v1(
                   found, starts_left, p_batch_tasks, p_batch_sizes
              ) AS numbered;
        ELSE
            -- There may be more: those that were tried and taken are not found again.
            found := found[1:starts_left];
            found_starts := ARRAY(SELECT generate_series(1, cardinality(found)));
        END IF;

        locked := ARRAY(SELECT job FROM unnest(found) AS job WHERE job.lock IS NOT NULL);
        IF cardinality(locked) = 0 THEN
            taken := joblogs_start_v1(p_worker_id, found);
        ELSE
            taken := joblogs_start_v1(
                p_worker_id, ARRAY(SELECT job FROM unnest(found) AS job WHERE job.lock IS NULL)
            );
            BEGIN
                taken := taken || joblogs_start_v1(p_worker_id, locked);
            EXCEPTION WHEN unique_violation OR deadlock_detected THEN
                -- Another worker has just started a job with one of these locks: one by one, so that
                -- it costs that job alone.
                FOR nth IN 1..cardinality(locked) LOOP
                    BEGIN
                        taken := taken || joblogs_start_v1(p_worker_id, locked[nth:nth]);
                    EXCEPTION WHEN unique_violation OR deadlock_detected THEN
                        NULL;
                    END;
                END LOOP;
            END;
        END IF;

        RETURN QUERY
        SELECT (round - 1) * p_starts + found_starts[given.place],
               job.id,
               job.task_name,
               job.queue_name,
               job.priority,
               job.lock,
               job.queueing_lock,
               job.args::text,
               known.at,
               job.attempts,
               extract(epoch FROM clock_timestamp() - coalesce(known.at, deferred.at))::float8
          FROM unnest(found) WITH ORDINALITY
               AS given (id, priority, queue_name, task_name, lock, attempts, place)
         CROSS JOIN LATERAL (
               SELECT * FROM procrastinate_jobs AS job WHERE job.id = given.id OFFSET 0
         ) AS job
         CROSS JOIN LATERAL (
               SELECT CASE
                          WHEN job.scheduled_at BETWEEN '0001-01-02' AND '9999-12-30'
                          THEN job.scheduled_at
                      END AS at
         ) AS known
          LEFT JOIN LATERAL (
               SELECT min(event.at) AS at
                 FROM procrastinate_events AS event
                WHERE event.job_id = job.id
                  AND event.type = 'deferred'
                  AND isfinite(event.at)
          ) AS deferred ON job.scheduled_at IS NULL
         WHERE cardinality(taken) = cardinality(found)
            OR given.id = ANY (taken);

        EXIT WHEN cardinality(taken) = cardinality(found);
        starts_left := starts_left - (
            SELECT count(DISTINCT found_starts[given.place])
              FROM unnest(found) WITH ORDINALITY
                   AS given (id, priority, queue_name, task_name, lock, attempts, place)
             WHERE given.id = ANY (taken)
        );
        EXIT WHEN starts_left <= 0;
        tried := tried || ARRAY(SELECT job.id FROM unnest(found) AS job);
    END LOOP;
END;
$$;
