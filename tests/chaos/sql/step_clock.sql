-- Move what was written by the clock so many hours.
WITH workers AS (
    UPDATE procrastinate_workers SET last_heartbeat = last_heartbeat + make_interval(hours => %s)
)
UPDATE procrastinate_jobs
   SET scheduled_at = scheduled_at + make_interval(hours => %s)
 WHERE status = 'todo'
   AND scheduled_at IS NOT NULL;
