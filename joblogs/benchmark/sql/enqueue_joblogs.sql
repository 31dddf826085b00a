-- A user and its job, as User(...).save() sends them. pgbench puts values for :number and :id.
\set number random(1, 9000000000000000000)
BEGIN;
INSERT INTO "users" ("password", "last_login", "is_superuser", "username", "first_name", "last_name", "is_staff", "is_active", "date_joined", "email", "created_at", "updated_at") VALUES ('', NULL, false, 'user:number', '', '', false, true, '2026-01-01 00:00:00.000000+00:00'::timestamptz, '', '2026-01-01 00:00:00.000000+00:00'::timestamptz, '2026-01-01 00:00:00.000000+00:00'::timestamptz) RETURNING "users"."id", "users"."created_at", "users"."updated_at" \gset
SELECT unnest(joblogs_defer_jobs_v1( E'{"(default,joblogs.tasks.create_user_log,0,,,\\"{\\"\\"user_id\\"\\": :id}\\",)"}'::procrastinate_job_to_defer_v1[])) AS id;
COMMIT;
