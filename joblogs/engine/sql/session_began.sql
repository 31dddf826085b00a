-- When this session began. A pooler makes up a process id of its own; then there is no row.
SELECT backend_start::text
  FROM pg_stat_activity
 WHERE pid = pg_backend_pid()
   AND pid = %(pid)s;
