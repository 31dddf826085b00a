-- Which of these sessions are doing nothing, or are gone, and since when.
SELECT given.pid,
       coalesce(session.state_change::text, 'gone') AS since
  FROM unnest(%(pids)s::integer[]) AS given (pid)
  LEFT JOIN pg_stat_activity AS session
         ON session.pid = given.pid
 WHERE session.pid IS NULL
    OR session.state LIKE 'idle%%';
