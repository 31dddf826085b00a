DROP FUNCTION joblogs_startable_v1(varchar[], integer);
DROP FUNCTION joblogs_waiting_anywhere_v1(integer, integer, text[]);
DROP FUNCTION joblogs_waiting_in_v1(varchar, integer, integer, text[]);
DROP TYPE joblogs_waiting_job_v1;
