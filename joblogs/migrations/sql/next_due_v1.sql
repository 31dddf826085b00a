-- Seconds until the next scheduled job of these queues (of all, when NULL) is due, or NULL when there
-- is none; less than 0 for one that became due in the last p_since seconds. Paused queues are left
-- out. The cost grows with the number of queues and of priorities, not of jobs: from each priority to
-- the next lower one, and for each its first time to come.
CREATE FUNCTION joblogs_next_due_v1(p_queues varchar[], p_since float8)
    RETURNS float8
    LANGUAGE plpgsql STABLE
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off
    SET enable_incremental_sort = off
    SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
DECLARE
    queues varchar[] := joblogs_served_queues_v1(p_queues);
    queue varchar;
    is_locked integer;
    level bigint;
    due timestamptz;
    earliest timestamptz;
    since timestamptz := now() - p_since * interval '1 second';
BEGIN
    FOR is_locked IN 0..1 LOOP
        IF queues IS NULL THEN
            level := NULL;
            LOOP
                SELECT -job.priority::bigint
                  INTO level
                  FROM procrastinate_jobs AS job
                 WHERE job.status = 'todo'
                   AND (job.lock IS NOT NULL)::int = is_locked
                   AND (job.scheduled_at IS NOT NULL)::int = 1
                   AND -job.priority::bigint > coalesce(level, -2147483649)
                 ORDER BY -job.priority::bigint, job.scheduled_at
                 LIMIT 1;
                EXIT WHEN NOT FOUND;
                SELECT job.scheduled_at
                  INTO due
                  FROM procrastinate_jobs AS job
                 WHERE job.status = 'todo'
                   AND (job.lock IS NOT NULL)::int = is_locked
                   AND (job.scheduled_at IS NOT NULL)::int = 1
                   AND -job.priority::bigint = level
                   AND job.scheduled_at > since
                 ORDER BY job.scheduled_at
                 LIMIT 1;
                earliest := least(earliest, due);
            END LOOP;
        ELSE
            FOREACH queue IN ARRAY queues LOOP
                level := NULL;
                LOOP
                    SELECT job.priority
                      INTO level
                      FROM procrastinate_jobs AS job
                     WHERE job.status = 'todo'
                       AND job.queue_name = queue
                       AND (job.lock IS NOT NULL)::int = is_locked
                       AND (job.scheduled_at IS NOT NULL)::int = 1
                       AND job.priority < coalesce(level, 2147483648)
                     ORDER BY job.priority DESC, job.scheduled_at
                     LIMIT 1;
                    EXIT WHEN NOT FOUND;
                    SELECT job.scheduled_at
                      INTO due
                      FROM procrastinate_jobs AS job
                     WHERE job.status = 'todo'
                       AND job.queue_name = queue
                       AND (job.lock IS NOT NULL)::int = is_locked
                       AND (job.scheduled_at IS NOT NULL)::int = 1
                       AND job.priority = level
                       AND job.scheduled_at > since
                     ORDER BY job.scheduled_at
                     LIMIT 1;
                    earliest := least(earliest, due);
                END LOOP;
            END LOOP;
        END IF;
    END LOOP;
    -- Nobody waits for ever, nor for longer than a year.
    RETURN CASE WHEN earliest IS NOT NULL THEN
        extract(epoch FROM least(earliest, now() + interval '1 year') - now())
    END;
END;
$$;
