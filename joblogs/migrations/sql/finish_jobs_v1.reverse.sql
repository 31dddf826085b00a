DROP FUNCTION joblogs_finish_jobs_v1(bigint, text, jsonb);
DROP FUNCTION joblogs_log_attempts_v1(bigint[], text, jsonb);
DROP FUNCTION joblogs_owns_v1(procrastinate_jobs, bigint, jsonb);
DROP FUNCTION joblogs_next_attempt_v1(bigint);
