SELECT *
  FROM joblogs_rescue_jobs_v1(
       %(timeout)s,
       %(most_deaths)s,
       %(orphans)s::bigint[],
       %(orphan_attempts)s::integer[],
       %(at_most)s
  );
