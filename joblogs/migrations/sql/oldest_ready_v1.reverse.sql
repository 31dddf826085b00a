DROP FUNCTION joblogs_oldest_ready_v1(varchar[]);
