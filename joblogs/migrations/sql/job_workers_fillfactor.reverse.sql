ALTER TABLE job_workers RESET (fillfactor);
