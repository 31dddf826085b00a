"""Empty the tables after a test that commits, in place of Django's flush.

Flush truncates every table and makes all permissions anew; this leaves what migrations made, and
truncates only the tables that were written.
"""

from __future__ import annotations

from django.db import connection

from joblogs.engine.waking import waker

# A table has pages as soon as something was written, be it rolled back since.
EMPTY_WRITTEN_TABLES = """
DO $$
DECLARE
    written text;
BEGIN
    SELECT string_agg(oid::regclass::text, ', ')
      INTO written
      FROM pg_class
     WHERE relkind = 'r'
       AND relnamespace = 'public'::regnamespace
       AND relname NOT IN ('django_migrations', 'django_content_type', 'auth_permission')
       AND pg_relation_size(oid) > 0;
    IF written IS NOT NULL THEN
        EXECUTE 'TRUNCATE ' || written || ' CASCADE';
    END IF;
END
$$
"""


def empty_written_tables() -> None:
    # What is still to be sent would reach the workers of the next test.
    waker("default").flush()
    with connection.cursor() as cursor:
        cursor.execute(EMPTY_WRITTEN_TABLES)
