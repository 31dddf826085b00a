SELECT * FROM joblogs_heartbeat_v1(%(worker_id)s, %(about)s, %(timeout)s);
