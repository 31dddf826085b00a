-- A job that was tried before is tried apart from others: it may be what ended its worker, or its
-- batch. So only first tries make batches. Workers that know nothing of this work with it as well.

-- Number the starts that these jobs make, in their order: each job is one, but for tasks that take
-- many. Returns the jobs of the first p_starts of them.
CREATE OR REPLACE FUNCTION joblogs_number_starts_v1(
    p_jobs joblogs_waiting_job_v1[],
    p_starts integer,
    p_batch_tasks varchar[],
    p_batch_sizes integer[],
    OUT jobs joblogs_waiting_job_v1[],
    OUT starts integer[]
)
    LANGUAGE plpgsql STABLE
AS $$
BEGIN
    WITH counted AS (
        SELECT given.*,
               batch.size,
               row_number() OVER (
                   PARTITION BY given.queue_name, given.task_name, given.attempts = 0
                   ORDER BY given.place
               ) - 1 AS nth_of_task
          FROM unnest(p_jobs) WITH ORDINALITY
               AS given (id, priority, queue_name, task_name, lock, attempts, place)
          LEFT JOIN unnest(p_batch_tasks, p_batch_sizes) AS batch (task, size)
                 ON batch.task = given.task_name
                AND given.attempts = 0
    ), numbered AS (
        SELECT counted.*,
               count(*) FILTER (WHERE size IS NULL OR nth_of_task % size = 0)
                   OVER (ORDER BY place) AS nth_start
          FROM counted
    ), given AS (
        SELECT numbered.*,
               CASE
                   WHEN size IS NULL THEN nth_start
                   -- All of a batch belong to the start that its first one makes.
                   ELSE min(nth_start) OVER (
                       PARTITION BY queue_name, task_name, nth_of_task / size, size IS NULL
                   )
               END AS start
          FROM numbered
    )
    SELECT array_agg(
               (id, priority, queue_name, task_name, lock, attempts)::joblogs_waiting_job_v1
               ORDER BY place
           ),
           array_agg(start::integer ORDER BY place)
      INTO jobs, starts
      FROM given
     WHERE start <= p_starts;
END;
$$;
