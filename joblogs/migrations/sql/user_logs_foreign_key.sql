-- The database deletes a user's logs, not only Django. A log that is being written while its user
-- is being deleted waits for the deletion and then finds no user, or commits first and is deleted
-- with the user. Checked at each statement, so that the writer learns at once.
ALTER TABLE user_logs
    ADD CONSTRAINT user_logs_user_id_fkey
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE;
