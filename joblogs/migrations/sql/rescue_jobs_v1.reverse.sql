DROP FUNCTION joblogs_put_back_v1(bigint, bigint[], float8);
DROP FUNCTION joblogs_rescue_jobs_v1(float8, integer, bigint[], integer[], integer);
DROP FUNCTION joblogs_lose_each_v1(bigint, text, bigint[], integer);
DROP FUNCTION joblogs_lose_jobs_v1(bigint, text, bigint[], integer);
