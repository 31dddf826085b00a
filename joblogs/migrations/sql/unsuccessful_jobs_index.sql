-- Lists the jobs that failed, were cancelled or aborted, newest first. Jobs that succeed, the many,
-- never touch it. CONCURRENTLY: a big table is not locked meanwhile; an index left invalid by an
-- interrupted run is made anew.
DROP INDEX CONCURRENTLY IF EXISTS joblogs_jobs_unsuccessful_idx;
CREATE INDEX CONCURRENTLY joblogs_jobs_unsuccessful_idx
    ON procrastinate_jobs (status, id DESC)
    WHERE status IN ('failed', 'cancelled', 'aborted');
