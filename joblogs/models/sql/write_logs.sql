-- Write the logs of users, once for each pair of user and job, and tell which users there are. The
-- lock is the foreign key's own, taken first: so it waits for a transaction that is deleting the user
-- and then finds none, where the key would fail.
WITH given AS (
    SELECT * FROM unnest(%(users)s::bigint[], %(jobs)s::bigint[]) AS pair (user_id, job_id)
), present AS (
    SELECT id FROM users WHERE id = ANY(%(users)s::bigint[]) FOR KEY SHARE
), written AS (
    INSERT INTO user_logs (user_id, job_id)
    SELECT given.user_id, given.job_id
      FROM given
      JOIN present ON present.id = given.user_id
    ON CONFLICT DO NOTHING
)
SELECT id FROM present;
