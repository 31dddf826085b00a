-- Procrastinate's own reads the whole table; the worker_id makes an index of hers fit.
SELECT id
  FROM procrastinate_jobs
 WHERE status = 'doing'
   AND worker_id IS NOT NULL
   AND abort_requested
   AND (%(queue)s::varchar IS NULL OR queue_name = %(queue)s);
