-- What became of all users and jobs.
SELECT (SELECT count(*) FROM users) AS users,
       (SELECT count(*) FROM users WHERE NOT EXISTS (
            SELECT FROM user_logs WHERE user_id = users.id)) AS missing,
       (SELECT count(*) FROM (
            SELECT FROM user_logs GROUP BY user_id HAVING count(*) > 1) AS twice) AS doubled,
       count(*) FILTER (WHERE status = 'doing') AS doing,
       count(*) FILTER (WHERE status = 'todo') AS todo,
       count(*) FILTER (WHERE status NOT IN ('todo', 'doing', 'succeeded')) AS failed,
       count(*) FILTER (WHERE task_name LIKE 'tests.chaos.tasks.note%%' AND NOT EXISTS (
            SELECT FROM effects WHERE job_id = job.id)) AS undone
  FROM procrastinate_jobs AS job;
