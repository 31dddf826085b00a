SELECT joblogs_retry_job_v1(
       %(job_id)s,
       %(retry_at)s::timestamptz,
       %(priority)s,
       %(queue)s,
       %(lock)s
  ) AS verdict;
