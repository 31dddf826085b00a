-- End the session that holds a worker's advisory lock and does nothing: the worker's own one from before
-- its connection fell silent. Waits for its end, so that the lock is free for a moment only. Those that
-- hold it for the length of a transaction are not idle.
SELECT pg_terminate_backend(session.pid, 1000) AS ended
  FROM pg_locks AS lock
  JOIN pg_stat_activity AS session
    ON session.pid = lock.pid
 WHERE lock.locktype = 'advisory'
   AND lock.granted
   AND lock.objsubid = 1
   AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND lock.classid::bigint << 32 | lock.objid::bigint = joblogs_worker_lock_v1(%(worker_id)s)
   AND session.state = 'idle'
   AND session.pid <> pg_backend_pid()
   AND pg_backend_pid() = %(pid)s;
