DROP FUNCTION joblogs_unregister_worker_v1(bigint);
DROP TRIGGER joblogs_keep_live_worker_v1 ON procrastinate_workers;
DROP FUNCTION joblogs_keep_live_worker_v1();
DROP FUNCTION joblogs_heartbeat_v1(bigint, jsonb, float8);
DROP FUNCTION joblogs_register_worker_v1(bigint, jsonb, bigint[], integer[]);
DROP FUNCTION joblogs_describe_worker_v1(bigint, jsonb);
DROP FUNCTION joblogs_worker_lock_v1(bigint);
