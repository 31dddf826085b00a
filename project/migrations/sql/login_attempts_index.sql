-- Finds the counts of failed logins that have run out, oldest first, among any number that have not.
-- CONCURRENTLY: nobody waits for it to log in; an index left invalid by an interrupted run is made
-- anew.
DROP INDEX CONCURRENTLY IF EXISTS project_login_attempts_idx;
CREATE INDEX CONCURRENTLY project_login_attempts_idx ON axes_accessattempt (attempt_time);
