-- Lists the jobs that failed, were cancelled or aborted, newest first. Jobs that succeed, the many,
-- never touch it. Newest first is the order of the negative id: in the order of the id itself the
-- database may prefer the primary key, and read all that succeeded since. CONCURRENTLY: a big table
-- is not locked meanwhile; an index left invalid by an interrupted run is made anew.
DROP INDEX CONCURRENTLY IF EXISTS joblogs_jobs_unsuccessful_idx;
CREATE INDEX CONCURRENTLY joblogs_jobs_unsuccessful_idx
    ON procrastinate_jobs (status, (id * -1))
    WHERE status IN ('failed', 'cancelled', 'aborted');
