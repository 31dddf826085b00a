SELECT joblogs_register_worker_v1(
       %(worker_id)s, %(about)s, %(jobs)s::bigint[], %(attempts)s::integer[]
) AS worker_id;
