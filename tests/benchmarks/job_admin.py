"""How long the admin's pages of jobs take with a million jobs.

    .venv/bin/python -m tests.benchmarks.job_admin

Makes a database of its own on the server in use, and drops it in the end. Prints the median and
the slowest of RUNS requests to each page, in milliseconds, with its number of queries.
"""

from __future__ import annotations

import os
import statistics
import sys
import time

import django

JOBS = int(os.environ.get("JOBS", "1000000"))
RUNS = 7

# Old jobs succeeded, some did not, and the newest tenth waits: as on a busy day.
BUSY = """
    CASE WHEN n > 0.9 * {jobs} THEN 'todo'
         WHEN n % 1000 = 0 THEN 'failed'
         WHEN n % 1001 = 0 THEN 'cancelled'
         WHEN n > 0.9 * {jobs} - 50 THEN 'doing'
         ELSE 'succeeded' END
"""
# Everything waits but for the oldest few: no worker has run for a long time.
STUCK = """
    CASE WHEN n > 1000 THEN 'todo' WHEN n % 10 = 0 THEN 'failed' ELSE 'succeeded' END
"""
# The oldest third failed in an outage, all since have succeeded.
AFTER_AN_OUTAGE = """
    CASE WHEN n < 0.3 * {jobs} THEN 'failed' ELSE 'succeeded' END
"""
FILL = """
    INSERT INTO procrastinate_jobs (task_name, queue_name, priority, status, args, scheduled_at)
    SELECT CASE WHEN n % 3 = 0 THEN 'shop.tasks.send_mail' ELSE 'joblogs.tasks.create_user_log' END,
           CASE WHEN n % 100000 = 0 THEN 'rare' WHEN n % 4 = 0 THEN 'low' ELSE 'default' END,
           0,
           ({status})::procrastinate_job_status,
           jsonb_build_object('user_id', n % 1000, 'token', 'x'),
           CASE WHEN n % 5 = 0 THEN now() + interval '1 day' END
      FROM generate_series(1, {jobs}) AS n
"""
PAGES = {
    "newest": "",
    "in the middle": f"before={JOBS // 2}",
    **{f"state={state}": f"state={state}" for state in ("waiting", "scheduled", "running")},
    **{f"state={state}": f"state={state}" for state in ("succeeded", "failed", "aborted")},
    "queue=low": "queue=low",
    "queue=rare": "queue=rare",
    "queue=rare, failed": "queue=rare&state=failed",
    "task": "task=joblogs.tasks.create_user_log",
    "search: id": f"q={JOBS // 3}",
    "search: task": "q=send_mail",
    "search: no such task": "q=nonsense",
    "search: user_id=71": "q=user_id%3D71",
    "search: no such argument": "q=colour%3Dblue",
}


def main() -> None:
    os.environ |= {"DJANGO_SETTINGS_MODULE": "tests.settings", "LOG_LEVEL": "WARNING"}
    django.setup()
    from django.db import connection

    connection.creation.create_test_db(verbosity=0)
    try:
        mixes = {"busy": BUSY, "stuck": STUCK, "after an outage": AFTER_AN_OUTAGE}
        for name, status in mixes.items():
            fill(status.format(jobs=JOBS))
            measure(name)
    finally:
        connection.creation.destroy_test_db(connection.settings_dict["NAME"], verbosity=0)


def fill(status: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE procrastinate_jobs, procrastinate_events RESTART IDENTITY CASCADE")
        cursor.execute("SET session_replication_role = replica")  # without triggers
        cursor.execute(FILL.format(status=status, jobs=JOBS))
        cursor.execute(
            "INSERT INTO procrastinate_events (job_id, type)"
            " SELECT id, unnest(ARRAY['deferred', 'started', 'succeeded'])"
            "::procrastinate_job_event_type FROM procrastinate_jobs"
        )
        cursor.execute("SET session_replication_role = DEFAULT")
        cursor.execute("VACUUM ANALYZE procrastinate_jobs, procrastinate_events")


def measure(name: str) -> None:
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from accounts.models import User

    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.create_superuser(name.replace(" ", "-")))
    print(f"\n{JOBS} jobs, {name}\n{'page':<28}{'median':>8}{'slowest':>9}{'queries':>9}")
    job = f"/admin/joblogs/job/{JOBS // 2}/change/"
    paths = {label: f"/admin/joblogs/job/?{query}" for label, query in PAGES.items()}
    for label, path in [*paths.items(), ("one job", job), ("workers", "/admin/joblogs/worker/")]:
        times = []
        for _ in range(RUNS):
            with CaptureQueriesContext(connection) as queries:
                started = time.perf_counter()
                response = client.get(path)
                times.append((time.perf_counter() - started) * 1000)
            if response.status_code != 200:
                sys.exit(f"{path} answered {response.status_code}")
        print(f"{label:<28}{statistics.median(times):>8.0f}{max(times):>9.0f}{len(queries):>9}")


if __name__ == "__main__":
    main()
