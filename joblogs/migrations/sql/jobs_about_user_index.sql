-- Finds the jobs about a user (argument user_id) that have not succeeded. Jobs that have succeeded
-- are the many, and their logs name them. CONCURRENTLY: a big table is not locked meanwhile; an
-- index left invalid by an interrupted run is made anew.
DROP INDEX CONCURRENTLY IF EXISTS joblogs_jobs_about_user_idx;
CREATE INDEX CONCURRENTLY joblogs_jobs_about_user_idx
    ON procrastinate_jobs ((args -> 'user_id'), id DESC)
    WHERE args ? 'user_id' AND status <> 'succeeded';
