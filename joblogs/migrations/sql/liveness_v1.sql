-- How workers tell that they live. A worker counts as dead when its heartbeat is old *and* nobody holds
-- the advisory lock that it takes on a session of its own: a worker whose process is stopped, or whose
-- event loop is busy, keeps its jobs. Where sessions are pooled away, the heartbeat alone tells.

-- Rather fail and be tried again than make workers wait behind a long transaction.
SET LOCAL lock_timeout = '5s';

-- The key of a worker's advisory lock.
CREATE FUNCTION joblogs_worker_lock_v1(p_worker_id bigint)
    RETURNS bigint
    LANGUAGE sql IMMUTABLE
AS $$
    SELECT hashtextextended('joblogs_worker ' || p_worker_id, 0);
$$;

-- Write what a worker tells of itself: an object with the columns of job_workers as names.
CREATE FUNCTION joblogs_describe_worker_v1(p_worker_id bigint, p_about jsonb)
    RETURNS void
    LANGUAGE sql
AS $$
    INSERT INTO job_workers AS known (
        worker_id, name, host, pid, queues, concurrency, running, version, state, memory, holds_lock,
        started_at, seen_at
    )
    SELECT p_worker_id, name, host, pid, queues, concurrency, running, version, state, memory,
           holds_lock, now() - make_interval(secs => age), now()
      FROM jsonb_to_record(p_about)
        AS about (name varchar, host varchar, pid integer, queues text[], concurrency integer,
                  running integer, version varchar, state varchar, memory bigint, holds_lock boolean,
                  age float8)
        ON CONFLICT (worker_id) DO UPDATE
       SET (name, host, pid, queues, concurrency, running, version, state, memory, holds_lock, seen_at)
         = (excluded.name, excluded.host, excluded.pid, excluded.queues, excluded.concurrency,
            excluded.running, excluded.version, excluded.state, excluded.memory,
            excluded.holds_lock, excluded.seen_at),
           -- Ids can start anew. Otherwise it is when it was: the age is of another clock.
           started_at = CASE
               WHEN (known.host, known.pid) = (excluded.host, excluded.pid) THEN known.started_at
               ELSE excluded.started_at
           END;
$$;

-- Register a worker; again, with the id it had, when its row was deleted. Then it gets back those of
-- its jobs (with the counts of attempts they were fetched with) that nobody has given to another.
CREATE FUNCTION joblogs_register_worker_v1(
    p_worker_id bigint, p_about jsonb, p_jobs bigint[], p_attempts integer[]
)
    RETURNS bigint
    LANGUAGE plpgsql
AS $$
DECLARE
    its_id bigint := p_worker_id;
BEGIN
    IF its_id IS NULL THEN
        INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id INTO its_id;
    ELSE
        INSERT INTO procrastinate_workers (id) OVERRIDING SYSTEM VALUE VALUES (its_id)
            ON CONFLICT (id) DO UPDATE SET last_heartbeat = now();
        UPDATE procrastinate_jobs AS job
           SET worker_id = its_id
          FROM unnest(p_jobs, p_attempts) AS had (id, attempts)
         WHERE job.id = had.id
           AND job.attempts = had.attempts
           -- As text: no index but the one of ids fits.
           AND job.status::text = 'doing'
           AND job.worker_id IS NULL;
    END IF;
    PERFORM joblogs_describe_worker_v1(its_id, p_about);
    RETURN its_id;
END;
$$;

-- Tell that a worker lives. Returns whether it is still registered, how many seconds ago it told so
-- last, and whether there is something for
-- joblogs_rescue_jobs_v1 to look at: workers without a heartbeat for p_timeout seconds, or running jobs
-- of nobody, whose ids and counts of attempts are returned (the first 1,000).
CREATE FUNCTION joblogs_heartbeat_v1(
    p_worker_id bigint,
    p_about jsonb,
    p_timeout float8,
    OUT registered boolean,
    OUT gap float8,
    OUT others_are_silent boolean,
    OUT orphans bigint[],
    OUT orphan_attempts integer[]
)
    LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    SELECT extract(epoch FROM now() - last_heartbeat)
      INTO gap
      FROM procrastinate_workers
     WHERE id = p_worker_id;
    UPDATE procrastinate_workers SET last_heartbeat = now() WHERE id = p_worker_id;
    registered := FOUND;
    IF registered THEN
        PERFORM joblogs_describe_worker_v1(p_worker_id, p_about);
    END IF;
    others_are_silent := EXISTS (
        SELECT
          FROM procrastinate_workers
         WHERE last_heartbeat < now() - make_interval(secs => p_timeout)
    );
    SELECT coalesce(array_agg(id), '{}'), coalesce(array_agg(attempts), '{}')
      INTO orphans, orphan_attempts
      FROM (
           SELECT job.id, job.attempts
             FROM procrastinate_jobs AS job
            WHERE job.status = 'doing'
              AND job.worker_id IS NULL
            ORDER BY job.id
            LIMIT 1000
      ) AS orphan;
END;
$$;

-- Whoever deletes a worker's row takes its jobs away from it. A stock worker does that when it starts,
-- to all whose heartbeat is old. Those that live are left alone.
CREATE FUNCTION joblogs_keep_live_worker_v1()
    RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    IF current_setting('joblogs.unregisters', true) = old.id::text
        OR pg_try_advisory_xact_lock(joblogs_worker_lock_v1(old.id))
    THEN
        DELETE FROM job_workers WHERE worker_id = old.id;
        RETURN old;
    END IF;
    RETURN NULL;
END;
$$;

CREATE TRIGGER joblogs_keep_live_worker_v1
    BEFORE DELETE ON procrastinate_workers
    FOR EACH ROW
    EXECUTE FUNCTION joblogs_keep_live_worker_v1();

-- The worker ends, with or without its lock.
CREATE FUNCTION joblogs_unregister_worker_v1(p_worker_id bigint)
    RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM set_config('joblogs.unregisters', p_worker_id::text, true);
    DELETE FROM procrastinate_workers WHERE id = p_worker_id;
END;
$$;
