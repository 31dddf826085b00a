from __future__ import annotations

from django.db import migrations

from joblogs.migrations._sql import function


class Migration(migrations.Migration):
    dependencies = [
        ("joblogs", "0006_job_logs"),
        ("procrastinate", "0041_post_retry_failed_job"),
    ]

    operations = [
        migrations.RunSQL(function(name), function(f"{name}.reverse"))
        for name in (
            "waking_v1",
            "startable_jobs_v1",
            "fetch_jobs_v1",
            "next_due_v1",
            "finish_jobs_v1",
        )
    ]
