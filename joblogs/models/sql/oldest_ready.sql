-- Of all jobs that are ready in these queues (in all, when NULL) the one that has been so longest.
SELECT queue_name, job_id, waited
  FROM joblogs_oldest_ready_v1(%(queues)s::varchar[])
 ORDER BY waited DESC
 LIMIT 1;
