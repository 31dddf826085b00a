SELECT joblogs_wake_v1(%(queues)s::varchar[])
