SELECT *
  FROM joblogs_fetch_jobs_v1(
       %(worker_id)s,
       %(queues)s::varchar[],
       %(starts)s,
       %(batch_tasks)s::varchar[],
       %(batch_sizes)s::integer[]
  );
