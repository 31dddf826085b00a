-- Jobs of one kind: in one queue or spread over many, with or without a time, a lock, locks of their own.
INSERT INTO procrastinate_jobs (queue_name, task_name, args, status, scheduled_at, lock)
SELECT CASE WHEN %(queues)s = 1 THEN %(queue)s ELSE %(queue)s || n %% %(queues)s END,
       'benchmark.nothing',
       '{}',
       %(status)s::procrastinate_job_status,
       CASE WHEN %(later)s THEN now() + interval '1 day' + n * interval '1 second' END,
       CASE WHEN %(locks)s THEN %(lock)s || '-' || gen_random_uuid() ELSE %(lock)s END
  FROM generate_series(1, %(number)s) AS n;
