DROP FUNCTION joblogs_finish_jobs_v1(bigint, text, jsonb);
