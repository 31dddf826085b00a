-- Which jobs may start, step by step: what waits in one queue or in any, and what of it is not held up
-- by a lock. joblogs_fetch_jobs_v1 takes them, and has the settings that keep these queries to the one
-- index that each is written for.
--
-- The rules are Procrastinate's: higher priority first, then the lower id; nothing before its time;
-- of the jobs that share a lock only the first, and none while one of them runs. Among more than
-- 1,000 jobs of one queue and priority whose time has come, those due longest are looked at first.
--
-- No cost grows with the number of jobs that wait elsewhere, for later, or behind a lock.

CREATE TYPE joblogs_waiting_job_v1 AS (
    id bigint,
    priority integer,
    queue_name varchar,
    task_name varchar,
    lock text,
    attempts integer
);

-- The first p_limit jobs without a lock in this queue, and the first p_locked_limit (all, when NULL)
-- of those with a lock that is not in p_except; each of those that are ready and those that are due.
CREATE FUNCTION joblogs_waiting_in_v1(
    p_queue varchar, p_limit integer, p_locked_limit integer, p_except text[]
)
    RETURNS SETOF joblogs_waiting_job_v1
    LANGUAGE plpgsql STABLE
AS $$
DECLARE
    is_locked integer;
    at_most integer := p_limit;
BEGIN
    FOR is_locked IN 0..1 LOOP
        RETURN QUERY
        SELECT job.id, job.priority, job.queue_name, job.task_name, job.lock, job.attempts
          FROM procrastinate_jobs AS job
         WHERE job.status = 'todo'
           AND job.queue_name = p_queue
           AND (job.lock IS NOT NULL)::int = is_locked
           AND (job.scheduled_at IS NOT NULL)::int = 0
           AND (is_locked = 0 OR job.lock <> ALL (p_except))
         ORDER BY job.priority DESC, job.scheduled_at, job.id
         LIMIT at_most;

        -- From each priority to the next lower one, and of each what is due.
        RETURN QUERY
        WITH RECURSIVE level (priority) AS (
            (SELECT job.priority
               FROM procrastinate_jobs AS job
              WHERE job.status = 'todo'
                AND job.queue_name = p_queue
                AND (job.lock IS NOT NULL)::int = is_locked
                AND (job.scheduled_at IS NOT NULL)::int = 1
              ORDER BY job.priority DESC, job.scheduled_at
              LIMIT 1)
            UNION ALL
            SELECT lower.priority
              FROM level
             CROSS JOIN LATERAL (
                   SELECT job.priority
                     FROM procrastinate_jobs AS job
                    WHERE job.status = 'todo'
                      AND job.queue_name = p_queue
                      AND (job.lock IS NOT NULL)::int = is_locked
                      AND (job.scheduled_at IS NOT NULL)::int = 1
                      AND job.priority < level.priority
                    ORDER BY job.priority DESC, job.scheduled_at
                    LIMIT 1
             ) AS lower
        )
        SELECT due.id, due.priority, due.queue_name, due.task_name, due.lock, due.attempts
          FROM level
         CROSS JOIN LATERAL (
               SELECT job.*
                 FROM procrastinate_jobs AS job
                WHERE job.status = 'todo'
                  AND job.queue_name = p_queue
                  AND (job.lock IS NOT NULL)::int = is_locked
                  AND (job.scheduled_at IS NOT NULL)::int = 1
                  AND job.priority = level.priority
                  AND job.scheduled_at <= now()
                  AND (is_locked = 0 OR job.lock <> ALL (p_except))
                ORDER BY job.scheduled_at, job.id
                LIMIT CASE WHEN at_most IS NOT NULL THEN greatest(at_most, 1000) END
         ) AS due;
        at_most := p_locked_limit;
    END LOOP;
END;
$$;

-- The same for all queues at once, through the index that does not know of queues.
CREATE FUNCTION joblogs_waiting_anywhere_v1(
    p_limit integer, p_locked_limit integer, p_except text[]
)
    RETURNS SETOF joblogs_waiting_job_v1
    LANGUAGE plpgsql STABLE
AS $$
DECLARE
    is_locked integer;
    at_most integer := p_limit;
BEGIN
    FOR is_locked IN 0..1 LOOP
        RETURN QUERY
        SELECT job.id, job.priority, job.queue_name, job.task_name, job.lock, job.attempts
          FROM procrastinate_jobs AS job
         WHERE job.status = 'todo'
           AND (job.lock IS NOT NULL)::int = is_locked
           AND (job.scheduled_at IS NOT NULL)::int = 0
           AND (is_locked = 0 OR job.lock <> ALL (p_except))
         ORDER BY -job.priority::bigint, job.scheduled_at, job.id
         LIMIT at_most;

        RETURN QUERY
        WITH RECURSIVE level (negative) AS (
            (SELECT -job.priority::bigint
               FROM procrastinate_jobs AS job
              WHERE job.status = 'todo'
                AND (job.lock IS NOT NULL)::int = is_locked
                AND (job.scheduled_at IS NOT NULL)::int = 1
              ORDER BY -job.priority::bigint, job.scheduled_at
              LIMIT 1)
            UNION ALL
            SELECT lower.negative
              FROM level
             CROSS JOIN LATERAL (
                   SELECT -job.priority::bigint AS negative
                     FROM procrastinate_jobs AS job
                    WHERE job.status = 'todo'
                      AND (job.lock IS NOT NULL)::int = is_locked
                      AND (job.scheduled_at IS NOT NULL)::int = 1
                      AND -job.priority::bigint > level.negative
                    ORDER BY -job.priority::bigint, job.scheduled_at
                    LIMIT 1
             ) AS lower
        )
        SELECT due.id, due.priority, due.queue_name, due.task_name, due.lock, due.attempts
          FROM level
         CROSS JOIN LATERAL (
               SELECT job.*
                 FROM procrastinate_jobs AS job
                WHERE job.status = 'todo'
                  AND (job.lock IS NOT NULL)::int = is_locked
                  AND (job.scheduled_at IS NOT NULL)::int = 1
                  AND -job.priority::bigint = level.negative
                  AND job.scheduled_at <= now()
                  AND (is_locked = 0 OR job.lock <> ALL (p_except))
                ORDER BY job.scheduled_at, job.id
                LIMIT CASE WHEN at_most IS NOT NULL THEN greatest(at_most, 1000) END
         ) AS due;
        at_most := p_locked_limit;
    END LOOP;
END;
$$;

-- The first p_limit jobs that may start, in their order.
CREATE FUNCTION joblogs_startable_v1(p_queues varchar[], p_limit integer)
    RETURNS SETOF joblogs_waiting_job_v1
    LANGUAGE plpgsql STABLE
AS $$
DECLARE
    -- How many jobs behind locks are looked at before another way is tried.
    locked_limit integer := p_limit + 20;
    many_locks CONSTANT integer := 2000;
    except_locks text[] := '{}';
    waiting joblogs_waiting_job_v1[];
    startable joblogs_waiting_job_v1[];
    heads joblogs_waiting_job_v1[];
BEGIN
    LOOP
        IF p_queues IS NULL THEN
            waiting := ARRAY(
                SELECT job FROM joblogs_waiting_anywhere_v1(p_limit, locked_limit, except_locks) AS job
            );
        ELSE
            waiting := ARRAY(
                SELECT job
                  FROM unnest(p_queues) AS queue
                 CROSS JOIN LATERAL
                       joblogs_waiting_in_v1(queue, p_limit, locked_limit, except_locks) AS job
            );
        END IF;
        IF NOT EXISTS (SELECT FROM unnest(waiting) AS job WHERE job.lock IS NOT NULL) THEN
            RETURN QUERY SELECT * FROM unnest(waiting) ORDER BY priority DESC, id LIMIT p_limit;
            RETURN;
        END IF;
        startable := ARRAY(
            SELECT (
                       job.id, job.priority, job.queue_name, job.task_name, job.lock, job.attempts
                   )::joblogs_waiting_job_v1
              -- OFFSET 0: locks are looked up in the order of the jobs, until there are enough.
              FROM (SELECT * FROM unnest(waiting) ORDER BY priority DESC, id OFFSET 0) AS job
             WHERE job.lock IS NULL
                OR job.id = (
                       SELECT first.id
                         FROM procrastinate_jobs AS first
                        WHERE first.status = 'todo'
                          AND first.lock = job.lock
                        ORDER BY -first.priority::bigint, first.id
                        LIMIT 1
                   )
               AND NOT EXISTS (
                       SELECT
                         FROM procrastinate_jobs AS running
                        WHERE running.status = 'doing'
                          AND running.lock = job.lock
                   )
             LIMIT p_limit
        );
        EXIT WHEN cardinality(startable) >= p_limit
            OR locked_limit IS NULL
            OR locked_limit > (SELECT count(*) FROM unnest(waiting) AS job WHERE job.lock IS NOT NULL);

        -- So many wait behind locks that some who may start were not seen. With few locks: look at
        -- the first job of each, hopping from lock to lock.
        heads := ARRAY(
            WITH RECURSIVE head AS (
                (SELECT job.lock, job.id, job.priority, job.queue_name, job.task_name, job.attempts,
                        job.scheduled_at
                   FROM procrastinate_jobs AS job
                  WHERE job.status = 'todo'
                    AND job.lock IS NOT NULL
                  ORDER BY job.lock, -job.priority::bigint, job.id
                  LIMIT 1)
                UNION ALL
                SELECT next.*
                  FROM head
                 CROSS JOIN LATERAL (
                       SELECT job.lock, job.id, job.priority, job.queue_name, job.task_name,
                              job.attempts, job.scheduled_at
                         FROM procrastinate_jobs AS job
                        WHERE job.status = 'todo'
                          AND job.lock > head.lock
                        ORDER BY job.lock, -job.priority::bigint, job.id
                        LIMIT 1
                 ) AS next
            )
            SELECT CASE
                       WHEN (p_queues IS NULL OR queue_name = ANY (p_queues))
                        AND (scheduled_at IS NULL OR scheduled_at <= now())
                        AND NOT EXISTS (
                                SELECT
                                  FROM procrastinate_jobs AS running
                                 WHERE running.status = 'doing'
                                   AND running.lock = head.lock
                            )
                       THEN (id, priority, queue_name, task_name, lock, attempts)::joblogs_waiting_job_v1
                   END
              FROM head
             LIMIT many_locks + 1
        );
        IF cardinality(heads) <= many_locks THEN
            startable := ARRAY(
                SELECT (
                       job.id, job.priority, job.queue_name, job.task_name, job.lock, job.attempts
                   )::joblogs_waiting_job_v1
                  FROM (
                       SELECT * FROM unnest(waiting) AS unlocked WHERE unlocked.lock IS NULL
                       UNION ALL
                       SELECT * FROM unnest(heads) AS head WHERE head.id IS NOT NULL
                  ) AS job
                 ORDER BY job.priority DESC, job.id
                 LIMIT p_limit
            );
            EXIT;
        END IF;
        -- With many: look at all, but for those whose lock is known to be held.
        locked_limit := NULL;
        except_locks := ARRAY(
            SELECT DISTINCT job.lock
              FROM unnest(waiting) AS job
             WHERE EXISTS (
                       SELECT
                         FROM procrastinate_jobs AS running
                        WHERE running.status = 'doing'
                          AND running.lock = job.lock
                   )
        );
    END LOOP;
    RETURN QUERY SELECT * FROM unnest(startable);
END;
$$;
