UPDATE procrastinate_jobs
   SET scheduled_at = now()
 WHERE id = ANY(%(ids)s);
