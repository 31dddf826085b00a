DROP FUNCTION joblogs_fetch_jobs_v1(bigint, varchar[], integer, varchar[], integer[]);
DROP FUNCTION joblogs_number_starts_v1(joblogs_waiting_job_v1[], integer, varchar[], integer[]);
DROP FUNCTION joblogs_start_v1(bigint, joblogs_waiting_job_v1[]);
DROP FUNCTION joblogs_served_queues_v1(varchar[]);
