-- Let jobs come and go that no worker ever sees. Each leaves two dead rows, one of them in the indexes
-- of those that are ready.
SET session_replication_role = replica; -- no trigger, so no event and no notice

BEGIN;
INSERT INTO procrastinate_jobs (queue_name, task_name, status)
SELECT 'default', 'tests.chaos.come_and_go', 'todo'
  FROM generate_series(1, %(jobs)s);
UPDATE procrastinate_jobs
   SET status = 'doing', attempts = 1
 WHERE task_name = 'tests.chaos.come_and_go' AND status = 'todo';
UPDATE procrastinate_jobs
   SET status = 'succeeded'
 WHERE task_name = 'tests.chaos.come_and_go' AND status = 'doing';
COMMIT;
