-- What follows the commit: the notice to the workers.
SELECT joblogs_wake_v1('{default}'::varchar[]);
