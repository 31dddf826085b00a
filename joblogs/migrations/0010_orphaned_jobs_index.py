from __future__ import annotations

from django.db import migrations

from joblogs.migrations._sql import sql


class Migration(migrations.Migration):
    # The index is built CONCURRENTLY, which no transaction allows.
    atomic = False

    dependencies = [
        ("joblogs", "0009_job_workers"),
    ]

    operations = [
        migrations.RunSQL(sql("orphaned_jobs_index"), sql("orphaned_jobs_index.reverse")),
    ]
