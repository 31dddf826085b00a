SELECT unnest(joblogs_defer_jobs_v1(%(jobs)s::procrastinate_job_to_defer_v1[])) AS id;
