-- When this session began. There is no row in a pooler, which makes up a process id of its own, and when
-- this role may not know that of sessions of the one that logged in.
SELECT backend_start::text
  FROM pg_stat_activity
 WHERE pid = pg_backend_pid()
   AND pid = %(pid)s
   AND backend_start IS NOT NULL;
