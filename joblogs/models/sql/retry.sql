-- Back to the queue, due now. The attempts stay as they are: running it counts the next one.
WITH retried AS (
    UPDATE procrastinate_jobs AS job
       SET status = 'todo',
           scheduled_at = now(),
           abort_requested = false,
           worker_id = NULL
      FROM procrastinate_jobs AS before
     WHERE job.id = ANY(%(ids)s)
       AND before.id = job.id
    RETURNING job.id, before.status AS was
)
-- Procrastinate's trigger notes the retry of failed jobs only.
INSERT INTO procrastinate_events (job_id, type)
SELECT id, 'retried'
  FROM retried
 WHERE was <> 'failed';
