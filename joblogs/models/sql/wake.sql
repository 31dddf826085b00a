-- Wakes the workers of these jobs' queues, as Procrastinate's trigger does when jobs are inserted.
SELECT pg_notify('procrastinate_queue_v1#' || queue_name, payload),
       pg_notify('procrastinate_any_queue_v1', payload)
  FROM (
       SELECT queue_name,
              json_build_object('type', 'job_inserted', 'job_id', min(id))::text AS payload
         FROM procrastinate_jobs
        WHERE id = ANY(%(ids)s)
        GROUP BY queue_name
  ) AS queues;
