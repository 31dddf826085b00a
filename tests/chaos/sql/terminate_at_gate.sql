-- End the sessions that wait at a gate.
SELECT pg_terminate_backend(pid)
  FROM pg_locks
  JOIN pg_stat_activity AS activity USING (pid)
 WHERE locktype = 'advisory'
   AND objid = %s
   AND NOT granted
   AND datname = current_database()
   AND application_name LIKE 'worker-%%';
