DROP INDEX CONCURRENTLY IF EXISTS joblogs_jobs_about_user_idx;
