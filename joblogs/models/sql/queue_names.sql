-- The names of all queues with jobs, by hopping in the index from one name to the next: the cost
-- grows with the number of queues and not of jobs.
WITH RECURSIVE hop AS (
    (SELECT queue_name FROM procrastinate_jobs ORDER BY queue_name LIMIT 1)
    UNION ALL
    SELECT (
           SELECT job.queue_name
             FROM procrastinate_jobs AS job
            WHERE job.queue_name > hop.queue_name
            ORDER BY job.queue_name
            LIMIT 1
    )
      FROM hop
     WHERE hop.queue_name IS NOT NULL
)
SELECT queue_name
  FROM hop
 WHERE queue_name IS NOT NULL
 LIMIT %(limit)s;
