-- One job from its fetch to its end, in the worker's SQL but one job a transaction: the ceiling.
\set job 0
SELECT id AS job, args::json ->> 'user_id' AS user_id FROM joblogs_fetch_jobs_v1(:worker, NULL::varchar[], 1, '{}'::varchar[], '{}'::integer[]) \aset
\if :job > 0
BEGIN;
INSERT INTO "user_logs" ("user_id", "job_id", "created_at", "updated_at") VALUES (:user_id, :job, now(), now()) ON CONFLICT DO NOTHING;
SELECT * FROM joblogs_finish_jobs_v1(:worker, 'pgbench', '{":job": {"attempts": 0, "status": "succeeded", "delete": false, "task": "joblogs.tasks.create_user_log", "queue": "default", "started_at": 1767225600.0, "finished_at": 1767225600.0, "outcome": "succeeded"}}'::jsonb);
COMMIT;
\endif
