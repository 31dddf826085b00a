-- What is left of jobs that are not done, a line for each worker that has some.
SELECT format(
           '%s jobs %s of worker %s (%s): %s', count(*), job.status, coalesce(job.worker_id::text, '-'),
           CASE WHEN worker.id IS NULL THEN 'not registered'
                ELSE format('heartbeat %s ago', date_trunc('second', now() - worker.last_heartbeat))
           END,
           left(string_agg(format('%s %s', job.id, job.task_name), ', ' ORDER BY job.id), 300))
  FROM procrastinate_jobs AS job
  LEFT JOIN procrastinate_workers AS worker ON worker.id = job.worker_id
 WHERE job.status IN ('todo', 'doing')
 GROUP BY job.status, job.worker_id, worker.id, worker.last_heartbeat;
