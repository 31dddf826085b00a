-- Which of these sessions are gone, or have been doing nothing for two seconds.
SELECT given.pid
  FROM unnest(%(pids)s::integer[], %(begun)s::text[]) AS given (pid, began)
  LEFT JOIN pg_stat_activity AS session
         ON session.pid = given.pid
        AND session.backend_start::text = given.began
 WHERE session.pid IS NULL
    OR (session.state LIKE 'idle%%' AND session.state_change < clock_timestamp() - interval '2 s');
