-- What somebody may ask who wants to know everything.
SELECT job.status, count(*), sum(length(job.args::text)), max(log.created_at)
  FROM procrastinate_jobs AS job
  LEFT JOIN user_logs AS log ON log.job_id = job.id
 GROUP BY job.status;
