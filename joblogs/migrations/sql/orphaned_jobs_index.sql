-- Running jobs of nobody, which there are for moments at most: whoever looks for them every few seconds
-- need not read those that run. CONCURRENTLY: a big table is not locked meanwhile; an index left
-- invalid by an interrupted run is made anew.
DROP INDEX CONCURRENTLY IF EXISTS joblogs_jobs_orphaned_idx;
CREATE INDEX CONCURRENTLY joblogs_jobs_orphaned_idx
    ON procrastinate_jobs (id)
    WHERE status = 'doing' AND worker_id IS NULL;
