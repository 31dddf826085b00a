DROP FUNCTION joblogs_retry_job_v1(bigint, timestamptz, integer, varchar, text);
DROP FUNCTION joblogs_worker_lives_v1(bigint);
