-- Which of these jobs, at these counts of attempts, have been lost so often with their workers. Ids can
-- start anew: later attempts are of another job.
SELECT log.job_id
  FROM unnest(%(jobs)s::bigint[], %(attempts)s::integer[]) AS job (id, attempts)
  JOIN job_logs AS log
    ON log.job_id = job.id
   AND log.attempt <= job.attempts
 WHERE log.outcome = 'lost'
 GROUP BY log.job_id
HAVING count(DISTINCT log.attempt) >= %(number)s;
