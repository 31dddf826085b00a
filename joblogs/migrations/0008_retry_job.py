from __future__ import annotations

from django.db import migrations

from joblogs.migrations._sql import function


class Migration(migrations.Migration):
    dependencies = [("joblogs", "0007_engine")]

    operations = [
        migrations.RunSQL(function("retry_job_v1"), function("retry_job_v1.reverse")),
    ]
