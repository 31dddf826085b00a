-- Procrastinate's fetch, plus how long the job has been ready: since it was deferred, or since the
-- moment it was scheduled (or retried) for. Both times are the database's, so a worker's clock
-- does not matter.
SELECT job.id,
       job.status,
       job.task_name,
       job.priority,
       job.lock,
       job.queueing_lock,
       job.args,
       job.scheduled_at,
       job.queue_name,
       job.attempts,
       job.worker_id,
       extract(epoch FROM clock_timestamp() - coalesce(job.scheduled_at, deferred.at))::float8
           AS waited
  FROM procrastinate_fetch_job_v2(%(queues)s::varchar[], %(worker_id)s) AS job
  LEFT JOIN LATERAL (
       SELECT event.at
         FROM procrastinate_events AS event
        WHERE event.job_id = job.id
          AND event.type = 'deferred'
        ORDER BY event.id
        LIMIT 1
  ) AS deferred ON true
