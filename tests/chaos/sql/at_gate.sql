-- Who waits at a gate, by the names that sessions have.
SELECT DISTINCT activity.application_name
  FROM pg_locks
  JOIN pg_stat_activity AS activity USING (pid)
 WHERE locktype = 'advisory'
   AND objid = %s
   AND NOT granted
   AND datname = current_database()
   AND application_name LIKE 'worker-%%'
 ORDER BY 1;
