from __future__ import annotations

from django.db import migrations

from joblogs.migrations._sql import sql


class Migration(migrations.Migration):
    # The index is built CONCURRENTLY, which no transaction allows.
    atomic = False

    dependencies = [
        ("joblogs", "0001_initial"),
    ]

    operations = [
        migrations.RunSQL(sql("jobs_about_user_index"), sql("jobs_about_user_index.reverse")),
    ]
