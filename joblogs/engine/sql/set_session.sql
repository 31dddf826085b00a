-- A pooler makes up a process id of its own. Then the session is not ours to set.
SELECT set_config(key, value, false)
  FROM jsonb_each_text(%(settings)s::jsonb)
 WHERE pg_backend_pid() = %(pid)s;
