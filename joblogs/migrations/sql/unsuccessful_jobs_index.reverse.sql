DROP INDEX CONCURRENTLY IF EXISTS joblogs_jobs_unsuccessful_idx;
