-- Running jobs of a worker that are not among those it knows of: those of a fetch whose answer was lost.
SELECT job.id,
       job.task_name,
       job.queue_name,
       job.priority,
       job.lock,
       job.queueing_lock,
       job.args::text AS args,
       CASE WHEN job.scheduled_at BETWEEN '0001-01-02' AND '9999-12-30' THEN job.scheduled_at END
           AS scheduled_at,
       job.attempts,
       NULL::float8 AS waited
  FROM procrastinate_jobs AS job
 WHERE job.worker_id = %(worker_id)s
   AND job.status = 'doing'
   AND job.id <> ALL (%(known)s::bigint[]);
