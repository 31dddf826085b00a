DROP FUNCTION joblogs_fetch_jobs_v1(bigint, varchar[], integer, varchar[], integer[]);
DROP FUNCTION joblogs_number_starts_v1(joblogs_waiting_job_v1[], integer, varchar[], integer[]);
DROP FUNCTION joblogs_start_v1(bigint, joblogs_waiting_job_v1[]);
DROP FUNCTION joblogs_served_queues_v1(varchar[]);
DROP FUNCTION joblogs_startable_v1(varchar[], integer);
DROP FUNCTION joblogs_waiting_anywhere_v1(integer, integer, text[]);
DROP FUNCTION joblogs_waiting_in_v1(varchar, integer, integer, text[]);
DROP TYPE joblogs_waiting_job_v1;
