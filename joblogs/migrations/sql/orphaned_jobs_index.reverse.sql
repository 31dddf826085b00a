DROP INDEX CONCURRENTLY IF EXISTS joblogs_jobs_orphaned_idx;
