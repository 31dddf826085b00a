DROP INDEX CONCURRENTLY IF EXISTS project_login_attempts_idx;
