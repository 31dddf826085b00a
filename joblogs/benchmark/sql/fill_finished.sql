-- Jobs that have succeeded; with of_worker as stock leaves them, pointing at their worker.
INSERT INTO procrastinate_jobs (queue_name, task_name, args, status, attempts, worker_id)
SELECT %(queue)s,
       'benchmark.nothing',
       '{}',
       'succeeded',
       1,
       CASE WHEN %(of_worker)s::boolean THEN (SELECT max(id) FROM procrastinate_workers) END
  FROM generate_series(1, %(number)s);
