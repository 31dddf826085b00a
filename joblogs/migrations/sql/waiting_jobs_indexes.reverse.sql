DROP INDEX CONCURRENTLY IF EXISTS joblogs_jobs_waiting_in_queue_idx;
DROP INDEX CONCURRENTLY IF EXISTS joblogs_jobs_waiting_idx;
DROP INDEX CONCURRENTLY IF EXISTS joblogs_jobs_waiting_for_lock_idx;
DROP INDEX CONCURRENTLY IF EXISTS joblogs_jobs_of_worker_idx;
