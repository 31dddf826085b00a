ALTER TABLE user_logs DROP CONSTRAINT user_logs_user_id_fkey;
