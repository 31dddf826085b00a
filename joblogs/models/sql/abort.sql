-- A trigger of Procrastinate's tells the worker.
UPDATE procrastinate_jobs
   SET abort_requested = true
 WHERE id = ANY(%(ids)s);
