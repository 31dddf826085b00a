SELECT joblogs_next_due_v1(%(queues)s::varchar[], %(since)s) AS seconds;
