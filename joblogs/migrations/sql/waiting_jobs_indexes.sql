-- Jobs that wait, as workers look for them: those without a lock apart from those with one, those
-- that are ready apart from those with a time, each in the order in which they start. So nothing
-- that cannot start now is read on the way to what can. CONCURRENTLY: a big table is not locked
-- meanwhile; an index left invalid by an interrupted run is made anew.

-- For workers that serve some queues.
DROP INDEX CONCURRENTLY IF EXISTS joblogs_jobs_waiting_in_queue_idx;
CREATE INDEX CONCURRENTLY joblogs_jobs_waiting_in_queue_idx
    ON procrastinate_jobs (
       queue_name,
       ((lock IS NOT NULL)::int),
       ((scheduled_at IS NOT NULL)::int),
       priority DESC,
       scheduled_at,
       id
    )
    WHERE status = 'todo';

-- For workers that serve all queues, however many there are. By the negative priority, so that no
-- two indexes have one order: of those the database could take the wrong one.
DROP INDEX CONCURRENTLY IF EXISTS joblogs_jobs_waiting_idx;
CREATE INDEX CONCURRENTLY joblogs_jobs_waiting_idx
    ON procrastinate_jobs (
       ((lock IS NOT NULL)::int),
       ((scheduled_at IS NOT NULL)::int),
       ((-priority::bigint)),
       scheduled_at,
       id
    )
    WHERE status = 'todo';

-- The first job of each lock: no other one with that lock may start. Negative for the same reason.
DROP INDEX CONCURRENTLY IF EXISTS joblogs_jobs_waiting_for_lock_idx;
CREATE INDEX CONCURRENTLY joblogs_jobs_waiting_for_lock_idx
    ON procrastinate_jobs (lock, ((-priority::bigint)), id)
    WHERE status = 'todo' AND lock IS NOT NULL;

-- What a worker's foreign key looks for when the worker leaves: Procrastinate's own index holds
-- running jobs only, so the key would read the whole table.
DROP INDEX CONCURRENTLY IF EXISTS joblogs_jobs_of_worker_idx;
CREATE INDEX CONCURRENTLY joblogs_jobs_of_worker_idx
    ON procrastinate_jobs (worker_id)
    WHERE worker_id IS NOT NULL;
