-- How workers are told that there is something to do. NOTIFY inside a transaction makes its COMMIT
-- wait for all other transactions that notify, one at a time; so ours notify after their commit.

-- Rather fail and be tried again than make all writers wait behind a long transaction.
SET LOCAL lock_timeout = '5s';

-- Procrastinate's own trigger, but for statements that say they see to it themselves. Stock
-- producers and SQL of one's own wake workers as ever.
CREATE OR REPLACE TRIGGER procrastinate_jobs_notify_queue_job_inserted_v1
    AFTER INSERT ON procrastinate_jobs
    FOR EACH ROW
    WHEN (
        new.status = 'todo'::procrastinate_job_status
        AND current_setting('joblogs.wakes_later', true) IS DISTINCT FROM 'on'
    )
    EXECUTE FUNCTION procrastinate_notify_queue_job_inserted_v1();

-- Defer jobs, waking nobody: the caller does, after its commit. The setting is that of this call: when
-- it fails, what it set is undone with it. (As a clause of the function only superusers may have it.)
CREATE FUNCTION joblogs_defer_jobs_v1(p_jobs procrastinate_job_to_defer_v1[])
    RETURNS bigint[]
    LANGUAGE plpgsql
AS $$
DECLARE
    ids bigint[];
BEGIN
    PERFORM set_config('joblogs.wakes_later', 'on', true);
    ids := procrastinate_defer_jobs_v1(p_jobs);
    PERFORM set_config('joblogs.wakes_later', 'off', true);
    RETURN ids;
END;
$$;

-- Wake the workers of these queues, at the commit.
CREATE FUNCTION joblogs_notify_v1(p_queues varchar[])
    RETURNS void
    LANGUAGE sql
AS $$
    SELECT pg_notify(channel, '{"type": "job_inserted", "job_id": null}')
      FROM (
           SELECT 'procrastinate_queue_v1#' || queue AS channel FROM unnest(p_queues) AS queue
           UNION
           SELECT 'procrastinate_any_queue_v1' WHERE p_queues <> '{}'
      ) AS channels;
$$;

-- The same, for a call outside transactions whose jobs are committed. Does not wait for the disk, as
-- there is nothing to keep. Whoever finds somebody else at it for the same queues leaves it to them:
-- their notice has yet to go out, and workers that get it find these jobs, too.
CREATE FUNCTION joblogs_wake_v1(p_queues varchar[])
    RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    IF pg_try_advisory_xact_lock(hashtextextended('joblogs_wake ' || p_queues::text, 0)) THEN
        PERFORM set_config('synchronous_commit', 'off', true);
        PERFORM joblogs_notify_v1(p_queues);
    END IF;
END;
$$;
