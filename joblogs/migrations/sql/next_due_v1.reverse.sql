DROP FUNCTION joblogs_next_due_v1(varchar[], float8);
