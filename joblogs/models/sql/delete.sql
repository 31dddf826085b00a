-- Their events go with them; a trigger of Procrastinate's keeps what is known of periodic tasks.
DELETE FROM procrastinate_jobs
 WHERE id = ANY(%(ids)s);
