-- One job from its fetch to its end, in the SQL of Procrastinate's worker.
\set job 0
SELECT id AS job, args ->> 'user_id' AS user_id FROM procrastinate_fetch_job_v2(NULL::varchar[], :worker) \aset
\if :job > 0
BEGIN;
INSERT INTO "user_logs" ("user_id", "job_id", "created_at", "updated_at") VALUES (:user_id, :job, now(), now()) ON CONFLICT DO NOTHING;
COMMIT;
SELECT procrastinate_finish_job_v1(:job, 'succeeded', false);
\endif
