SELECT joblogs_unregister_worker_v1(%(worker_id)s);
