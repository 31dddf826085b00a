from __future__ import annotations

from django.db import migrations

from joblogs.migrations._sql import sql


class Migration(migrations.Migration):
    # The indexes are built CONCURRENTLY, which no transaction allows.
    atomic = False

    dependencies = [
        ("joblogs", "0004_unsuccessful_jobs_index"),
    ]

    operations = [
        migrations.RunSQL(sql("waiting_jobs_indexes"), sql("waiting_jobs_indexes.reverse")),
    ]
