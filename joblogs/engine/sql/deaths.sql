-- Which of these jobs have been lost so often with their workers.
SELECT job_id
  FROM job_logs
 WHERE job_id = ANY (%(jobs)s::bigint[])
   AND outcome = 'lost'
 GROUP BY job_id
HAVING count(DISTINCT attempt) >= %(number)s;
