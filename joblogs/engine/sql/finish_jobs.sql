SELECT *
  FROM joblogs_finish_jobs_v1(%(worker_id)s, %(worker)s, %(attempts)s::jsonb);
