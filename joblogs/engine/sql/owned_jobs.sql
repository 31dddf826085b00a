-- Which of these attempts the worker still owns. Waits for a transaction that is ending them.
SELECT job.id
  FROM procrastinate_jobs AS job
  JOIN unnest(%(jobs)s::bigint[], %(attempts)s::integer[]) AS given (job, attempts)
    ON given.job = job.id
 WHERE job.status = 'doing'
   AND job.worker_id = %(worker_id)s
   AND job.attempts = given.attempts
   FOR SHARE OF job;
