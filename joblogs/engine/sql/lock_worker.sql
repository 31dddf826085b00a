-- Take a worker's advisory lock, unless it is taken. Not in a pooler, which makes up a process id of its
-- own: the lock would stay in a session that others use.
SELECT pg_backend_pid() = %(pid)s
   AND pg_try_advisory_lock(joblogs_worker_lock_v1(%(worker_id)s)) AS locked;
