-- Gates at which jobs stop as long as somebody has the advisory lock of that number: where PostgreSQL
-- does a worker's four steps with a job.
CREATE FUNCTION stop_at_gate()
    RETURNS trigger
    LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(tg_argv[0]::bigint);
    RETURN new;
END;
$$;

-- It is being fetched.
CREATE TRIGGER gate_1
    AFTER UPDATE ON procrastinate_jobs
    FOR EACH ROW
    WHEN (old.status = 'todo' AND new.status = 'doing')
    EXECUTE FUNCTION stop_at_gate(7001);

-- It is in the middle of its work.
CREATE TRIGGER gate_2
    BEFORE INSERT ON user_logs
    FOR EACH ROW
    EXECUTE FUNCTION stop_at_gate(7002);

-- It is being finished.
CREATE TRIGGER gate_3
    AFTER UPDATE ON procrastinate_jobs
    FOR EACH ROW
    WHEN (new.status = 'succeeded')
    EXECUTE FUNCTION stop_at_gate(7003);

-- Its work is being committed: the COMMIT began and is not through.
CREATE CONSTRAINT TRIGGER gate_4
    AFTER INSERT ON user_logs
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW
    EXECUTE FUNCTION stop_at_gate(7004);
