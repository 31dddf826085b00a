SELECT joblogs_put_back_v1(%(worker_id)s, %(jobs)s::bigint[], %(seconds)s) AS id;
