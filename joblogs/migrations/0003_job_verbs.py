from __future__ import annotations

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("joblogs", "0002_jobs_about_user_index"),
        ("procrastinate", "0041_post_retry_failed_job"),
    ]

    operations = [
        migrations.CreateModel(
            name="PeriodicTask",
            fields=[],
            options={
                "verbose_name": "periodic task",
                "proxy": True,
                "default_permissions": ("view",),
                "indexes": [],
                "constraints": [],
            },
            bases=("procrastinate.procrastinateperiodicdefer",),
        ),
        migrations.CreateModel(
            name="Worker",
            fields=[],
            options={
                "verbose_name": "worker",
                "proxy": True,
                "default_permissions": ("view",),
                "indexes": [],
                "constraints": [],
            },
            bases=("procrastinate.procrastinateworker",),
        ),
        migrations.AlterModelOptions(
            name="job",
            options={
                "default_permissions": ("view",),
                "permissions": [
                    ("retry_job", "Can retry jobs"),
                    ("cancel_job", "Can cancel jobs"),
                    ("abort_job", "Can abort jobs"),
                    ("run_now_job", "Can make scheduled jobs run now"),
                    ("delete_job", "Can delete ended jobs"),
                ],
                "verbose_name": "job",
            },
        ),
    ]
