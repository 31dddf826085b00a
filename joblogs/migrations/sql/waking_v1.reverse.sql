SET LOCAL lock_timeout = '5s';
DROP FUNCTION joblogs_wake_v1(varchar[]);
DROP FUNCTION joblogs_notify_v1(varchar[]);
DROP FUNCTION joblogs_defer_jobs_v1(procrastinate_job_to_defer_v1[]);
CREATE OR REPLACE TRIGGER procrastinate_jobs_notify_queue_job_inserted_v1
    AFTER INSERT ON procrastinate_jobs
    FOR EACH ROW
    WHEN (new.status = 'todo'::procrastinate_job_status)
    EXECUTE PROCEDURE procrastinate_notify_queue_job_inserted_v1();
