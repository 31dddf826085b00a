-- How fast logs were written, between the moments (epoch seconds) when all was well, when the trouble
-- began, when it was over, and when the watching ended. Rates are logs a second.
WITH moment AS (
    SELECT %(well)s::float8 AS well, %(began)s::float8 AS began, %(over)s::float8 AS over,
           %(ended)s::float8 AS ended, %(later)s::float8 AS later
), log AS (
    SELECT extract(epoch FROM created_at)::float8 AS at, user_id FROM user_logs
), silence AS (
    SELECT at - lag(at, 1, well) OVER (ORDER BY at) AS seconds
      FROM (
           SELECT at FROM log
            UNION ALL
           SELECT ended FROM moment
      ) AS every
     CROSS JOIN moment
     WHERE at BETWEEN well AND ended
)
SELECT count(*) FILTER (WHERE at >= well AND at < began) / (began - well) AS rate_before,
       count(*) FILTER (WHERE at >= began AND at < over) / greatest(over - began, 0.001)
           AS rate_during,
       count(*) FILTER (WHERE at >= later AND at < ended) / (ended - later) AS rate_after,
       (SELECT count(*) FROM users
         WHERE extract(epoch FROM created_at) >= later
           AND extract(epoch FROM created_at) < ended) / (ended - later) AS users_after,
       min(at) FILTER (WHERE at >= over) - over AS first_log,
       (SELECT max(seconds) FROM silence) AS silence,
       -- When the last user from before the end of the trouble had its log.
       greatest(max(at) FILTER (WHERE extract(epoch FROM users.created_at) < over) - over, 0)
           AS caught_up,
       over - began AS lasted
  FROM moment
 CROSS JOIN log
  JOIN users ON users.id = log.user_id
 GROUP BY well, began, over, ended, later;
