from __future__ import annotations

from django.db import migrations

from joblogs.migrations._sql import function


class Migration(migrations.Migration):
    dependencies = [
        ("joblogs", "0010_orphaned_jobs_index"),
    ]

    operations = [
        # There is nothing to go back to: workers of before do as well with it.
        migrations.RunSQL(function("first_tries_together_v1"), migrations.RunSQL.noop),
        *(
            migrations.RunSQL(function(name), function(f"{name}.reverse"))
            for name in ("liveness_v1", "rescue_jobs_v1")
        ),
    ]
