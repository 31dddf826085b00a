-- For each of these queues (of all, when NULL) the job that has been ready longest, and for how many
-- seconds: since it was deferred or given back, or since the moment it was scheduled for if that came
-- later. Ready is what a worker could start now. Paused queues, and those without such a job, are left
-- out.
--
-- Jobs of one queue and priority start in the order of their ids, or of their times, so the first of
-- each is looked at: what a worker would take next, and the first of each of the 100 lowest
-- priorities, which may wait in vain while there is always something above them. Behind locks, the
-- first 200 of each are looked through for one that may start. The cost grows with the number of
-- queues and of priorities, not of jobs.
CREATE FUNCTION joblogs_oldest_ready_v1(p_queues varchar[])
    RETURNS TABLE (queue_name varchar, job_id bigint, waited float8)
    LANGUAGE plpgsql STABLE
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
    SET enable_incremental_sort = off SET enable_hashjoin = off SET enable_mergejoin = off
    SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    most_levels CONSTANT integer := 100;
    most_locked CONSTANT integer := 200;
    queue varchar := '';
    is_locked integer;
    is_scheduled integer;
    level bigint;
    first_ones bigint[];
BEGIN
    LOOP
        -- Hopping from one name to the next.
        SELECT job.queue_name
          INTO queue
          FROM procrastinate_jobs AS job
         WHERE job.status = 'todo'
           AND job.queue_name > queue
         ORDER BY job.queue_name, (job.lock IS NOT NULL)::int
         LIMIT 1;
        EXIT WHEN NOT FOUND;
        CONTINUE WHEN queue <> ALL (p_queues)
            OR EXISTS (SELECT FROM job_queues WHERE name = queue AND paused_at IS NOT NULL);

        first_ones := ARRAY(SELECT job.id FROM joblogs_startable_v1(ARRAY[queue], 1) AS job);
        FOR is_locked, is_scheduled IN VALUES (0, 0), (0, 1), (1, 0), (1, 1) LOOP
            level := -2147483649;
            FOR nth IN 1..most_levels LOOP
                SELECT job.priority
                  INTO level
                  FROM procrastinate_jobs AS job
                 WHERE job.status = 'todo'
                   AND job.queue_name = queue
                   AND (job.lock IS NOT NULL)::int = is_locked
                   AND (job.scheduled_at IS NOT NULL)::int = is_scheduled
                   AND job.priority > level
                 ORDER BY job.priority, job.scheduled_at DESC
                 LIMIT 1;
                EXIT WHEN NOT FOUND;
                first_ones := first_ones || ARRAY(
                    SELECT first.id
                      FROM (
                           SELECT job.id, job.lock, job.scheduled_at
                             FROM procrastinate_jobs AS job
                            WHERE job.status = 'todo'
                              AND job.queue_name = queue
                              AND (job.lock IS NOT NULL)::int = is_locked
                              AND (job.scheduled_at IS NOT NULL)::int = is_scheduled
                              AND job.priority = level
                            ORDER BY job.scheduled_at, job.id
                            LIMIT CASE is_locked WHEN 0 THEN 1 ELSE most_locked END
                      ) AS first
                     WHERE (first.scheduled_at IS NULL OR first.scheduled_at <= now())
                       AND (
                           first.lock IS NULL
                           OR first.id = (
                               SELECT head.id
                                 FROM procrastinate_jobs AS head
                                WHERE head.status = 'todo'
                                  AND head.lock = first.lock
                                ORDER BY -head.priority::bigint, head.id
                                LIMIT 1
                           )
                           AND NOT EXISTS (
                               SELECT
                                 FROM procrastinate_jobs AS running
                                WHERE running.status = 'doing'
                                  AND running.lock = first.lock
                           )
                       )
                     LIMIT 1
                );
            END LOOP;
        END LOOP;

        SELECT queue, job.id, extract(epoch FROM clock_timestamp() - since.at)::float8
          INTO queue_name, job_id, waited
          FROM unnest(first_ones) AS found (id)
         CROSS JOIN LATERAL (
               SELECT * FROM procrastinate_jobs AS job WHERE job.id = found.id OFFSET 0
         ) AS job
         CROSS JOIN LATERAL (
               SELECT greatest(
                          max(event.at),
                          CASE WHEN isfinite(job.scheduled_at) THEN job.scheduled_at END
                      ) AS at
                 FROM procrastinate_events AS event
                WHERE event.job_id = job.id
                  AND event.type IN ('deferred', 'deferred_for_retry', 'retried')
                  AND isfinite(event.at)
         ) AS since
         WHERE since.at IS NOT NULL
         ORDER BY since.at
         LIMIT 1;
        IF FOUND THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END;
$$;
