UPDATE procrastinate_jobs
   SET status = 'cancelled'
 WHERE id = ANY(%(ids)s);
